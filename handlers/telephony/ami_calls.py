"""AMI's events as neutral call events: the state of every call that goes on, without any I/O.

One linkedid is one customer's call, over queues, hunts, forwards and transfers. An agent has answered when
the phone and the customer's line are connected: the dialling was answered, or both are in one bridge, maybe
through Local channels. That a queue or a voice menu picks up the customer's line is no answer. A second
line on which an agent asks a colleague while the customer is held belongs to the customer's call.

CEL events of the same calls are left aside: they tell what these events tell, later and of fewer things.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime

from handlers.telephony.ami_channels import (
    RINGING,
    UP,
    Channel,
    Kind,
    Lines,
    PbxCall,
    dialled_number,
    endpoint_of,
    is_inside,
    known,
)
from handlers.telephony.ami_events import Teller
from handlers.telephony.ami_state import MAX_CHANNELS, PbxState, is_key, remember
from handlers.telephony.ami_wire import Message
from handlers.telephony.fields import optional_count, optional_text
from server.domain.event import CallEvent, Direction, EventType

_WAITING = {"park", "parkandannounce", "agentlogin", "bridgewait"}  # in a bridge, but with nobody
_LATE_SECONDS = 10.0  # a mailbox may tell of a message after the caller is gone


class AmiCalls:
    """Feed every message to ``take``; ``trunk`` as in ``Lines``."""

    def __init__(self, trunk: str = "") -> None:
        self._pbx = PbxState(Lines(trunk))
        self._tell = Teller()
        self._mailboxes: OrderedDict[str, Channel] = OrderedDict()
        self._before: set[str] = set()
        self._listed: dict[str, Message] = {}

    def take(self, message: Message, received_at: datetime) -> list[CallEvent]:
        """What the message means, often nothing. Never raises, whatever the message holds."""
        handler = _HANDLERS.get(message.event)
        if handler is None:
            return []
        self._tell.at(message.get("timestamp"), received_at)
        handler(self, message)
        events, self._tell.events = self._tell.events, []
        return events

    def expect(self, uid: str, target: str) -> None:
        """We have a call made: its first channel will be ``uid``, it is for ``target``."""
        remember(self._pbx.targets, uid, target)

    def name_of(self, uid: str) -> str | None:
        """The name of a channel that goes on."""
        channel = self._pbx.channels.get(uid)
        return channel.name if channel is not None else None

    # -- one event each --------------------------------------------------------------------------

    def _new_channel(self, message: Message) -> None:
        channel = self._pbx.see(message, fresh=True)
        if channel is not None and channel.is_customer and channel.call.direction is Direction.INBOUND:
            self._tell.arrival(channel)

    def _new_state(self, message: Message) -> None:
        channel = self._pbx.see(message)
        if channel is not None and channel.state == RINGING:
            self._ring(channel, message, "")

    def _dial_state(self, message: Message) -> None:
        self._pbx.see(message)
        dialled = self._pbx.see(message, "dest")
        if dialled is not None and message.get("dialstatus") == "RINGING":
            self._ring(dialled, message, "dest")

    def _ring(self, phone: Channel, message: Message, prefix: str) -> None:
        call = phone.call
        if phone.kind is Kind.INNER or phone.incoming or phone.rung or phone.is_customer:
            return
        if call.direction is None and call.caller is phone:
            # Somebody else's click to dial: the customer's number is on the display of the phone.
            number = known(message.get(prefix + "connectedlinenum"))
            if number.removeprefix("+").isdecimal() and not is_inside(number):
                call.direction, call.ani, call.dnis = Direction.OUTBOUND, phone.number, number
        if call.direction is not None:
            self._tell.ringing(phone)

    def _dial_begin(self, message: Message) -> None:
        caller, dialled = self._pbx.see(message), self._pbx.see(message, "dest")
        if dialled is None:
            return
        if caller is not None:
            dialled.dialer = caller.uid
        if dialled.kind is not Kind.TRUNK or dialled.incoming:
            return
        call = dialled.call
        number = dialled_number(
            message.get("dialstring"), message.get("destcalleridnum"), message.get("exten")
        )
        if dialled.is_customer:
            call.dnis = call.dnis or number
            call.ani = call.ani or known(message.get("calleridnum"))
            self._tell.dialing(dialled)
        elif text := optional_text(number):
            dialled.refs = (text,)  # an agent who is elsewhere: the number is the agent's name

    def _dial_end(self, message: Message) -> None:
        caller, dialled = self._pbx.see(message), self._pbx.see(message, "dest")
        if dialled is None:
            return
        call, status = dialled.call, (optional_text(message.get("dialstatus")) or "")[:32]
        if status != "ANSWER":
            # A losing phone is told off twice, at last with CANCEL: the first reason is the reason.
            dialled.status = dialled.status or status
            if dialled.kind is not Kind.INNER and not dialled.is_customer:
                call.failed = dialled
        elif caller is None or caller.call is not call:
            return
        elif dialled.kind is Kind.INNER:
            self._answer_inner(dialled, known(message.get("calleridnum")))
        elif call.direction is Direction.OUTBOUND and dialled.kind is Kind.TRUNK:
            if call.customer is None or call.customer.answered_at is None:
                call.customer = dialled  # of several lines that were tried at once, the one that got through
                self._tell.answered(caller)
        elif caller.is_customer or call.direction is Direction.INTERNAL:
            self._tell.answered(dialled)

    def _answer_inner(self, dialled: Channel, number: str) -> None:
        """A call within the PBX alone, such as a test: with no phone at all the Local ends stand for phones."""
        call = dialled.call
        if call.direction is None and all(one.kind is Kind.INNER for one in call.channels.values()):
            call.direction, call.ani = Direction.INTERNAL, number
            dialled.kind, dialled.refs = Kind.PHONE, (endpoint_of(dialled.name),)
            self._tell.answered(dialled)

    def _bridge_enter(self, message: Message) -> None:
        channel, bridge = self._pbx.see(message), message.get("bridgeuniqueid")
        swapped = self._pbx.channels.get(message.get("swapuniqueid"))
        if swapped is not None:
            self._pbx.leave(swapped)
        # In a holding bridge (parking, waiting agents) nobody hears the other.
        if channel is not None and is_key(bridge) and "holding" not in message.get("bridgetechnology"):
            self._pbx.enter(channel, bridge)
            self._meet(channel)

    def _bridge_leave(self, message: Message) -> None:
        channel = self._pbx.see(message)
        if channel is not None and channel.bridge == message.get("bridgeuniqueid"):
            self._pbx.leave(channel)

    def _hold(self, message: Message) -> None:
        channel = self._pbx.see(message)
        if channel is not None and channel.kind is not Kind.INNER:
            self._tell.held(channel, held=message.event == "Hold")

    def _blind_transfer(self, message: Message) -> None:
        transferer, transferee = self._pbx.see(message, "transferer"), self._pbx.see(message, "transferee")
        target = optional_text(message.get("extension"))
        if transferer is None or target is None or message.get("result") != "Success":
            return
        # Who speaks through a Local channel is transferred by it.
        customer = transferer.call.customer or transferee
        if customer is not None and customer.kind is not Kind.INNER:
            customer.call.queue = ""
            self._tell.transferred(customer, f"BlindTransfer:{transferer.uid}", (target,))

    def _attended_transfer(self, message: Message) -> None:
        first, second = self._pbx.see(message, "origtransferer"), self._pbx.see(message, "secondtransferer")
        sides = [self._pbx.see(message, "transferee"), self._pbx.see(message, "transfertarget")]
        if message.get("result") != "Success":
            return
        ends = [self._pbx.behind(side) if side is not None else None for side in sides]
        customer = next((one for one in ends if one is not None and one.is_customer), None)
        if customer is None:
            # In a bridge of more than two the PBX names no transferee.
            customer = next((one.call.customer for one in (first, second) if one and one.call.customer), None)
        if customer is None:
            return
        other = next((one for one in ends if one is not None and one is not customer), None)
        refs: tuple[str, ...] = ()
        if other is not None:
            self._move(other, customer.call)
            refs = other.refs
        elif sides[1] is not None:
            exten = endpoint_of(sides[1].name).partition("/")[2].partition("@")[0]
            refs = (exten,) if exten else ()
        key = second.uid if second is not None else customer.uid
        self._tell.transferred(customer, f"AttendedTransfer:{key}", refs)
        if other is not None and other.state == UP:
            self._tell.answered(other)

    def _queue_join(self, message: Message) -> None:
        caller, queue = self._pbx.see(message), (optional_text(message.get("queue")) or "")[:128]
        if caller is None or not queue or caller.queue == queue:
            return
        caller.queue = caller.call.queue = queue
        caller.joins += 1
        again = f":{caller.joins}" if caller.joins > 1 else ""
        self._tell.tell(EventType.QUEUED, caller, f"QueueCallerJoin:{queue}{again}")

    def _queue_leave(self, message: Message) -> None:
        caller = self._pbx.see(message)
        if caller is not None:
            caller.queue = ""

    def _queue_abandon(self, message: Message) -> None:
        caller = self._pbx.see(message)
        if caller is not None and caller.is_customer:
            self._tell.abandoned(caller)

    def _agent_connect(self, message: Message) -> None:
        caller, phone = self._pbx.see(message), self._pbx.see(message, "dest")
        if caller is not None and phone is not None and caller.call is phone.call:
            self._tell.answered(phone)

    def _agent_complete(self, message: Message) -> None:
        phone = self._pbx.see(message, "dest")
        if phone is not None:
            phone.talk_seconds = optional_count(message.get("talktime"))

    def _new_exten(self, message: Message) -> None:
        """The caller is asked for a message (class ``dialplan``); whether one is left, the mailbox tells."""
        caller = self._pbx.see(message)
        if caller is None or not caller.is_customer or message.get("application").lower() != "voicemail":
            return
        for box in message.get("appdata").partition(",")[0].split("&")[:10]:
            mailbox = optional_text(box)
            if mailbox is not None and len(mailbox) <= 80:
                remember(self._mailboxes, mailbox if "@" in mailbox else f"{mailbox}@default", caller)

    def _message_waiting(self, message: Message) -> None:
        mailbox = message.get("mailbox")
        caller = self._mailboxes.get(mailbox)
        if caller is None or not optional_count(message.get("new")):
            return
        del self._mailboxes[mailbox]
        late = self._tell.seconds - (caller.ended_at or self._tell.seconds)
        if late <= _LATE_SECONDS and not caller.call.answered:
            self._tell.voicemail(caller, mailbox)

    def _hang_up(self, message: Message) -> None:
        channel = self._pbx.see(message)
        if channel is not None:
            self._end(channel, optional_text(message.get("cause")) or "")

    def _end(self, channel: Channel, cause: str) -> None:
        self._tell.ended(channel, cause)
        call = channel.call
        self._pbx.forget(channel)
        if channel.is_customer and call.direction is Direction.OUTBOUND and channel.answered_at is None:
            call.customer, call.announced = None, False  # another line may be tried

    def _meet(self, channel: Channel) -> None:
        """Tell of every agent who now speaks with a customer."""
        together = self._pbx.connected(channel)
        for customer in [one for one in together if one.is_customer]:
            for other in together:
                if other.is_customer or (other.call is not customer.call and other.call.customer is not None):
                    continue
                self._move(other, customer.call)
                self._tell.answered(other)

    def _move(self, leg: Channel, call: PbxCall) -> None:
        """The leg goes on in another call; where it was told of, it ends."""
        if leg.call is not call:
            self._tell.moved(leg)
            self._pbx.move(leg, call)

    # -- in step with the PBX --------------------------------------------------------------------

    def begin_resync(self) -> None:
        """Before the list of channels is asked for: what is known now must be in it, or has ended."""
        self._before, self._listed = set(self._pbx.channels), {}

    def _list(self, message: Message) -> None:
        uid = message.get("uniqueid")
        if is_key(uid) and len(self._listed) < MAX_CHANNELS:
            self._listed[uid] = message

    def _end_list(self, message: Message) -> None:
        for uid in self._before.difference(self._listed):
            channel = self._pbx.channels.get(uid)
            if channel is not None:
                channel.call.whole = False  # what happened to it in between is not known
                self._end(channel, "")
        # The first channel of a call says what the others are.
        listed = sorted(self._listed.items(), key=lambda item: item[0] != item[1].get("linkedid"))
        seen = [(self._pbx.see(found), found) for _, found in listed]
        present = [(channel, found) for channel, found in seen if channel is not None]
        self._listed, self._before = {}, set()
        for channel, found in present:
            bridge = found.get("bridgeid")
            if is_key(bridge) and found.get("application").lower() not in _WAITING:
                self._pbx.enter(channel, bridge)
            else:
                self._pbx.leave(channel)
        for channel, _ in present:
            self._meet(channel)
        for channel, found in present:
            # After the answers, so that nobody is chosen for a call that is answered.
            self._announce(channel)
            if channel.state == RINGING:
                self._ring(channel, found, "")

    def _announce(self, channel: Channel) -> None:
        if channel.is_customer and channel.call.direction is Direction.INBOUND:
            self._tell.arrival(channel)
        elif channel.is_customer:
            self._tell.dialing(channel)


_HANDLERS: dict[str, Callable[[AmiCalls, Message], None]] = {
    "Newchannel": AmiCalls._new_channel,
    "Newstate": AmiCalls._new_state,
    "DialBegin": AmiCalls._dial_begin,
    "DialState": AmiCalls._dial_state,
    "DialEnd": AmiCalls._dial_end,
    "BridgeEnter": AmiCalls._bridge_enter,
    "BridgeLeave": AmiCalls._bridge_leave,
    "Hold": AmiCalls._hold,
    "Unhold": AmiCalls._hold,
    "BlindTransfer": AmiCalls._blind_transfer,
    "AttendedTransfer": AmiCalls._attended_transfer,
    "QueueCallerJoin": AmiCalls._queue_join,
    "QueueCallerLeave": AmiCalls._queue_leave,
    "QueueCallerAbandon": AmiCalls._queue_abandon,
    "AgentConnect": AmiCalls._agent_connect,
    "AgentComplete": AmiCalls._agent_complete,
    "Newexten": AmiCalls._new_exten,
    "MessageWaiting": AmiCalls._message_waiting,
    "Hangup": AmiCalls._hang_up,
    "CoreShowChannel": AmiCalls._list,
    "CoreShowChannelsComplete": AmiCalls._end_list,
    "Status": AmiCalls._list,
    "StatusComplete": AmiCalls._end_list,
}
WANTED = frozenset(_HANDLERS)
"""The events that are worth reading."""
