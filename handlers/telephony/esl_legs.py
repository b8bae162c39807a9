"""What a channel's headers say of a leg: whose it is, of which call, and where it was transferred.

The switch says "inbound" and "outbound" from its own point of view: the phone of an agent who dials is
"inbound" too. Who is an agent is told by what only a phone of the house has: a user who logged in
(``user_name``), a user of the directory who was rung (``dialed_user``), a member's agent (``cc_agent``), or
a number too short to be anybody's outside, unless it comes in where strangers do (context ``public``).
Names are those of switch_channel.c and mod_callcenter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import orjson

from handlers.telephony.esl_wire import texts_of
from handlers.telephony.fields import optional_text
from handlers.telephony.timestamps import epoch_time
from server.domain.errors import Malformed
from server.domain.event import Direction, EventType

Headers = Mapping[str, str]

_NUMBER = re.compile(r"\+?[0-9]{7,20}", re.ASCII)
_EXTENSION = re.compile(r"[0-9]{2,6}", re.ASCII)
_TARGET = re.compile(r"[A-Za-z0-9+*#_.-]{1,64}")
AGENT_VARIABLE = "ringpost_agent"
CUSTOMER_VARIABLE = "ringpost_customer"
"""Channel variables that click to dial sets, so that the call's events say who it is for."""


@dataclass(frozen=True, slots=True)
class CallFacts:
    """``own``: read from the first leg itself, not from what another leg says of it.

    ``agent_first``: an agent made the call, so that the customer's leg is a later one.
    """

    key: str
    direction: Direction | None = None
    ani: str | None = None
    dnis: str | None = None
    name: str | None = None
    agent_first: bool = False
    own: bool = False
    answered: bool = False


@dataclass(frozen=True, slots=True)
class LegFacts:
    """``call_key`` is "" while nobody can say which call it belongs to; ``refs`` name an agent's leg.

    ``partner`` is whom a bridge put it together with last, ``source`` the transfer last told of, and
    ``target`` where that one went.
    """

    key: str
    call_key: str
    seen_at: datetime
    parent: str | None = None
    root: bool = False
    agent: bool = False
    refs: tuple[str, ...] = ()
    own: bool = False
    answered: bool = False
    held: bool = False
    partner: str | None = None
    source: str = ""
    target: str = ""


@dataclass(frozen=True, slots=True)
class Transfer:
    """``source`` is the switch's own word for it, the same in every later event of the leg."""

    source: str
    epoch: int | None
    target: str


def is_number(text: str | None) -> bool:
    """Whether somebody outside could be meant."""
    return bool(text and _NUMBER.fullmatch(text))


def is_loopback(headers: Headers) -> bool:
    """A leg that the switch has with itself: nobody's, unless click to dial reaches an agent through it."""
    ours = f"variable_{CUSTOMER_VARIABLE}" in headers
    return headers.get("Channel-Name", "").startswith("loopback/") and not ours


def originator(headers: Headers) -> str | None:
    """The leg that made this one; None for the first leg of a call."""
    by = headers.get("Channel-Call-UUID")
    if headers.get("Other-Type") == "originator":
        by = headers.get("Other-Leg-Unique-ID") or by
    if headers.get("variable_cc_side") == "agent":
        by = headers.get("variable_cc_member_session_uuid") or by  # mod_callcenter rings on its own
    return by if by and by != headers.get("Unique-ID") else None


def first_leg(key: str, headers: Headers) -> tuple[CallFacts, tuple[str, ...]]:
    """The call as its first leg tells it, and the agent's names when that leg is an agent's phone."""
    ani, dialled = _caller(headers, "Caller"), _dialled(headers)
    name = _name(headers, "Caller")
    if headers.get("Call-Direction") != "outbound":
        user = headers.get("variable_user_name")
        if not user and not _is_extension(headers, "Caller"):
            return CallFacts(key, Direction.INBOUND, ani, dialled, name, own=True), ()
        direction = Direction.OUTBOUND if is_number(dialled) else Direction.INTERNAL
        facts = CallFacts(key, direction, ani, dialled, agent_first=True, own=True)
        return facts, _names((user, ani))
    customer = optional_text(headers.get(f"variable_{CUSTOMER_VARIABLE}"))
    agent = headers.get(f"variable_{AGENT_VARIABLE}")
    if not customer and is_number(dialled) and not headers.get("variable_dialed_user"):
        return CallFacts(key, Direction.OUTBOUND, ani, dialled, own=True), ()
    facts = CallFacts(key, Direction.OUTBOUND, ani, customer, agent_first=True, own=True)
    return facts, _names((agent,)) if agent else _rung(headers)


def call_by_other_leg(key: str, headers: Headers) -> CallFacts:
    """What a later leg says of a call whose first leg is not known."""
    ani, dialled = _caller(headers, "Other-Leg"), optional_text(headers.get("Other-Leg-Destination-Number"))
    direction = None
    agent_first = False
    if headers.get("Other-Leg-Direction") == "inbound":
        agent_first = _is_extension(headers, "Other-Leg")
        outside = Direction.OUTBOUND if is_number(dialled) else Direction.INTERNAL
        direction = outside if agent_first else Direction.INBOUND
    if ani is None and not agent_first:
        ani = _caller(headers, "Caller")
    return CallFacts(key, direction, ani, dialled, agent_first=agent_first)


def agent_of_leg(call: CallFacts, headers: Headers) -> tuple[bool, tuple[str, ...]]:
    """Whether a later leg is an agent's, and the agent's names. Else it is the customer's."""
    if call.direction is Direction.OUTBOUND and call.agent_first:
        at_a_phone = headers.get("variable_dialed_user") or headers.get("variable_cc_agent")
        if not at_a_phone and is_number(headers.get("Caller-Destination-Number")):
            return False, ()
    return True, _rung(headers)


def partners_names(headers: Headers) -> tuple[str, ...]:
    """The agent's names when an event of another leg tells of the one that it rang."""
    if headers.get("Other-Type") != "originatee":
        return ()
    return _names((headers.get("Other-Leg-Destination-Number"),))


def transfer_of(headers: Headers) -> Transfer | None:
    """``epoch:uuid:bl_xfer:exten/context/dialplan``, ``...:att_xfer:exten@...``, ``...:uuid_br:leg``."""
    source = headers.get("variable_transfer_source") or headers.get("Caller-Transfer-Source")
    if not source:
        return None
    parts = source[:256].split(":", 3)
    epoch = int(parts[0]) if re.fullmatch("[0-9]{1,11}", parts[0], re.ASCII) else None
    target = ""
    if len(parts) == 4 and parts[2] in ("bl_xfer", "att_xfer"):
        target = parts[3].partition("/")[0].partition("@")[0]
    return Transfer(source[:256], epoch, target if _TARGET.fullmatch(target) else "")


def time_of(headers: Headers) -> datetime | None:
    """``Event-Date-Timestamp``, microseconds since 1970."""
    return epoch_time(headers.get("Event-Date-Timestamp"), per_second=1_000_000)


def event_key(leg: LegFacts, headers: Headers, kind: EventType, key: str) -> str:
    """Core-UUID and Event-Sequence are the event's own name; of what has none, leg, kind and time."""
    core, number = optional_text(headers.get("Core-UUID")), headers.get("Event-Sequence", "")
    if core and number.isascii() and number.isdecimal() and len(number) <= 20:
        return f"{core[:64]}:{number}{':' if key else ''}{key}"
    stamp = optional_text(headers.get("Event-Date-Timestamp")) or ""
    return f"{leg.key}:{key or kind}:{stamp[:20]}"


_ROW = {
    "uuid": "Unique-ID",
    "direction": "Call-Direction",
    "name": "Channel-Name",
    "callstate": "Channel-Call-State",
    "cid_num": "Caller-Caller-ID-Number",
    "cid_name": "Caller-Caller-ID-Name",
    "dest": "Caller-Destination-Number",
    "call_uuid": "Channel-Call-UUID",
    "context": "Caller-Context",
    "presence_id": "Channel-Presence-ID",
    # As the call began, before anybody transferred it: these win.
    "initial_cid_num": "Caller-Caller-ID-Number",
    "initial_cid_name": "Caller-Caller-ID-Name",
    "initial_dest": "Caller-Destination-Number",
    "initial_context": "Caller-Context",
}


def read_channels(answer: bytes) -> list[Headers]:
    """The answer to ``show channels as json`` as events' headers, the first legs first. Raises Malformed."""
    try:
        said = orjson.loads(answer)
    except orjson.JSONDecodeError as bad:
        raise Malformed(f"the list of channels cannot be read: {bad}") from None
    rows = said.get("rows", []) if isinstance(said, dict) else None
    if not isinstance(rows, list):
        raise Malformed("the list of channels has no rows")
    channels: list[Headers] = []
    for row in rows:
        texts = texts_of(row) if isinstance(row, dict) else {}
        headers = {_ROW[column]: texts[column] for column in _ROW if column in texts}
        created = texts.get("created_epoch", "")
        if created.isascii() and created.isdecimal() and len(created) <= 11:
            headers["Event-Date-Timestamp"] = created + "000000"
        channels.append(headers)
    channels.sort(key=lambda one: (originator(one) is not None, one.get("Event-Date-Timestamp", "")))
    return channels


def _is_extension(headers: Headers, whose: str) -> bool:
    number = headers.get(f"{whose}-Caller-ID-Number", "")
    return bool(_EXTENSION.fullmatch(number)) and headers.get(f"{whose}-Context") != "public"


def _caller(headers: Headers, whose: str) -> str | None:
    if headers.get(f"{whose}-Privacy-Hide-Number") == "true":
        return "anonymous"  # the switch knows the number; the caller asked that nobody else does
    return optional_text(headers.get(f"{whose}-Caller-ID-Number"))


def _name(headers: Headers, whose: str) -> str | None:
    name = optional_text(headers.get(f"{whose}-Caller-ID-Name"))
    hidden = headers.get(f"{whose}-Privacy-Hide-Name") == "true"
    return None if hidden or name == optional_text(headers.get(f"{whose}-Caller-ID-Number")) else name


def _dialled(headers: Headers) -> str | None:
    """The number that the caller dialled; after a transfer within the dial plan it stands elsewhere."""
    if headers.get("Caller-Profile-Index", "1") != "1":
        return optional_text(headers.get("variable_sip_req_user") or headers.get("variable_sip_to_user"))
    return optional_text(headers.get("Caller-Destination-Number"))


def _rung(headers: Headers) -> tuple[str, ...]:
    presence = headers.get("Channel-Presence-ID") or headers.get("Presence-ID")
    return _names(
        (
            headers.get("variable_dialed_user"),
            headers.get("Caller-Destination-Number"),
            headers.get("variable_cc_agent"),
            presence,
        )
    )


def _names(found: Iterable[str | None]) -> tuple[str, ...]:
    """Each name once, without the domain of a directory's user (``101@pbx.example.com``)."""
    names: dict[str, None] = {}
    for one in found:
        text = optional_text(one)
        if text and not text.startswith(("sip:", "sips:")):
            text = text.partition("@")[0]
        if text:
            names[text] = None
    return tuple(names)
