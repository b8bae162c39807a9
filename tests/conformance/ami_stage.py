"""A stage on which calls are put together event by event, as Asterisk sends them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from handlers.telephony.ami_calls import WANTED, AmiCalls
from handlers.telephony.ami_wire import read_message
from server.domain.event import CallEvent, EventType
from tests.conformance.ami_peer import NOW, Mirror, frame

BOB = "+12025550123"


class Line:
    """A channel of the PBX's, as its events describe it."""

    def __init__(self, name: str, uid: str, linkedid: str = "", number: str = "", **more: str) -> None:
        self.fields = {
            "Channel": name, "ChannelState": "0", "CallerIDNum": number or "<unknown>", "CallerIDName": "<unknown>",
            "ConnectedLineNum": "<unknown>", "Context": "from-trunk" if "trunk" in name else "from-internal",
            "Exten": "s", "Uniqueid": uid, "Linkedid": linkedid or uid, **more,
        }  # fmt: skip

    def under(self, prefix: str) -> dict[str, str]:
        return {prefix + key: value for key, value in self.fields.items()}


class Pbx:
    """Tells ``calls`` what happens, one second after the other; ``events`` is what comes of it."""

    def __init__(self) -> None:
        self.calls = AmiCalls()
        self.events: list[CallEvent] = []
        self.now = NOW
        self.mirror = Mirror()

    def say(self, event: str, *lines: dict[str, str], **more: str) -> list[CallEvent]:
        fields: dict[str, str] = {}
        for line in lines:
            fields |= line
        self.now += timedelta(seconds=1)
        fields |= {"Timestamp": f"{self.now.timestamp():.6f}"}
        message = read_message(frame(Event=event, **(fields | more)))
        self.mirror.follow(message)
        assert event in WANTED
        found = self.calls.take(message, self.now)
        self.events += found
        return found

    def new(self, line: Line, state: str = "0") -> Line:
        line.fields["ChannelState"] = state
        self.say("Newchannel", line.fields)
        return line

    def state(self, line: Line, state: str) -> None:
        line.fields["ChannelState"] = state
        self.say("Newstate", line.fields)

    def dial(self, caller: Line | None, line: Line, **more: str) -> None:
        self.say("DialBegin", caller.fields if caller else {}, line.under("Dest"), **more)

    def dialled(self, caller: Line | None, line: Line, status: str) -> None:
        if status == "ANSWER":
            self.state(line, "6")
        self.say("DialEnd", caller.fields if caller else {}, line.under("Dest"), DialStatus=status)

    def bridge(self, name: str, *lines: Line, **more: str) -> None:
        for line in lines:
            more.setdefault("BridgeTechnology", "simple_bridge")
            self.say("BridgeEnter", line.fields, BridgeUniqueid=name, **more)

    def unbridge(self, name: str, *lines: Line) -> None:
        for line in lines:
            self.say("BridgeLeave", line.fields, BridgeUniqueid=name)

    def hang_up(self, *lines: Line, cause: str = "16") -> None:
        for line in lines:
            self.say("Hangup", line.fields, Cause=cause)

    def resync(self) -> list[CallEvent]:
        self.calls.begin_resync()
        found: list[CallEvent] = []
        for channel in self.mirror.channels.values():
            found += self.say("CoreShowChannel", channel)
        return found + self.say("CoreShowChannelsComplete")

    # -- what most calls begin with ----------------------------------------------------------------

    def inbound(self, uid: str = "1") -> Line:
        line = Line(f"PJSIP/trunk-{uid}", uid, number=BOB, CallerIDName="Bob", Exten="4930600101")
        return self.new(line, "4")

    def ring(self, caller: Line, extension: str, uid: str, linkedid: str = "1") -> Line:
        phone = self.new(Line(f"PJSIP/{extension}-{uid}", uid, linkedid, extension))
        self.dial(caller, phone, DialString=extension)
        self.state(phone, "5")
        return phone

    def answered(self, customer: Line, extension: str = "101", uid: str = "2") -> Line:
        phone = self.ring(customer, extension, uid, customer.fields["Linkedid"])
        self.dialled(customer, phone, "ANSWER")
        self.bridge(f"b{uid}", phone, customer)
        return phone


def types(events: Iterable[CallEvent]) -> list[EventType]:
    return [event.type for event in events]
