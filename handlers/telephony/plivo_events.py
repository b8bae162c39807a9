"""Plivo's requests as neutral events: one function for each kind.

Plivo's StartTime, AnswerTime and EndTime are in the console's time zone and do not say which: they are not
read. SessionStart is in UTC.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from handlers.telephony.fields import optional_count, optional_text, required_key
from handlers.telephony.plivo_addresses import agent_refs_of, number_of
from handlers.telephony.plivo_message import FINAL, Kind, Message
from handlers.telephony.timestamps import epoch_time, iso_time
from server.domain.errors import Invalid
from server.domain.event import CallEvent, Direction, EventType

_DIAL_ACTIONS = {
    "answer": EventType.ANSWERED,
    "connected": EventType.ANSWERED,  # says the same once more, should the first have been lost
    "hangup": EventType.HANGUP,
}
_ATTESTATIONS = ("A", "B", "C")


def _first_leg(
    message: Message,
    type_: EventType,
    event_key: str,
    *,
    cause: str | None = None,
    ends_call: bool = False,
    agent_refs: tuple[str, ...] = (),
    duration: str | None = None,
    recording_url: str | None = None,
    occurred_at: datetime | None = None,
) -> CallEvent:
    """An event of the leg that the request is of: the customer's, or on click to dial the agent's."""
    fields, leg_key, call_key = message.fields, message.leg_key, message.call_key
    outbound = message.outbound
    to, dnis = fields.get("To"), fields.get("To")
    if outbound:
        agent_refs = agent_refs or agent_refs_of(message.source, to)
        # A SIP phone that we called is an agent's and nobody's number.
        dnis = message.own.get("customer") or (None if (to or "").startswith("sip:") else to)
    return CallEvent(
        type=type_,
        call_key=call_key,
        leg_key=leg_key,
        parent_leg_key=call_key if leg_key != call_key else None,
        event_key=event_key,
        direction=Direction.OUTBOUND if outbound else Direction.INBOUND,
        ani=number_of(fields.get("From")),
        dnis=number_of(dnis),
        display_name=_name(fields.get("CallerName"), fields.get("From")),
        agent_refs=agent_refs,
        occurred_at=occurred_at,
        duration_seconds=optional_count(duration),
        cause=optional_text(cause),
        recording_url=optional_text(recording_url),
        stir=_stir(message),
        ends_call=ends_call,
    )


def _voice_event(message: Message) -> CallEvent:
    """A call came in; or, of one that an API call made, the phone was picked up."""
    message.status  # noqa: B018  (raises when unknown)
    leg_key = message.leg_key
    step = "Redirect" if message.fields.get("Event") == "Redirect" else "StartApp"
    if message.outbound:
        return _first_leg(message, EventType.ANSWERED, f"{leg_key}:{step}")
    began = iso_time(message.fields.get("SessionStart")) if step == "StartApp" else None
    return _first_leg(message, EventType.RINGING, f"{leg_key}:{step}", occurred_at=began)


def _customer_event(message: Message) -> CallEvent:
    """Click to dial: the agent picked up, now the customer is rung."""
    required_key("customer", message.own["customer"])
    return _first_leg(message, EventType.ANSWERED, f"{message.leg_key}:StartApp")


def _target_event(message: Message) -> CallEvent:
    """The moved leg asks whom to ring."""
    target = required_key("target", message.own["target"])
    refs = agent_refs_of(message.source, target)
    return _first_leg(message, EventType.TRANSFERRED, f"{message.leg_key}:transfer:{target}", agent_refs=refs)


def _wait_event(message: Message) -> CallEvent:
    """The caller still waits: every poll is a new event, so that routing looks again."""
    return _first_leg(message, EventType.QUEUED, f"{message.leg_key}:wait:{message.poll}")


def _ring_event(message: Message) -> CallEvent:
    """The phone that an API call rings."""
    return _first_leg(message, EventType.RINGING, f"{message.leg_key}:Ring")


def _dial_event(message: Message) -> CallEvent | None:
    """Progress of a phone that our Dial rings: an agent's, or on click to dial the customer's."""
    fields = message.fields
    action = fields["DialAction"]
    if action == "digits":
        return None
    if action not in _DIAL_ACTIONS:
        raise Invalid("DialAction is unknown", fields={"DialAction": "is not one of Plivo's"})
    if action == "hangup" and not fields.get("DialBLegUUID"):
        return None  # nobody was there; the Dial's own action says so
    leg_key = required_key("DialBLegUUID", fields.get("DialBLegUUID"))
    parent = required_key("DialALegUUID", fields.get("DialALegUUID") or message.call_key)
    to, to_customer = fields.get("DialBLegTo"), message.own.get("leg") == "customer"
    ended = action == "hangup"
    return CallEvent(
        type=_DIAL_ACTIONS[action],
        call_key=required_key("call", message.own.get("call") or parent),
        leg_key=leg_key,
        parent_leg_key=parent,
        event_key=f"{leg_key}:{action}",
        direction=Direction.OUTBOUND if to_customer else None,
        ani=number_of(fields.get("DialBLegFrom")),
        dnis=number_of(to) if to_customer else None,
        agent_refs=() if to_customer else agent_refs_of(message.source, to),
        duration_seconds=optional_count(fields.get("DialBLegDuration")) if ended else None,
        cause=optional_text(fields.get("DialBLegHangupCause")) if ended else None,
        ends_call=ended,
    )


def _dial_action_event(message: Message) -> CallEvent | None:
    """The end of a Dial: of the talk, or of the ringing when nobody took it.

    After a talk the hang-up follows, unless a transfer ended the Dial: then the call goes on.
    """
    result = message.fields["DialStatus"]
    if result not in FINAL:
        raise Invalid("DialStatus is unknown", fields={"DialStatus": "is not one of Plivo's"})
    mark = optional_text(message.own.get("dial"))
    key = f"{message.leg_key}:dial-action{f':{mark}' if mark else ''}"
    caller_gone = message.status in FINAL
    if result == "completed":
        return _first_leg(message, EventType.HANGUP, key, ends_call=True) if caller_gone else None
    if message.outbound:
        # The answer to it hangs up: there is nobody to speak with.
        return _first_leg(message, EventType.HANGUP, key, cause=result, ends_call=True)
    if not caller_gone and not message.takes_voicemail:
        return _first_leg(message, EventType.QUEUED, key, cause=result)
    return _first_leg(message, EventType.MISSED, key, cause=result, ends_call=caller_gone)


def _voicemail_event(message: Message) -> CallEvent:
    """A voicemail was left; the answer to it hangs up."""
    fields = message.fields
    recording = required_key("RecordingID", fields.get("RecordingID"))
    return _first_leg(
        message,
        EventType.VOICEMAIL,
        f"recording:{recording}",
        duration=fields.get("RecordingDuration"),
        recording_url=fields.get("RecordUrl"),
        occurred_at=epoch_time(fields.get("RecordingEndMs"), per_second=1000),
        ends_call=True,
    )


def _recording_event(message: Message) -> CallEvent:
    """A recording can be fetched. Without a direction its From and To say nobody's side."""
    fields = message.fields
    recording = required_key("RecordingID", fields.get("RecordingID"))
    return CallEvent(
        type=EventType.RECORDING_READY,
        call_key=message.call_key,
        leg_key=message.leg_key,
        event_key=f"recording:{recording}",
        occurred_at=epoch_time(fields.get("RecordingEndMs"), per_second=1000),
        duration_seconds=optional_count(fields.get("RecordingDuration")),
        recording_url=optional_text(fields.get("RecordUrl")),
    )


def _hangup_event(message: Message) -> CallEvent:
    """The end of the A leg. A caller who gave up before anybody answered was missed."""
    fields, status = message.fields, message.status
    key = f"{message.leg_key}:Hangup"
    if status == "cancel" and not message.outbound:
        return _first_leg(message, EventType.MISSED, key, cause=status, ends_call=True)
    cause = fields.get("HangupCause") or (status if status != "completed" else None)
    duration = fields.get("Duration")
    return _first_leg(message, EventType.HANGUP, key, cause=cause, duration=duration, ends_call=True)


def _notice_event(message: Message) -> None:
    """Nothing about a call's progress; still it must be a message of Plivo's."""
    required_key("CallUUID", message.fields.get("CallUUID"))


def _name(name: str | None, number: str | None) -> str | None:
    """The caller's name; where there is none, Plivo repeats the number."""
    text = optional_text(name)
    return None if text and text.removeprefix("+") == (number or "").removeprefix("+") else text


def _stir(message: Message) -> str | None:
    """The attestation as the carrier signed it. "Verified" is level A ("STIR/SHAKEN" of Plivo's docs)."""
    fields = message.fields
    level = fields.get("STIRAttestation", "").strip().upper()
    said = (fields.get("stir_verification") or fields.get("STIRVerification") or "").strip().lower()
    if said == "verified":
        return level if level in _ATTESTATIONS else "A"
    return level if said == "not verified" and level in ("B", "C") else None


EVENTS: dict[Kind, Callable[[Message], CallEvent | None]] = {
    Kind.VOICE: _voice_event,
    Kind.CUSTOMER: _customer_event,
    Kind.TARGET: _target_event,
    Kind.WAIT: _wait_event,
    Kind.DIAL_ACTION: _dial_action_event,
    Kind.DIAL_EVENT: _dial_event,
    Kind.VOICEMAIL: _voicemail_event,
    Kind.RECORDING: _recording_event,
    Kind.RING: _ring_event,
    Kind.HANGUP: _hangup_event,
    Kind.NOTICE: _notice_event,
}
