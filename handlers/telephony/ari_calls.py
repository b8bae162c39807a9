"""The calls of one PBX, from ARI's events and lists: a translator without I/O.

What the events do not say is found out here, in ``ari_events`` and in ``ari_book``:

- which channels are one call (there is no linkedid unless ari.conf gives it): who dialled whom (``Dial``),
  the two halves of a Local channel, common bridges, transfers, an agent who asks a colleague meanwhile;
- which way it goes, and who is an agent: ``Sides`` and ``Line.decide``;
- that an agent has answered: the ``Dial`` of the agent's leg did, or it stands in a bridge with the
  customer. A channel that is Up was perhaps only picked up by the PBX (a queue, a menu);
- what happened while nobody listened: ``resync``.

The same event gives the same ``event_key`` again, also from another process.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from handlers.telephony.ari_channel import Side, read_bridge, read_channel
from handlers.telephony.ari_events import RINGS, AriEvents, created_key
from handlers.telephony.ari_line import Leg
from server.domain.event import CallEvent, EventType

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class AriCalls(AriEvents):
    """``take`` the events in their order, ``resync`` after a gap, ``tell`` what no event says."""

    def tell(self, kind: EventType, leg_key: str, key: str, refs: tuple[str, ...] | None) -> list[CallEvent]:
        """What we did to a leg ourselves over REST, where Asterisk has no event for it."""
        leg = self.legs.get(leg_key)
        if leg is not None:
            self.say(kind, leg, key, None, refs=refs)
        return self.take_said()

    def resync(self, channels: Iterable[Any], bridges: Iterable[Any]) -> list[CallEvent]:
        """Come into step with GET /channels and GET /bridges.

        What ended meanwhile is closed, what goes on is kept and what became of it is told, what is new too.
        """
        there = {one.id: one for one in map(read_channel, channels) if one is not None}
        for leg in [leg for key, leg in self.legs.items() if key not in there]:
            self.end(leg, None)
        for leg in self.legs.values():
            leg.bridge = None
        for channel in sorted(there.values(), key=lambda one: one.created_at or _EPOCH):
            known = channel.id in self.legs
            leg = self.leg_of(channel)
            if leg.in_app and leg.side is Side.CUSTOMER:
                leg.in_app = self.holds(channel)
            if not known and not leg.outgoing:
                self.say(EventType.DIALING, leg, created_key(leg), channel.created_at)
            if channel.app == "Queue" and not leg.line.queue:
                self.queued(leg, "resync", None)
        for leg in [leg for leg in self.legs.values() if leg.side is Side.WIRE]:
            self.find_caller(leg)  # first: what stands in a bridge of wires has callers behind it
        for bridge in map(read_bridge, bridges):
            if bridge is None or bridge.holding:
                continue
            members = [self.legs[key] for key in bridge.members if key in self.legs]
            if members:
                self.meet(bridge.id, members, None)
        for leg in [*self.legs.values()]:
            self.find_caller(leg)
        for leg in [*self.legs.values()]:
            self._catch_up(leg)
        return self.take_said()

    def _catch_up(self, leg: Leg) -> None:
        """Tell what a channel's state shows and no event has told."""
        channel, line = leg.channel, leg.line
        if not leg.outgoing:
            if leg.side is Side.CUSTOMER and leg.in_app and line.direction is None:
                self.arrived(leg, channel.created_at)
        elif channel.state == "Up":
            known = line.has_customer or line.customer is not None
            if known and not leg.answered and not leg.consults and leg.side is not Side.WIRE:
                self.answer(leg, None)
        elif not leg.ringing:
            leg.ringing = True
            status = "RINGING" if channel.state == "Ringing" else ""
            self.say(RINGS[status], leg, f"{leg.id}:Dial:{status}", channel.created_at)
        if leg.side is not Side.WIRE and len(line.legs) > 1:
            self.settle(line)

    def knows(self, value: Any) -> bool:
        """A channel of a call that we follow, or one that our application holds."""
        channel = read_channel(value)
        return channel is not None and (channel.id in self.legs or self.holds(channel))

    def unknown(self, channels: Iterable[Any]) -> list[str]:
        """The ids of channels of which neither we nor their JSON know the call: ask for their linkedid."""
        read = (read_channel(value) for value in channels)
        return [one.id for one in read if one and one.id not in self.legs and one.linkedid is None]
