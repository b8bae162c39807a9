"""Which channels of an Asterisk are one call: the book of its legs and lines, without I/O.

Lines grow together when a leg dials another, when halves of a Local channel find each other, and when
channels stand in one bridge. The elder keeps its key, as Asterisk's linkedid would. Two lines that each
belong to a customer stay two, also in one conference.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from handlers.telephony.ari_channel import OUTGOING, Channel, Side, Sides, is_extension
from handlers.telephony.ari_line import Fact, Leg, Line, duration_of
from server.domain.event import CallEvent, Direction, EventType

_T = TypeVar("_T")

MOST_LEGS = 20_000
MOST_REMEMBERED = 4_000
"""Ended legs, bridges and expected channels whose call is still known: recordings come after the end."""


class Book:
    """The legs that are there now, by channel id. ``app`` is the name of our Stasis application."""

    def __init__(self, app: str, sides: Sides) -> None:
        self.legs: dict[str, Leg] = {}
        self._app = app
        self._sides = sides
        self._lines: dict[str, Line] = {}
        self._wires: dict[str, str] = {}
        self._past: OrderedDict[str, Line] = OrderedDict()
        self._expected: OrderedDict[str, str] = OrderedDict()
        self._attached: OrderedDict[str, str] = OrderedDict()
        self._said: list[CallEvent] = []
        self._heard_at: datetime | None = None

    # -- saying ----------------------------------------------------------------------------------

    def say(
        self,
        kind: EventType,
        leg: Leg,
        key: str,
        at: datetime | None,
        *,
        cause: str | None = None,
        refs: tuple[str, ...] | None = None,
        duration: int | None = None,
        recording: str | None = None,
    ) -> None:
        """Add a fact to the leg's line; it comes out once the line's direction is known."""
        leg.line.say(Fact(kind, leg, key, at, cause, refs, duration, recording))
        self._said += leg.line.events()

    def take_said(self) -> list[CallEvent]:
        said, self._said = self._said, []
        return said

    def settle(self, line: Line) -> Line:
        """Something happened that shows where the line goes: fix its direction if the legs show it."""
        if line.direction is None:
            direction = line.decide()
            asked = self._asked_about(line) if direction is Direction.INTERNAL else None
            if asked is not None:
                self._absorb(asked, line, None, consults=True)
                return asked
            if direction is not None:
                line.open(direction)
        self._said += line.events()
        return line

    # -- legs ------------------------------------------------------------------------------------

    def leg_of(self, channel: Channel, dialled: str = "", *, outgoing: bool | None = None) -> Leg:
        """The leg of a channel, with its latest state; made when it is not known yet."""
        leg = self.legs.get(channel.id)
        if leg is None:
            return self._make(channel, dialled, channel.is_outgoing if outgoing is None else outgoing)
        leg.channel = channel
        if dialled and not leg.ringing and not leg.answered:
            leg.side = self._sides.of(channel, dialled)
        return leg

    def _make(self, channel: Channel, dialled: str, outgoing: bool) -> Leg:
        if len(self.legs) >= MOST_LEGS:
            self._drop(next(iter(self.legs.values())))
        key = channel.linkedid or channel.id
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = Line(key, keys=[key])
        leg = Leg(channel, self._sides.of(channel, dialled), outgoing, line, channel.exten)
        leg.in_app = self.holds(channel)
        self.legs[leg.id] = line.legs[leg.id] = leg
        number = self._expected.pop(leg.id, None)
        if number is not None:
            self.click(leg, number)
        caller = self.legs.get(self._attached.pop(leg.id, ""))
        if caller is not None:
            leg.ours = True
            self.join(caller.line, leg.line, None)
        if leg.side is Side.WIRE:
            twin = self.legs.get(self._wires.get(channel.wire, ""))
            self._wires[channel.wire] = leg.id
            if twin is not None:
                self.join(twin.line, leg.line, None)
        return leg

    def holds(self, channel: Channel) -> bool:
        """Our application has the channel, by its place in the dialplan."""
        return channel.app == "Stasis" and channel.app_data.partition(",")[0] == self._app

    def click(self, leg: Leg, number: str) -> None:
        """The leg is an agent's phone that rings so that it calls that number, or that colleague."""
        line = leg.line
        if line.direction is None:
            line.direction = Direction.INTERNAL if is_extension(number) else Direction.OUTBOUND
            line.own = leg
            line.dialled, line.number = number, leg.channel.number
            self.say(EventType.DIALING, leg, f"{leg.id}:created", leg.channel.created_at)

    def expect(self, channel: str, number: str) -> None:
        """A channel of that id is about to be made, for an agent who calls that number."""
        _remember(self._expected, channel, number)

    def attach(self, channel: str, caller: str) -> None:
        """A channel of that id is about to be made, to ring for the caller's."""
        _remember(self._attached, channel, caller)

    def is_attached(self, caller: str) -> bool:
        """A channel that is to ring for the caller's is still being made."""
        return caller in self._attached.values()

    def forget(self, channel: str) -> None:
        self._expected.pop(channel, None)
        self._attached.pop(channel, None)

    def end(self, leg: Leg, at: datetime | None, cause: str | None = None) -> None:
        """The channel is gone."""
        line = leg.line
        self.say(EventType.HANGUP, leg, f"{leg.id}:destroyed", at, cause=cause, duration=duration_of(leg, at))
        if leg.side is Side.CUSTOMER and not leg.outgoing:
            self.settle(line)  # a caller who gave up before the call went anywhere has called all the same
        self._drop(leg)

    def _drop(self, leg: Leg) -> None:
        line = leg.line
        self.legs.pop(leg.id, None)
        line.legs.pop(leg.id, None)
        if self._wires.get(leg.channel.wire) == leg.id:
            del self._wires[leg.channel.wire]
        _remember(self._past, leg.id, line)
        if not line.legs:
            for key in line.keys:
                self._lines.pop(key, None)

    def line_of(self, key: str) -> Line | None:
        """The line of a channel or bridge, also for a while after its end."""
        leg = self.legs.get(key)
        return leg.line if leg is not None else self._past.get(key)

    # -- joining ---------------------------------------------------------------------------------

    def join(self, one: Line, other: Line, at: datetime | None) -> Line:
        """They are one call; gives the line that is left (``one`` where both could be)."""
        if one is other or (one.is_customers and other.is_customers):
            return one
        if not one.is_customers and (
            other.is_customers or (other.direction is not None and one.direction is None)
        ):
            one, other = other, one
        self._absorb(one, other, at)
        return one

    def _absorb(self, home: Line, line: Line, at: datetime | None, *, consults: bool = False) -> None:
        moved = [*line.legs.values()]
        was_open = line.direction is not None
        if was_open:
            # It was told as a call of its own (two agents); from here on it is part of the customer's.
            for leg in moved:
                self.say(EventType.HANGUP, leg, f"{leg.id}:left:{home.key}", at)
        line.legs.clear()
        for leg in moved:
            leg.line, leg.consults = home, consults
            home.legs[leg.id] = leg
        for fact in line.unsaid:
            home.say(fact)
        line.unsaid.clear()
        home.keys += line.keys
        for key in line.keys:
            self._lines[key] = home
        home.queue = home.queue or line.queue
        self._said += home.events()
        if was_open and home.is_customers:
            for leg in moved:
                if leg.side is Side.AGENT and leg.answered:
                    self.say(EventType.ANSWERED, leg, f"{leg.id}:joined:{home.key}", at)

    def _asked_about(self, line: Line) -> Line | None:
        """The customer's call about which the agent who called a colleague is asking, if there is just one."""
        phones = {leg.channel.endpoint for leg in line.legs.values() if not leg.outgoing}
        homes = {
            id(leg.line): leg.line
            for leg in self.legs.values()
            if leg.side is Side.AGENT
            and leg.bridge is not None
            and leg.channel.endpoint in phones
            and leg.line is not line
            and leg.line.has_customer
        }
        return next(iter(homes.values())) if len(homes) == 1 else None

    def find_caller(self, leg: Leg) -> None:
        """Join a leg that rings to the call it rings for, where only the numbers tell."""
        line, connected = leg.line, leg.channel.connected
        if line.direction is not None or line.is_customers or not leg.outgoing or not connected:
            return
        callers = [
            other
            for other in self.legs.values()
            if other.line is not line
            and other.channel.number == connected
            and other.channel.app_data != OUTGOING
        ]
        lines = {id(other.line): other.line for other in callers}
        if len(lines) > 1:
            exten = leg.channel.exten
            lines = {id(other.line): other.line for other in callers if other.channel.exten == exten}
        if len(lines) == 1:
            self.join(next(iter(lines.values())), line, None)

    # -- bridges ---------------------------------------------------------------------------------

    def meet(self, bridge: str, members: Sequence[Leg], at: datetime | None) -> None:
        """These legs hear each other."""
        for leg in members:
            leg.bridge = bridge
        first = min(members, key=lambda leg: (not leg.line.is_customers, leg.line.direction is None))
        home = first.line
        customers = [leg for leg in members if leg.side is Side.CUSTOMER]
        asking = any(leg.side is Side.AGENT and leg.answered and leg.line is home for leg in members)
        for leg in members:
            if leg.line is home:
                continue
            if not customers and asking and home.has_customer and leg.line.direction is None:
                self._absorb(home, leg.line, at, consults=True)
            else:
                home = self.join(home, leg.line, at)
        _remember(self._past, bridge, home)
        if customers and len(members) > 1:
            if any(leg.consults for leg in members):
                self._hand_over(home, at)
            for leg in members:
                if not leg.answered and leg.side is not Side.WIRE:
                    self.answer(leg, at)
        elif len(members) > 1 and all(leg.side is Side.WIRE for leg in home.legs.values()):
            for leg in members:
                if leg.outgoing and not leg.answered:
                    self.answer(leg, at)
        if len(members) > 1:
            self.settle(home)

    def answer(self, leg: Leg, at: datetime | None) -> None:
        """The leg was picked up, by a person as far as the PBX can tell."""
        leg.ringing = False
        if leg.side is Side.CUSTOMER and not leg.outgoing:
            return  # who calls does not answer
        # Found out after a gap: not before the last that was heard, by the PBX's clock.
        at = at or max((one for one in (self._heard_at, leg.channel.created_at) if one), default=None)
        leg.answered = True
        leg.answered_at = leg.answered_at or at
        self.say(EventType.ANSWERED, leg, f"{leg.id}:Dial:ANSWER", at)

    def _hand_over(self, line: Line, at: datetime | None) -> None:
        """The colleague who was asked speaks with the customer now."""
        for leg in line.legs.values():
            if leg.consults:
                leg.consults = False
                if leg.answered and leg.outgoing:
                    self.say(EventType.ANSWERED, leg, f"{leg.id}:Dial:ANSWER", at)


def _remember(memory: OrderedDict[str, _T], key: str, value: _T) -> None:
    memory[key] = value
    memory.move_to_end(key)
    while len(memory) > MOST_REMEMBERED:
        memory.popitem(last=False)
