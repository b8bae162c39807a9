"""Vonage's webhooks as neutral events: one function for each kind."""

from __future__ import annotations

from collections.abc import Callable

from handlers.telephony.fields import optional_count, optional_text, required_key
from handlers.telephony.ncco import plain_number
from handlers.telephony.timestamps import iso_time, seconds_between
from handlers.telephony.vonage_conversations import Conversations
from handlers.telephony.vonage_message import DETECTED, FINAL, Kind, Message
from server.domain.event import CallEvent, Direction, EventType

_PROGRESS = {
    "started": EventType.DIALING,
    "ringing": EventType.RINGING,
    "answered": EventType.ANSWERED,
}

_conversations = Conversations()


def call_key_of(message: Message) -> str:
    """The conversation in which the call began: our own URL says it, or what was seen of transfers."""
    conversation, source = message.conversation, message.source.name
    said = message.own.get("call")
    if not said:
        return _conversations.call_of(source, conversation)
    call = required_key("call", said)
    _conversations.join(source, conversation, call)
    return call


def number_of(value: str | None) -> str | None:
    """Vonage writes E.164 without the plus; SIP addresses and user names stay as they are."""
    digits = plain_number(value)
    return f"+{digits}" if digits else optional_text(value)


def _agent_refs(address: str | None) -> tuple[str, ...]:
    ref = optional_text(address)
    return (ref,) if ref else ()


def _answer_event(message: Message) -> CallEvent:
    """A call came in. Of a call from the client SDK there is a user name instead of a number."""
    fields, leg_key = message.fields, message.leg_key
    return CallEvent(
        type=EventType.RINGING,
        call_key=call_key_of(message),
        leg_key=leg_key,
        event_key=f"{leg_key}:answer",
        direction=Direction.INBOUND,
        ani=number_of(fields.get("from") or fields.get("from_user")),
        dnis=number_of(fields.get("to")),
    )


def _customer_event(message: Message) -> CallEvent:
    """Click to dial: the agent picked up, now the customer is rung."""
    fields, leg_key = message.fields, message.leg_key
    return CallEvent(
        type=EventType.ANSWERED,
        call_key=call_key_of(message),
        leg_key=leg_key,
        event_key=f"{leg_key}:answer",
        direction=Direction.OUTBOUND,
        ani=number_of(fields.get("from")),
        dnis=number_of(required_key("customer", message.own["customer"])),
        agent_refs=_agent_refs(fields.get("to")),
    )


def _target_event(message: Message) -> CallEvent:
    """The first we hear of a transfer of ours: the moved leg asks whom to ring."""
    leg_key = message.leg_key
    target = required_key("target", message.own["target"])
    return CallEvent(
        type=EventType.TRANSFERRED,
        call_key=call_key_of(message),
        leg_key=leg_key,
        event_key=f"{leg_key}:transfer:{target}",
        agent_refs=_agent_refs(target),
    )


def _waited_event(message: Message) -> CallEvent:
    """The caller still waits: every poll is a new event, so that routing looks again."""
    leg_key = message.leg_key
    return CallEvent(
        type=EventType.QUEUED,
        call_key=call_key_of(message),
        leg_key=leg_key,
        event_key=f"{leg_key}:wait:{message.poll or 0}",
        direction=Direction.INBOUND,
        occurred_at=message.occurred_at,
    )


def _status_event(message: Message) -> CallEvent | None:
    status = message.status
    if status in DETECTED:
        return None  # a person or a machine: the leg's own events say the rest
    return _phone_event(message, status) if message.outbound else _caller_event(message, status)


def _caller_event(message: Message, status: str) -> CallEvent | None:
    """Progress of the leg that came in."""
    if status == "answered":
        return None  # the platform took the call to run our NCCO: nobody has answered yet
    type_ = EventType.HANGUP if status in FINAL else EventType.RINGING
    return _leg_event(
        message,
        EventType.MISSED if status == "unanswered" else type_,
        direction=Direction.INBOUND,
        ani=message.fields.get("from") or message.fields.get("from_user"),
        dnis=message.fields.get("to"),
    )


def _phone_event(message: Message, status: str) -> CallEvent:
    """Progress of a leg that Vonage rings: an agent's, or on click to dial the customer's.

    Only our own URL tells the two apart. Without it every such leg counts as an agent's.
    """
    fields, own, source = message.fields, message.own, message.source
    role, dialled = own.get("leg"), own.get("customer")
    type_ = _PROGRESS.get(status, EventType.HANGUP)
    if message.last_untaken and message.takes_voicemail:
        type_ = EventType.MISSED
    if role != "customer" and type_ in (EventType.ANSWERED, EventType.MISSED):
        call_key = call_key_of(message)
        _conversations.note_answer(source.name, call_key, answered=type_ is EventType.ANSWERED)
    of_inbound_call = role == "agent"
    return _leg_event(
        message,
        type_,
        direction=Direction.INBOUND if of_inbound_call else Direction.OUTBOUND,
        ani=None if of_inbound_call else fields.get("from"),
        dnis=None if of_inbound_call else dialled or fields.get("to"),
        agent_refs=() if role == "customer" else _agent_refs(own.get("agent") or fields.get("to")),
        parent_leg_key=own.get("first") if of_inbound_call else None,
    )


def _leg_event(
    message: Message,
    type_: EventType,
    *,
    direction: Direction,
    ani: str | None,
    dnis: str | None,
    agent_refs: tuple[str, ...] = (),
    parent_leg_key: str | None = None,
) -> CallEvent:
    status, leg_key = message.status, message.leg_key
    final = status in FINAL
    cause = None
    if final and status != "completed":
        detail = optional_text(message.fields.get("detail"))
        cause = f"{status}:{detail}" if detail else status
    return CallEvent(
        type=type_,
        call_key=call_key_of(message),
        leg_key=leg_key,
        event_key=f"{leg_key}:{status}",
        direction=direction,
        parent_leg_key=required_key("first", parent_leg_key) if parent_leg_key else None,
        ani=number_of(ani),
        dnis=number_of(dnis),
        agent_refs=agent_refs,
        occurred_at=message.occurred_at,
        duration_seconds=optional_count(message.fields.get("duration")) if final else None,
        cause=cause,
        ends_call=final,
    )


def _transfer_event(message: Message) -> CallEvent:
    """A leg was moved into another conversation, which goes on the same call from now on."""
    fields, source, leg_key = message.fields, message.source.name, message.leg_key
    left = required_key("conversation_uuid_from", fields.get("conversation_uuid_from"))
    entered = required_key("conversation_uuid_to", fields.get("conversation_uuid_to"))
    _conversations.join(source, entered, left)
    return CallEvent(
        type=EventType.TRANSFERRED,
        call_key=_conversations.call_of(source, left),
        leg_key=leg_key,
        event_key=f"{leg_key}:transfer:{entered}",
        occurred_at=message.occurred_at,
    )


def _recording_event(message: Message) -> CallEvent:
    """A recording can be fetched (with a token of the application). It does not say of which leg.

    Without our own URL it is a leg of its own, over when it begins, so that no call waits for its end.
    """
    fields, call_key = message.fields, call_key_of(message)
    recording = required_key("recording_uuid", fields.get("recording_uuid"))
    step, leg = message.own.get("step"), message.own.get("first")
    voicemail = step == "voicemail"
    if step is None:
        voicemail = _conversations.nobody_answered(message.source.name, call_key)
    began, ended = iso_time(fields.get("start_time")), iso_time(fields.get("end_time"))
    return CallEvent(
        type=EventType.VOICEMAIL if voicemail else EventType.RECORDING_READY,
        call_key=call_key,
        leg_key=required_key("first", leg) if leg else recording,
        event_key=f"recording:{recording}",
        occurred_at=ended or message.occurred_at,
        duration_seconds=seconds_between(began, ended),
        recording_url=optional_text(fields.get("recording_url")),
        ends_call=not leg,
    )


def _notice_event(message: Message) -> None:
    """Nothing about a call's progress: an error, keys that were pressed, a notify."""


EVENTS: dict[Kind, Callable[[Message], CallEvent | None]] = {
    Kind.ANSWER: _answer_event,
    Kind.CUSTOMER: _customer_event,
    Kind.TARGET: _target_event,
    Kind.WAITED: _waited_event,
    Kind.STATUS: _status_event,
    Kind.TRANSFER: _transfer_event,
    Kind.RECORDING: _recording_event,
    Kind.NOTICE: _notice_event,
}
