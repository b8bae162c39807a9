"""Twilio's requests as neutral events: one function for each kind."""

from __future__ import annotations

from collections.abc import Callable

from handlers.telephony.fields import optional_count, optional_text, required_key, rfc2822_time
from handlers.telephony.twilio_message import FINAL, PROGRESS, Kind, Message
from server.domain.errors import Invalid
from server.domain.event import CallEvent, Direction, EventType

_HOLDS = {"participant-hold": EventType.HELD, "participant-unhold": EventType.UNHELD}


def agent_refs_of(to: str | None) -> tuple[str, ...]:
    """``client:priya`` is the agent ``priya``; SIP URIs and numbers stay as they are."""
    ref = optional_text((to or "").removeprefix("client:"))
    return (ref,) if ref else ()


def _first_leg(
    message: Message,
    type_: EventType,
    event_key: str,
    *,
    leg_key: str,
    cause: str | None = None,
    ends_call: bool = False,
    agent_refs: tuple[str, ...] = (),
    dnis: str | None = None,
    duration: str | None = None,
    recording_url: str | None = None,
) -> CallEvent:
    """An event of the call's first leg: the customer's, or on click to dial the agent's."""
    fields = message.fields
    outbound = message.outbound
    to = fields.get("To")
    if outbound and not agent_refs:
        agent_refs = agent_refs_of(to)
    if dnis is None:
        # A client or a SIP phone that we called is an agent and nobody's number.
        dnis = to if not outbound or (to or "").startswith("+") else None
    return CallEvent(
        type=type_,
        call_key=leg_key,
        leg_key=leg_key,
        event_key=event_key,
        direction=Direction.OUTBOUND if outbound else Direction.INBOUND,
        ani=optional_text(fields.get("From")),
        dnis=optional_text(dnis),
        display_name=optional_text(fields.get("CallerName")),
        agent_refs=agent_refs,
        occurred_at=rfc2822_time(fields.get("Timestamp")),
        duration_seconds=optional_count(duration),
        cause=optional_text(cause),
        recording_url=optional_text(recording_url),
        sequence=optional_count(fields.get("SequenceNumber")),
        stir=_stir(fields.get("StirVerstat")),
        ends_call=ends_call,
    )


def _stir(verdict: str | None) -> str | None:
    """``TN-Validation-Passed-A`` and its like ("SHAKEN/STIR" of Twilio's docs); None where nothing was signed."""
    outcome, _, level = (verdict or "").removeprefix("TN-Validation-").partition("-")
    if outcome == "Failed":
        return "failed"
    return level[:1] if outcome == "Passed" and level[:1] in ("A", "B", "C") else None


def _voice_event(message: Message) -> CallEvent | None:
    leg_key = message.leg_key
    if "CallStatus" in message.fields:
        message.status  # noqa: B018  (raises when unknown)
    return _first_leg(message, EventType.RINGING, f"{leg_key}:ringing", leg_key=leg_key)


def _status_event(message: Message) -> CallEvent | None:
    """Progress of one leg. A leg with a parent is one that our Dial rings."""
    fields, leg_key, status = message.fields, message.leg_key, message.status
    final = status in FINAL
    type_ = EventType.HANGUP if final else PROGRESS[status]
    cause = status if final and status != "completed" else None
    duration = fields.get("CallDuration") if final else None
    if not fields.get("ParentCallSid"):
        if type_ is EventType.ANSWERED:
            return None  # the platform took the call to run our document: nobody has answered yet
        return _first_leg(
            message,
            type_,
            f"{leg_key}:{status}",
            leg_key=leg_key,
            cause=cause,
            duration=duration,
            ends_call=final,
        )
    to_customer = message.own.get("leg") == "customer"
    parent = required_key("ParentCallSid", fields["ParentCallSid"])
    return CallEvent(
        type=type_,
        call_key=parent,
        leg_key=leg_key,
        parent_leg_key=parent,
        event_key=f"{leg_key}:{status}",
        direction=Direction.OUTBOUND if to_customer else Direction.INBOUND,
        ani=optional_text(fields.get("From")),
        dnis=optional_text(fields.get("To")) if to_customer else None,
        agent_refs=() if to_customer else agent_refs_of(fields.get("To")),
        occurred_at=rfc2822_time(fields.get("Timestamp")),
        duration_seconds=optional_count(duration),
        cause=cause,
        sequence=optional_count(fields.get("SequenceNumber")),
        ends_call=final,
    )


def _dial_action_event(message: Message) -> CallEvent | None:
    """The end of a Dial: of the talk, or of the ringing when nobody took it."""
    fields, leg_key = message.fields, message.leg_key
    result = fields["DialCallStatus"]
    if result not in FINAL and result != "answered":
        raise Invalid("DialCallStatus is unknown", fields={"DialCallStatus": "is not one of Twilio's"})
    key = f"{leg_key}:dial-action:{optional_text(fields.get('DialCallSid')) or message.token or result}"
    caller_gone = fields.get("CallStatus") in FINAL
    if result in ("completed", "answered"):
        duration = fields.get("DialCallDuration")
        # The answer to it hangs up, whoever of the two ended the talk.
        return _first_leg(message, EventType.HANGUP, key, leg_key=leg_key, duration=duration, ends_call=True)
    if message.outbound:
        return _first_leg(message, EventType.HANGUP, key, leg_key=leg_key, cause=result, ends_call=True)
    if not caller_gone and not message.takes_voicemail:
        return _first_leg(message, EventType.QUEUED, key, leg_key=leg_key, cause=result)
    return _first_leg(message, EventType.MISSED, key, leg_key=leg_key, cause=result, ends_call=caller_gone)


def _record_action_event(message: Message) -> CallEvent | None:
    """A voicemail was left; the answer to it hangs up."""
    fields, leg_key = message.fields, message.leg_key
    recording = required_key(
        "RecordingSid", fields.get("RecordingSid") or fields.get("RecordingUrl", "")[-34:]
    )
    return _first_leg(
        message,
        EventType.VOICEMAIL,
        f"{recording}:voicemail",
        leg_key=leg_key,
        duration=fields.get("RecordingDuration"),
        recording_url=fields.get("RecordingUrl"),
        ends_call=True,
    )


def _recording_event(message: Message) -> CallEvent | None:
    """A recording can be fetched. Its CallSid is always the first leg; it has no From and no To."""
    fields = message.fields
    if fields["RecordingStatus"] != "completed":
        return None
    leg_key = message.leg_key
    recording = required_key("RecordingSid", fields.get("RecordingSid"))
    return CallEvent(
        type=EventType.RECORDING_READY,
        call_key=leg_key,
        leg_key=leg_key,
        event_key=f"{recording}:recording:completed",
        duration_seconds=optional_count(fields.get("RecordingDuration")),
        recording_url=optional_text(fields.get("RecordingUrl")),
    )


def _conference_event(message: Message) -> CallEvent | None:
    fields = message.fields
    type_ = _HOLDS.get(fields["StatusCallbackEvent"])
    if type_ is None:
        return None
    leg_key = message.leg_key
    number = optional_text(fields.get("SequenceNumber") or fields.get("Timestamp")) or message.token
    return CallEvent(
        type=type_,
        call_key=leg_key,
        leg_key=leg_key,
        event_key=f"{optional_text(fields.get('ConferenceSid')) or leg_key}:conf:{number}",
        occurred_at=rfc2822_time(fields.get("Timestamp")),
        sequence=optional_count(fields.get("SequenceNumber")),
    )


def _transfer_event(message: Message) -> CallEvent | None:
    leg_key = message.leg_key
    target = required_key("target", message.own["target"])
    refs = agent_refs_of(target)
    return _first_leg(
        message, EventType.TRANSFERRED, f"{leg_key}:transfer:{target}", leg_key=leg_key, agent_refs=refs
    )


def _outbound_event(message: Message) -> CallEvent | None:
    """The agent picked up on click to dial; now the customer is called."""
    leg_key = message.leg_key
    customer = required_key("customer", message.own["customer"])
    return _first_leg(
        message, EventType.DIALING, f"{leg_key}:dial:{customer}", leg_key=leg_key, dnis=customer
    )


def _wait_event(message: Message) -> CallEvent | None:
    """The caller still waits: every poll is a new event, so that routing looks again."""
    leg_key = message.leg_key
    poll = message.token or optional_text(message.fields.get("QueueTime")) or "0"
    return _first_leg(message, EventType.QUEUED, f"{leg_key}:wait:{poll}", leg_key=leg_key)


def _dequeued_event(message: Message) -> CallEvent | None:
    fields, leg_key = message.fields, message.leg_key
    result = optional_text(fields.get("QueueResult")) or "leave"
    poll = message.token or optional_text(fields.get("QueueTime")) or "0"
    if result == "leave":
        return _first_leg(message, EventType.QUEUED, f"{leg_key}:dequeued:{poll}", leg_key=leg_key)
    if result == "redirected":
        return None  # a transfer took the caller out of the queue; its own request follows
    cause = None if result == "bridged" else result
    key = f"{leg_key}:dequeued:{result}"
    return _first_leg(message, EventType.HANGUP, key, leg_key=leg_key, cause=cause, ends_call=True)


def _notice_event(message: Message) -> CallEvent | None:
    """Nothing about a call's progress; still it must be a message of Twilio's."""
    required_key("CallSid", message.fields.get("CallSid"))
    return None


EVENTS: dict[Kind, Callable[[Message], CallEvent | None]] = {
    Kind.VOICE: _voice_event,
    Kind.TRANSFER: _transfer_event,
    Kind.OUTBOUND: _outbound_event,
    Kind.DIAL_ACTION: _dial_action_event,
    Kind.RECORD_ACTION: _record_action_event,
    Kind.WAIT: _wait_event,
    Kind.DEQUEUED: _dequeued_event,
    Kind.STATUS: _status_event,
    Kind.RECORDING: _recording_event,
    Kind.CONFERENCE: _conference_event,
    Kind.NOTICE: _notice_event,
}
