"""The switch's channel events as neutral call events, without I/O and without a clock.

Every event is translated by what it says itself wherever that is possible, so that a lost, late or repeated
one harms no other; remembered is only what an event does not say (who is at the other end of a bridge, which
call a leg was joined to), and that is bounded. A leg's call is the leg that made it (Channel-Call-UUID), and
the same id stands in the switch's CDRs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from handlers.telephony.esl_book import LegBook
from handlers.telephony.esl_legs import (
    CallFacts,
    Headers,
    LegFacts,
    call_by_other_leg,
    event_key,
    is_loopback,
    partners_names,
    time_of,
    transfer_of,
)
from handlers.telephony.fields import optional_count, optional_text, required_key
from handlers.telephony.timestamps import epoch_time
from server.domain.errors import Malformed
from server.domain.event import CallEvent, Direction, EventType

MOST = 20_000
"""Legs, ended legs and calls that are remembered of each."""
_AT_ONCE = 5
"""Seconds between the order to transfer and the end of the talk that it ends."""
_A_DAY = timedelta(days=1)
_TALKING = ("ACTIVE", "HELD", "UNHELD")


class EslCalls:
    """The calls of one switch, over all connections to it."""

    def __init__(self, most: int = MOST) -> None:
        self.book = LegBook(most)
        self._ahead: timedelta | None = None  # the switch's clock, of ours

    def take(self, headers: Headers, now: datetime) -> list[CallEvent]:
        """What one event means; empty when nothing. Raises Malformed for ids that cannot be kept."""
        self._compare_clocks(time_of(headers), now)
        if headers.get("Event-Subclass") == "callcenter::info":
            return self._queued(headers, now)
        name = headers.get("Event-Name", "")
        translate = _HANDLERS.get(name)
        if translate is None:
            return []
        leg, first = self.book.learn(headers, now)
        if is_loopback(headers) or not leg.call_key:
            if name == "CHANNEL_HANGUP_COMPLETE":
                self.book.close(leg)
            return []
        events = translate(self, leg, headers)
        if first and leg.root and name == "CHANNEL_ANSWER":
            return [*self._created(leg, headers), *events]  # the event that it began got lost
        return events

    def resume(self, channels: Iterable[Headers], now: datetime, before: datetime) -> list[CallEvent]:
        """What was missed while nobody listened: ``channels`` are all legs that there are now.

        A leg that is not among them is over, unless an event told of it at or after ``before``: the
        switch's list runs a little behind its events.
        """
        events: list[CallEvent] = []
        at = now + (self._ahead or timedelta())
        there = set()
        for row in channels:
            try:
                key = required_key("uuid", row.get("Unique-ID"))
                there.add(key)
                if not self.book.has_ended(key):
                    events += self._catch_up(row, now, at)
            except Malformed:
                continue  # one leg without an id; the others go on
        for leg in self.book:
            if leg.key not in there and leg.seen_at < before:
                self.book.close(leg)
                if leg.call_key:
                    events.append(self._event(leg, {}, EventType.HANGUP, at=at, key="gone"))
        return events

    def _catch_up(self, row: Headers, now: datetime, at: datetime) -> list[CallEvent]:
        """A leg of the list: what its events would have said, as far as they did not."""
        leg, first = self.book.learn(row, now)
        if is_loopback(row) or not leg.call_key:
            return []
        events = []
        state = row.get("Channel-Call-State", "")
        if first:
            events += self._created(leg, row)
            if state in ("RINGING", "EARLY"):
                events += self._progress(leg, row)
        if state in _TALKING and not leg.answered:
            leg = self.book.keep(replace(leg, answered=True))
            if not leg.root:
                events.append(self._pick_up(leg, row, at=at, key="answered"))
        if state in _TALKING and leg.held != (state == "HELD"):
            self.book.keep(replace(leg, held=not leg.held))
            kind = EventType.UNHELD if leg.held else EventType.HELD
            events.append(self._event(leg, row, kind, at=at, key=f"{kind}:{at.timestamp():.3f}"))
        return events

    def _compare_clocks(self, stamp: datetime | None, now: datetime) -> None:
        """Of several events the one that came fastest tells best; a day ahead is a clock gone wrong."""
        ahead = stamp - now if stamp is not None else _A_DAY
        if abs(ahead) < _A_DAY and (self._ahead is None or ahead > self._ahead):
            self._ahead = ahead

    # -- one function for each kind of event ---------------------------------------------------

    def _created(self, leg: LegFacts, headers: Headers) -> list[CallEvent]:
        rings = leg.root and self.book.call(leg.call_key).direction is Direction.INBOUND
        return [self._event(leg, headers, EventType.RINGING if rings else EventType.DIALING)]

    def _progress(self, leg: LegFacts, headers: Headers) -> list[CallEvent]:
        if headers.get("Call-Direction") != "outbound":
            return []  # the caller hears that it rings; no phone of ours does for that
        return [self._event(leg, headers, EventType.RINGING)]

    def _answered(self, leg: LegFacts, headers: Headers) -> list[CallEvent]:
        """Of a call's first leg it means that the dial plan took the call, or that a dialling agent did."""
        leg = self.book.keep(replace(leg, answered=True))
        return [] if leg.root else [self._pick_up(leg, headers)]

    def _pick_up(
        self, leg: LegFacts, headers: Headers, *, at: datetime | None = None, key: str = ""
    ) -> CallEvent:
        self.book.keep(replace(leg, answered=True))
        self.book.answer(leg.call_key)
        return self._event(leg, headers, EventType.ANSWERED, at=at, key=key)

    def _bridged(self, leg: LegFacts, headers: Headers) -> list[CallEvent]:
        """Two legs speak. Which of them rang the other does not matter; whose call it is does."""
        ids = (headers.get("Bridge-A-Unique-ID"), headers.get("Bridge-B-Unique-ID"))
        partner_key = next((one for one in ids if one and one != leg.key), headers.get("Other-Leg-Unique-ID"))
        if not partner_key or partner_key == leg.key:
            return []
        partner = self.book.find(required_key("Bridge-B-Unique-ID", partner_key))
        if partner is None:
            agent = not leg.agent
            parent = leg.key if agent else None
            partner = LegFacts(partner_key, leg.call_key, leg.seen_at, parent=parent, agent=agent)
            self.book.know(call_by_other_leg(leg.call_key, {}))
        if partner.agent and not partner.refs:
            partner = replace(partner, refs=partners_names(headers))
        self.book.keep(partner)
        swapped = bool(partner.call_key) and leg.agent and not partner.agent
        customer, other = (partner, leg) if swapped else (leg, partner)
        events = []
        joined = other.call_key != customer.call_key
        if joined:
            if other.call_key:
                events.append(self._event(other, headers, EventType.HANGUP, key="left"))
            # An attended transfer, or a queue that rang the agent in a call of its own.
            parent = customer.key if other.agent else None
            other = replace(other, call_key=customer.call_key, parent=parent, root=False, answered=True)
            events.append(self._pick_up(other, headers, key="joined"))
        elif not partner.root and not partner.answered and not partner.own:
            # Of a leg whose own events come a bridge may be early media: its pick-up says so itself.
            events.append(self._pick_up(partner, headers, key="bridge"))
        return events + self._arrived(customer, other, headers, joined=joined)

    def _arrived(
        self, customer: LegFacts, other: LegFacts, headers: Headers, *, joined: bool
    ) -> list[CallEvent]:
        """The customer speaks with another agent than before: say so unless the transfer was told of."""
        events = []
        customer = self.book.find(customer.key) or customer  # it may just have been picked up
        transfer = transfer_of(headers) if headers.get("Unique-ID") == customer.key else None
        source = transfer.source if transfer is not None else customer.source
        target = customer.target
        reached = other.refs[0] if other.refs else ""
        moved = customer.partner not in (None, other.key) and (joined or source != customer.source)
        elsewhere = bool(target) and reached not in ("", target)
        if other.agent and not customer.agent and (moved or elsewhere):
            refs = (reached,) if reached else ()
            events.append(self._event(customer, headers, EventType.TRANSFERRED, refs=refs, key="reached"))
            target = reached
        self.book.keep(replace(customer, partner=other.key, source=source, target=target))
        return events

    def _unbridged(self, leg: LegFacts, headers: Headers) -> list[CallEvent]:
        """The end of a talk is a transfer when one was ordered just now.

        A transfer within the dial plan before anybody spoke is how the call was routed, and none.
        """
        transfer = transfer_of(headers)
        if leg.agent or transfer is None or transfer.source == leg.source:
            return []
        ended = time_of(headers)
        if transfer.epoch is None or ended is None or abs(ended.timestamp() - transfer.epoch) > _AT_ONCE:
            return []
        self.book.keep(replace(leg, source=transfer.source, target=transfer.target))
        refs = (transfer.target,) if transfer.target else ()
        return [self._event(leg, headers, EventType.TRANSFERRED, refs=refs)]

    def _held(self, leg: LegFacts, headers: Headers) -> list[CallEvent]:
        held = headers.get("Event-Name") == "CHANNEL_HOLD"
        self.book.keep(replace(leg, held=held))
        return [self._event(leg, headers, EventType.HELD if held else EventType.UNHELD)]

    def _hung_up(self, leg: LegFacts, headers: Headers) -> list[CallEvent]:
        events = []
        talked = optional_count(headers.get("variable_billsec"))
        if talked and not leg.root and not leg.answered:
            # Its pick-up got lost; a call that an agent took must not look missed.
            ended = time_of(headers)
            began = epoch_time(headers.get("variable_answer_epoch")) or (
                ended - timedelta(seconds=talked) if ended is not None else None
            )
            events.append(self._pick_up(leg, headers, at=began, key="answered"))
            leg = replace(leg, answered=True)
        call = self.book.call(leg.call_key)
        missed = leg.root and call.direction is Direction.INBOUND and not call.answered
        cause = optional_text(headers.get("Hangup-Cause") or headers.get("variable_hangup_cause"))
        kind = EventType.MISSED if missed else EventType.HANGUP
        events.append(self._event(leg, headers, kind, cause=cause, seconds=talked, ends=missed))
        self.book.close(leg)
        return events

    def _recorded(self, leg: LegFacts, headers: Headers) -> list[CallEvent]:
        path = optional_text(headers.get("Record-File-Path"))
        if path is None:
            return []
        left = headers.get("variable_current_application") == "voicemail" or "/voicemail/" in path
        kind = EventType.VOICEMAIL if left and leg.root and not leg.agent else EventType.RECORDING_READY
        seconds = optional_count(headers.get("variable_record_seconds"))
        return [self._event(leg, headers, kind, seconds=seconds, url=path)]

    def _queued(self, headers: Headers, now: datetime) -> list[CallEvent]:
        """A caller began to wait in a queue of mod_callcenter (CC-Queue is ``name@domain``)."""
        if headers.get("CC-Action") != "member-queue-start":
            return []
        key = required_key("CC-Member-Session-UUID", headers.get("CC-Member-Session-UUID"))
        leg = self.book.find(key)
        if leg is None:
            ani = optional_text(headers.get("CC-Member-CID-Number"))
            self.book.know(CallFacts(key, Direction.INBOUND, ani))
            leg = self.book.keep(LegFacts(key, key, now, root=True))
        if not leg.call_key:
            return []
        queue = optional_text(headers.get("CC-Queue", "").partition("@")[0])
        return [self._event(leg, headers, EventType.QUEUED, queue=queue)]

    def _event(
        self,
        leg: LegFacts,
        headers: Headers,
        kind: EventType,
        *,
        at: datetime | None = None,
        key: str = "",
        refs: tuple[str, ...] | None = None,
        cause: str | None = None,
        seconds: int | None = None,
        url: str | None = None,
        queue: str | None = None,
        ends: bool = False,
    ) -> CallEvent:
        """``key`` tells an event that the switch did not send as such from the one that it was read from.

        No ``sequence``: the switch's numbers outgrow a column, its clock orders as well.
        """
        call = self.book.call(leg.call_key)
        return CallEvent(
            type=kind,
            call_key=leg.call_key,
            leg_key=leg.key,
            event_key=event_key(leg, headers, kind, key),
            direction=call.direction,
            parent_leg_key=leg.parent,
            ani=call.ani,
            dnis=call.dnis,
            display_name=call.name,
            agent_refs=leg.refs if refs is None else refs,
            queue_ref=queue,
            occurred_at=at or time_of(headers),
            duration_seconds=seconds,
            cause=cause,
            recording_url=url,
            ends_call=ends,
        )


_HANDLERS = {
    "CHANNEL_CREATE": EslCalls._created,
    "CHANNEL_PROGRESS": EslCalls._progress,
    "CHANNEL_PROGRESS_MEDIA": EslCalls._progress,
    "CHANNEL_ANSWER": EslCalls._answered,
    "CHANNEL_BRIDGE": EslCalls._bridged,
    "CHANNEL_UNBRIDGE": EslCalls._unbridged,
    "CHANNEL_HOLD": EslCalls._held,
    "CHANNEL_UNHOLD": EslCalls._held,
    "CHANNEL_HANGUP_COMPLETE": EslCalls._hung_up,
    "RECORD_STOP": EslCalls._recorded,
}
