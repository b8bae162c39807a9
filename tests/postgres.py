"""One PostgreSQL for the whole run: that of ``DATABASE_URL``, or an embedded one in a directory of its own.

It runs in a thread with a loop of its own, so that no test's loop holds its process or its watcher.
With xdist the controller starts it and hands its address to the workers.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import tempfile
import threading
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from server.store.embedded import EmbeddedPostgres
from server.store.migrations import migrate

MIGRATIONS = Path(__file__).resolve().parents[1] / "migrations"
# Tests of durability start a PostgreSQL of their own; for the others the disk need not be waited for. A worker of
# autovacuum may not be ended by the role that drops a test's database.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off"}


class TestPostgres:
    """``start`` blocks until there is an address, ``stop`` until everything is gone."""

    __test__ = False

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._dsn = ""
        self._failed: BaseException | None = None
        self._up = threading.Event()

    def start(self) -> str:
        if given := os.environ.get("DATABASE_URL"):
            return given
        self._thread = threading.Thread(target=self._serve, name="test postgres", daemon=True)
        self._thread.start()
        self._up.wait()
        if self._failed is not None:
            raise self._failed
        return self._dsn

    def stop(self) -> None:
        if self._thread is not None and self._failed is None:
            self._loop.call_soon_threadsafe(self._down.set)
            self._thread.join(20)

    def _serve(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._down = asyncio.Event()
        directory = Path(tempfile.mkdtemp(prefix="ringpost-tests-"))
        directory.chmod(0o755)  # as root, PostgreSQL's account must come in
        embedded = EmbeddedPostgres(directory, settings=FAST)
        try:
            self._dsn = await embedded.start()
            self._up.set()
            await self._down.wait()
        except BaseException as bad:
            self._failed = bad
            self._up.set()
        finally:
            await embedded.stop()
            shutil.rmtree(directory, ignore_errors=True)


def with_database(dsn: str, name: str) -> str:
    """The same server, another database."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))


async def create_database(dsn: str, *, template: str = "template0") -> str:
    """A database with a name of its own; gives its DSN."""
    name = f"ringpost_test_{secrets.token_hex(6)}"
    connection = await asyncpg.connect(dsn)
    try:
        more = ""
        if template == "template0":
            more = " ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'"
        elif not os.environ.get("DATABASE_URL") and connection.get_server_version().major >= 15:
            more = " STRATEGY file_copy"  # quicker where nobody waits for the disk
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}{more}")
    finally:
        await connection.close()
    return with_database(dsn, name)


async def drop_database(dsn: str, database: str) -> None:
    """``dsn`` is the server, ``database`` the DSN that ``create_database`` gave."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {database_name(database)} WITH (FORCE)")
    finally:
        await connection.close()


def database_name(dsn: str) -> str:
    return urlsplit(dsn).path.lstrip("/")


async def make_template(dsn: str) -> str:
    """A migrated database to clone."""
    template = await create_database(dsn)
    connection = await asyncpg.connect(template)
    try:
        await migrate(connection, MIGRATIONS)
    finally:
        await connection.close()
    return template
