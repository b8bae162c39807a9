"""One Telnyx webhook, read: the envelope, its payload, and the state that comes back with it.

``{data: {event_type, id, occurred_at, payload}, meta}``; see "Receiving webhooks" of Telnyx's Voice API.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qsl, urlencode

from handlers.telephony.fields import MAX_KEY, required_key
from handlers.telephony.provider import CallSource, HookRequest
from handlers.telephony.timestamps import iso_time
from server.domain.errors import Malformed

_LONGEST_ID = 512  # a call_control_id has about 70 characters


class Step(StrEnum):
    """Where a leg stands in the way that we lead it."""

    ANSWER = "answer"  # the customer's leg, picked up by us
    WAIT = "wait"  # ... in the queue
    GREET = "greet"  # ... hears that a message may be left
    MESSAGE = "message"  # ... leaves it
    CLOSED = "closed"  # ... hears that nobody is there
    RING = "ring"  # an agent's leg: a call is offered
    TRANSFER = "transfer"  # the leg to whom an agent hands a call over
    DIAL = "dial"  # the agent's own leg of click to dial
    CUSTOMER = "customer"  # the customer's leg of click to dial


CALLER_STEPS = frozenset({Step.ANSWER, Step.WAIT, Step.GREET, Step.MESSAGE, Step.CLOSED})
_STEPS = {step.value: step for step in Step}


@dataclass(frozen=True, slots=True)
class ClientState:
    """What a leg's last command gave it; every event of the leg brings it back.

    On the wire it is a form in base64, ``agent=priya.raman&step=ring&leg=...``. Another program's
    state is read the same way; words that we do not know are left out.
    """

    step: Step | None = None
    agent: str | None = None  # who is at this leg's end
    customer: str | None = None  # whom click to dial calls next
    caller: str | None = None  # who waits, ...
    line: str | None = None  # ... and for whom: queue events repeat neither
    leg: str | None = None  # the call_leg_id for whose sake this leg was made ...
    control: str | None = None  # ... and its call_control_id
    round: str | None = None  # the event that made agents' phones ring
    group: bool = False  # several phones ring
    voicemail: bool = False

    def pack(self) -> str:
        said = {one.name: getattr(self, one.name) for one in fields(self)}
        form = {name: "1" if value is True else str(value) for name, value in said.items() if value}
        return base64.b64encode(urlencode(form).encode()).decode()


def read_state(packed: object) -> ClientState:
    """The inverse of ``pack``; empty for what is none of it."""
    if not isinstance(packed, str) or len(packed) > 4000:
        return ClientState()
    try:
        form = dict(parse_qsl(base64.b64decode(packed, validate=True).decode(), max_num_fields=50))
    except ValueError:
        return ClientState()
    return ClientState(
        step=_STEPS.get(form.get("step", "")),
        agent=_id(form.get("agent"), MAX_KEY),
        customer=_id(form.get("customer"), MAX_KEY),
        caller=_id(form.get("caller"), MAX_KEY),
        line=_id(form.get("line"), MAX_KEY),
        leg=_id(form.get("leg"), MAX_KEY),
        control=_id(form.get("control"), _LONGEST_ID),
        round=_id(form.get("round"), MAX_KEY),
        group=form.get("group") == "1",
        voicemail=form.get("voicemail") == "1",
    )


@dataclass(frozen=True, slots=True)
class Message:
    """``kind`` is the event's type without ``call.``; ``key`` is the same on every attempt."""

    source: CallSource
    key: str
    kind: str
    occurred_at: datetime | None
    payload: Mapping[str, Any]
    state: ClientState

    def text(self, name: str) -> str | None:
        value = self.payload.get(name)
        return value if isinstance(value, str) else None

    def id(self, name: str) -> str | None:
        return _id(self.text(name), _LONGEST_ID)


def read_message(source: CallSource, request: HookRequest) -> Message:
    """Raises Malformed for what is no webhook of Telnyx's."""
    try:
        whole = json.loads(request.body.decode())
    except (ValueError, RecursionError) as bad:
        raise Malformed(f"the JSON body cannot be read: {type(bad).__name__}") from None
    data = whole.get("data") if isinstance(whole, dict) else None
    payload = data.get("payload") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(payload, dict):
        raise Malformed("data.payload is missing", fields={"data": "must be an object with a payload"})
    key, kind = data.get("id"), data.get("event_type")
    if not isinstance(key, str) or not isinstance(kind, str):
        raise Malformed("data.id or data.event_type is missing", fields={"data": "needs id and event_type"})
    return Message(
        source=source,
        key=required_key("id", key),
        kind=kind.removeprefix("call."),
        occurred_at=iso_time(data.get("occurred_at")),
        payload=payload,
        state=read_state(payload.get("client_state")),
    )


def _id(value: str | None, longest: int) -> str | None:
    """An id is whole or it is none: a cut one would address nothing."""
    return value if value and len(value) <= longest and value.isprintable() else None
