"""A stage on which calls are put together event by event, as Asterisk sends them (PROVIDERS 8.1)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from handlers.telephony.ari_calls import AriCalls
from handlers.telephony.ari_channel import Sides
from server.domain.call import Call, apply_event
from server.domain.event import CallEvent, EventType
from tests.conformance.ari_peer import Event, Picture

NOW = datetime(2026, 11, 16, 9, 15, tzinfo=UTC)
BOB = "+12025550123"
LINE = "4930600101"


def calls_of(
    events: Iterable[CallEvent], received_at: datetime = NOW + timedelta(hours=1)
) -> dict[str, Call]:
    """The calls as services would have them."""
    calls: dict[str, Call] = {}
    for count, event in enumerate(events):
        call = calls.get(event.call_key) or Call(event.call_key)
        calls[event.call_key] = apply_event(call, event, received_at + timedelta(seconds=count))
    return calls


def rang(events: Iterable[CallEvent]) -> set[str]:
    return {
        ref.removeprefix("PJSIP/")
        for event in events
        if event.type in (EventType.RINGING, EventType.DIALING)
        for ref in event.agent_refs
    }


class Line:
    """One channel: its JSON with ``state`` and place as they are now."""

    def __init__(self, key: str, name: str, *, number: str = "", exten: str = "s", **more: Any) -> None:
        context = "from-trunk" if "trunk" in name else "from-internal"
        self.json: dict[str, Any] = {
            "id": key, "name": f"{name}-{abs(hash(key)) % 16**8:08x}", "state": "Down", "protocol_id": "",
            "caller": {"name": "", "number": number}, "connected": {"name": "", "number": ""}, "accountcode": "",
            "dialplan": {"context": context, "exten": exten, "priority": 1, "app_name": "", "app_data": ""},
            "creationtime": "2026-11-16T09:15:00.000+0000", "language": "en", **more,
        }  # fmt: skip
        if name.startswith("Local/"):
            self.json["name"] = name

    @property
    def id(self) -> str:
        return str(self.json["id"])

    def now(self) -> dict[str, Any]:
        return {**self.json, "caller": {**self.json["caller"]}, "dialplan": {**self.json["dialplan"]}}


class Stage:
    """Tells ``calls`` what happens, one second after the other; ``events`` is what comes of it."""

    def __init__(self, **sides: Any) -> None:
        self.calls = AriCalls("ringpost", Sides(**sides))
        self.events: list[CallEvent] = []
        self.picture = Picture()
        self.bridges: dict[str, list[Line]] = {}
        self.now = NOW

    def say(self, kind: str, **fields: Any) -> list[CallEvent]:
        self.now += timedelta(seconds=1)
        event: Event = {
            "type": kind,
            "timestamp": self.now.strftime("%Y-%m-%dT%H:%M:%S.000+0000"),
            "application": "ringpost",
            **fields,
        }
        self.picture.follow(event)
        found = self.calls.take(event)
        self.events += found
        return found

    def types(self) -> list[str]:
        return [event.type.value for event in self.events]

    @property
    def calls_made(self) -> dict[str, Call]:
        return calls_of(self.events)

    # -- what happens ----------------------------------------------------------------------------

    def new(self, key: str, name: str, state: str = "Down", **more: Any) -> Line:
        line = Line(key, name, **more)
        line.json["state"] = state
        line.json["creationtime"] = self.now.strftime("%Y-%m-%dT%H:%M:%S.000+0000")
        self.say("ChannelCreated", channel=line.now())
        return line

    def app(self, line: Line, name: str, data: str = "") -> None:
        line.json["dialplan"] |= {"app_name": name, "app_data": data}
        self.say("ChannelDialplan", channel=line.now(), dialplan_app=name, dialplan_app_data=data)

    def dial(self, caller: Line | None, peer: Line, status: str = "", string: str = "", **more: Any) -> None:
        if caller is not None:
            more["caller"] = caller.now()
            peer.json["connected"] = {"name": "", "number": caller.json["caller"]["number"]}
        if status == "ANSWER":
            peer.json["state"] = "Up"
        elif status == "RINGING":
            peer.json["state"] = "Ringing"
        self.say("Dial", peer=peer.now(), dialstatus=status, dialstring=string, forward="", **more)

    def ring(self, caller: Line, key: str, name: str, string: str = "", **more: Any) -> Line:
        """A new channel that rings for the caller."""
        peer = self.new(key, name, **more)
        peer.json["dialplan"] |= {"app_name": "AppDial", "app_data": "(Outgoing Line)"}
        self.dial(caller, peer, string=string or name.partition("/")[2])
        self.dial(caller, peer, "RINGING")
        return peer

    def _bridge(self, name: str) -> dict[str, Any]:
        members = [line.id for line in self.bridges.get(name, [])]
        return {"id": name, "bridge_type": "mixing", "bridge_class": "basic", "channels": members}

    def enter(self, name: str, *lines: Line) -> None:
        for line in lines:
            line.json["state"] = "Up"
            self.bridges.setdefault(name, []).append(line)
            self.say("ChannelEnteredBridge", bridge=self._bridge(name), channel=line.now())

    def leave(self, name: str, *lines: Line) -> None:
        for line in lines:
            self.bridges[name].remove(line)
            self.say("ChannelLeftBridge", bridge=self._bridge(name), channel=line.now())

    def end(self, *lines: Line, cause: int = 16) -> None:
        for line in lines:
            self.say("ChannelDestroyed", channel=line.now(), cause=cause, cause_txt="")

    # -- usual beginnings ------------------------------------------------------------------------

    def customer(self, key: str = "100.1", number: str = BOB, name: str = "PJSIP/trunk") -> Line:
        line = self.new(key, name, "Ring", number=number, exten=LINE)
        line.json["caller"]["name"] = "Bob Customer"
        return line

    def talk(self, customer: Line, key: str = "100.2", agent: str = "PJSIP/101", bridge: str = "b1") -> Line:
        """The dialplan rings the agent, who picks up."""
        self.app(customer, "Dial", agent)
        leg = self.ring(customer, key, agent)
        self.dial(customer, leg, "ANSWER")
        self.enter(bridge, leg, customer)
        return leg
