"""The recorded streams of the event socket, and a switch that writes channel events of its own."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings

from handlers.telephony.esl_calls import EslCalls
from handlers.telephony.esl_legs import read_channels
from handlers.telephony.esl_wire import FrameReader, read_event
from server.domain.call import Call, CallState, apply_event
from server.domain.event import CallEvent
from tests.conformance.conftest import shared_file
from tests.conformance.esl_peer import listing

NOW = datetime(2026, 11, 16, 9, 15, tzinfo=UTC)
STREAMS = ("11-lifecycle-plain", "21-missed-plain", "31-transfer-plain")
FINAL = {
    "11-lifecycle-plain": (CallState.ENDED, "101"),
    "21-missed-plain": (CallState.MISSED, None),
    "31-transfer-plain": (CallState.ENDED, "102"),
}
NUMBER, LINE = "+447700900123", "+442079460100"
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def stream(name: str) -> bytes:
    return Path(shared_file("providers", "samples", "freeswitch", f"{name}.txt")).read_bytes()


def expected(name: str) -> list[dict[str, Any]]:
    meta = json.loads(shared_file("providers", "samples", "freeswitch", f"{name}.meta.json").read_bytes())
    sequence: list[dict[str, Any]] = meta["neutral"]["sequence"]
    return sequence


def headers_of(data: bytes) -> list[dict[str, str]]:
    events = [read_event(one) for one in FrameReader().feed(data)]
    return [dict(event.headers) for event in events if event is not None]


def calls_of(events: Iterable[CallEvent]) -> dict[str, Call]:
    """The calls as they stand, each event key taken once, as intake does."""
    calls: dict[str, Call] = {}
    seen: set[str] = set()
    for event in events:
        if event.event_key in seen:
            continue
        seen.add(event.event_key)
        calls[event.call_key] = apply_event(calls.get(event.call_key) or Call(event.call_key), event, NOW)
    return calls


def translate(headers: Iterable[dict[str, str]], calls: EslCalls | None = None) -> list[CallEvent]:
    calls = calls or EslCalls()
    return [event for one in headers for event in calls.take(one, NOW)]


class Switch:
    """Writes channel events as the switch would."""

    def __init__(self) -> None:
        self.at = 1_794_820_500
        self.sequence = 0
        self.legs: dict[str, dict[str, str]] = {}
        self.calls = EslCalls()
        self.events: list[CallEvent] = []

    def leg(self, key: str, number: str, dialled: str, *, by: str = "", call: str = "", **more: str) -> None:
        said = {
            "Unique-ID": key,
            "Call-Direction": "outbound" if by or more.pop("outbound", "") else "inbound",
            "Channel-Call-UUID": call or (self.legs[by]["Channel-Call-UUID"] if by else key),
            "Caller-Caller-ID-Number": number,
            "Caller-Destination-Number": dialled,
            "Caller-Profile-Index": "1",
            "Channel-Name": f"sofia/internal/{dialled}@192.0.2.21:5060",
        }
        if by:
            first = self.legs[by]
            said |= {
                "Other-Type": "originator",
                "Other-Leg-Unique-ID": by,
                "Other-Leg-Direction": first["Call-Direction"],
                "Other-Leg-Caller-ID-Number": first["Caller-Caller-ID-Number"],
                "Other-Leg-Destination-Number": first["Caller-Destination-Number"],
            }
        self.legs[key] = said | {name.replace("__", "-"): value for name, value in more.items()}
        self.say("CHANNEL_CREATE", key)

    def say(self, name: str, key: str, after: int = 1, **more: str) -> list[CallEvent]:
        self.at += after
        self.sequence += 1
        headers = self.legs[key] | {
            "Event-Name": name, "Core-UUID": "core", "Event-Sequence": str(self.sequence),
            "Event-Date-Timestamp": f"{self.at}000000",
        } | {header.replace("__", "-"): value for header, value in more.items()}  # fmt: skip
        found = self.calls.take(headers, NOW)
        self.events += found
        return found

    def bridge(self, a: str, b: str, name: str = "CHANNEL_BRIDGE", **more: str) -> list[CallEvent]:
        return self.say(name, a, Bridge__A__Unique__ID=a, Bridge__B__Unique__ID=b, **more)

    def hang_up(self, key: str, cause: str = "NORMAL_CLEARING", billsec: int = 0) -> list[CallEvent]:
        return self.say("CHANNEL_HANGUP_COMPLETE", key, Hangup__Cause=cause, variable_billsec=str(billsec))

    def call(self, key: str) -> Call:
        return calls_of(self.events)[key]

    @property
    def types(self) -> list[str]:
        return [event.type.value for event in self.events]


def talking(agent: str = "101") -> Switch:
    """An inbound call that an agent took."""
    switch = Switch()
    switch.leg("a", NUMBER, LINE)
    switch.say("CHANNEL_ANSWER", "a")
    switch.leg("b", NUMBER, agent, by="a")
    switch.say("CHANNEL_PROGRESS", "b")
    switch.say("CHANNEL_ANSWER", "b")
    switch.bridge("a", "b")
    assert switch.call("a").state is CallState.ANSWERED
    assert switch.call("a").agent_ref == agent
    return switch


def row(
    key: str, call: str, number: str, dialled: str, state: str, direction: str = "inbound"
) -> dict[str, Any]:
    return {
        "uuid": key, "direction": direction, "created_epoch": "1794820500", "name": f"sofia/internal/{dialled}",
        "state": "CS_EXECUTE", "cid_num": number, "cid_name": "", "dest": dialled, "callstate": state,
        "call_uuid": call, "initial_cid_num": number, "initial_dest": dialled, "presence_id": "",
    }  # fmt: skip


def channels(*rows: dict[str, Any]) -> list[Any]:
    return read_channels(listing(list(rows)).encode())
