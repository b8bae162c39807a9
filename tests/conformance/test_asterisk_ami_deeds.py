"""What agents ask of Asterisk over AMI, and the settings of such a source."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from handlers.telephony.ami_wire import Message
from handlers.telephony.asterisk_ami import LIVE, AmiLive, AmiSession
from handlers.telephony.control import Command, CommandFailed, Deed, LiveCall
from handlers.telephony.provider import CallSource
from server.settings import SettingsError
from tests.conformance.ami_peer import AmiPeer, frame
from tests.conformance.ami_sessions import peer, session_of, source, until

__all__ = ["peer"]

CALL = LiveCall("1", "1", "2", "inbound", legs={"1": None, "2": "101"})


def command(deed: Deed, target: str = "", call: LiveCall | None = CALL, **more: str) -> Command:
    return Command(deed, more.pop("key", "k1"), more.pop("agent", "101"), target, call=call, **more)


@asynccontextmanager
async def talking(peer: AmiPeer, **options: str) -> AsyncIterator[AmiSession]:
    """A session that knows the customer's channel 1 and the agent's channel 2."""
    for uid, name, state in (("1", "PJSIP/trunk-1", "6"), ("2", "PJSIP/101-2", "6")):
        peer.mirror.channels[uid] = {
            "Channel": name, "ChannelState": state, "Uniqueid": uid, "Linkedid": "1", "BridgeId": "b",
        }  # fmt: skip
    async with session_of(peer, **options) as (session, _):
        yield session


def fields(action: Message, *names: str) -> tuple[str, ...]:
    return tuple(action.get(name) for name in names)


async def test_the_deeds_on_a_call(peer: AmiPeer) -> None:
    async with talking(peer, context="phones", international="00") as session:
        assert LIVE.deeds == {Deed.DIAL, Deed.HANG_UP, Deed.TRANSFER, Deed.ATTENDED, Deed.COMPLETE}
        assert await session.act(command(Deed.TRANSFER, "102")) == ""
        assert await session.act(command(Deed.ATTENDED, "sip:+4930123@pbx.example.com")) == ""
        assert await session.act(command(Deed.COMPLETE)) == ""
        assert await session.act(command(Deed.HANG_UP)) == ""
    (blind,), (attended,) = peer.actions_named("BlindTransfer"), peer.actions_named("Atxfer")
    assert fields(blind, "channel", "context", "exten") == ("PJSIP/101-2", "phones", "102")
    assert fields(attended, "channel", "context", "exten") == ("PJSIP/101-2", "phones", "004930123")
    assert [action.get("channel") for action in peer.actions_named("Hangup")] == [
        "PJSIP/101-2",
        "PJSIP/trunk-1",
    ]


async def test_dialling_rings_the_agents_phone_first(peer: AmiPeer) -> None:
    def originate(action: Message) -> bytes:
        uid = action.get("channelid")
        line = {
            "Channel": "PJSIP/101-3",
            "ChannelState": "0",
            "CallerIDNum": "101",
            "Uniqueid": uid,
            "Linkedid": uid,
        }
        return b"".join((
            frame(Response="Success", ActionID=action.get("actionid"), Message="Originate successfully queued"),
            frame(Event="Newchannel", **line),
            frame(Event="Newstate", **(line | {"ChannelState": "5"})),
        ))  # fmt: skip

    peer.answers["Originate"] = originate
    async with session_of(peer) as (session, link):
        dial = command(Deed.DIAL, "+12025550123", None, agent="sip:101@pbx.example.com")
        key = await session.act(dial)
        assert await session.act(dial) == key  # asked twice, dialled once
        await until(lambda: link.events)
        assert await session.act(command(Deed.DIAL, "102", None, key="k2")) != key
    first, second = peer.actions_named("Originate")
    assert fields(first, "channel", "exten", "context", "priority", "async", "channelid") == (
        "PJSIP/101", "+12025550123", "from-internal", "1", "true", key,
    )  # fmt: skip
    assert first.get("callerid") == "<+12025550123>"
    assert second.get("exten") == "102"
    ringing = link.events[0]
    assert (ringing.call_key, ringing.dnis, ringing.agent_refs) == (key, "+12025550123", ("PJSIP/101",))


async def test_a_phone_that_cannot_be_rung(peer: AmiPeer) -> None:
    peer.answers["Originate"] = lambda action: b"".join((
        frame(Response="Success", ActionID=action.get("actionid"), Message="Originate successfully queued"),
        frame(Event="OriginateResponse", ActionID=action.get("actionid"), Response="Failure", Reason="0"),
    ))  # fmt: skip
    async with session_of(peer) as (session, _):
        for _ in range(2):
            with pytest.raises(CommandFailed, match="cannot ring your phone"):
                await session.act(command(Deed.DIAL, "102", None))
    assert len(peer.actions_named("Originate")) == 2


async def test_the_pbx_says_no(peer: AmiPeer) -> None:
    async with talking(peer) as session:
        peer.denied |= {"BlindTransfer"}
        with pytest.raises(CommandFailed, match=r"Permission denied.*originate"):
            await session.act(command(Deed.TRANSFER, "102"))
        peer.answers["Hangup"] = lambda action: frame(
            Response="Error", ActionID=action.get("actionid"), Message="No such channel"
        )
        with pytest.raises(CommandFailed, match="No such channel"):
            await session.act(command(Deed.HANG_UP))


async def test_the_pbx_says_nothing(peer: AmiPeer) -> None:
    async with talking(peer, ping_seconds="5", timeout_seconds="0.2") as session:
        peer.silent = True
        with pytest.raises(CommandFailed, match="does not answer"):
            await session.act(command(Deed.HANG_UP))


@pytest.mark.parametrize(
    "asked",
    [
        command(Deed.TRANSFER, "102\r\nAction: Command"),
        command(Deed.TRANSFER, ""),
        command(Deed.TRANSFER, "1" * 65),
        command(Deed.DIAL, "102", None, agent=""),
        command(Deed.DIAL, "102", None, agent="101\r\nX: y"),
        command(Deed.DIAL, "102", None, agent="../101/2"),
        command(Deed.TRANSFER, "102", None),
        command(Deed.TRANSFER, "102", LiveCall("1", "1", None, "inbound")),
        command(Deed.TRANSFER, "102", LiveCall("1", "1", "/.*/", "inbound")),
        command(Deed.HANG_UP, "", LiveCall("8", "8", "9", "inbound")),
        command(Deed.HOLD),
    ],
)
async def test_what_is_not_asked_of_the_pbx(peer: AmiPeer, asked: Command) -> None:
    async with talking(peer) as session:
        before = len(peer.actions)
        with pytest.raises(CommandFailed):
            await session.act(asked)
        assert len(peer.actions) == before


async def test_without_a_connection() -> None:
    async with AmiPeer().running() as peer:
        session = AmiLive().session(source(peer))
        with pytest.raises(CommandFailed, match="not connected"):
            await session.act(command(Deed.HANG_UP))


# -- settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"host": ""}, "pbx.host"),
        ({"username": " "}, "pbx.username"),
        ({"port": "70000"}, "pbx.port"),
        ({"port": "nan"}, "pbx.port"),
        ({"ping_seconds": "soon"}, "pbx.ping_seconds"),
        ({"login": "sha1"}, "pbx.login"),
        ({"tls": "yess"}, "pbx.tls"),
        ({"host": "pbx..example"}, "pbx.host"),
        ({"context": "a\nb"}, "pbx.context"),
        ({"tls_ca": "/nowhere/ca.pem"}, "pbx.tls_ca"),
    ],
)
def test_wrong_settings_are_named(options: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        AmiLive().session(source(AmiPeer(), **({"port": "5038"} | options)))


def test_the_usual_ports() -> None:
    for tls, port in (("", 5038), ("on", 5039)):
        given = {"host": "pbx", "username": "ringpost", "tls": tls}
        session = AmiLive().session(CallSource("pbx", "asterisk_ami", ("s",), "DE", None, "one", "", given))
        assert session._options.port == port
