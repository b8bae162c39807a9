"""Calls as requests that people set up in STARFACE's UCC client, or in a module that sends a call id.

The address says what happens (``?event=answer``, ``?event=hangup``), the body who. A client has no id to
send; where the source maps one (``fields.callId``), a module's is played.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.parse import urlencode

from handlers.simulate.answers import is_object
from handlers.simulate.dialled import national
from handlers.simulate.pbx import PbxCall, lead
from handlers.simulate.plan import Kind, Played
from handlers.simulate.script import Line
from handlers.simulate.stage import Request
from server.settings import CallSourceSettings
from server.store.simulation import SimAgent

_UNFILLED = "{calleridNational}"  # what a client sends when the number is withheld


class StarfaceCall(PbxCall):
    def __init__(self, line: Line) -> None:
        self.id_field = line.plan.option("fields.callId")
        super().__init__(line, line.stage.new_id() if self.id_field else "")
        self.direction = 1
        agents = line.plan.agents
        self.extension = agents[0].extension if agents else ""

    def request(self, event: str) -> Request:
        plan = self.plan
        number = national(plan.caller.number, plan.settings.country or "DE") or _UNFILLED
        body: dict[str, str | int] = {
            "callto": self.extension,
            "callfrom": number,
            "displayname": plan.caller.name if plan.caller.number else "",
            "direction": self.direction,
        }
        if self.id_field:
            body[self.id_field] = self.key
        query = {"token": plan.secret} | ({"event": event} if event else {})
        url = f"{self.line.hook_url}?{urlencode(query)}"
        return Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"}, is_object)

    async def ring(self, agent: SimAgent | None) -> None:
        await self.line.ask(self.request(""))

    async def pick_up(self, agent: SimAgent) -> None:
        await self.line.ask(self.request("answer"))

    async def dial(self, agent: SimAgent) -> None:
        self.direction = 0
        await self.line.ask(self.request(""))

    async def reach(self, agent: SimAgent) -> None:
        await self.line.ask(self.request("answer"))

    async def hang_up(self, kind: Kind) -> None:
        # Without an id the order tells which call is meant, so that here nothing may be late.
        await (self.line.tell if self.id_field else self.line.ask)(self.request("hangup"))


class StarfaceScript:
    name = "starface"
    kinds = frozenset({Kind.ANSWERED, Kind.MISSED, Kind.OUTGOING, Kind.UNTAKEN})
    led = False

    def lack(self, settings: CallSourceSettings) -> str:
        return ""

    async def play(self, line: Line) -> Sequence[Played]:
        return await lead(StarfaceCall(line))


SCRIPT = StarfaceScript()
