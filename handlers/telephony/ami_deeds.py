"""What an agent asks of the telephony, as AMI actions (main/manager.c). AMI cannot hold a call.

The manager user needs ``write = call,originate`` for them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never
from uuid import uuid4

from handlers.telephony.control import Command, CommandFailed, Deed, LiveCall

DEEDS = frozenset({Deed.DIAL, Deed.HANG_UP, Deed.TRANSFER, Deed.ATTENDED, Deed.COMPLETE})
RING_MILLISECONDS = "30000"

_PHONE = re.compile(r"[A-Za-z0-9+*#_.-]{1,64}")
_EXTEN = re.compile(r"\+?[A-Za-z0-9*#_.-]{1,64}")
_CHANNEL = re.compile(r"[^/\x00-\x1f\x7f][^\x00-\x1f\x7f]{0,255}")


@dataclass(frozen=True, slots=True)
class DialPlan:
    """Where in the PBX a number is dialled. ``international`` is what a leading "+" is written as."""

    channel: str = "PJSIP/{extension}"
    context: str = "from-internal"
    international: str = "+"

    def exten(self, target: str) -> str:
        """The extension for a target (an extension, a SIP URI, E.164). Raises CommandFailed."""
        exten = _user_of(target)
        if not _EXTEN.fullmatch(exten):
            raise CommandFailed(f"{target[:64]!r} cannot be dialled")
        return self.international + exten[1:] if exten.startswith("+") else exten

    def phone(self, agent: str) -> str:
        """The channel that rings an agent's phone. Raises CommandFailed."""
        user = _user_of(agent)
        technology, slash, resource = user.partition("/")
        if not _PHONE.fullmatch(resource if slash else user) or not (not slash or technology.isalnum()):
            raise CommandFailed("you have no phone that the PBX could ring: enter your extension")
        return user if slash else self.channel.replace("{extension}", user)


@dataclass(frozen=True, slots=True)
class Action:
    """``call_key`` and ``target`` of a call that it makes."""

    name: str
    fields: tuple[tuple[str, str], ...]
    call_key: str = ""
    target: str = ""


def action_for(command: Command, plan: DialPlan, name_of: Callable[[str], str | None]) -> Action:
    """``name_of`` gives the channel of a leg that goes on. Raises CommandFailed."""
    deed = command.deed
    if deed is Deed.DIAL:
        return _originate(command, plan)
    call = command.call
    if call is None:
        raise CommandFailed("there is no call")
    if deed is Deed.HANG_UP:
        return _hang_up(_named(name_of(call.customer_leg) or _agents_channel(call, name_of)))
    if deed is Deed.TRANSFER or deed is Deed.ATTENDED:
        place = (("Context", plan.context), ("Exten", plan.exten(command.target)), ("Priority", "1"))
        name = "BlindTransfer" if deed is Deed.TRANSFER else "Atxfer"
        return Action(name, (("Channel", _agents_channel(call, name_of)), *place))
    if deed is Deed.COMPLETE:
        # Who consults and hangs up puts the two others together.
        return _hang_up(_agents_channel(call, name_of))
    if deed is Deed.ANSWER or deed is Deed.HOLD or deed is Deed.UNHOLD:
        raise CommandFailed("the PBX cannot do that: use the phone")
    assert_never(deed)


def _originate(command: Command, plan: DialPlan) -> Action:
    """The agent's phone rings; once it is picked up, the target is dialled. Queued by the PBX."""
    exten = plan.exten(command.target)
    shown = _user_of(command.caller_id or command.target)
    # Our own channel id makes the call known before it exists, and a repeated request the same call.
    uid = f"ringpost-{hashlib.sha256((command.key or uuid4().hex).encode()).hexdigest()[:24]}"
    fields = (
        ("Channel", plan.phone(command.agent)),
        ("Context", plan.context),
        ("Exten", exten),
        ("Priority", "1"),
        ("CallerID", f"<{shown}>" if _EXTEN.fullmatch(shown) else ""),
        ("Timeout", RING_MILLISECONDS),
        ("Async", "true"),
        ("ChannelId", uid),
    )
    return Action("Originate", fields, uid, _user_of(command.target))


def _hang_up(channel: str) -> Action:
    return Action("Hangup", (("Channel", channel), ("Cause", "16")))


def _agents_channel(call: LiveCall, name_of: Callable[[str], str | None]) -> str:
    """Of the agent who has the call."""
    return _named(name_of(call.agent_leg) if call.agent_leg else None)


def _named(channel: str | None) -> str:
    """A name that starts with "/" would be a pattern of many channels. Raises CommandFailed."""
    if channel is None or not _CHANNEL.fullmatch(channel):
        raise CommandFailed("the call is over, or no agent's phone is connected")
    return channel


def _user_of(address: str) -> str:
    """The user part of a SIP URI; anything else as it is."""
    scheme, colon, rest = address.strip().partition(":")
    user = rest if colon and scheme.lower() in ("sip", "sips", "tel") else address.strip()
    return user.partition("@")[0].partition(";")[0]
