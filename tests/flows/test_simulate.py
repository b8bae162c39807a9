"""``simulate --provider``: a short day of every provider against a real server, and the same day again."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from handlers.cli.demo_settings import write_demo_settings
from handlers.doors import HANDLERS
from handlers.simulate.calls import Calls
from handlers.simulate.day import Day
from handlers.simulate.people import People
from handlers.simulate.plan import Kind
from handlers.simulate.script import discover_scripts
from handlers.simulate.stage import Stage, WrongServer
from server.app import start
from server.domain.permission import Actor
from server.services import agents, sessions
from server.settings import Settings, load_settings
from tests.flows.conftest import Ringpost, Socket

SCRIPTS = discover_scripts()
QUEUES = ["support", "sales", "service-zh"]
CALLS = 18
# Nobody is busy for longer than a call, so what needs an agent finds one.
AGENTS = ("amara", "bruno", "clara", "dario", "elena", "felix")


@pytest.fixture
def settings(tmp_path: Path, database: str) -> Settings:
    """Those that ``make run`` writes: a source of every provider, each with secrets of its own."""
    environ = {f"RINGPOST_SERVER__{port}_PORT": "0" for port in ("HTTP", "WS", "SMTP")}
    environ |= {"RINGPOST_DATABASE__URL": database, "RINGPOST_SERVER__DATA_DIR": str(tmp_path)}
    environ["RINGPOST_RECORDINGS__STORE"] = "link"
    return load_settings([write_demo_settings(tmp_path)], environ)


@pytest_asyncio.fixture
async def company(settings: Settings) -> AsyncIterator[Ringpost]:
    """A server and agents of every queue, each at a console."""
    async with contextlib.AsyncExitStack() as stack:
        running = await start(settings, HANDLERS, stack)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        admin = Actor(agent_id=0, name="Admin", email="", role="administrator", language="en")
        ringpost = Ringpost(running, http, stack, admin)
        readers = []
        for number, name in enumerate(AGENTS, 301):
            made = await agents.add_agent(
                ringpost.ctx.pool, email=f"{name}@ringpost.test", name=name.title(), role="agent",
                extension=str(number), queues=QUEUES, password=None,
            )  # fmt: skip
            ringpost.tokens[name] = await sessions.add_token(ringpost.ctx.pool, int(made["id"]), "flow")
            await ringpost.ctx.directory.reload()
            readers.append(asyncio.create_task(read(await ringpost.socket(name))))
        yield ringpost
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)


async def read(socket: Socket) -> None:
    """As a console does: what pops up is acknowledged."""
    async for frame in socket.connection:
        message = json.loads(frame)
        if message["type"] == "screen_pop":
            await socket.send({"type": "ack", "id": message["id"]})


@dataclass
class Played:
    """What a day left: the requests that were sent, and what the simulator says of the calls."""

    stage: Stage
    calls: Calls
    told: list[str]


async def play(company: Ringpost, settings: Settings, source: str, count: int = CALLS) -> Played:
    told: list[str] = []
    stage = Stage(
        session=company.http,
        http=company.url,
        public_url=company.ctx.public_url,
        tell=told.append,
        speed=1e5,
        random=Random(20261116),
        journal=[],
    )
    people = People(settings, company.ctx.pool, stage.random, seed=1)
    await people.open()
    calls = Calls(stage, settings, people, SCRIPTS)
    await Day(stage, calls, [source], rate=40, count=count).play()
    return Played(stage, calls, told)


def source_of(settings: Settings, provider: str) -> str:
    return next(name for name, one in settings.call_sources.items() if one.provider == provider)


async def everything(company: Ringpost) -> list[Any]:
    """All that a call can leave behind."""
    statements = (
        "SELECT id, call_key, state, direction, ani, dnis, customer_id, ticket_id, agent_id, queue_id, started_at, "
        "answered_at, ended_at, hangup_cause, recording_url, legs::text FROM contacts ORDER BY id",
        "SELECT id, subject, status, customer_id FROM tickets ORDER BY id",
        "SELECT id, name FROM customers ORDER BY id",
        "SELECT source, event_key FROM inbound_events ORDER BY source, event_key",
    )
    return [await company.ctx.pool.fetch(statement) for statement in statements]


async def require_what_was_played(company: Ringpost, source: str, day: Played) -> None:
    """Everything was accepted, and the server has the calls and the states that the simulator says."""
    played = day.calls.played
    assert day.stage.tally.refused == 0 and day.calls.lost == 0, day.told
    assert day.stage.tally.accepted == day.stage.tally.sent
    rows = await company.ctx.pool.fetch("SELECT source, call_key, state FROM contacts")
    assert {row["source"] for row in rows} == {source}
    assert Counter(row["state"] for row in rows) == Counter(one.state for one in played)
    if all(one.key for one in played):
        states = {row["call_key"]: row["state"] for row in rows}
        assert {one.key: one.state for one in played} == states
    assert await company.count("quarantine") == 0


@pytest.mark.parametrize("provider", sorted(SCRIPTS))
async def test_a_short_day_and_the_same_again(company: Ringpost, settings: Settings, provider: str) -> None:
    source, script = source_of(settings, provider), SCRIPTS[provider]
    day = await play(company, settings, source)
    await require_what_was_played(company, source, day)
    assert {one.kind for one in day.calls.played} == script.kinds
    before = await everything(company)
    assert any(before)
    journal, day.stage.journal = day.stage.journal or [], None
    for request in journal:
        answer = await day.stage.send(request)
        assert answer.ok, (request.url, answer)
    assert await everything(company) == before


async def test_a_transfer_rings_its_target(
    company: Ringpost, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SCRIPTS["twilio"], "kinds", frozenset({Kind.TRANSFERRED}), raising=False)
    await require_what_was_played(company, "main", await play(company, settings, "main", count=1))


async def test_without_a_call_id(
    company: Ringpost, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that has none to send: its calls are told apart by who speaks with whom."""
    said = settings.call_sources["starface"].model_extra
    assert said is not None
    monkeypatch.setitem(said, "fields", {})
    await require_what_was_played(company, "starface", await play(company, settings, "starface"))


async def test_a_server_with_other_secrets(company: Ringpost, settings: Settings, tmp_path: Path) -> None:
    others = load_settings([write_demo_settings(tmp_path / "others")], {})
    with pytest.raises(ExceptionGroup) as several:
        await play(company, others, "telnyx")
    assert several.group_contains(WrongServer, match="runs with other settings")
    assert await company.count("contacts") == 0
