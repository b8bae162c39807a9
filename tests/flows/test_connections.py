"""Live connections: one node is connected, what it hears becomes pops, and whatever breaks is made again."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import aiohttp
import asyncpg
import pytest

from handlers.doors import HANDLERS
from handlers.telephony.connections import Telephony
from handlers.telephony.control import Command, CommandFailed, Deed
from handlers.telephony.live_keeper import Pace
from handlers.telephony.sources import live_providers
from server.app import start
from server.context import Connection, LinkState
from server.domain.permission import Actor
from tests.conformance.esl_peer import EslPeer, plain_event
from tests.conformance.esl_streams import LINE, NUMBER, row
from tests.flows.conftest import Ringpost
from tests.flows.line_peer import LineLive, LinePeer, ringing, until

QUICK = Pace(first=0.01, most=0.05, steady=60, look=0.05, beat=0.1, give_way=0.3)
Serve = Callable[..., Any]


@pytest.fixture
async def line() -> AsyncIterator[LinePeer]:
    async with LinePeer().serve() as peer:
        yield peer


@pytest.fixture
async def serve(settings_of: Callable[..., Any]) -> AsyncIterator[Serve]:
    """A server with one live source more, ``switch``; called twice, two nodes on one database."""
    async with contextlib.AsyncExitStack() as everything:

        async def run(provider: str, port: int, live: Any = None, **environ: str) -> Ringpost:
            options = {"PROVIDER": provider, "PORT": str(port), "SECRETS": '["fictitious-esl-password"]'}
            options |= {"QUEUE": "support"}
            source = {f"RINGPOST_CALL_SOURCES__SWITCH__{name}": value for name, value in options.items()}
            found = {live.name: live} if live is not None else live_providers()
            doors = replace(HANDLERS, telephony=lambda dsn: Telephony(dsn, live=found, pace=QUICK))
            stack = await everything.enter_async_context(contextlib.AsyncExitStack())
            running = await start(settings_of(**source, **environ), doors, stack)
            http = await stack.enter_async_context(aiohttp.ClientSession())
            admin = Actor(agent_id=0, name="Admin", email="", role="administrator", language="en")
            return Ringpost(running, http, stack, admin)

        yield run


def seen(node: Ringpost) -> Connection:
    (connection,) = node.ctx.telephony.connections
    return connection


def state(node: Ringpost) -> LinkState:
    return seen(node).state


async def up(node: Ringpost) -> None:
    await until(lambda: state(node) is LinkState.UP)


# -- with a PBX's own protocol ---------------------------------------------------------------------


async def test_a_call_becomes_a_pop_and_its_end_is_found_after_the_connection_broke(serve: Serve) -> None:
    async with EslPeer().serve() as switch:
        node = await serve("freeswitch", switch.port)
        await node.add_agent("priya", extension="101")
        priya = await node.socket("priya")
        await up(node)
        switch.say(caller_arrives("a"))
        phone = {"Channel_Call_UUID": "a", "Caller_Caller_ID_Number": NUMBER, "Caller_Profile_Index": "1"}
        phone |= {"Caller_Destination_Number": "101", "Call_Direction": "outbound"}
        phone |= {"Other_Leg_Unique_ID": "a", "Other_Type": "originator", "Channel_Name": "sofia/int/101"}
        for name in ("CHANNEL_CREATE", "CHANNEL_PROGRESS", "CHANNEL_ANSWER"):
            switch.say(plain_event(name, Unique_ID="b", **phone))
        pop = await priya.next("screen_pop")
        assert pop["contact"]["linkedid"] == "a" and pop["contact"]["ani"] == NUMBER

        async def contact() -> Any:
            return await node.api("GET", f"/contacts/{pop['contact']['id']}", "priya")

        async def is_state(name: str) -> bool:
            return bool((await contact())["state"] == name)

        await until(lambda: is_state("answered"))
        assert seen(node).last_event_at is not None and seen(node).reconnects == 0
        # The connection breaks while they talk; both legs are there afterwards: nothing changes.
        switch.channels = [
            row("a", "a", NUMBER, LINE, "ACTIVE"),
            row("b", "a", NUMBER, "101", "ACTIVE", "outbound"),
        ]
        switch.drop()
        await until(lambda: seen(node).reconnects == 1)
        assert await is_state("answered")
        # It breaks again, and while nobody listens they hang up.
        switch.channels = []
        switch.drop()
        await until(lambda: is_state("ended"))
        assert (seen(node).reconnects, await node.count("contacts")) == (2, 1)


async def test_commands_go_over_the_connection(serve: Serve) -> None:
    async with EslPeer().serve() as switch:
        node = await serve("freeswitch", switch.port)
        await up(node)
        telephony = node.ctx.telephony
        assert Deed.DIAL in telephony.deeds("switch")
        call = Command(Deed.DIAL, "key-1", agent="101", target="+447700900123")
        leg = await telephony.act("switch", call)
        assert any(leg in said for said in switch.commands if said.startswith("bgapi"))


@pytest.mark.parametrize("provider", sorted(live_providers()))
async def test_garbage_never_ends_the_server(serve: Serve, provider: str) -> None:
    """Whatever answers there: the server goes on, and tries again."""
    greetings = [
        b"",
        b"\0\xff" * 3000,
        b"Asterisk Call Manager/11.0.0\r\n" + b"Response: Success\r\n\r\n" * 50,
    ]
    greetings += [b"Content-Type: auth/request\n\nContent-Length: -1\n\n", b"HTTP/1.1 200 OK\r\n\r\n{}"]
    rest = list(greetings)
    talked: set[asyncio.Task[Any] | None] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talked.add(asyncio.current_task())
        with contextlib.suppress(OSError):
            writer.write(rest.pop() if rest else b"")
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    options = {"HOST": "127.0.0.1", "USERNAME": "ringpost", "CLIENT_ID": "x", "CLIENT_KEY": "x"}
    options |= {"URL": f"http://127.0.0.1:{port}/ari", "API_URL": f"http://127.0.0.1:{port}"}
    environ = {f"RINGPOST_CALL_SOURCES__SWITCH__{name}": value for name, value in options.items()}
    node = await serve(provider, port, **environ)
    await until(lambda: not rest)
    await until(lambda: state(node) in (LinkState.WAITING, LinkState.REFUSED))
    assert seen(node).detail
    async with node.http.get(f"{node.url}/readyz") as answer:
        assert answer.status == 200
    await node.stack.aclose()
    server.close()
    await asyncio.gather(*filter(None, talked))
    await server.wait_closed()


# -- one node at a time ----------------------------------------------------------------------------


async def test_one_node_is_connected_and_another_takes_over(
    serve: Serve, line: LinePeer, database: str
) -> None:
    live = LineLive()
    first = await serve("line", line.port, live)
    await up(first)
    second = await serve("line", line.port, live)
    await until(lambda: state(second) is LinkState.STANDBY)
    assert seen(second).detail, "the node that is connected is named"
    with pytest.raises(CommandFailed, match="another node"):
        await second.ctx.telephony.act("switch", Command(Deed.DIAL, "k", "101", "102"))
    assert (line.connections, live.running) == (1, 1)
    connection = await asyncpg.connect(database)
    try:
        ended = await connection.fetch(
            "SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a JOIN pg_locks l USING (pid)"
            " WHERE a.application_name LIKE 'ringpost on %' AND l.locktype = 'advisory' AND l.granted"
            " AND a.datname = current_database()"
        )
    finally:
        await connection.close()
    assert len(ended) == 1
    await up(second)
    await until(lambda: state(first) is LinkState.STANDBY)
    assert (line.connections, live.running, live.most_running) == (2, 1, 1)
    # A node that stops gives it back, too.
    await second.stack.aclose()
    await up(first)
    assert live.most_running == 1


async def test_stopping_is_clean_and_quick(serve: Serve, line: LinePeer) -> None:
    node = await serve("line", line.port, LineLive())
    await up(node)
    telephony = node.ctx.telephony
    async with asyncio.timeout(1):
        await telephony.stop()
    await until(lambda: not line.clients)
    with pytest.raises(CommandFailed, match="stopping"):
        await telephony.act("switch", Command(Deed.DIAL, "k", "101", "102"))


# -- broken, refused, out of reach -----------------------------------------------------------------


async def test_refused_and_out_of_reach_are_told_apart_and_shown(serve: Serve, line: LinePeer) -> None:
    line.greeting = b"no\n"
    node = await serve("line", line.port, LineLive())
    await until(lambda: state(node) is LinkState.REFUSED)
    assert seen(node).detail == "the PBX said no"
    down_since = seen(node).since
    await until(lambda: line.connections > 3)
    assert seen(node).since == down_since, "down is down, however often it is tried"
    line.greeting = b"hello\n"
    await up(node)
    assert seen(node).detail == "all well" and seen(node).since > down_since
    line.say({"type": "ringing"})  # without a key: the session fails over it, that is our fault
    await until(lambda: seen(node).reconnects == 1)
    assert state(node) in (LinkState.UP, LinkState.WAITING)


async def test_nobody_there_is_waiting(serve: Serve) -> None:
    async with LinePeer().serve() as gone:
        port = gone.port
    node = await serve("line", port, LineLive())
    await until(lambda: state(node) is LinkState.WAITING)
    assert "no connection" in seen(node).detail


async def test_states_are_told_to_supervisors_and_machines(
    serve: Serve, line: LinePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    line.greeting = b"no\n"
    node = await serve("line", line.port, LineLive())
    await node.add_agent("boss", role="supervisor")
    await node.add_agent("priya")
    await until(lambda: state(node) is LinkState.REFUSED)

    async def ready() -> Any:
        async with node.http.get(f"{node.url}/readyz") as answer:
            return answer.status, await answer.json()

    async def metrics() -> str:
        async with node.http.get(f"{node.url}/metrics") as answer:
            return await answer.text()

    assert await ready() == (200, {"status": "ready", "reasons": {}, "degraded": {}})
    monkeypatch.setattr("handlers.health.DOWN_FOR", timedelta())
    status, body = await ready()
    assert status == 200 and "not connected for" in body["degraded"]["switch"]
    assert "the PBX" not in str(body), "why is not for everybody"
    assert 'ringpost_connection_up{source="switch"} 0.0' in await metrics()
    line.greeting = b"hello\n"
    await up(node)
    line.drop()
    await until(lambda: seen(node).reconnects == 1)
    told = await metrics()
    assert 'ringpost_connection_up{source="switch"} 1.0' in told
    assert 'ringpost_connection_reconnects_total{source="switch"} 1.0' in told
    (one,) = (await node.api("GET", "/connections", "boss"))["items"]
    assert (one["name"], one["provider"], one["state"], one["detail"]) == ("switch", "line", "up", "all well")
    async with node.http.get(
        f"{node.url}/api/v1/connections", headers={"Authorization": f"Bearer {node.tokens['priya']}"}
    ) as answer:
        assert answer.status == 403


# -- nothing is lost -------------------------------------------------------------------------------


async def test_a_full_intake_slows_and_loses_nothing(serve: Serve, line: LinePeer, database: str) -> None:
    live = LineLive()
    small = {"RINGPOST_INTAKE__WAITING_MAX": "4", "RINGPOST_INTAKE__BATCH_MAX": "2"}
    node = await serve("line", line.port, live, **small)
    await up(node)
    blocker = await asyncpg.connect(database)
    try:
        transaction = blocker.transaction()
        await transaction.start()
        await blocker.execute("LOCK TABLE contacts IN ACCESS EXCLUSIVE MODE")
        for number in range(5):
            line.say(*(ringing(f"c{number}-{one}") for one in range(20)))
        await until(lambda: node.ctx.calls.full)
        assert live.emissions == 0, "what was read first is not taken in yet: nothing more is read"
        await transaction.rollback()
    finally:
        await blocker.close()
    await until(lambda: live.emissions == 5)
    assert await node.count("contacts") == 100


async def test_a_poisonous_event_is_kept_and_the_session_goes_on(serve: Serve, line: LinePeer) -> None:
    node = await serve("line", line.port, LineLive())
    await up(node)
    line.say(ringing("good-1"), ringing("bad\0"), ringing("good-2"))
    line.say(ringing("good-3"))
    await until(lambda: _equals(node.count("contacts"), 3))
    assert state(node) is LinkState.UP and seen(node).reconnects == 0
    kept = await node.ctx.pool.fetchrow("SELECT * FROM quarantine")
    assert (kept["door"], kept["source"]) == ("call", "switch") and "taken in" in kept["reason"]
    assert json.loads(kept["meta"]["event"])["event_key"] == "bad\0:ringing"


async def test_what_is_kept_of_a_live_connection_is_taken_in_again(serve: Serve, line: LinePeer) -> None:
    node = await serve("line", line.port, LineLive())
    await node.add_agent("boss", role="supervisor")
    event = {"type": "ringing", "call_key": "c1", "leg_key": "c1", "event_key": "c1:ringing"}
    whole, bare = [
        await node.ctx.pool.fetchval(
            "INSERT INTO quarantine (unit_id, door, source, reason, meta, raw)"
            " VALUES (1, 'call', 'switch', 'x', $1, '') RETURNING id",
            meta,
        )
        for meta in ({"event": json.dumps(event | {"ani": "+447700900123", "direction": "inbound"})}, {})
    ]
    await node.api("POST", f"/quarantine/{whole}/retry", "boss")
    assert await node.ctx.pool.fetchval("SELECT call_key FROM contacts") == "c1"
    async with node.http.post(
        f"{node.url}/api/v1/quarantine/{bare}/retry",
        headers={"Authorization": f"Bearer {node.tokens['boss']}"},
    ) as answer:
        assert answer.status == 409


async def test_what_follows_is_done_in_the_order_of_a_calls_events(serve: Serve, line: LinePeer) -> None:
    live = LineLive()
    node = await serve("line", line.port, live)
    await up(node)
    line.say(*({"type": kind, "call_key": call} for kind in ("ringing", "hangup") for call in ("a", "b")))
    line.say(ringing("bad\0"), {"type": "ringing", "call_key": "a", "event_key": "a:again"})
    await until(lambda: len(live.follows) == 5)
    for call in ("a", "b"):
        told = [key for key, _ in live.follows if key.startswith(call)]
        assert told[:2] == [f"{call}:ringing", f"{call}:hangup"]


async def test_commands_fail_in_words(serve: Serve, line: LinePeer) -> None:
    node = await serve("line", line.port, LineLive())
    await up(node)
    act = node.ctx.telephony.act
    assert await act("switch", Command(Deed.DIAL, "k", "101", "102")) == "call of 101"
    for source, deed, target, words in (
        ("switch", Deed.DIAL, "nobody", "there is nobody"),
        ("switch", Deed.DIAL, "a bug", "our fault"),
        ("switch", Deed.HOLD, "", "cannot hold"),
        ("pbx", Deed.DIAL, "102", "cannot dial"),
        ("none", Deed.DIAL, "102", "cannot dial"),
    ):
        with pytest.raises(CommandFailed, match=words):
            await act(source, Command(deed, "k", "101", target))
    assert node.ctx.telephony.deeds("pbx") == node.ctx.telephony.deeds("none") == frozenset()
    line.greeting = b"no\n"
    line.drop()
    await until(lambda: state(node) is LinkState.REFUSED)
    with pytest.raises(CommandFailed, match="not connected"):
        await act("switch", Command(Deed.DIAL, "k", "101", "102"))


async def test_a_live_source_takes_no_webhooks(serve: Serve, line: LinePeer) -> None:
    node = await serve("line", line.port, LineLive())
    async with node.http.post(f"{node.url}/hooks/calls/switch", json={}) as answer:
        assert answer.status == 404 and "live connection" in (await answer.json())["detail"]


@pytest.mark.parametrize(("ring", "offered"), [("", False), ("one", True)])
async def test_the_pbx_chooses_unless_told_otherwise(serve: Serve, ring: str, offered: bool) -> None:
    told = {"RINGPOST_CALL_SOURCES__SWITCH__RING": ring} if ring else {}
    async with EslPeer().serve() as switch:
        node = await serve("freeswitch", switch.port, **told)
        await node.add_agent("priya", extension="101")
        await node.socket("priya")
        await up(node)
        # A leg of its own: what a source remembers outlasts its connections, and other tests had this source too.
        switch.say(caller_arrives(f"rings-{ring}"))
        await until(lambda: _equals(node.count(f"contacts WHERE call_key = 'rings-{ring}'"), 1))
        assert bool(await node.count("pops")) is offered


async def _equals(found: Any, wanted: int) -> bool:
    return bool(await found == wanted)


def caller_arrives(leg: str) -> bytes:
    said = {"Caller_Caller_ID_Number": NUMBER, "Caller_Destination_Number": LINE, "Caller_Profile_Index": "1"}
    more = {"Channel_Name": f"sofia/ext/{LINE}", "Call_Direction": "inbound", "Channel_Call_UUID": leg}
    return plain_event("CHANNEL_CREATE", Unique_ID=leg, **said, **more)
