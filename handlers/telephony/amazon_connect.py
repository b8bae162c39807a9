"""Amazon Connect contact events, as an EventBridge rule with an API destination posts them.

Docs: "Amazon Connect contact events", "API destinations" of EventBridge. Nothing is signed: the
destination's connection sends an API key in a header of its choice, or Basic. Events come in any order
and may come twice; new kinds and fields are to be passed over. Connect routes calls itself, so the agent
is known when the call is put through, and no event says who calls unless ``caller_field`` names the
field that does (a newer event's, or one that the rule's input transformer or a Lambda adds).

Source options: ``header`` (where the key comes; else Authorization, else X-Api-Key), ``caller_field`` and
``called_field`` (dotted, in ``detail``), the tables ``agents`` (agent ARN or id = extension) and
``queues`` (queue ARN or id = name).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from handlers.telephony.basic_auth import basic_credentials
from handlers.telephony.fields import optional_text, required_key
from handlers.telephony.provider import CallSource, HookReply, HookRequest
from handlers.telephony.signing import is_one_of
from handlers.telephony.timestamps import iso_time, seconds_between
from server.domain.errors import Malformed, NotAuthenticated
from server.domain.event import CallEvent, Direction, EventType
from server.domain.outcome import CallOutcome

_DETAIL_TYPE = "Amazon Connect Contact Event"
_HEADERS = ("Authorization", "X-Api-Key")
_DIRECTIONS = {
    "INBOUND": Direction.INBOUND,
    "OUTBOUND": Direction.OUTBOUND,
    "API": Direction.OUTBOUND,
    "CALLBACK": Direction.OUTBOUND,
}
_TRANSFERS = {"TRANSFER", "QUEUE_TRANSFER"}
_UNSEEN = {"MONITOR", "DISCONNECT"}
"""Contacts that are no part of the talk: a supervisor listens in, a flow runs after the end."""


class AmazonConnectProvider:
    """The ``Provider`` of sources with ``provider = "amazon_connect"``."""

    name = "amazon_connect"
    ring = "pbx"  # the agent was chosen before we hear of the call

    def verify(self, source: CallSource, request: HookRequest) -> None:
        given = _credential(source, request)
        if not given:
            raise NotAuthenticated("the API key of the EventBridge connection is missing")
        scheme, _, token = given.partition(" ")
        bearer = token.strip() if scheme.lower() == "bearer" else ""
        if not any(
            is_one_of(form, source.secrets) for form in (given, bearer, basic_credentials(given) or "")
        ):
            raise NotAuthenticated("the API key is not one of this source")

    def parse(self, source: CallSource, request: HookRequest) -> Sequence[CallEvent]:
        contact = _read(request)
        event = _event(source, contact) if contact is not None else None
        return () if event is None else (event,)

    def reply(
        self,
        source: CallSource,
        request: HookRequest,
        events: Sequence[CallEvent],
        outcomes: Sequence[CallOutcome],
    ) -> HookReply:
        return HookReply()


def _credential(source: CallSource, request: HookRequest) -> str:
    """One header counts: of two the first, so that a wrong one is not made good by another."""
    own = source.options.get("header")
    given = (request.headers.get(name, "").strip() for name in ((own,) if own else _HEADERS))
    return next(filter(None, given), "")


class Fields:
    """An object whose names are read whatever their case: the documents differ in it."""

    __slots__ = ("_values",)

    def __init__(self, values: Any) -> None:
        known = values if isinstance(values, dict) else {}
        self._values = {str(name).lower(): value for name, value in known.items()}

    def __bool__(self) -> bool:
        return bool(self._values)

    def text(self, name: str) -> str | None:
        value = self._values.get(name.lower())
        return value if isinstance(value, str) and value else None

    def inner(self, name: str) -> Fields:
        return Fields(self._values.get(name.lower()))

    def at(self, path: str) -> str | None:
        """``customerEndpoint.address``: a text by its way."""
        *way, last = path.split(".")
        found = self
        for name in way:
            found = found.inner(name)
        return found.text(last)


@dataclass(frozen=True, slots=True)
class Contact:
    """One event of one contact, Connect's word for a leg of a call."""

    key: str
    kind: str
    id: str
    method: str
    time: datetime | None  # the envelope's
    detail: Fields

    def at(self, name: str, *, of: str = "") -> datetime | None:
        """The time that the detail gives to this very deed, else the envelope's."""
        return iso_time((self.detail.inner(of) if of else self.detail).text(name)) or self.time

    @property
    def agent_arn(self) -> str | None:
        return optional_text(self.detail.inner("agentInfo").text("agentArn"))

    @property
    def queue_arn(self) -> str | None:
        return optional_text(self.detail.inner("queueInfo").text("queueArn"))


def _read(request: HookRequest) -> Contact | None:
    """None when it is no event of a voice contact. Raises Malformed.

    An input transformer may send the detail alone; then what it says is its key.
    """
    try:
        message = json.loads(request.body.decode())
    except (ValueError, RecursionError) as bad:
        raise Malformed(f"the JSON body cannot be read: {type(bad).__name__}") from None
    if not isinstance(message, dict):
        raise Malformed("the JSON body must be an object")
    envelope = Fields(message)
    if (envelope.text("detail-type") or _DETAIL_TYPE) != _DETAIL_TYPE:
        return None
    detail = envelope.inner("detail") or envelope
    kind, id_ = detail.text("eventType"), required_key("contactId", detail.text("contactId"))
    if kind is None:
        raise Malformed("eventType is missing", fields={"eventType": "is required"})
    time = envelope.text("time")
    method = (detail.text("initiationMethod") or "").upper()
    if (detail.text("channel") or "VOICE").upper() != "VOICE" or method in _UNSEEN:
        return None
    key = required_key("id", envelope.text("id") or f"{id_}:{kind}:{time or _said_at(detail)}")
    return Contact(key, kind.upper(), id_, method, iso_time(time), detail)


def _said_at(detail: Fields) -> str:
    """The latest time of a detail that came without its envelope."""
    queued, agent = detail.inner("queueInfo"), detail.inner("agentInfo")
    stamps = (
        detail.text("initiationTimestamp"),
        queued.text("enqueueTimestamp"),
        agent.text("connectedToAgentTimestamp"),
        detail.text("disconnectTimestamp"),
    )
    return max(filter(None, stamps), default="")


def _event(source: CallSource, contact: Contact) -> CallEvent | None:
    detail, kind = contact.detail, contact.kind
    if kind == "INITIATED":
        at = contact.at("initiationTimestamp")
        if contact.method in _TRANSFERS:
            before = detail.text("previousContactId") or detail.text("initialContactId")
            parent = required_key("previousContactId", before) if before else None
            return _call_event(source, contact, EventType.TRANSFERRED, at, parent_leg_key=parent)
        outbound = _DIRECTIONS.get(contact.method) is Direction.OUTBOUND
        return _call_event(source, contact, EventType.DIALING if outbound else EventType.RINGING, at)
    if kind == "QUEUED":
        return _call_event(source, contact, EventType.QUEUED, contact.at("enqueueTimestamp", of="queueInfo"))
    if kind == "CONNECTED_TO_AGENT":
        at = contact.at("connectedToAgentTimestamp", of="agentInfo")
        return _call_event(source, contact, EventType.ANSWERED, at, agent_refs=_agents(source, contact))
    if kind == "DISCONNECTED":
        return _end(source, contact)
    return None  # after-contact work, changed data, and whatever is invented next


def _end(source: CallSource, contact: Contact) -> CallEvent:
    at = contact.at("disconnectTimestamp")
    if contact.method == "INBOUND" and not contact.detail.inner("agentInfo"):
        cause = "abandoned" if contact.queue_arn else None
        return _call_event(source, contact, EventType.MISSED, at, cause=cause, ends_call=True)
    return _call_event(
        source,
        contact,
        EventType.HANGUP,
        at,
        agent_refs=_agents(source, contact),
        duration_seconds=seconds_between(iso_time(contact.detail.text("initiationTimestamp")), at),
        ends_call=True,
    )


def _call_event(
    source: CallSource, contact: Contact, type_: EventType, at: datetime | None, **more: Any
) -> CallEvent:
    detail, options = contact.detail, source.options
    direction = _DIRECTIONS.get(contact.method)
    caller, called = (detail.at(options.get(name, "")) for name in ("caller_field", "called_field"))
    if direction is Direction.OUTBOUND:
        # The fields name the customer's and our own end, not who rang whom.
        caller, called = called, caller
    queue = contact.queue_arn
    return CallEvent(
        type=type_,
        # A transfer makes a new contact, which names the chain's first one.
        call_key=required_key("initialContactId", detail.text("initialContactId") or contact.id),
        leg_key=contact.id,
        event_key=contact.key,
        direction=direction,
        ani=optional_text(caller),
        dnis=optional_text(called),
        queue_ref=_named(options, "queues", queue) or queue,
        occurred_at=at,
        **more,
    )


def _agents(source: CallSource, contact: Contact) -> tuple[str, ...]:
    """The extension that the settings give the agent, else the ARN and its last part."""
    arn = contact.agent_arn
    if arn is None:
        return ()
    extension = _named(source.options, "agents", arn)
    return (extension,) if extension else tuple(dict.fromkeys((arn, _last_part(arn))))


def _named(options: Mapping[str, str], table: str, arn: str | None) -> str | None:
    if arn is None:
        return None
    return options.get(f"{table}.{arn}") or options.get(f"{table}.{_last_part(arn)}")


def _last_part(arn: str) -> str:
    return arn.rpartition("/")[2] or arn


PROVIDER = AmazonConnectProvider()
