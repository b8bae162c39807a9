"""What happened to a leg, told as neutral events. One AMI event may tell of several legs or of none.

Event keys are ``Uniqueid:Event[:status]``: the same whether the PBX said it once, twice, or a resync found
it out. A call's direction, numbers and name come with each of its events, so that any of them may be first.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from handlers.telephony.ami_channels import UP, Channel, Kind
from handlers.telephony.fields import optional_text
from server.domain.event import CallEvent, Direction, EventType

# Q.850 causes that say more than the status of the dialling: a declined call ends as NOANSWER.
_SPECIFIC = {"17": "BUSY", "21": "REJECTED", "26": "ANSWERED_ELSEWHERE"}


class Teller:
    """Collects events; ``at`` sets the moment that they tell of."""

    def __init__(self) -> None:
        self.events: list[CallEvent] = []
        self.seconds = 0.0
        self._stamp: datetime | None = None

    def at(self, timestamp: str, received_at: datetime) -> None:
        """``Timestamp`` (seconds since 1970) is there with ``timestampevents = yes`` in manager.conf."""
        try:
            self._stamp = datetime.fromtimestamp(float(timestamp), UTC) if timestamp else None
        except (ValueError, OverflowError, OSError):
            self._stamp = None
        self.seconds = (self._stamp or received_at).timestamp()

    def tell(self, type_: EventType, channel: Channel, key: str, **said: Any) -> None:
        """Nothing is told of a call whose direction is not known yet."""
        call = channel.call
        if call.direction is None:
            return
        call.told = True
        parent = None
        if call.direction is Direction.INBOUND and not channel.is_customer:
            parent = call.customer.uid if call.customer is not None else call.key
        self.events.append(
            CallEvent(
                type=type_,
                call_key=call.key,
                leg_key=channel.uid,
                event_key=f"{channel.uid}:{key}",
                direction=call.direction,
                parent_leg_key=parent,
                ani=optional_text(call.ani),
                dnis=optional_text(call.dnis),
                display_name=optional_text(call.display_name),
                queue_ref=optional_text(call.queue),
                occurred_at=self._stamp,
                **said,
            )
        )

    def arrival(self, customer: Channel) -> None:
        """A customer calls."""
        if not customer.call.announced:
            customer.call.announced = True
            self.tell(EventType.RINGING, customer, "Newchannel")

    def dialing(self, customer: Channel) -> None:
        """A customer is called, for an agent whose phone is picked up (or was dialled on)."""
        call = customer.call
        if call.announced:
            return
        call.announced = True
        for phone in call.channels.values():
            if phone.kind is Kind.PHONE and not phone.rung and (phone.incoming or phone.state == UP):
                phone.rung = True
                self.tell(EventType.DIALING, phone, "DialBegin", agent_refs=phone.refs)
        self.tell(EventType.DIALING, customer, "DialBegin")

    def ringing(self, phone: Channel) -> None:
        phone.rung = True
        self.tell(EventType.RINGING, phone, "DialState:RINGING", agent_refs=phone.refs)

    def answered(self, phone: Channel) -> None:
        """An agent speaks with the customer (on an internal call: with the agent who called)."""
        call = phone.call
        if call.direction is None or phone.kind is Kind.INNER or phone.is_customer:
            return
        if phone.answered_at is not None:
            return
        if call.direction is Direction.OUTBOUND and call.customer is not None:
            self.dialing(call.customer)
        phone.answered_at, phone.consults = self.seconds, False
        call.answered = True
        if call.customer is not None and call.customer.answered_at is None:
            call.customer.answered_at = self.seconds
        # A leg that answered in a call of its own before is answered once more, in this one.
        key = f"joined:{call.key}" if phone.moved else "DialEnd:ANSWER"
        self.tell(EventType.ANSWERED, phone, key, agent_refs=phone.refs)

    def transferred(self, customer: Channel, key: str, refs: tuple[str, ...]) -> None:
        self.tell(EventType.TRANSFERRED, customer, key, agent_refs=refs)

    def moved(self, phone: Channel) -> None:
        """A leg of a call that was told goes on in another call: here it ends, and nobody missed it."""
        if phone.call.told:
            self.tell(EventType.TRANSFERRED, phone, "moved", cause="forwarded")

    def abandoned(self, customer: Channel) -> None:
        if not customer.call.missed and not customer.call.answered:
            customer.call.missed = True
            self.tell(EventType.MISSED, customer, "QueueCallerAbandon", cause="abandon")

    def voicemail(self, customer: Channel, mailbox: str) -> None:
        """A message was left; before that the phone that rang last was not picked up."""
        call = customer.call
        call.voicemail = True
        failed = call.failed
        if failed is not None and failed.status:
            key = f"DialEnd:{failed.status}"
            self.tell(EventType.MISSED, failed, key, agent_refs=failed.refs, cause=failed.status)
        key = f"MessageWaiting:{mailbox}"
        self.tell(EventType.VOICEMAIL, customer, key, agent_refs=(mailbox,))

    def held(self, channel: Channel, *, held: bool) -> None:
        if channel.held is held:
            return  # phones say "unhold" without a hold before it
        channel.held = held
        type_, name = (EventType.HELD, "Hold") if held else (EventType.UNHELD, "Unhold")
        self.tell(type_, channel, f"{name}:{self.seconds:.3f}")

    def ended(self, channel: Channel, cause: str) -> None:
        """``cause`` is the Q.850 number, "" where only its absence is known."""
        call = channel.call
        channel.ended_at = self.seconds
        if channel.kind is Kind.INNER or channel.consults:
            return
        if channel.answered_at is None and channel.status:
            channel.status = _SPECIFIC.get(cause, channel.status)
        why = _cause(channel, cause)
        if not channel.is_customer:
            if call.direction is Direction.INTERNAL and not call.told:
                return  # two agents, of whom nothing was seen but the end
            duration = self._duration(channel)
            self.tell(
                EventType.HANGUP,
                channel,
                "Hangup",
                agent_refs=channel.refs,
                cause=why,
                duration_seconds=duration,
            )
        elif call.direction is Direction.INBOUND and call.whole and not _was_taken(channel):
            call.missed = True
            if call.failed is not None:
                why = _cause(call.failed, cause)
            self.tell(EventType.MISSED, channel, "Hangup", cause=why, ends_call=True)
        else:
            self.tell(EventType.HANGUP, channel, "Hangup", cause=why)

    def _duration(self, channel: Channel) -> int | None:
        if channel.answered_at is None:
            return None
        if channel.talk_seconds is not None:
            return channel.talk_seconds
        return min(max(0, round(self.seconds - channel.answered_at)), 999_999_999)


def _was_taken(customer: Channel) -> bool:
    call = customer.call
    return call.answered or call.missed or call.voicemail


def _cause(channel: Channel, cause: str) -> str | None:
    if channel.answered_at is None and channel.status:
        return _SPECIFIC.get(cause, channel.status)
    return None if cause in ("", "0") else cause
