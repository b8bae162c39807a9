"""ARI over real sockets: a session's life, hostile and broken peers, and the settings."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from handlers.telephony.ari_settings import read_settings
from handlers.telephony.asterisk_ari import LIVE, AsteriskAri
from handlers.telephony.control import Command, CommandFailed, Deed
from handlers.telephony.live import LinkBroken, LiveProvider, Session
from server.domain.call import CallState
from server.domain.errors import Unavailable
from server.domain.event import EventType
from server.settings import SettingsError
from tests.conformance.ari_peer import AriPeer, Event, Notes, Picture, asterisk, source_of
from tests.conformance.ari_session import connected, event
from tests.conformance.ari_stage import BOB, LINE, Line, calls_of


@pytest.fixture
async def peer() -> AsyncIterator[AriPeer]:
    async with asterisk() as found:
        yield found


async def broken(peer: AriPeer, *frames: Event | str | bytes, **options: str) -> str:
    """Why the session ends after these frames."""
    session = AsteriskAri().session(source_of(peer.url, **options))
    notes = Notes()
    task = asyncio.create_task(session.run(notes))
    if frames:
        await notes.until(lambda: bool(notes.details) or task.done())
        await peer.say(*frames)
    with pytest.raises(LinkBroken) as why:
        async with asyncio.timeout(15):
            await task
    return str(why.value)


def recording(real_bytes: Callable[..., bytes], name: str, version: str = "asterisk22") -> list[Event]:
    lines = real_bytes("cases", "pbx", version, f"{name}.ari.jsonl").splitlines()
    return [json.loads(line)["event"] for line in lines]


# -- a session's life ------------------------------------------------------------------------------


def test_the_module_offers_what_the_supervisor_asks_for() -> None:
    live: LiveProvider = LIVE
    session: Session = live.session(source_of("http://pbx.example.com:8088/ari"))
    assert (live.name, Deed.DIAL in live.deeds, session is not None) == ("asterisk_ari", True, True)


async def test_a_recorded_call_over_the_wire(peer: AriPeer, real_bytes: Callable[..., bytes]) -> None:
    events = recording(real_bytes, "queue_answered")
    async with connected(peer) as (_, notes):
        await peer.say(*events)
        await notes.until(lambda: len(notes.events) >= 10)
    (call,) = calls_of(notes.events).values()
    assert (call.state, call.agent_ref) == (CallState.ENDED, "PJSIP/101")
    assert peer.queries == [{"app": "ringpost", "subscribeAll": "true"}]
    assert notes.details == ["0 channels"]
    assert json.loads(notes.raws[0])["type"] == "ChannelDialplan"


async def test_a_call_over_two_connections(peer: AriPeer, real_bytes: Callable[..., bytes]) -> None:
    """It was answered while nobody listened, and it ends in the second gap."""
    events = recording(real_bytes, "answered")
    live = AsteriskAri()
    rings = next(i for i, one in enumerate(events) if one["type"] == "Dial") + 1
    async with connected(peer, live) as (_, first):
        await peer.say(*events[:rings])
        await first.until(lambda: len(first.events) >= 2)
    peer.picture = Picture(events[:-20])
    async with connected(peer, live) as (_, second):
        await second.until(lambda: bool(second.events))
    assert [one.type for one in second.events] == [EventType.ANSWERED]
    peer.picture = Picture(events)
    async with connected(peer, live) as (_, third):
        await third.until(lambda: len(third.events) >= 2)
    assert [one.type for one in third.events] == [EventType.HANGUP] * 2
    (call,) = calls_of(first.events + second.events + third.events).values()
    assert (call.state, call.agent_ref) == (CallState.ENDED, "PJSIP/101")


async def test_linkedids_are_asked_for(peer: AriPeer) -> None:
    """A new process finds a queue's caller and a phone that rings; only Asterisk knows that they are one call."""
    bob, alice = Line("1.1", "PJSIP/trunk", number=BOB, exten=LINE), Line("1.2", "PJSIP/101", number="101")
    bob.json["state"], alice.json["state"] = "Up", "Ringing"
    peer.picture.channels = {line.id: line.now() for line in (bob, alice)}
    peer.variables = {"1.1": "1.1", "1.2": "1.1"}
    async with connected(peer) as (_, notes):
        await notes.until(lambda: bool(notes.events))
    assert {one.call_key for one in notes.events} == {"1.1"}
    assert (EventType.RINGING, "1.2") in {(one.type, one.leg_key) for one in notes.events}


async def test_only_the_own_calls_where_not_all_are_wanted(peer: AriPeer) -> None:
    bob, other = Line("1.1", "PJSIP/trunk", number=BOB, exten=LINE), Line("2.1", "PJSIP/trunk", number=BOB)
    bob.json["state"] = other.json["state"] = "Ring"
    bob.json["dialplan"] |= {"app_name": "Stasis", "app_data": "ringpost,inbound,support"}
    other.json["dialplan"] |= {"app_name": "Queue", "app_data": "sales"}
    peer.picture.channels = {line.id: line.now() for line in (bob, other)}
    async with connected(peer, subscribe_all="false") as (_, notes):
        await notes.until(lambda: bool(notes.events))
    assert [(one.type, one.leg_key) for one in notes.events] == [(EventType.RINGING, "1.1")]
    assert peer.queries[0]["subscribeAll"] == "false"


async def test_what_could_not_be_handed_over_is_owed(peer: AriPeer, real_bytes: Callable[..., bytes]) -> None:
    events = recording(real_bytes, "answered")
    live = AsteriskAri()
    session = live.session(source_of(peer.url))
    notes = Notes(fail=Unavailable("the database is away"))
    task = asyncio.create_task(session.run(notes))
    await notes.until(lambda: bool(notes.details))
    await peer.say(*events)
    with pytest.raises(Unavailable):
        await task
    peer.picture = Picture(events)
    async with connected(peer, live) as (_, second):
        await second.until(lambda: len(second.events) >= 3)
    (call,) = calls_of(second.events).values()
    assert call.ended_at is not None and second.events[0].type is EventType.DIALING


async def _up(notes: Notes) -> None:
    await notes.until(lambda: bool(notes.details))


async def test_the_new_password_and_the_old_one(peer: AriPeer) -> None:
    peer.passwords = ["new"]
    for secrets in (("new", "old"), ("old", "new")):
        session, notes = AsteriskAri().session(source_of(peer.url, *secrets)), Notes()
        task = asyncio.create_task(session.run(notes))
        await _up(notes)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert "refuses the user 'ringpost'" in await broken(peer)


# -- hostile or broken peers -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        ("no JSON", "no JSON"),
        ('{"type": "ChannelCrea', "no JSON"),
        ("[]", "no event"),
        ("[" * 5000, "no JSON"),
        ('{"type": "x", "n": NaN}', "no JSON"),
        ('{"caller": "\\ud800"}', "no JSON"),
        ("x" * 1_100_000, "1009"),
        (b"\x00\x01", "no text"),
        (event("ApplicationReplaced"), "took over the application 'ringpost'"),
    ],
)
async def test_frames_that_make_no_sense_end_the_session(
    peer: AriPeer, frame: Event | str | bytes, words: str
) -> None:
    assert words in await broken(peer, frame)


@pytest.mark.parametrize("frame", ["{}", '{"type": 7}', '{"type": "Dial", "peer": 1, "caller": []}',
                                   '{"type": "New", "channel": {"id": "1"}}'])  # fmt: skip
async def test_what_is_not_understood_is_passed_over(peer: AriPeer, frame: str) -> None:
    async with connected(peer) as (_, notes):
        await peer.say(frame, event("ChannelDestroyed", channel=Line("1.1", "PJSIP/trunk", number=BOB).now() | {
            "state": "Up"}))  # fmt: skip
        await notes.until(lambda: bool(notes.events))


async def test_a_silent_peer_is_noticed(peer: AriPeer) -> None:
    peer.mute = True
    assert "broke" in await broken(peer, "{}", heartbeat_seconds="1")


async def test_a_peer_that_closes(peer: AriPeer) -> None:
    session, notes = AsteriskAri().session(source_of(peer.url)), Notes()
    task = asyncio.create_task(session.run(notes))
    await notes.until(lambda: bool(notes.details))
    await peer.sockets[0].close(code=1001)
    with pytest.raises(LinkBroken, match="1001"):
        await task
    with pytest.raises(CommandFailed, match="not connected"):
        await session.act(Command(Deed.DIAL, "k", "101", "+1"))


@pytest.mark.parametrize(
    ("status", "words"), [(404, "no ARI"), (503, "503"), (200, "200"), (403, "refuses the user")]
)
async def test_refused_at_the_door(peer: AriPeer, status: int, words: str) -> None:
    peer.refuse_socket = web.Response(status=status)
    assert words in await broken(peer)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((404, {"message": "x"}), "no ARI"),
        ((500, None), "500"),
        ((200, {"not": "a list"}), "no list"),
        (web.Response(body=b"<html>", content_type="text/html"), "no list"),
    ],
)
async def test_lists_that_make_no_sense(peer: AriPeer, answer: Any, words: str) -> None:
    peer.answers[("GET", "bridges")] = answer
    assert words in await broken(peer)


async def test_an_authority_that_is_not_there(peer: AriPeer) -> None:
    assert "tls_ca" in await broken(peer, tls_ca="no/such/file.pem")


async def test_nobody_there() -> None:
    session = AsteriskAri().session(source_of("http://127.0.0.1:9/ari"))
    with pytest.raises(LinkBroken, match="cannot be reached"):
        await session.run(Notes())


async def test_a_flood_leaves_the_loop_to_others(peer: AriPeer) -> None:
    line = Line("1.1", "PJSIP/101")
    flood = json.dumps(event("ChannelVarset", channel=line.now(), variable="X", value="1"))
    bob = Line("1.2", "PJSIP/trunk", number=BOB).now() | {"state": "Up"}
    async with connected(peer) as (_, notes):
        await peer.say(*[flood] * 3000, event("ChannelDestroyed", channel=bob))
        turns = 0
        while not notes.events:
            await asyncio.sleep(0)
            turns += 1
        assert turns > 3000 / 32


# -- settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"url": ""}, "url"), ({"url": "pbx:8088"}, "url"), ({"url": "ftp://pbx:21"}, "url"),
        ({"url": "http://u:p@pbx:8088/ari"}, "url"), ({"url": "http://[::1"}, "url"), ({"username": ""}, "username"),
        ({"username": "a:b"}, "username"), ({"app": "a,b"}, "app"), ({"endpoint": "PJSIP/101"}, "endpoint"),
        ({"dial_endpoint": "PJSIP/trunk"}, "dial_endpoint"), ({"subscribe_all": "perhaps"}, "subscribe_all"),
        ({"ring_seconds": "0"}, "ring_seconds"), ({"wait_seconds": "soon"}, "wait_seconds"),
        ({"heartbeat_seconds": "99999"}, "heartbeat_seconds"),
    ],
)  # fmt: skip
def test_wrong_settings_are_named(options: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=rf"call_sources\.pbx\.{named}"):
        AsteriskAri().session(source_of(**{"url": "http://pbx:8088/ari", **options}))


@pytest.mark.parametrize(
    ("options", "url"),
    [
        ({"url": "http://pbx:8088"}, "http://pbx:8088/ari"),
        ({"url": "wss://pbx:8089/asterisk/ari/"}, "https://pbx:8089/asterisk/ari"),
        ({"url": "", "host": "pbx"}, "http://pbx:8088/ari"),
        ({"url": "", "host": "pbx", "port": "8089", "tls": "true"}, "https://pbx:8089/ari"),
    ],
)
def test_addresses(options: dict[str, str], url: str) -> None:
    assert read_settings(source_of(**options)).url == url


def test_no_password_no_session() -> None:
    source = replace(source_of("http://pbx:8088/ari"), secrets=("",))
    with pytest.raises(SettingsError, match="secrets"):
        AsteriskAri().session(source)
