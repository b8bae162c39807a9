"""What each of ARI's events says of the calls: one function for each type.

Source: ``rest-api/api-docs/events.json`` of Asterisk; the order in which they come is that of recordings of
Asterisk 16 and 22. The PBX chooses who is rung, so that a customer's arrival is DIALING or QUEUED; it is
RINGING (whom?) when our application gets the call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from handlers.telephony.ari_book import Book
from handlers.telephony.ari_channel import (
    Side,
    Sides,
    number_of,
    read_bridge,
    read_channel,
    read_id,
    read_stamp,
    read_text,
)
from handlers.telephony.ari_line import Leg, Line
from handlers.telephony.fields import MAX_KEY, optional_count
from handlers.telephony.timestamps import iso_time
from server.domain.event import CallEvent, Direction, EventType

CLICK = "c2d"
"""First argument of our application on a call that an agent makes; the second is the number."""
RINGS = {"": EventType.DIALING, "RINGING": EventType.RINGING, "PROGRESS": EventType.RINGING}
_UNREACHED = ("NOANSWER", "BUSY", "CONGESTION", "CHANUNAVAIL")


class AriEvents(Book):
    """Takes events in their order."""

    def __init__(self, app: str, sides: Sides) -> None:
        super().__init__(app, sides)
        self._handlers: dict[str, Callable[[Mapping[str, Any], datetime | None], None]] = {
            "ChannelCreated": self._created,
            "ChannelDialplan": self._dialplan,
            "ChannelStateChange": self._changed,
            "ChannelVarset": self._variable,
            "StasisStart": self._stasis_start,
            "StasisEnd": self._stasis_end,
            "Dial": self._dial,
            "ChannelEnteredBridge": self._entered,
            "ChannelLeftBridge": self._left,
            "ChannelHold": self._held,
            "ChannelUnhold": self._unheld,
            "BridgeBlindTransfer": self._blind_transfer,
            "BridgeAttendedTransfer": self._attended_transfer,
            "ChannelDestroyed": self._destroyed,
            "RecordingFinished": self._recorded,
        }

    def take(self, event: Mapping[str, Any]) -> list[CallEvent]:
        """What one event says of calls. Unknown types and unreadable fields say nothing; never raises."""
        kind = event.get("type")
        at = iso_time(event.get("timestamp"))
        self._heard_at = at or self._heard_at
        handler = self._handlers.get(kind) if isinstance(kind, str) else None
        if handler is not None:
            handler(event, at)
        else:
            channel = read_channel(event.get("channel"))
            if channel is not None and channel.id in self.legs:
                self.leg_of(channel)
        return self.take_said()

    # -- a call's way ----------------------------------------------------------------------------

    def _created(self, event: Mapping[str, Any], at: datetime | None) -> None:
        channel = read_channel(event.get("channel"))
        if channel is not None and channel.id not in self.legs:
            leg = self.leg_of(channel)
            if not leg.outgoing:
                self.say(EventType.DIALING, leg, created_key(leg), at)

    def _dialplan(self, event: Mapping[str, Any], at: datetime | None) -> None:
        leg = self._leg(event.get("channel"))
        if leg is not None and leg.channel.app == "Queue":
            self.queued(leg, read_stamp(event), at)

    def queued(self, leg: Leg, stamp: str, at: datetime | None) -> None:
        """``Queue(support,tTr,,,30)``: the PBX's own queue has the caller."""
        name = leg.channel.app_data.partition(",")[0].strip()
        if not name:
            return
        leg.line.queue = name
        if leg.side is not Side.WIRE:
            self.say(EventType.QUEUED, leg, f"{leg.id}:Queue:{name[:60]}:{stamp}", at)
        if leg.side is Side.CUSTOMER:
            self.settle(leg.line)

    def _changed(self, event: Mapping[str, Any], at: datetime | None) -> None:
        """Of a phone that we ring ourselves, Up is the pick-up, whether or not a ``Dial`` tells of it."""
        leg = self._leg(event.get("channel"))
        if leg is not None and leg.ours and leg.channel.state == "Up" and not leg.answered:
            self.answer(leg, at)

    def _variable(self, event: Mapping[str, Any], at: datetime | None) -> None:
        """The VoiceMail application says how it went; SUCCESS: a message was left."""
        if event.get("variable") != "VMSTATUS" or event.get("value") != "SUCCESS":
            return
        leg = self._leg(event.get("channel"))
        if leg is not None and leg.side is Side.CUSTOMER:
            self.settle(leg.line)
        if leg is not None and leg.line.customer is not None:
            key = f"{leg.id}:voicemail:{read_stamp(event)}"
            self.say(EventType.VOICEMAIL, leg.line.customer, key, at)

    def _stasis_start(self, event: Mapping[str, Any], at: datetime | None) -> None:
        """Our application has the channel: a customer to be routed, or a leg that we made ourselves."""
        args = event.get("args")
        words = [one for one in args[:8] if isinstance(one, str)] if isinstance(args, list) else []
        leg = self._leg(event.get("channel"))
        if leg is None:
            return
        leg.in_app = True
        if words[:1] == [CLICK] and len(words) > 1 and leg.side is Side.AGENT:
            self.click(leg, read_text({"number": words[1]}, "number"))
            self.say(EventType.DIALING, leg, f"{leg.id}:StasisStart", at)
            return
        if words[:1] == ["inbound"] and leg.line.direction is None and leg.side is Side.AGENT:
            leg.side = Side.CUSTOMER  # the dialplan knows it better
        if leg.side is Side.CUSTOMER and not leg.outgoing:
            if words[:1] == ["inbound"] and len(words) > 1:
                leg.line.queue = read_text({"queue": words[1]}, "queue")
            self.arrived(leg, at)

    def arrived(self, leg: Leg, at: datetime | None) -> None:
        created = created_key(leg)
        leg.line.unsaid = [fact for fact in leg.line.unsaid if fact.key != created]
        self.say(EventType.RINGING, leg, f"{leg.id}:StasisStart", at)
        self.settle(leg.line)

    def _stasis_end(self, event: Mapping[str, Any], at: datetime | None) -> None:
        leg = self._leg(event.get("channel"))
        if leg is not None:
            leg.in_app = False

    def _dial(self, event: Mapping[str, Any], at: datetime | None) -> None:
        """``dialstatus`` is empty at the start, then RINGING or PROGRESS, then how it ended."""
        dialled, status = read_text(event, "dialstring"), read_text(event, "dialstatus")
        caller = self._leg(event.get("caller"))
        peer = self._leg(event.get("peer"), dialled, outgoing=True)
        if peer is None:
            return
        line = peer.line if caller is None else self.join(caller.line, peer.line, at)
        forwarded = self._leg(event.get("forwarded"), outgoing=True)
        if forwarded is not None:
            line = self.join(line, forwarded.line, at)
        if peer.side is Side.CUSTOMER:
            self._note_customer(line, peer, caller, dialled)
        if status in RINGS:
            peer.ringing = True
            self.say(RINGS[status], peer, f"{peer.id}:Dial:{status}", at)
        elif status == "ANSWER":
            self.answer(peer, at)
        else:
            peer.ringing = False
            if status in _UNREACHED and self._is_ours_to_miss(line):
                self.say(EventType.MISSED, peer, f"{peer.id}:Dial:{status}", at, cause=status)
        self.settle(line)

    @staticmethod
    def _note_customer(line: Line, peer: Leg, caller: Leg | None, dialled: str) -> None:
        """The customer whom an agent calls, and under which number."""
        asked = number_of(dialled, peer.channel.resource)
        called = caller.exten if caller is not None else ""
        peer.dialled = asked or peer.dialled or called or peer.channel.number
        if line.direction is Direction.OUTBOUND and (
            line.customer is None or line.customer.id not in line.legs
        ):
            line.customer = peer

    def _is_ours_to_miss(self, line: Line) -> bool:
        """Nobody else rings for a customer in our hands. (Where the PBX hunts, the end of the call tells.)"""
        customer = line.customer
        if customer is None or not customer.in_app or line.answered or self.is_attached(customer.id):
            return False
        return line.direction is Direction.INBOUND and not any(leg.ringing for leg in line.legs.values())

    def _destroyed(self, event: Mapping[str, Any], at: datetime | None) -> None:
        channel = read_channel(event.get("channel"))
        if channel is None:
            return
        if channel.id not in self.legs:
            if self.line_of(channel.id) is not None or channel.is_outgoing:
                return
            # Its beginning was lost: a customer who is gone has called all the same.
            self._created(event, channel.created_at)
        cause = event.get("cause")
        said = str(cause) if isinstance(cause, int) and 0 < cause < 1000 else None
        self.end(self.leg_of(channel), at, said)

    # -- bridges, hold, transfers ----------------------------------------------------------------

    def _entered(self, event: Mapping[str, Any], at: datetime | None) -> None:
        bridge, leg = read_bridge(event.get("bridge")), self._leg(event.get("channel"))
        if bridge is not None and leg is not None and not bridge.holding:
            there = [self.legs[key] for key in bridge.members if key in self.legs and key != leg.id]
            self.meet(bridge.id, [*there, leg], at)

    def _left(self, event: Mapping[str, Any], at: datetime | None) -> None:
        leg = self._leg(event.get("channel"))
        if leg is not None:
            leg.bridge = None

    def _held(self, event: Mapping[str, Any], at: datetime | None) -> None:
        leg = self._leg(event.get("channel"))
        if leg is not None:
            self.say(EventType.HELD, leg, f"{leg.id}:hold:{read_stamp(event)}", at)

    def _unheld(self, event: Mapping[str, Any], at: datetime | None) -> None:
        leg = self._leg(event.get("channel"))
        if leg is not None:
            self.say(EventType.UNHELD, leg, f"{leg.id}:unhold:{read_stamp(event)}", at)

    def _blind_transfer(self, event: Mapping[str, Any], at: datetime | None) -> None:
        exten = read_text(event, "exten")
        self._transferred(event, "channel", "blind", (exten,) if exten else (), at)

    def _attended_transfer(self, event: Mapping[str, Any], at: datetime | None) -> None:
        """The agent has asked a colleague and now leaves the two alone."""
        target = read_channel(event.get("transfer_target"))
        asking = read_channel(event.get("transferer_second_leg"))
        refs: tuple[str, ...] = ()
        known = self.legs.get(target.id) if target is not None else None
        if target is not None and not target.is_wire:
            refs = known.refs if known is not None else (target.endpoint,)
        elif asking is not None and asking.exten:
            refs = (asking.exten,)
        leg = self._transferred(event, "transferer_first_leg", "attended", refs, at)
        if leg is not None and known is not None:
            self.join(leg.line, known.line, at)

    def _transferred(
        self, event: Mapping[str, Any], agent: str, how: str, refs: tuple[str, ...], at: datetime | None
    ) -> Leg | None:
        if event.get("result") != "Success":
            return None
        leg = self._leg(event.get("transferee"))
        if leg is None or (leg.side is not Side.CUSTOMER and leg.line.customer is not None):
            transferer = leg or self._leg(event.get(agent))
            leg = transferer.line.customer if transferer is not None else None
        if leg is not None:
            key = f"{leg.id}:{how}:{read_stamp(event)}"
            self.say(EventType.TRANSFERRED, leg, key, at, refs=refs)
            self.settle(leg.line)
        return leg

    def _recorded(self, event: Mapping[str, Any], at: datetime | None) -> None:
        """A recording of our application: of a bridge a talk, of a lone customer a message."""
        recording = event.get("recording")
        if not isinstance(recording, Mapping):
            return
        name = read_id(recording.get("name"))
        what, _, target = read_text(recording, "target_uri").partition(":")
        line = self.line_of(target)
        if name is None or line is None or len(name) > MAX_KEY - 20:
            return
        leg = line.customer or line.own
        if leg is not None:
            message = what == "channel" and line.direction is Direction.INBOUND and not line.answered
            self.say(
                EventType.VOICEMAIL if message else EventType.RECORDING_READY,
                leg,
                f"rec:{name}",
                at,
                duration=optional_count(str(recording.get("duration"))),
                recording=f"ari-recording:{name}",
            )

    def _leg(self, value: Any, dialled: str = "", *, outgoing: bool | None = None) -> Leg | None:
        """The leg that an event speaks of; None for what is no channel, or one that has ended."""
        channel = read_channel(value)
        if channel is None or (channel.id not in self.legs and self.line_of(channel.id) is not None):
            return None
        return self.leg_of(channel, dialled, outgoing=outgoing)


def created_key(leg: Leg) -> str:
    return f"{leg.id}:created"
