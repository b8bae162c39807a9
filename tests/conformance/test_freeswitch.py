"""A session against a real event socket on loopback: login, resync, heartbeats, hostile peers, floods."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest

from handlers.telephony.esl_calls import EslCalls
from handlers.telephony.esl_socket import Patience
from handlers.telephony.freeswitch import FreeswitchLive, FreeswitchSession
from handlers.telephony.live import LinkBroken
from server.domain.call import CallState
from server.domain.event import CallEvent, EventType
from tests.conformance.esl_peer import EslPeer, frame, pieces, plain_event
from tests.conformance.esl_session import BRIEF, PASSWORD, Recorder, broken, running, source
from tests.conformance.esl_streams import FINAL, LINE, NUMBER, STREAMS, calls_of, row, stream


@pytest.mark.parametrize("name", STREAMS)
async def test_a_session_replays_the_recorded_stream(name: str) -> None:
    events = stream(name).partition(b"event listener enabled plain\n\n")[2]
    sizes = [random.Random(name).randrange(1, 900) for _ in range(50)]
    async with (
        EslPeer(script=lambda peer, _: peer.replay(events, sizes)).serve() as peer,
        running(peer) as (_, link),
    ):
        await link.until(
            lambda: bool(calls_of(link.events)) and all(c.ended_at for c in calls_of(link.events).values())
        )
        (call,) = calls_of(link.events).values()
    assert (call.state, call.agent_ref) == FINAL[name]
    assert peer.commands[0] == f"auth {PASSWORD}"
    assert peer.commands[1].startswith("event plain CHANNEL_CREATE ")
    assert peer.commands[2] == "api show channels as json"
    assert len(link.ups) == 1
    assert all(raw.startswith(b"Event-Name: ") for raw in link.raws)


async def test_everything_may_come_in_one_piece() -> None:
    """A peer that does not wait for our commands: the recorded file from its greeting on."""
    peer = EslPeer(greeting=stream("11-lifecycle-plain"), deaf=True)
    async with peer.serve():
        link = Recorder()
        task = asyncio.ensure_future(FreeswitchSession(source(peer), EslCalls(), BRIEF).run(link))
        await link.until(lambda: len(link.events) == 9)
        with pytest.raises(LinkBroken):  # it never lists its channels
            await task
    assert calls_of(link.events)["2b22e700-c04e-48f7-9f49-30ba3a003303"].state is CallState.ENDED


async def test_the_old_password_counts_beside_the_new_one() -> None:
    async with EslPeer().serve() as peer:
        session, link = FreeswitchSession(source(peer, "new-one", PASSWORD), EslCalls(), BRIEF), Recorder()
        task = asyncio.ensure_future(session.run(link))
        await link.until(link.ready.is_set)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert [one for one in peer.commands if one.startswith("auth")] == [
            "auth new-one",
            f"auth {PASSWORD}",
        ]
        assert "password" in await broken(peer, "wrong")


async def test_reconnecting_closes_what_ended_and_keeps_what_goes_on() -> None:
    live = FreeswitchLive()
    events = stream("11-lifecycle-plain").partition(b"event listener enabled plain\n\n")[2]
    upto = len(b"".join(pieces(events, [len(events)])).partition(b"Event-Name: CHANNEL_HOLD")[0])
    a, b = "2b22e700-c04e-48f7-9f49-30ba3a003303", "338baa64-8a13-44b9-9a99-2fc39fa3cc13"
    more = plain_event(
        "CHANNEL_CREATE", Unique_ID="m", Call_Direction="inbound", Caller_Caller_ID_Number=NUMBER
    )
    taken: list[CallEvent] = []
    async with EslPeer().serve() as peer:
        calls = live.session(source(peer))._calls  # type: ignore[attr-defined]
        async with running(peer, calls) as (_, link):
            await peer.replay(events[: upto - 80] + b"", [100])
            await link.until(lambda: any(event.type is EventType.ANSWERED for event in link.events))
            taken += link.events
        peer.channels = [row(a, a, NUMBER, LINE, "ACTIVE"), row(b, a, NUMBER, "101", "HELD", "outbound")]
        async with running(peer, live.session(source(peer))._calls) as (_, link):  # type: ignore[attr-defined]
            assert calls_of(taken + link.events)[a].state is CallState.HELD
            peer.say(more)
            await link.until(lambda: any(event.call_key == "m" for event in link.events))
            taken += link.events
        peer.channels = []
        async with running(peer, live.session(source(peer))._calls) as (_, link):  # type: ignore[attr-defined]
            taken += link.events
    calls_now = calls_of(taken)
    assert calls_now[a].state is CallState.ENDED
    assert calls_now["m"].state is CallState.MISSED
    assert all(call.ended_at for call in calls_now.values())


async def test_silence_is_asked_about_and_then_breaks_the_link() -> None:
    quiet = EslPeer()
    async with quiet.serve(), running(quiet):
        await asyncio.sleep(1.2)  # it answers the questions: the link stands
        assert quiet.commands.count("api show channels as json") >= 3

    async def fall_asleep(peer: EslPeer, _: Any) -> None:
        peer.deaf = True

    async with EslPeer(script=fall_asleep).serve() as peer:
        assert "silent" in await broken(peer)


async def test_a_count_that_differs_is_looked_into() -> None:
    async with EslPeer().serve() as peer, running(peer) as (_, link):
        peer.say(plain_event("CHANNEL_CREATE", Unique_ID="lost", Call_Direction="inbound"))
        await link.until(lambda: bool(link.events))
        await asyncio.sleep(0.25)
        peer.say(plain_event("HEARTBEAT", Session_Count="1"))
        asked = peer.commands.count("api show channels as json")
        peer.say(plain_event("HEARTBEAT", Session_Count="0"))
        await link.until(lambda: link.events[-1].type is EventType.HANGUP)
        assert peer.commands.count("api show channels as json") <= asked + 2


GARBAGE = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi\n\n",
    b"\x16\x03\x01\x02\x00" + b"\xff" * 500 + b"\n\n",
    b"A: " + b"x" * 200_000,
    frame("text/rude-rejection", "Access Denied, go away.\n"),
    frame("text/disconnect-notice", "Disconnected, goodbye.\n"),
    b"Content-Type: auth/request\nContent-Length: 99999999999\n\n",
    b"",
]


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_a_peer_that_is_none_breaks_the_link(garbage: bytes) -> None:
    async with EslPeer(greeting=garbage).serve() as peer:
        assert await broken(peer)


@pytest.mark.parametrize("garbage", [one for one in GARBAGE if one] + [
    frame("command/reply", Reply_Text="+OK nobody asked"),
    frame("text/event-plain", "x" * 50)[:-20] + frame("text/event-plain", "Event-Name: X\n\n") * 3,
    frame("text/event-plain", "Event-Name: X\n\n").replace(b"Content-Length: 15", b"Content-Length: 5"),
])  # fmt: skip
async def test_a_peer_that_goes_mad_breaks_the_link(garbage: bytes) -> None:
    async def go_mad(peer: EslPeer, writer: asyncio.StreamWriter) -> None:
        peer.deaf = True
        writer.write(garbage)

    async with EslPeer(script=go_mad).serve() as peer:
        assert await broken(peer)


async def test_a_message_that_never_ends_breaks_the_link() -> None:
    async def drip(peer: EslPeer, writer: asyncio.StreamWriter) -> None:
        peer.deaf = True
        while not writer.is_closing():
            writer.write(b"\n" if peer.clients % 2 else b"x")
            await asyncio.sleep(0.05)

    async with EslPeer(script=drip).serve() as peer:
        assert "without end" in await broken(peer)


async def test_nobody_there() -> None:
    async with EslPeer().serve() as peer:
        pass
    assert "no connection" in await broken(peer)


async def test_a_refused_subscription_breaks_the_link() -> None:
    async with EslPeer(refuse="event").serve() as peer:
        assert "does not permit" in await broken(peer)


async def test_malformed_events_are_left_out_and_the_rest_is_taken() -> None:
    async with EslPeer().serve() as peer, running(peer) as (_, link):
        for _ in range(3):
            peer.say(
                frame("text/event-plain", "Event-Name: CHANNEL_CREATE\nUnique-ID: " + "x" * 500 + "\n\n")
            )
            peer.say(frame("text/event-json", "{"))
            peer.say(frame("text/event-plain", "Event-Name: CHANNEL_CREATE\n\n"))
            peer.say(frame("log/data", "anything"))
        peer.say(plain_event("CHANNEL_CREATE", Unique_ID="a", Call_Direction="inbound"))
        await link.until(lambda: [event.leg_key for event in link.events] == ["a"])


async def test_a_flood_leaves_the_loop_its_turns() -> None:
    flood = b"".join(
        plain_event("CHANNEL_CREATE", Unique_ID=f"leg-{number}", Call_Direction="inbound")
        for number in range(3000)
    )
    async with EslPeer().serve() as peer, running(peer, patience=Patience()) as (_, link):
        peer.say(flood)
        turns = 0
        async with asyncio.timeout(20):
            while len(link.events) < 3000:
                await asyncio.sleep(0)
                turns += bool(link.events)
    assert turns > 20  # others had their turn while it was worked off
    assert len({event.event_key for event in link.events}) == 3000


async def test_a_slow_intake_is_no_silence_and_loses_nothing() -> None:
    many = b"".join(
        plain_event("CHANNEL_CREATE", Unique_ID=f"leg-{number}", Call_Direction="inbound")
        for number in range(40)
    )
    async with EslPeer().serve() as peer, running(peer) as (_, link):
        link.slow = 0.9  # longer than silence and reply together
        peer.say(many)
        await link.until(lambda: len(link.events) == 40)


async def test_an_intake_that_fails_ends_the_session_with_its_own_error() -> None:
    class Broken(Recorder):
        async def emit(self, events: Sequence[CallEvent], raw: bytes) -> None:
            raise RuntimeError("the intake is closed")

    two = plain_event("CHANNEL_CREATE", Unique_ID="a") + plain_event("CHANNEL_CREATE", Unique_ID="b")

    async def say_two(peer: EslPeer, _: Any) -> None:
        peer.say(two)

    async with EslPeer(script=say_two).serve() as peer:
        with pytest.raises(RuntimeError, match="intake is closed"):
            await FreeswitchSession(source(peer), EslCalls(), BRIEF).run(Broken())
