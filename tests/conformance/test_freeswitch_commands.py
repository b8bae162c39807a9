"""Agents' commands over the event socket: what is said, what is refused, and that nothing can be injected."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace

import pytest

from handlers.telephony.control import Command, CommandFailed, Deed, LiveCall
from handlers.telephony.esl_calls import EslCalls
from handlers.telephony.freeswitch import LIVE, FreeswitchSession
from server.domain.event import EventType
from server.settings import SettingsError
from tests.conformance.esl_peer import EslPeer, plain_event
from tests.conformance.esl_session import running, source
from tests.conformance.esl_streams import LINE, NUMBER

CALL = LiveCall(
    call_key="2b22e700-c04e-48f7-9f49-30ba3a003303", customer_leg="2b22e700-c04e-48f7-9f49-30ba3a003303",
    agent_leg="338baa64-8a13-44b9-9a99-2fc39fa3cc13", direction="inbound",
)  # fmt: skip
A, B = CALL.customer_leg, CALL.agent_leg


@pytest.mark.parametrize(
    ("deed", "target", "options", "line"),
    [
        (Deed.ANSWER, "", {}, f"uuid_phone_event {B} talk"),
        (Deed.HANG_UP, "", {}, f"uuid_kill {A} NORMAL_CLEARING"),
        (Deed.HOLD, "", {}, f"uuid_hold {B}"),
        (Deed.UNHOLD, "", {}, f"uuid_hold off {B}"),
        (Deed.TRANSFER, "102", {}, f"uuid_transfer {A} 102 XML default"),
        (Deed.TRANSFER, "sip:102@pbx.example.com", {"context": "house"}, f"uuid_transfer {A} 102 XML house"),
        (Deed.TRANSFER, NUMBER, {}, f"uuid_transfer {A} {NUMBER} XML default"),
        (Deed.TRANSFER, NUMBER, {"gateway": "carrier"},
         f"uuid_transfer {A} bridge:sofia/gateway/carrier/{NUMBER} inline"),
        (Deed.ATTENDED, "102", {}, f"uuid_broadcast {B} att_xfer::user/102 aleg"),
        (Deed.ATTENDED, NUMBER, {"gateway": "carrier"},
         f"uuid_broadcast {B} att_xfer::sofia/gateway/carrier/{NUMBER} aleg"),
        (Deed.COMPLETE, "", {}, f"uuid_kill {B} NORMAL_CLEARING"),
    ],
)  # fmt: skip
async def test_deeds(deed: Deed, target: str, options: dict[str, str], line: str) -> None:
    async with EslPeer().serve() as peer, running(peer, **options) as (session, _):
        assert await session.act(Command(deed, "k1", "101", target, call=CALL)) == ""
        assert re.fullmatch(rf"bgapi {re.escape(line)}\nJob-UUID: [0-9a-f-]{{36}}", peer.commands[-1])


async def test_click_to_dial() -> None:
    asked = Command(Deed.DIAL, "request-7", "101", NUMBER, caller_id=LINE)
    async with EslPeer().serve() as peer, running(peer) as (session, _):
        leg = await session.act(asked)
        assert peer.commands[-1].partition("\n")[0] == (
            f"bgapi originate {{origination_uuid={leg},ringpost_agent=101,ringpost_customer={NUMBER},"
            f"ignore_early_media=true,originate_timeout=30,origination_caller_id_number={LINE}}}"
            f"user/101 {NUMBER} XML default"
        )
        assert leg == await session.act(asked)
        assert leg != await session.act(replace(asked, key="request-8"))
    async with EslPeer().serve() as peer, running(peer, gateway="carrier", dial="sofia/internal/{agent}%pbx") as (
        session, _,
    ):  # fmt: skip
        await session.act(asked)
        assert f"}}sofia/internal/101%pbx &bridge(sofia/gateway/carrier/{NUMBER})" in peer.commands[-1]


async def test_a_phone_that_begins_to_ring_is_answer_enough() -> None:
    """``originate`` ends when the phone is picked up; the agent must not wait in front of the page."""

    def ring(line: str) -> None:
        leg = re.search("origination_uuid=([^,]+),", line)
        assert leg is not None
        said = plain_event("CHANNEL_CREATE", Unique_ID=leg[1], Call_Direction="outbound")
        asyncio.get_running_loop().call_later(0.05, peer.say, said)

    async with EslPeer(jobs=ring).serve() as peer, running(peer) as (session, link):
        asked = Command(Deed.DIAL, "k", "101", NUMBER)
        one, other = await asyncio.gather(session.act(asked), session.act(asked))
        assert one == other == await session.act(asked)
        peer.say(plain_event("CHANNEL_HANGUP_COMPLETE", Unique_ID=one, Hangup_Cause="NO_ANSWER"))
        await link.until(lambda: link.events[-1].type is EventType.HANGUP)
        assert one == await session.act(asked)
        assert len([line for line in peer.commands if line.startswith("bgapi")]) == 1


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("-ERR USER_NOT_REGISTERED\n", "the phone is not registered"),
        ("-ERR USER_BUSY\n", "the phone is busy"),
        ("-ERR No such channel!\n", "the call is over"),
        ("-USAGE: <uuid> [cause]\n", "the telephone system says"),
        ("-ERR \x07something new\n", "something new"),
    ],
)
async def test_refusals_in_words(said: str, words: str) -> None:
    async with EslPeer(jobs=lambda line: said).serve() as peer, running(peer) as (session, _):
        with pytest.raises(CommandFailed, match=re.escape(words)):
            await session.act(Command(Deed.HANG_UP, "k", "101", call=CALL))


async def test_no_answer_no_permission_no_connection() -> None:
    async with EslPeer(jobs=lambda line: None).serve() as peer, running(peer) as (session, _):
        with pytest.raises(CommandFailed, match="no answer"):
            await session.act(Command(Deed.HOLD, "k", "101", call=CALL))
        pending = asyncio.ensure_future(session.act(Command(Deed.HOLD, "k", "101", call=CALL)))
        await asyncio.sleep(0.05)
        peer.drop()
        with pytest.raises(CommandFailed, match="broke"):
            await pending
        with pytest.raises(CommandFailed, match="not connected"):
            await session.act(Command(Deed.HOLD, "k", "101", call=CALL))
    async with EslPeer(refuse="bgapi").serve() as peer, running(peer) as (session, _):
        with pytest.raises(CommandFailed, match="does not permit"):
            await session.act(Command(Deed.HOLD, "k", "101", call=CALL))
    with pytest.raises(CommandFailed, match="not connected"):
        await FreeswitchSession(source(), EslCalls()).act(Command(Deed.HOLD, "k", "101", call=CALL))


EVIL = [
    "101\n\napi shutdown", "101\r\n\r\napi shutdown", "1 01", "101}user/666", "{a=b}101", "101,102", "101|102",
    "101;x", "101'", '101"', "101$(x)", "${x}", "101\x00", "-bleg", "&park()", "", "101%0aapi", "é", "\u0661\u0662",
    "1" * 500, "a@b@c", "101\\n", "sip:", "101:_:102", "[x=1]101", "101/102", "101\x85api",
]  # fmt: skip


@pytest.mark.parametrize("evil", EVIL)
async def test_no_number_can_say_a_command(evil: str) -> None:
    """Neither line break nor blank, brace, comma, quote, dollar sign reaches the switch."""
    async with EslPeer().serve() as peer, running(peer) as (session, _):
        before = list(peer.commands)
        asked = [
            Command(Deed.DIAL, "k", "101", evil),
            Command(Deed.DIAL, "k", evil, NUMBER),
            Command(Deed.TRANSFER, "k", "101", evil, call=CALL),
            Command(Deed.ATTENDED, "k", "101", evil, call=CALL),
            Command(Deed.HANG_UP, "k", "101", call=replace(CALL, customer_leg=evil or "\n")),
            Command(Deed.HOLD, "k", "101", call=replace(CALL, agent_leg=evil)),
        ]
        if evil:
            asked.append(Command(Deed.DIAL, "k", "101", NUMBER, caller_id=evil))
        for one in asked:
            with pytest.raises(CommandFailed):
                await session.act(one)
        assert [line for line in peer.commands if line.startswith("bgapi")] == []
        assert peer.commands[: len(before)] == before


async def test_what_the_call_lacks_is_said() -> None:
    async with EslPeer().serve() as peer, running(peer) as (session, _):
        with pytest.raises(CommandFailed, match="no call"):
            await session.act(Command(Deed.HANG_UP, "k", "101"))
        with pytest.raises(CommandFailed, match="not in this call"):
            await session.act(Command(Deed.HOLD, "k", "101", call=replace(CALL, agent_leg=None)))


@pytest.mark.parametrize(
    "options",
    [{"port": "0"}, {"port": "x"}, {"port": "65536"}, {"dial": "user/101"}, {"dial": "user/{agent} x"},
     {"dial": "user/{agent}\n"}, {"context": "a b"}, {"gateway": "a/b"}, {"gateway": "\n"}],
)  # fmt: skip
def test_wrong_settings_are_named(options: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=rf"call_sources\.pbx\.{next(iter(options))}"):
        LIVE.session(source(**options))


@pytest.mark.parametrize("secret", ["a\nb", "\r", "", "\x00"])
def test_a_password_is_one_line(secret: str) -> None:
    with pytest.raises(SettingsError, match="secrets"):
        LIVE.session(replace(source(), secrets=(secret,)))
