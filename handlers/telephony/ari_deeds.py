"""What an agent asks of an Asterisk over ARI: each deed as the requests that it takes.

Channels outside our application can only be hung up: hold and transfer of a call that the dialplan holds
are refused with 409 (``rest-api/api-docs/channels.json``), and the agent is told to use the phone.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from handlers.telephony.ari_calls import AriCalls
from handlers.telephony.ari_events import CLICK
from handlers.telephony.ari_rest import AriRefused, AriRest
from handlers.telephony.ari_routing import Desk
from handlers.telephony.ari_settings import AriSettings, dialable
from handlers.telephony.control import Command, CommandFailed, Deed, LiveCall
from server.domain.event import CallEvent, EventType

DEEDS = frozenset({Deed.DIAL, Deed.ANSWER, Deed.HANG_UP, Deed.HOLD, Deed.UNHOLD, Deed.TRANSFER})
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]{1,80}")
_TARGET = re.compile(r"[\w.+*#-]{1,64}", re.ASCII)
_GONE, _CONFLICT = 404, 409


@dataclass(frozen=True, slots=True)
class Done:
    """``call_key`` of a call that was made, and what no event of Asterisk will tell."""

    call_key: str = ""
    events: tuple[CallEvent, ...] = ()


async def perform(
    rest: AriRest, settings: AriSettings, calls: AriCalls, desk: Desk, command: Command
) -> Done:
    """Raises CommandFailed."""
    try:
        if command.deed is Deed.DIAL:
            return await _dial(rest, settings, calls, command)
        if command.call is None:
            raise CommandFailed("there is no call")
        match command.deed:
            case Deed.ANSWER:
                await rest.send("POST", "channels", command.call.customer_leg, "answer")
                return Done()
            case Deed.HANG_UP:
                return await _hang_up(rest, calls, command.call)
            case Deed.HOLD | Deed.UNHOLD:
                return await _hold(rest, calls, command, command.call)
            case Deed.TRANSFER:
                return await _transfer(rest, settings, calls, desk, command, command.call)
    except AriRefused as refused:
        raise refused.for_agent() from None
    raise CommandFailed("this PBX connection cannot do that")


async def _dial(rest: AriRest, settings: AriSettings, calls: AriCalls, command: Command) -> Done:
    """The agent's phone first; picked up, it goes to the number by way of the dialplan or of our application."""
    number = dialable(command.target)
    channel = f"rp-dial-{_plain(command.key)}"
    asked: dict[str, Any] = {
        "endpoint": settings.endpoint_of(command.agent),
        "channelId": channel,
        "callerId": f"Click to dial <{number}>",  # what the agent's phone shows
        "timeout": settings.ring_seconds,
    }
    if settings.dial_endpoint:
        asked |= {"app": settings.app, "appArgs": f"{CLICK},{number}"}
    elif settings.context:
        asked |= {"context": settings.context, "extension": number, "priority": 1}
    else:
        raise CommandFailed("calls cannot be made: neither context nor dial_endpoint is set for this PBX")
    if command.caller_id:
        # For the dialplan: Set(CALLERID(num)=${RINGPOST_CALLER_ID})
        asked["variables"] = {"RINGPOST_CALLER_ID": dialable(command.caller_id)}
    calls.expect(channel, number)
    try:
        await rest.send("POST", "channels", message=asked)
    except AriRefused as refused:
        calls.forget(channel)
        if refused.status != _CONFLICT:
            raise
        # The channel is there: the same request came before, and this is its answer again.
    return Done(call_key=channel)


async def _hang_up(rest: AriRest, calls: AriCalls, call: LiveCall) -> Done:
    """The agent's phone while it rings, or while others speak with the customer too; else the customer."""
    own = calls.legs.get(call.agent_leg) if call.agent_leg else None
    others = (
        leg for leg in (own.line.legs.values() if own is not None else ()) if leg.answered and leg is not own
    )
    leg, cause = call.customer_leg, "16"
    if own is not None and call.direction == "inbound":
        if not own.answered:
            leg, cause = own.id, "21"
        elif any(other.id != call.customer_leg for other in others):
            leg = own.id
    try:
        await rest.send("DELETE", "channels", leg, query={"reason_code": cause})
    except AriRefused as refused:
        if refused.status != _GONE or call.agent_leg is None or leg == call.agent_leg:
            raise
        await rest.send("DELETE", "channels", call.agent_leg, query={"reason_code": cause})
    return Done()


async def _hold(rest: AriRest, calls: AriCalls, command: Command, call: LiveCall) -> Done:
    """Music for the customer. Asterisk tells only of a hold by the phone's own key."""
    held = command.deed is Deed.HOLD
    await rest.send("POST" if held else "DELETE", "channels", call.customer_leg, "hold")
    kind, word = (EventType.HELD, "hold") if held else (EventType.UNHELD, "unhold")
    key = f"{call.customer_leg}:{word}:{_plain(command.key)}"
    return Done(events=tuple(calls.tell(kind, call.customer_leg, key, ())))


async def _transfer(
    rest: AriRest, settings: AriSettings, calls: AriCalls, desk: Desk, command: Command, call: LiveCall
) -> Done:
    """Into the dialplan where ``context`` is set; else the channel is sent elsewhere (SIP 302 or REFER)."""
    target = command.target.removeprefix("sip:").removeprefix("tel:").partition("@")[0]
    if not _TARGET.fullmatch(target):
        raise CommandFailed(f"{command.target[:60]!r} is nowhere to transfer to")
    if settings.context:
        where = {"context": settings.context, "extension": target, "priority": "1"}
        await rest.send("POST", "channels", call.customer_leg, "continue", query=where)
        await desk.leave(rest, call.call_key, call.agent_leg)
    else:
        where = {"endpoint": settings.endpoint_of(target)}
        await rest.send("POST", "channels", call.customer_leg, "redirect", query=where)
    key = f"{call.customer_leg}:blind:{_plain(command.key)}"
    return Done(events=tuple(calls.tell(EventType.TRANSFERRED, call.customer_leg, key, (target,))))


def _plain(key: str) -> str:
    """A request's key as part of a channel's id."""
    return key if _PLAIN_KEY.fullmatch(key) else hashlib.sha256(key.encode(errors="replace")).hexdigest()[:32]
