"""Generic CTI push: what Zammad's "CTI generic" and sipgate.io made common among PBXs.

One POST per event, JSON or form: ``event`` newCall, answer, hangup (dtmf is ignored), ``callId``,
``direction`` in or out, ``from``, ``to``, ``user``, ``cause``, ``answeringNumber``. Nothing is
signed: the secret comes as ``Authorization: Bearer`` or, for a PBX that can only be given a URL,
as ``?token=``. The answer is always ``{}``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from handlers.telephony.fields import optional_text, read_form, required_key
from handlers.telephony.provider import CallSource, HookReply, HookRequest
from handlers.telephony.signing import is_one_of, presented_tokens
from server.domain.errors import Invalid, Malformed, NotAuthenticated, WrongType
from server.domain.event import CallEvent, Direction, EventType
from server.domain.outcome import CallOutcome

_EVENTS = {name.lower(): name for name in ("newCall", "answer", "hangup", "dtmf")}
_DIRECTIONS = {
    "in": Direction.INBOUND,
    "inbound": Direction.INBOUND,
    "out": Direction.OUTBOUND,
    "outbound": Direction.OUTBOUND,
}
ANSWERING = "answeringNumber"
AGENT_FIELDS = (ANSWERING, "user", "userId", "fullUserId", "extension")
"""Where agents are named, the surest first: on an inbound answer that is the number that picked up."""
_MOST_AGENTS = 100

# Dial plans are written by hand: the same field comes in camel and in snake case.
_NAMES = {
    "call_id": "callId",
    "callid": "callId",
    "orig_call_id": "origCallId",
    "origcallid": "origCallId",
    "answering_number": "answeringNumber",
    "answeringnumber": "answeringNumber",
    "user_id": "userId",
    "full_user_id": "fullUserId",
}

# Numbers stay text ("from": 4930..., "callId": 1731.20), so that no digit is lost.
_JSON = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)

Values = dict[str, list[str]]
"""Field name -> its values, in the order in which they came."""


class CtiProvider:
    """The ``Provider`` of sources with ``provider = "cti"``."""

    name = "cti"

    def verify(self, source: CallSource, request: HookRequest) -> None:
        tokens = presented_tokens(request)
        if not tokens:
            raise NotAuthenticated("send the secret as 'Authorization: Bearer SECRET' or as '?token=SECRET'")
        if not any(is_one_of(token, source.secrets) for token in tokens):
            raise NotAuthenticated("the secret is not one of this source")

    def parse(self, source: CallSource, request: HookRequest) -> Sequence[CallEvent]:
        event = call_event(read_values(request))
        return () if event is None else (event,)

    def reply(
        self,
        source: CallSource,
        request: HookRequest,
        events: Sequence[CallEvent],
        outcomes: Sequence[CallOutcome],
    ) -> HookReply:
        return HookReply(200, "{}", "application/json")


def call_event(values: Values, agent_fields: Sequence[str] = AGENT_FIELDS) -> CallEvent | None:
    """The neutral event of one message, None when it says nothing of the call's progress.

    Raises Malformed for what is missing, Invalid for what is none of the dialect's words.
    """
    said = first(values, "event")
    if not said:
        raise Malformed("event is missing", fields={"event": "is required: newCall, answer or hangup"})
    event = _EVENTS.get(said.lower())
    if event is None:
        raise Invalid("event is unknown", fields={"event": "must be newCall, answer or hangup"})
    leg_key = required_key("callId", first(values, "callId"))
    if event == "dtmf":
        return None
    original = first(values, "origCallId")
    direction = _direction(values, event)
    inbound = direction is not Direction.OUTBOUND
    agents: tuple[str, ...] = ()
    if event != "hangup":
        agents = _agents(values, agent_fields, answering=event == "answer" and inbound)
    kind, agents, ended = _kind(event, values, agents, inbound=inbound)
    return CallEvent(
        type=kind,
        call_key=required_key("origCallId", original) if original else leg_key,
        leg_key=leg_key,
        event_key=f"{leg_key}:{event}",
        direction=direction,
        ani=_number(first(values, "from") or first(values, "caller")),
        dnis=_number(first(values, "to")),
        agent_refs=agents,
        queue_ref=optional_text(first(values, "queue")),
        cause=optional_text(first(values, "cause")) if event == "hangup" else None,
        ends_call=ended,
    )


def _kind(
    event: str, values: Values, agents: tuple[str, ...], *, inbound: bool
) -> tuple[EventType, tuple[str, ...], bool]:
    """The neutral type, whom it names, and whether the leg is over."""
    if event == "newCall":
        return EventType.RINGING, agents, False
    if event == "answer":
        if inbound and any(user.lower() == "voicemail" for user in values.get("user", ())):
            return EventType.VOICEMAIL, (), False
        if inbound and not agents and "user" in values:
            # Named, but nobody: a queue or an announcement of the PBX picked up.
            return EventType.QUEUED, (), False
        return EventType.ANSWERED, agents, False
    cause = first(values, "cause")
    if cause == "forwarded":
        return EventType.TRANSFERRED, (), True
    if cause == "noAnswer" and inbound:
        return EventType.MISSED, (), True
    # cancel, busy, congestion, notFound: missed only if nobody had answered, which the call knows.
    return EventType.HANGUP, (), True


def _direction(values: Values, event: str) -> Direction | None:
    said = first(values, "direction")
    if not said and event != "newCall":
        return None
    direction = _DIRECTIONS.get((said or "").lower())
    if direction is None:
        raise Invalid("direction is not valid", fields={"direction": "must be in or out"})
    return direction


def _agents(values: Values, agent_fields: Sequence[str], *, answering: bool) -> tuple[str, ...]:
    """Every name that the PBX gives its agents, in the order of the fields, each once.

    The number that picked up is an agent's on an inbound answer only: elsewhere it is the customer's.
    """
    found: dict[str, None] = {}
    for name in agent_fields:
        if name == ANSWERING and not answering:
            continue
        for value in values.get(name, ()):
            # "user 1,user 2" lists two agents, "Raman, Priya" is one.
            parts = value.split(",") if "," in value and ", " not in value else (value,)
            for part in parts:
                agent = optional_text(part)
                if agent and agent.lower() != "voicemail":
                    found[agent] = None
    return tuple(found)[:_MOST_AGENTS]


def _number(value: str | None) -> str | None:
    """A "+" that was not escaped in a form arrives as a space."""
    if value and value[0] == " " and value[1:2] in "123456789":
        value = "+" + value[1:]
    return optional_text(value)


def first(values: Values, name: str) -> str | None:
    """The field's first value, None when it did not come."""
    found = values.get(name)
    return found[0] if found else None


def read_values(request: HookRequest) -> Values:
    """Field name -> its values. Raises Malformed or WrongType."""
    if request.method == "GET":
        return collect(request.query)
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if not kind:
        kind = "application/json" if request.body[:1] == b"{" else "application/x-www-form-urlencoded"
    if kind == "application/x-www-form-urlencoded":
        return collect(read_form(request.body))
    if kind == "application/json" or kind.endswith("+json"):
        return _read_json(request.body)
    raise WrongType("send application/json or application/x-www-form-urlencoded")


def collect(pairs: Iterable[tuple[str, str]]) -> Values:
    """``user[]``, ``user[0]`` and a repeated ``user`` are all a list."""
    values: Values = {}
    for name, value in pairs:
        values.setdefault(field_name(name), []).append(value)
    return values


def field_name(name: str) -> str:
    """What a field is called in ``Values``: without an index, in camel case."""
    if "[" in name:
        name = name.partition("[")[0]
    return _NAMES.get(name, name)


def _read_json(body: bytes) -> Values:
    try:
        message = _JSON.decode(body.decode("utf-8-sig"))
    except (ValueError, RecursionError) as bad:
        raise Malformed(f"the JSON body cannot be read: {bad}") from None
    if not isinstance(message, dict):
        raise Malformed("the JSON body must be an object")
    values: Values = {}
    for name, value in message.items():
        if isinstance(value, str):
            found = [value]
        elif isinstance(value, list):
            found = [item for item in value if isinstance(item, str)]
        elif value is None:
            found = []
        elif name in _NAMES.values() or name in ("event", "direction", "from", "to", "cause", *AGENT_FIELDS):
            raise Malformed(f"{name} must be a text", fields={name: "must be a text"})
        else:
            continue
        values.setdefault(field_name(name), []).extend(found)
    return values


PROVIDER = CtiProvider()
