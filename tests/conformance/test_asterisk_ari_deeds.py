"""ARI over real sockets: calls that our application holds, and what agents do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from handlers.telephony.asterisk_ari import AriSession
from handlers.telephony.control import Command, CommandFailed, Deed, LiveCall
from server.domain.call import CallState
from server.domain.event import CallEvent, Direction, EventType
from server.domain.outcome import CallOutcome, RungAgent
from tests.conformance.ari_peer import AriPeer, Notes, asterisk
from tests.conformance.ari_session import connected, event
from tests.conformance.ari_stage import BOB, LINE, Line, calls_of

ALICE = RungAgent(agent_id=7, name="Alice", email="alice@example.com", extension="101")
BRUNO = RungAgent(agent_id=8, name="Bruno", email="bruno@example.com", extension="102")


@pytest.fixture
async def peer() -> AsyncIterator[AriPeer]:
    async with asterisk() as found:
        yield found


# -- calls in our application ----------------------------------------------------------------------


class Routed:
    """A session whose emissions are followed up as after intake; ``agents`` are those whom it chooses."""

    def __init__(self, peer: AriPeer, session: AriSession, notes: Notes, *agents: RungAgent) -> None:
        self.peer, self.session, self.notes, self.agents = peer, session, notes, agents
        self.second = 0
        notes.then = self.follow

    async def follow(self, events: Sequence[CallEvent]) -> None:
        outcomes = [
            CallOutcome(contact_id=1, state="ringing", queue="support", agents=self.agents) for _ in events
        ]
        await self.session.follow_up(events, outcomes)

    async def say(self, kind: str, **fields: Any) -> None:
        self.second += 1
        await self.peer.say(event(kind, self.second, **fields))

    async def asked(self, *wanted: tuple[str, str]) -> None:
        """Wait until the PBX was asked for these, in this order."""

        def came() -> bool:
            found = iter(self.peer.requests("POST", "DELETE"))
            return all(any(_same(one, other) for other in found) for one in wanted)

        await self.notes.until(came)

    def created(self) -> list[dict[str, Any]]:
        return [said for method, path, said in self.peer.asked if path == "channels/create"]


def _same(wanted: tuple[str, str], found: tuple[str, str]) -> bool:
    return wanted[0] == found[0] and (
        wanted[1] == found[1] or (wanted[1][-1] == "*" and found[1].startswith(wanted[1][:-1]))
    )


@asynccontextmanager
async def routed(peer: AriPeer, *agents: RungAgent, **options: str) -> AsyncIterator[tuple[Routed, Line]]:
    """A customer whom the dialplan gave to our application."""
    async with connected(peer, None, **options) as (session, notes):
        stage = Routed(peer, session, notes, *agents)
        bob = Line("1.1", "PJSIP/trunk", number=BOB, exten=LINE)
        bob.json["state"] = "Ring"
        bob.json["dialplan"] |= {"app_name": "Stasis", "app_data": "ringpost,inbound,support"}
        await stage.say("StasisStart", channel=bob.now(), args=["inbound", "support"])
        yield stage, bob


def phone(stage: Routed, number: int = 0) -> Line:
    said = stage.created()[number]
    line = Line(said["channelId"], said["endpoint"], number="101")
    line.json["dialplan"] |= {"app_name": "AppDial2", "app_data": "(Outgoing Line)"}
    return line


async def pick_up(stage: Routed, bob: Line, line: Line, second: int = 9) -> None:
    for status in ("", "RINGING", "ANSWER"):
        line.json["state"] = {"": "Down", "RINGING": "Ringing", "ANSWER": "Up"}[status]
        await stage.say("Dial", caller=bob.now(), peer=line.now(), dialstatus=status, dialstring="101")


async def test_the_chosen_agents_are_rung_and_connected(peer: AriPeer) -> None:
    async with routed(peer, ALICE, BRUNO, ring_seconds="20") as (stage, bob):
        await stage.asked(
            ("POST", "channels/create"), ("POST", "channels/create"), ("POST", "channels/1.1/ring")
        )
        first, second = stage.created()
        assert [one["endpoint"] for one in (first, second)] == ["PJSIP/101", "PJSIP/102"]
        assert first["app"] == "ringpost" and first["originator"] == "1.1"
        assert (f"channels/{first['channelId']}/dial", {"caller": "1.1", "timeout": "20"}) in [
            (path, said) for _, path, said in peer.asked
        ]
        alice, bruno = phone(stage), phone(stage, 1)
        await pick_up(stage, bob, alice)
        await stage.asked(
            ("POST", "channels/1.1/answer"),
            ("POST", "bridges/*"),
            ("POST", "bridges/*"),
            ("DELETE", f"channels/{bruno.id}"),
        )
        added = next(said for _, path, said in peer.asked if path.endswith("/addChannel"))
        assert added == {"channel": f"1.1,{alice.id}"}
        await stage.say("ChannelDestroyed", channel=alice.now(), cause=16)
        await stage.asked(("DELETE", "channels/1.1"), ("DELETE", "bridges/*"))
    (call,) = calls_of(stage.notes.events).values()
    assert (call.direction, call.agent_ref) == (Direction.INBOUND, "PJSIP/101")
    assert {one.queue_ref for one in stage.notes.events} == {"support"}


async def test_music_while_nobody_is_free_and_then_an_agent(peer: AriPeer) -> None:
    async with routed(peer, wait_seconds="1", music="quiet") as (stage, bob):
        await stage.asked(("POST", "channels/1.1/answer"), ("POST", "channels/1.1/moh"))
        assert ("POST", "channels/1.1/moh", {"mohClass": "quiet"}) in peer.asked
        bob.json["state"] = "Up"
        stage.agents = (ALICE,)
        await stage.asked(("POST", "channels/create"))
        polls = [one for one in stage.notes.events if one.type is EventType.QUEUED]
        assert len({one.event_key for one in polls}) == len(polls) >= 1
        await pick_up(stage, bob, phone(stage))
        await stage.asked(("DELETE", "channels/1.1/moh"), ("POST", "bridges/*"))


async def test_nobody_comes_to_the_phone(peer: AriPeer) -> None:
    """The dialplan goes on after Stasis: voicemail, or whatever stands there."""
    async with routed(peer, ALICE) as (stage, bob):
        await stage.asked(("POST", "channels/*"))
        await stage.notes.until(lambda: bool(stage.created()))
        alice = phone(stage)
        await stage.say("Dial", caller=bob.now(), peer=alice.now(), dialstatus="NOANSWER")
        await stage.asked(("POST", "channels/1.1/continue"))
        await stage.say("StasisEnd", channel=bob.now())
        await stage.say("ChannelDestroyed", channel=bob.now(), cause=16)
        await stage.notes.until(lambda: len(stage.notes.events) >= 3)
    (call,) = calls_of(stage.notes.events).values()
    assert call.state is CallState.MISSED
    assert ("DELETE", "channels/1.1") not in peer.requests("DELETE")


async def test_one_phone_is_off_while_another_rings(peer: AriPeer) -> None:
    async with routed(peer, ALICE, BRUNO) as (stage, bob):
        await stage.asked(*[("POST", "channels/create")] * 2, ("POST", "channels/1.1/ring"))
        alice, bruno = phone(stage), phone(stage, 1)
        await stage.say("Dial", caller=bob.now(), peer=alice.now(), dialstatus="CHANUNAVAIL")
        await pick_up(stage, bob, bruno)
        await stage.asked(("POST", "bridges/*"))
    assert ("POST", "channels/1.1/continue") not in peer.requests("POST")
    assert "missed" not in [one.type.value for one in stage.notes.events]


async def test_a_caller_who_gives_up_stops_the_ringing(peer: AriPeer) -> None:
    async with routed(peer, ALICE) as (stage, bob):
        await stage.notes.until(lambda: bool(stage.created()))
        await stage.say("ChannelDestroyed", channel=bob.now(), cause=127)
        await stage.asked(("DELETE", f"channels/{stage.created()[0]['channelId']}"))


async def test_a_phone_that_cannot_be_rung(peer: AriPeer) -> None:
    """Asterisk refuses the endpoint, another agent has none: the caller waits with music."""
    peer.answers[("POST", "channels/create")] = 500
    nobody = RungAgent(agent_id=9, name="N", email="n@example.com", extension="102&PJSIP/900")
    async with routed(peer, ALICE, nobody) as (stage, _):
        await stage.asked(("POST", "channels/create"), ("POST", "channels/1.1/moh"))
        assert len(stage.created()) == 1


# -- deeds -----------------------------------------------------------------------------------------

CALL = LiveCall(call_key="1.1", customer_leg="1.1", agent_leg="1.2", direction="inbound")


def command(deed: Deed, target: str = "", call: LiveCall | None = CALL, **more: str) -> Command:
    return Command(deed, more.pop("key", "20431-a"), more.pop("agent", "101"), target, call=call, **more)


async def test_dial_through_the_dialplan(peer: AriPeer) -> None:
    async with connected(peer, context="from-internal") as (session, notes):
        said = command(Deed.DIAL, "+44 7700 900-456", None, caller_id="+442079460100")
        assert await session.act(said) == await session.act(said) == "rp-dial-20431-a"
        _, path, asked = peer.asked[-1]
        assert (path, asked) == ("channels", {
            "endpoint": "PJSIP/101", "channelId": "rp-dial-20431-a", "callerId": "Click to dial <+447700900456>",
            "timeout": 25, "context": "from-internal", "extension": "+447700900456", "priority": 1,
            "variables": {"RINGPOST_CALLER_ID": "+442079460100"},
        })  # fmt: skip
        alice = Line("rp-dial-20431-a", "PJSIP/101", number="+447700900456")
        await peer.say(event("ChannelCreated", channel=alice.now()))
        await notes.until(lambda: bool(notes.events))
    (one,) = notes.events
    assert (one.type, one.direction, one.dnis) == (EventType.DIALING, Direction.OUTBOUND, "+447700900456")
    assert one.agent_refs == ("PJSIP/101",)


async def test_dial_through_our_application(peer: AriPeer) -> None:
    async with connected(peer, dial_endpoint="PJSIP/{number}@trunk") as (session, notes):
        stage = Routed(peer, session, notes)
        key = await session.act(command(Deed.DIAL, "+447700900456", None, agent="sip:101@pbx.example.com"))
        assert peer.asked[-1][2]["appArgs"] == "c2d,+447700900456"
        alice = Line(key, "PJSIP/101", number="+447700900456")
        await stage.say("ChannelCreated", channel=alice.now())
        alice.json["state"] = "Up"
        await stage.say("StasisStart", channel=alice.now(), args=["c2d", "+447700900456"])
        await notes.until(lambda: bool(stage.created()))
        assert stage.created()[0]["endpoint"] == "PJSIP/+447700900456@trunk"
        bob = Line(stage.created()[0]["channelId"], "PJSIP/trunk")
        for status in ("", "RINGING", "ANSWER"):
            await stage.say(
                "Dial",
                caller=alice.now(),
                peer=bob.now(),
                dialstatus=status,
                dialstring="+447700900456@trunk",
            )
        await stage.asked(("POST", "bridges/*"), ("POST", f"bridges/rp-{key}/addChannel"))
        await stage.say("ChannelDestroyed", channel=bob.now(), cause=16)
        await stage.asked(("DELETE", f"channels/{key}"), ("DELETE", f"bridges/rp-{key}"))
    (call,) = calls_of(notes.events).values()
    assert (call.key, call.direction, call.agent_ref) == (key, Direction.OUTBOUND, "PJSIP/101")
    assert call.answered_at is not None and {one.dnis for one in notes.events} == {"+447700900456"}


async def test_a_colleague_is_called_at_the_phone(peer: AriPeer) -> None:
    """Nobody picks up: the agent is let go. Without a Dial event, Up is the pick-up."""
    async with connected(peer, dial_endpoint="PJSIP/{number}@trunk") as (session, notes):
        stage = Routed(peer, session, notes)
        for count, attempt in enumerate(("a", "b"), 1):
            key = await session.act(command(Deed.DIAL, "102", None, key=attempt))
            alice = Line(key, "PJSIP/101", number="102")
            alice.json["state"] = "Up"
            await stage.say("StasisStart", channel=alice.now(), args=["c2d", "102"])
            await stage.asked(*[("POST", "channels/create")] * count)
            assert stage.created()[-1]["endpoint"] == "PJSIP/102"
            bruno = Line(stage.created()[-1]["channelId"], "PJSIP/102")
            await stage.say("ChannelCreated", channel=bruno.now())
            if attempt == "b":
                bruno.json["state"] = "Up"
                await stage.say("ChannelStateChange", channel=bruno.now())
                await stage.asked(("POST", f"bridges/rp-{key}/addChannel"))
            await stage.say("ChannelDestroyed", channel=bruno.now(), cause=19)
            await stage.asked(("DELETE", f"channels/{key}"))
    calls = [*calls_of(notes.events).values()]
    assert [call.direction for call in calls] == [Direction.INTERNAL] * 2
    assert [call.agent_ref for call in calls] == [None, "PJSIP/102"]


async def test_the_same_dial_again_is_the_same_call(peer: AriPeer) -> None:
    peer.answers[("POST", "channels")] = 409
    async with connected(peer, context="from-internal") as (session, _):
        assert await session.act(command(Deed.DIAL, "+44770", None)) == "rp-dial-20431-a"
        odd = await session.act(command(Deed.DIAL, "+44770", None, key="ключ/&"))
        assert odd.startswith("rp-dial-") and odd.isascii() and "/" not in odd


@pytest.mark.parametrize(
    ("deed", "target", "method", "path", "query"),
    [
        (Deed.ANSWER, "", "POST", "channels/1.1/answer", {}),
        (Deed.HANG_UP, "", "DELETE", "channels/1.1", {"reason_code": "16"}),
        (Deed.HOLD, "", "POST", "channels/1.1/hold", {}),
        (Deed.UNHOLD, "", "DELETE", "channels/1.1/hold", {}),
        (Deed.TRANSFER, "102", "POST", "channels/1.1/redirect", {"endpoint": "PJSIP/102"}),
    ],
)
async def test_deeds(peer: AriPeer, deed: Deed, target: str, method: str, path: str, query: Any) -> None:
    async with connected(peer) as (session, _):
        assert await session.act(command(deed, target)) == ""
    assert (method, path, query) in peer.asked


async def test_a_talk_is_held_and_passed_on(peer: AriPeer) -> None:
    """What Asterisk has no event for is told all the same; the agent's part ends, the customer's does not."""
    async with routed(peer, ALICE, context="from-internal") as (stage, bob):
        await stage.notes.until(lambda: bool(stage.created()))
        alice = phone(stage)
        await pick_up(stage, bob, alice)
        await stage.asked(("POST", "bridges/*"))
        bob.json["state"] = "Up"
        call = LiveCall("1.1", "1.1", alice.id, "inbound")
        await stage.session.act(command(Deed.HOLD, call=call))
        assert calls_of(stage.notes.events)["1.1"].state is CallState.HELD
        await stage.session.act(command(Deed.UNHOLD, call=call, key="b"))
        assert calls_of(stage.notes.events)["1.1"].state is CallState.ANSWERED
        await stage.session.act(command(Deed.TRANSFER, "102", call=call))
        await stage.asked(
            ("POST", "channels/1.1/continue"), ("DELETE", f"channels/{alice.id}"), ("DELETE", "bridges/*")
        )
        assert ("POST", "channels/1.1/continue",
                {"context": "from-internal", "extension": "102", "priority": "1"}) in peer.asked  # fmt: skip
        await stage.say("ChannelDestroyed", channel=alice.now(), cause=16)
        await stage.notes.until(lambda: stage.notes.events[-1].type is EventType.HANGUP)
    assert ("DELETE", "channels/1.1") not in peer.requests("DELETE")
    assert calls_of(stage.notes.events)["1.1"].state is CallState.TRANSFERRED


async def test_hanging_up_a_phone_that_rings_declines(peer: AriPeer) -> None:
    async with connected(peer) as (session, notes):
        bob, alice = Line("1.1", "PJSIP/trunk", number=BOB), Line("1.2", "PJSIP/101")
        bob.json["state"] = "Ring"
        await peer.say(
            event("Dial", caller=bob.now(), peer=alice.now(), dialstatus="RINGING", dialstring="101")
        )
        await notes.until(lambda: bool(notes.events))
        await session.act(command(Deed.HANG_UP))
    assert ("DELETE", "channels/1.2", {"reason_code": "21"}) in peer.asked


@pytest.mark.parametrize(
    ("status", "words"),
    [(404, "not there any more"), (409, "use the phone"), (412, "not in a state"), (422, "kind of phone"),
     (403, "only read"), (500, "as the test wants it")],
)  # fmt: skip
async def test_what_is_refused_is_said_in_words(peer: AriPeer, status: int, words: str) -> None:
    for path in ("channels/1.1/hold", "channels/1.1/redirect"):
        peer.answers[("POST", path)] = status
    async with connected(peer) as (session, _):
        for said in (command(Deed.HOLD), command(Deed.TRANSFER, "102")):
            with pytest.raises(CommandFailed, match=words):
                await session.act(said)


@pytest.mark.parametrize(
    "said",
    [
        command(Deed.DIAL, "+4930&PJSIP/900", None),
        command(Deed.DIAL, "sip:x@example.com", None),
        command(Deed.DIAL, "+4930", None, agent="101&PJSIP/900"),
        command(Deed.TRANSFER, "102&PJSIP/900"),
        command(Deed.HOLD, call=None),
        command(Deed.ATTENDED, "102"),
    ],
)
async def test_what_cannot_be_done_never_reaches_the_pbx(peer: AriPeer, said: Command) -> None:
    async with connected(peer, context="from-internal") as (session, _):
        with pytest.raises(CommandFailed):
            await session.act(said)
    assert peer.requests("POST", "DELETE") == []


async def test_calls_need_a_way_out(peer: AriPeer) -> None:
    async with connected(peer) as (session, _):
        with pytest.raises(CommandFailed, match="dial_endpoint"):
            await session.act(command(Deed.DIAL, "+4930123", None))
