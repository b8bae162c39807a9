"""What every test may ask for: a PostgreSQL, a fresh migrated database, a pool on it.

And what every test is held to: an unhandled exception in the loop, or a task that it leaves running,
fails it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from server.store.pool import Pool, open_pool
from tests.postgres import TestPostgres, create_database, database_name, drop_database, make_template

FAREWELL_SECONDS = 2.0  # for tasks that are on their way out
SHARED = Path(__file__).resolve().parents[2] / "shared"


class XdistPostgres:
    """The controller's side: one PostgreSQL for all workers. Loaded only when xdist is."""

    def __init__(self) -> None:
        self._postgres = TestPostgres()
        self._dsn = ""

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        self._dsn = self._dsn or self._postgres.start()
        node.workerinput["postgres_dsn"] = self._dsn

    def pytest_unconfigure(self) -> None:
        if self._dsn:
            self._postgres.stop()


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(XdistPostgres())


@pytest.fixture(scope="session")
def postgres_dsn(request: pytest.FixtureRequest) -> Iterator[str]:
    """A PostgreSQL on which databases may be created."""
    given = getattr(request.config, "workerinput", {}).get("postgres_dsn")
    if given:
        yield given
        return
    postgres = TestPostgres()
    try:
        yield postgres.start()
    finally:
        postgres.stop()


@pytest_asyncio.fixture(scope="session")
async def template_database(postgres_dsn: str) -> AsyncIterator[str]:
    """A migrated database that is only ever cloned."""
    template = await make_template(postgres_dsn)
    yield template
    await drop_database(postgres_dsn, template)


@pytest_asyncio.fixture
async def database(postgres_dsn: str, template_database: str) -> AsyncIterator[str]:
    """The DSN of a fresh, migrated database of this test's own."""
    made = await create_database(postgres_dsn, template=database_name(template_database))
    yield made
    await drop_database(postgres_dsn, made)


@pytest_asyncio.fixture
async def empty_database(postgres_dsn: str) -> AsyncIterator[str]:
    """The DSN of a database with nothing in it."""
    made = await create_database(postgres_dsn)
    yield made
    await drop_database(postgres_dsn, made)


@pytest_asyncio.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    opened = await open_pool(database, min_size=1, max_size=8)
    yield opened
    await asyncio.wait_for(opened.close(), 10)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Recorded provider messages and real cases, beside the repository."""
    if not SHARED.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"{SHARED.name}/ is missing beside the repository")
        pytest.skip(f"{SHARED.name}/ is not beside the repository")
    return SHARED


@pytest_asyncio.fixture(autouse=True)
async def clean_loop() -> AsyncIterator[None]:
    """Fails the test for exceptions that nobody handled and for tasks without an owner."""
    loop = asyncio.get_running_loop()
    before = asyncio.all_tasks()
    unhandled: list[dict[str, Any]] = []
    former = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: unhandled.append(context))
    try:
        yield
        left = asyncio.all_tasks() - before - {asyncio.current_task()}
        if left:
            _, left = await asyncio.wait(left, timeout=FAREWELL_SECONDS)
    finally:
        loop.set_exception_handler(former)
    for task in left:
        task.cancel()
    if left:
        pytest.fail(f"tasks left running: {', '.join(str(task.get_coro()) for task in left)}")
    if unhandled:
        pytest.fail(
            f"unhandled in the loop: {unhandled[0].get('message')}: {unhandled[0].get('exception')!r}"
        )
