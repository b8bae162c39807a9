"""Which channels and calls go on in the PBX, and who is connected with whom, from what AMI's events show.

Everything is bounded: what is never seen to end makes room for newer at last.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

from handlers.telephony.ami_channels import (
    RING,
    UP,
    Channel,
    Kind,
    Lines,
    PbxCall,
    endpoint_of,
    is_inside,
    known,
    refs_of,
    twin_of,
)
from handlers.telephony.ami_wire import Message, unescape
from handlers.telephony.fields import MAX_KEY, optional_count, optional_text
from server.domain.event import Direction

MAX_CHANNELS = 20_000
"""More than any PBX carries."""
MAX_ENDED = 5_000
Item = TypeVar("Item")


class PbxState:
    """The channels by their Uniqueid, the calls by linkedid, the members of bridges."""

    def __init__(self, lines: Lines) -> None:
        self.channels: OrderedDict[str, Channel] = OrderedDict()
        self.targets: OrderedDict[str, str] = (
            OrderedDict()
        )  # calls that we have made: first channel -> whom for
        self._lines = lines
        self._calls: dict[str, PbxCall] = {}
        self._bridges: dict[str, dict[str, None]] = {}
        self._inner: dict[str, str] = {}  # name of a Local channel -> Uniqueid
        self._ended: OrderedDict[str, None] = OrderedDict()

    def see(self, message: Message, prefix: str = "", *, fresh: bool = False) -> Channel | None:
        """The channel that the message's fields with ``prefix`` tell of; None when it has ended."""
        uid, name = message.get(prefix + "uniqueid"), optional_text(message.get(prefix + "channel"))
        if not is_key(uid) or name is None or uid in self._ended:
            return None
        linkedid = message.get(prefix + "linkedid")
        if not is_key(linkedid):
            linkedid = uid
        state = optional_count(message.get(prefix + "channelstate"))
        channel = self.channels.get(uid)
        if channel is None:
            return self._adopt(message, prefix, uid, name, linkedid, state, fresh=fresh)
        if state is not None:
            channel.state = state
        if name != channel.name and "<" not in name and channel.kind is Kind.PHONE:
            channel.name, channel.refs = name, refs_of(name, "")  # picked up from another phone
        if channel.is_customer and linkedid != channel.call.key:
            # Bridged with an older call the customer's channel takes over its linkedid: it stays one call.
            other = self._calls.get(linkedid)
            if other is not channel.call and (other is None or other.customer is None):
                self._lead(linkedid, channel.call)
        return channel

    def _adopt(
        self,
        message: Message,
        prefix: str,
        uid: str,
        name: str,
        linkedid: str,
        state: int | None,
        *,
        fresh: bool,
    ) -> Channel:
        call = self._calls.get(linkedid)
        if call is None:
            call = PbxCall(linkedid, whole=fresh and uid == linkedid, target=self.targets.pop(linkedid, ""))
            self._lead(linkedid, call)
        incoming = state == RING or (state != 0 and uid == linkedid)
        number = known(message.get(prefix + "calleridnum"))
        context = message.get(prefix + "context")
        kind = self._lines.kind_of(name, context, number, incoming=incoming, fresh=fresh)
        channel = Channel(uid, name, kind, call, incoming, number, state=state or 0)
        channel.held = False if fresh else None
        if len(self.channels) >= MAX_CHANNELS:
            self.forget(next(iter(self.channels.values())))
        self.channels[uid] = call.channels[uid] = channel
        if kind is Kind.INNER:
            self._inner[name] = uid
        elif kind is Kind.PHONE:
            channel.refs = refs_of(name, number)
            self._place_phone(channel)
        else:
            self._place_trunk(channel, message, prefix)
        return channel

    def _place_trunk(self, line: Channel, message: Message, prefix: str) -> None:
        call = line.call
        if call.direction is None and line.incoming:
            call.direction, call.customer = Direction.INBOUND, line
            call.ani = line.number
            exten = message.get(prefix + "exten") or message.get(prefix + "extension")
            call.dnis = exten if len(exten) > 1 else ""  # "s" and the like are places of the dialplan
            name = unescape(known(message.get(prefix + "calleridname")))
            call.display_name = name if name != line.number else ""
        elif call.customer is None and call.direction in (None, Direction.OUTBOUND):
            call.direction, call.customer = Direction.OUTBOUND, line

    def _place_phone(self, phone: Channel) -> None:
        call = phone.call
        if call.target and call.direction is None:
            call.direction = Direction.INTERNAL if is_inside(call.target) else Direction.OUTBOUND
            call.ani, call.dnis = phone.number, call.target
        if call.caller is None and (phone.incoming or phone.uid == call.key):
            call.caller = phone
        elif call.direction is None and call.caller is not None and not phone.incoming:
            customers = self._customers_call(call.caller)
            if customers is not None:
                self._join(call, customers)
            else:
                call.direction = Direction.INTERNAL
                call.ani, call.dnis = call.caller.number, phone.number

    def _customers_call(self, caller: Channel) -> PbxCall | None:
        """The call of the customer to whom the agent at this phone speaks on another line."""
        endpoint = endpoint_of(caller.name)
        for other in self.channels.values():
            if other is not caller and other.answered_at is not None and endpoint_of(other.name) == endpoint:
                customer = other.call.customer
                if customer is not None and customer is not other and customer.ended_at is None:
                    return other.call
        return None

    def _join(self, call: PbxCall, into: PbxCall) -> None:
        """The legs of a consultation belong to the customer's call; the asking line itself is not told."""
        if call.caller is not None:
            call.caller.consults = True
        for channel in call.channels.values():
            channel.call = into
        into.channels.update(call.channels)
        for key in call.keys:
            self._lead(key, into)

    def move(self, leg: Channel, call: PbxCall) -> None:
        """The leg goes on in another call."""
        leg.call.channels.pop(leg.uid, None)
        if leg.is_customer:
            leg.refs, leg.call.customer = (leg.call.dnis or leg.number,), None
        leg.call, leg.answered_at, leg.consults, leg.moved = call, None, False, True
        call.channels[leg.uid] = leg

    def _lead(self, key: str, call: PbxCall) -> None:
        self._calls[key] = call
        call.keys.append(key)

    def forget(self, channel: Channel) -> None:
        call = channel.call
        self.leave(channel)
        self.channels.pop(channel.uid, None)
        call.channels.pop(channel.uid, None)
        if channel.kind is Kind.INNER and self._inner.get(channel.name) == channel.uid:
            del self._inner[channel.name]
        remember(self._ended, channel.uid, None)
        if not call.channels:
            for key in call.keys:
                if self._calls.get(key) is call:
                    del self._calls[key]

    # -- who is connected with whom --------------------------------------------------------------

    def enter(self, channel: Channel, bridge: str) -> None:
        self.leave(channel)
        channel.bridge = bridge
        self._bridges.setdefault(bridge, {})[channel.uid] = None

    def leave(self, channel: Channel) -> None:
        members = self._bridges.get(channel.bridge)
        if members is not None:
            members.pop(channel.uid, None)
            if not members:
                del self._bridges[channel.bridge]
        channel.bridge = ""

    def connected(self, channel: Channel) -> list[Channel]:
        """All that speak with each other: through one bridge, and through both ends of a Local channel."""
        found = {channel.uid: channel}
        waiting = [channel]
        while waiting:
            one = waiting.pop()
            near = list(self._bridges.get(one.bridge, ()))
            twin = self._twin(one)
            if twin is not None and twin.bridge:
                near.append(twin.uid)
            for uid in near:
                if uid not in found and (other := self.channels.get(uid)) is not None:
                    found[uid] = other
                    waiting.append(other)
        return [one for one in found.values() if one.kind is not Kind.INNER]

    def _twin(self, channel: Channel) -> Channel | None:
        name = twin_of(channel.name) if channel.kind is Kind.INNER else None
        return self.channels.get(self._inner.get(name, "")) if name else None

    def behind(self, channel: Channel, depth: int = 5) -> Channel | None:
        """The phone or line at the far end of a Local channel; a channel that is none is its own end."""
        if channel.kind is not Kind.INNER:
            return channel
        twin = self._twin(channel)
        dialled = [one for one in channel.call.channels.values() if twin and one.dialer == twin.uid]
        for one in sorted(dialled, key=lambda one: one.state != UP):
            end = self.behind(one, depth - 1) if depth else None
            if end is not None:
                return end
        return None


def is_key(value: str) -> bool:
    return 0 < len(value) <= MAX_KEY and value.isprintable()


def remember(table: OrderedDict[str, Item], key: str, value: Item) -> None:
    """The newest last; the oldest makes room."""
    table.pop(key, None)
    table[key] = value
    if len(table) > MAX_ENDED:
        table.popitem(last=False)
