"""Telnyx's webhooks as neutral events: one function for each kind.

A webhook tells one leg's story and seldom who is at its end: ``direction`` comes with ``call.initiated``
only. So our commands write it into the leg's client_state; of a leg without one, a SIP address is an agent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from handlers.telephony.fields import optional_text, required_key
from handlers.telephony.telnyx_message import CALLER_STEPS, ClientState, Message, Step
from handlers.telephony.timestamps import iso_time, seconds_between
from server.domain.event import CallEvent, Direction, EventType

UNTAKEN = frozenset({"timeout", "no_answer", "user_busy", "call_rejected", "not_found"})
"""The causes of a leg that was not picked up while the other side is still there."""

_LONGEST_URL = 2048
_VERDICTS = ("A", "B", "C")


@dataclass(frozen=True, slots=True, kw_only=True)
class TelnyxEvent(CallEvent):
    """A neutral event with what the commands after it need: the leg's address and its state."""

    kind: str
    control: str | None = None  # the leg's call_control_id
    connection: str | None = None
    state: ClientState = field(default_factory=ClientState)


def read_event(message: Message) -> TelnyxEvent | None:
    """None when the message says nothing of the call's progress."""
    read = _EVENTS.get(message.kind)
    return None if read is None else read(message)


# -- who is at the end of a leg --------------------------------------------------------------------


def _agent(message: Message) -> str | None:
    """The agent at this leg's end, by the name that we dialled; None at the customer's end."""
    state = message.state
    if state.step in CALLER_STEPS or state.step is Step.CUSTOMER or state.voicemail:
        return None
    if state.agent:
        return optional_text(state.agent)
    to = message.text("to") or ""
    if to.startswith(("sip:", "sips:")) and message.text("direction") != "incoming":
        return optional_text(to.partition(":")[2].partition("@")[0])
    return optional_text(to) if state.step is Step.RING else None


def _direction(message: Message, agent: str | None) -> Direction | None:
    """Of the call. None where an agent's leg does not say for which side it rings."""
    step = message.state.step
    if step in (Step.DIAL, Step.CUSTOMER):
        return Direction.OUTBOUND
    if step is Step.RING:
        return Direction.INBOUND
    if agent is not None:
        return None
    # An outgoing leg to a number, made by another program, is a call to a customer.
    return Direction.OUTBOUND if message.text("direction") == "outgoing" else Direction.INBOUND


def _event(message: Message, type_: EventType, **more: Any) -> TelnyxEvent:
    agent, state = _agent(message), message.state
    direction = _direction(message, agent)
    dnis = (message.text("to") or state.line) if agent is None else None
    if state.step is Step.DIAL:
        dnis = state.customer
    said: dict[str, Any] = {
        "type": type_,
        "call_key": required_key("call_session_id", message.text("call_session_id")),
        "leg_key": required_key("call_leg_id", message.text("call_leg_id")),
        "parent_leg_key": state.leg,
        "event_key": message.key,
        "direction": direction,
        "ani": optional_text(message.text("from") or state.caller),
        "dnis": optional_text(dnis),
        "agent_refs": (agent,) if agent else (),
        "occurred_at": message.occurred_at,
        "kind": message.kind,
        "control": message.id("call_control_id"),
        "connection": message.id("connection_id"),
        "state": state,
    }
    return TelnyxEvent(**(said | more))


# -- one function for each kind --------------------------------------------------------------------


def _initiated(message: Message) -> TelnyxEvent:
    """The earliest word of a leg; there is no ringing event."""
    type_ = EventType.TRANSFERRED if message.state.step is Step.TRANSFER else EventType.RINGING
    name = optional_text(message.text("caller_id_name"))
    return _event(message, type_, display_name=name, stir=_stir(message))


def _answered(message: Message) -> TelnyxEvent | None:
    step = message.state.step
    if step is Step.CUSTOMER:
        return _event(message, EventType.ANSWERED)
    if step is Step.DIAL:
        # The agent is on the line; now the customer is called.
        return _event(message, EventType.DIALING)
    if step is Step.ANSWER:
        return _event(message, EventType.QUEUED)
    # A customer's leg that another program picked up: nobody has answered yet.
    return None if _agent(message) is None else _event(message, EventType.ANSWERED)


def _hangup(message: Message) -> TelnyxEvent:
    agent, state = _agent(message), message.state
    cause = optional_text(message.text("hangup_cause"))
    if _is_missed(message, agent, cause):
        return _event(message, EventType.MISSED, cause=cause, ends_call=True)
    seconds = None
    if agent is None and state.step is not Step.CUSTOMER:
        # The time with us. How long an agent talked, this message does not say: it counts the ringing in.
        end = iso_time(message.text("end_time")) or message.occurred_at
        seconds = seconds_between(iso_time(message.text("start_time")), end)
    return _event(message, EventType.HANGUP, cause=cause, duration_seconds=seconds, ends_call=True)


def _is_missed(message: Message, agent: str | None, cause: str | None) -> bool:
    """The caller gave up, or the only phone that rang was not picked up and the caller is not queued again."""
    step = message.state.step
    if agent is None:
        return cause == "originator_cancel" and step is not Step.CUSTOMER
    if step in (Step.DIAL, Step.TRANSFER) or message.state.group:
        return False
    return cause in UNTAKEN and message.source.takes_voicemail


def _enqueued(message: Message) -> TelnyxEvent:
    return _event(message, EventType.QUEUED, queue_ref=optional_text(message.text("queue")))


def _dequeued(message: Message) -> TelnyxEvent | None:
    """Our queue lets the caller go for a moment, so that routing looks again."""
    if message.state.step is not Step.WAIT or message.text("reason") != "timeout":
        return None
    return _event(message, EventType.QUEUED)


def _spoken(message: Message) -> TelnyxEvent | None:
    """The caller has heard that a message may be left and waits for the tone, or that nobody is there."""
    ours = message.state.step in (Step.GREET, Step.CLOSED)
    return _event(message, EventType.QUEUED) if ours else None


def _held(message: Message) -> TelnyxEvent:
    return _event(message, EventType.HELD)


def _unheld(message: Message) -> TelnyxEvent:
    return _event(message, EventType.UNHELD)


def _recorded(message: Message) -> TelnyxEvent:
    """The addresses are good for ten minutes only."""
    type_ = EventType.VOICEMAIL if message.state.voicemail else EventType.RECORDING_READY
    start, end = message.text("recording_started_at"), message.text("recording_ended_at")
    seconds = seconds_between(iso_time(start), iso_time(end))
    return _event(message, type_, recording_url=_recording(message), duration_seconds=seconds)


_EVENTS: dict[str, Callable[[Message], TelnyxEvent | None]] = {
    "initiated": _initiated,
    "answered": _answered,
    "hangup": _hangup,
    "enqueued": _enqueued,
    "dequeued": _dequeued,
    "speak.ended": _spoken,
    "hold": _held,
    "unhold": _unheld,
    "recording.saved": _recorded,
}


def _stir(message: Message) -> str | None:
    """The attestation where the carrier checked it, "failed" where the check failed."""
    attested, checked = message.text("shaken_stir_attestation"), message.payload.get("shaken_stir_validated")
    if attested not in _VERDICTS or not isinstance(checked, bool):
        return None
    return attested if checked else "failed"


def _recording(message: Message) -> str | None:
    """An address is whole or it is none: a signed one that was cut opens nothing."""
    for name in ("recording_urls", "public_recording_urls"):
        urls = message.payload.get(name)
        for url in urls.values() if isinstance(urls, dict) else ():
            if not isinstance(url, str) or not url.isprintable() or len(url) > _LONGEST_URL:
                continue
            if url.startswith(("https://", "http://")):
                return url
    return None
