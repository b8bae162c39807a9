"""Calls as 3CX tells of them through our CRM template: a look-up while it rings, a message when it is over."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from urllib.parse import urlencode

from handlers.simulate.answers import is_object
from handlers.simulate.plan import OUT, Kind, Played
from handlers.simulate.script import Line
from handlers.simulate.stage import Request
from server.settings import CallSourceSettings

_TYPES = {
    Kind.ANSWERED: "Inbound",
    Kind.MISSED: "Missed",
    Kind.ABANDONED: "Missed",
    Kind.BUSY: "Missed",
    Kind.OUTGOING: "Outbound",
    Kind.UNTAKEN: "Notanswered",
}
_MOST = 100_000
Start = tuple[str, str, datetime]


class ThreecxScript:
    name = "threecx"
    kinds = frozenset(_TYPES)
    led = False

    def __init__(self) -> None:
        self._starts: set[Start] = set()

    def lack(self, settings: CallSourceSettings) -> str:
        return ""

    async def play(self, line: Line) -> Sequence[Played]:
        plan = line.plan
        kind = plan.kind if plan.agents or plan.kind not in (*OUT, Kind.ANSWERED) else Kind.ABANDONED
        talked = plan.talk_seconds if kind in (Kind.ANSWERED, Kind.OUTGOING) else 0.0
        if plan.caller.number and kind not in OUT:
            await line.ask(_lookup(line))
        await line.pause(plan.ring_seconds + talked)
        await line.tell(self._journal(line, kind, round(talked)))
        line.say_record(kind)
        # The server makes the call's key itself.
        return [line.played("", kind)]

    def _journal(self, line: Line, kind: Kind, talked: int) -> Request:
        plan = line.plan
        agent = plan.agents[0].extension if plan.agents else ""
        ended = line.now().replace(microsecond=0)
        started = ended - timedelta(seconds=talked + round(plan.ring_seconds))
        recording = line.stage.new_recording() if talked else ""
        started = self._unused(agent, plan.caller.number, started)
        call = {
            "type": _TYPES[kind],
            "number": plan.caller.number,
            "agent": agent,
            "name": "",
            "duration": str(timedelta(seconds=talked)).rjust(8, "0"),
            "started_utc": _stamp(started),
            "answered_utc": _stamp(ended - timedelta(seconds=talked)) if talked else "",
            "ended_utc": _stamp(ended),
            "queue": "",
            "recording_url": recording,
        }
        headers = {"X-Api-Key": plan.secret, "Content-Type": "application/json", "Accept": "application/json"}
        return Request(line.hook_url, json.dumps({"call": call}).encode(), headers, is_object)

    def _unused(self, agent: str, number: str, started: datetime) -> datetime:
        """A phone begins one call a second: there is no id, and nothing else tells two of them apart."""
        while (agent, number, started) in self._starts:
            started -= timedelta(seconds=1)
        if len(self._starts) > _MOST:
            self._starts.clear()
        self._starts.add((agent, number, started))
        return started


def _lookup(line: Line) -> Request:
    """While it rings the PBX asks who calls."""
    query = urlencode({"number": line.plan.caller.number})
    url = f"{line.stage.public_url}/hooks/lookup/{line.plan.source}?{query}"
    headers = {"X-Api-Key": line.plan.secret, "Accept": "application/json"}
    return Request(url, b"", headers, _has_no_contacts, "GET")


def _has_no_contacts(text: str) -> str:
    """The template reads a list, which is empty when nobody is found."""
    try:
        return "" if isinstance(json.loads(text)["contacts"], list) else "contacts is no list"
    except (ValueError, KeyError, TypeError):
        return f"expected contacts, got {text[:60]!r}"


def _stamp(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


SCRIPT = ThreecxScript()
