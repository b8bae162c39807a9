"""One customer call on an Asterisk: its legs, which way it goes, and its facts as neutral events.

Asterisk tells of channels; who called whom shows only once one dials the other. So the facts of a line
wait until its direction is known, and only then become events (with the caller, the number dialled and
the queue in each of them, so that any one of them may come first).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from handlers.telephony.ari_channel import Channel, Side, number_of
from handlers.telephony.fields import optional_text
from handlers.telephony.timestamps import seconds_between
from server.domain.event import CallEvent, Direction, EventType

MOST_UNSAID = 500
"""Facts that a line without a direction may gather; a PBX that lets no call go anywhere makes no more."""
_PLACELESS = ("", "s", "h", "i", "t")  # extensions of the dialplan that are nobody's number


@dataclass(slots=True, eq=False)
class Leg:
    """A channel of a line, with what is known of it beyond its latest JSON."""

    channel: Channel
    side: Side
    outgoing: bool
    line: Line
    exten: str  # what it dialled, where it came from the outside
    dialled: str = ""  # the number under which the PBX rings it, for a customer
    bridge: str | None = None
    ringing: bool = False
    answered_at: datetime | None = None
    answered: bool = False
    in_app: bool = False  # our Stasis application holds it
    ours: bool = False  # and rings it, for a call that it holds
    consults: bool = False  # speaks with a colleague about the call, not with the customer

    @property
    def id(self) -> str:
        return self.channel.id

    @property
    def refs(self) -> tuple[str, ...]:
        """The name of who is at its end; a call that was passed on to the outside has a number there."""
        if self.side is Side.AGENT:
            return (self.channel.endpoint,)
        return (self.dialled,) if self.side is Side.CUSTOMER and self.dialled else ()


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that happened to a leg; ``key`` is unique in the PBX, and the same for the same thing."""

    kind: EventType
    leg: Leg
    key: str
    at: datetime | None
    cause: str | None = None
    refs: tuple[str, ...] | None = None
    duration: int | None = None
    recording: str | None = None


@dataclass(slots=True, eq=False)
class Line:
    """A call: the legs that dialled each other, stand in one bridge, or were made for each other."""

    key: str
    legs: dict[str, Leg] = field(default_factory=dict)
    direction: Direction | None = None
    customer: Leg | None = None
    own: Leg | None = None  # the leg that the call began with, where that is no customer's
    number: str = ""
    name: str = ""
    dialled: str = ""
    queue: str = ""
    answered: bool = False
    keys: list[str] = field(default_factory=list)  # of lines that it took in
    unsaid: list[Fact] = field(default_factory=list)

    def say(self, fact: Fact) -> None:
        if len(self.unsaid) < MOST_UNSAID:
            self.unsaid.append(fact)

    @property
    def has_customer(self) -> bool:
        return any(leg.side is Side.CUSTOMER for leg in self.legs.values())

    @property
    def is_customers(self) -> bool:
        """It has a customer of its own: one who called, or one who was called for it."""
        return any(
            leg.side is Side.CUSTOMER and (not leg.outgoing or self.direction is not None)
            for leg in self.legs.values()
        )

    # -- which way it goes -----------------------------------------------------------------------

    def decide(self) -> Direction | None:
        """The direction that the legs show, None while they show none yet."""
        outside = [leg for leg in self.legs.values() if leg.side is Side.CUSTOMER]
        if outside:
            inbound = any(not leg.outgoing for leg in outside)
            return Direction.INBOUND if inbound else Direction.OUTBOUND
        agents = [leg for leg in self.legs.values() if leg.side is Side.AGENT]
        # Wires with nobody at either end are a call too (announcements, robots, tests) once one is picked up.
        internal = len(agents) > 1 or (not agents and self._wire_answered)
        return Direction.INTERNAL if internal else None

    def open(self, direction: Direction) -> None:
        """Fix the direction, and with it who calls whom."""
        legs = [*self.legs.values()]
        self.direction = direction
        outside = [leg for leg in legs if leg.side is Side.CUSTOMER]
        if direction is Direction.INBOUND:
            self.customer = next(leg for leg in outside if not leg.outgoing)
            self.number, self.name = self.customer.channel.number, self.customer.channel.caller_name
            self.dialled = _place(self.customer.exten)
            return
        self.own = next((leg for leg in legs if leg.side is Side.AGENT), None)
        if direction is Direction.OUTBOUND:
            self.customer = outside[-1]
            self.dialled = self.customer.dialled or self._called(self.customer)
            self.number = self.own.channel.number if self.own is not None else self.customer.channel.connected
            return
        self.own = self.own or legs[0]
        caller = next((leg for leg in legs if leg.channel.number), self.own)
        self.number, self.name = caller.channel.number, caller.channel.caller_name
        called = next((leg.channel.resource for leg in legs if leg is not self.own), "")
        self.dialled = _place(self.own.exten) or called

    def _called(self, customer: Leg) -> str:
        """The number that an agent calls, where no event said it: ``Dial(PJSIP/NUMBER@trunk,20)``."""
        caller = self.own.channel if self.own is not None else customer.channel
        asked = number_of(caller.app_data.partition(",")[0], customer.channel.resource)
        return asked or _place(caller.exten) or customer.channel.number

    @property
    def _wire_answered(self) -> bool:
        """One half picked up by the other's dialplan, on behalf of a caller who is not the PBX itself."""
        return any(fact.kind is EventType.ANSWERED for fact in self.unsaid) and len(self.legs) > 2

    # -- its events ------------------------------------------------------------------------------

    def events(self) -> list[CallEvent]:
        """What is to be said now: everything that waited, once the direction is known."""
        if self.direction is None or not self.unsaid:
            return []
        facts, self.unsaid = self.unsaid, []
        return [event for fact in facts if (event := self._event(fact)) is not None]

    def _event(self, fact: Fact) -> CallEvent | None:
        leg, kind = fact.leg, fact.kind
        if not self._is_told(leg) or (leg.consults and (kind is EventType.ANSWERED or not leg.outgoing)):
            return None
        if kind is EventType.ANSWERED:
            if leg is self.own:
                return None  # the agent lifted the own receiver: nobody has answered yet
            if self.direction is Direction.OUTBOUND and leg.side is Side.CUSTOMER:
                if self.own is None:
                    return None  # the PBX dials by itself: the agent comes later
                self.own.answered_at, leg = fact.at, self.own
            self.answered = True
        return CallEvent(
            type=kind,
            call_key=self.key,
            leg_key=leg.id,
            event_key=fact.key,
            direction=self.direction,
            parent_leg_key=self._parent(leg, kind),
            ani=optional_text(self.number),
            dnis=optional_text(self.dialled),
            display_name=optional_text(self.name) if self.name != self.number else None,
            agent_refs=self._refs(leg) if fact.refs is None else fact.refs,
            queue_ref=self.queue or None,
            occurred_at=fact.at,
            duration_seconds=fact.duration,
            cause=fact.cause,
            recording_url=fact.recording,
        )

    def _is_told(self, leg: Leg) -> bool:
        """Wires are not, unless the call has nothing else: then each counts by one of its halves."""
        if leg.side is not Side.WIRE:
            return True
        return self.own is not None and self.own.side is Side.WIRE and (leg.outgoing or leg is self.own)

    def _refs(self, leg: Leg) -> tuple[str, ...]:
        if self.direction is Direction.OUTBOUND and leg.side is Side.CUSTOMER:
            return ()
        if self.direction is Direction.INTERNAL and leg is self.own:
            return ()  # who calls a colleague needs no pop
        return leg.refs

    def _parent(self, leg: Leg, kind: EventType) -> str | None:
        """The customer's leg, for the legs that were rung on the customer's behalf.

        On a call that goes out the agent's own leg stands beside the customer's: it may leave (a transfer)
        without ending the call.
        """
        root = self.customer or self.own
        if root is None or leg is root or leg is self.own or kind in (EventType.HELD, EventType.UNHELD):
            return None
        return root.id if leg.side is not Side.CUSTOMER or self.direction is Direction.INBOUND else None


def duration_of(leg: Leg, ended_at: datetime | None) -> int | None:
    """Seconds from the pick-up of this leg to its end."""
    return seconds_between(leg.answered_at, ended_at)


def _place(exten: str) -> str:
    return "" if exten in _PLACELESS else exten
