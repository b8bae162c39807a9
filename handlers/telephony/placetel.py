"""Placetel Notify and Call Control (Placetel/call-control-notify-api): one signed form POST per event.

Numbers come as they are dialled in the country, so the source's ``country`` must be right. There is no
event for a transfer or a hold, and none for the answer to an outgoing call. The XML answer to
IncomingCall decides where the call goes if the number's routing is "External API"; elsewhere it is
ignored, and an empty one means the routing plan set beside it.

Source options: ``dial`` ("agents": ring the agents that we chose, by the SIP user or number in their
extension), ``ringtime`` (seconds, 20), ``music_on_hold`` and ``voicemail`` ("true", "false"),
``forward_announcement`` and ``voicemail_announcement`` (their ids); ``nobody`` says where a caller goes
when nobody is free: "queue:ID", "group:ID", "prompt:ID", "plan:ID", "voicemail", "busy" or "hangup";
``closed`` the same for a queue that is not open ("voicemail").
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from handlers.telephony import markup
from handlers.telephony.fields import optional_count, optional_text, required_key
from handlers.telephony.provider import CallSource, HookReply, HookRequest
from server.domain.errors import Forbidden, Invalid, Malformed
from server.domain.event import CallEvent, Direction, EventType
from server.domain.outcome import CallOutcome, RungAgent

MAX_DIALLED = 10
_DIALLABLE = re.compile(r"[^@\s]{1,64}@[^@\s]{1,128}|\+?[0-9]{6,15}")
_INCOMING = "IncomingCall"
_EVENTS = {
    _INCOMING: EventType.RINGING,
    "OutgoingCall": EventType.RINGING,
    "CallAccepted": EventType.ANSWERED,
    "HungUp": EventType.HANGUP,
}
_DIRECTIONS = {"in": Direction.INBOUND, "out": Direction.OUTBOUND}
_ENDS = {"voicemail": EventType.VOICEMAIL, "missed": EventType.MISSED}
_PLACES = {"queue": "Queue", "group": "Group", "prompt": "Prompt", "plan": "RoutingPlan"}
_FORWARD_OPTIONS = ("music_on_hold", "voicemail", "voicemail_announcement", "forward_announcement")


class PlacetelProvider:
    """The ``Provider`` of sources with ``provider = "placetel"``."""

    name = "placetel"

    def verify(self, source: CallSource, request: HookRequest) -> None:
        """``X-PLACETEL-SIGNATURE`` is the hex HMAC-SHA256 of the raw body (vendor README, "Signature")."""
        given = request.headers.get("X-PLACETEL-SIGNATURE")
        if not given:
            raise Forbidden("the header X-PLACETEL-SIGNATURE is missing")
        signature = given.strip().lower().encode("utf-8", "replace")
        matches = False
        for secret in source.secrets:
            if secret:
                made = hmac.new(secret.encode(), request.body, hashlib.sha256).hexdigest().encode()
                matches |= hmac.compare_digest(made, signature)
        if not matches:
            raise Forbidden("the signature does not match (check the shared secret of the External API)")

    def parse(self, source: CallSource, request: HookRequest) -> Sequence[CallEvent]:
        # Only what is signed counts, and that is the body.
        fields = dict(request.form)
        said = fields.get("event", "")
        kind = _EVENTS.get(said)
        if kind is None:
            wrong = Invalid if said else Malformed
            raise wrong("event is unknown", fields={"event": f"must be {', '.join(_EVENTS)}"})
        event = _event(said, kind, fields)
        if said == "HungUp" and event.cause == "accepted" and event.direction is Direction.INBOUND:
            return (event, _was_accepted(event))
        return (event,)

    def reply(
        self,
        source: CallSource,
        request: HookRequest,
        events: Sequence[CallEvent],
        outcomes: Sequence[CallOutcome],
    ) -> HookReply:
        verb = ""
        if events and outcomes and events[0].event_key.endswith(f":{_INCOMING}"):
            verb = _verb(source.options, outcomes[0])
        body = markup.DECLARATION + markup.element("Response", content=verb)
        return HookReply(200, body, "application/xml")


def _event(said: str, kind: EventType, fields: Mapping[str, str]) -> CallEvent:
    call_key = required_key("call_id", fields.get("call_id"))
    ani, dnis = optional_text(fields.get("from")), optional_text(fields.get("to"))
    direction = _direction(said, fields.get("direction", ""))
    if direction is Direction.OUTBOUND and _is_phone(ani) and _is_phone(dnis):
        direction = Direction.INTERNAL
    ended = kind is EventType.HANGUP
    cause = optional_text(fields.get("type")) if ended else None
    if ended and direction is Direction.INBOUND:
        kind = _ENDS.get(cause or "", EventType.HANGUP)
    agent = optional_text(fields.get("peer"))
    if agent is None and said == "OutgoingCall" and _is_phone(ani):
        agent = ani
    return CallEvent(
        type=kind,
        call_key=call_key,
        leg_key=call_key,
        event_key=f"{call_key}:{said}",
        direction=direction,
        ani=ani,
        dnis=dnis,
        agent_refs=(agent,) if agent else (),
        duration_seconds=optional_count(fields.get("duration")) if ended else None,
        cause=cause,
        ends_call=ended,
    )


def _direction(said: str, direction: str) -> Direction:
    """The field is not always sent; only outgoing calls have an event of their own."""
    if said == "OutgoingCall":
        return Direction.OUTBOUND
    found = _DIRECTIONS.get(direction.lower(), Direction.INBOUND if not direction else None)
    if found is None:
        raise Invalid("direction is not valid", fields={"direction": "must be in or out"})
    return found


def _is_phone(address: str | None) -> bool:
    """A SIP user of the account; a number from outside has no host."""
    return address is not None and "@" in address


def _was_accepted(end: CallEvent) -> CallEvent:
    """The end says that somebody had picked up: a lost CallAccepted must not make the call a missed one."""
    return replace(
        end,
        type=EventType.ANSWERED,
        event_key=f"{end.call_key}:accepted",
        duration_seconds=None,
        cause=None,
        ends_call=False,
    )


# -- where the call goes -----------------------------------------------------------------------------


def _verb(options: Mapping[str, str], outcome: CallOutcome) -> str:
    if options.get("dial") != "agents":
        return ""
    numbers = list(_numbers(outcome.agents))[:MAX_DIALLED]
    if numbers:
        return _forward(options, numbers)
    if outcome.closed:
        return _place(options, options.get("closed", "voicemail"))
    return _place(options, options.get("nobody", ""))


def _forward(options: Mapping[str, str], numbers: Sequence[str]) -> str:
    ringtime = optional_count(options.get("ringtime")) or 20
    target = markup.element(
        "Target",
        {"ringtime": str(ringtime)},
        "".join(markup.element("Number", content=markup.text(number)) for number in numbers),
    )
    return markup.element("Forward", _forward_attributes(options), target)


def _forward_attributes(options: Mapping[str, str]) -> dict[str, str]:
    # TOML's true comes as "True", the API writes it small.
    return {name: options[name].lower() for name in _FORWARD_OPTIONS if options.get(name)}


def _place(options: Mapping[str, str], said: str) -> str:
    """Where a caller goes whom nobody can take; nothing leaves that to the number's routing plan."""
    place, _, id_ = said.partition(":")
    if place == "voicemail":
        return markup.element("Forward", _forward_attributes(options) | {"voicemail": "true"})
    if place == "busy":
        return markup.element("Reject", {"reason": "busy"})
    if place == "hangup":
        return markup.element("Hangup")
    return markup.element(_PLACES[place], {"id": id_}) if place in _PLACES and id_ else ""


def _numbers(agents: Iterable[RungAgent]) -> Iterable[str]:
    """SIP users and numbers; agents without a phone of that kind cannot be rung from here."""
    for agent in agents:
        phone = (optional_text(agent.extension) or "").removeprefix("sip:")
        if _DIALLABLE.fullmatch(phone):
            yield phone


PROVIDER = PlacetelProvider()
