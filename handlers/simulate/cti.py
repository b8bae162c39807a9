"""Calls as a PBX with the generic CTI push tells of them: newCall, answer, hangup.

JSON or a form, as PBXs differ. A call that is handed over ends as "forwarded" and goes on as a new one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.parse import urlencode

from handlers.simulate.answers import is_object
from handlers.simulate.pbx import PbxCall, lead
from handlers.simulate.plan import Kind, Played
from handlers.simulate.script import Line
from handlers.simulate.stage import Request
from server.settings import CallSourceSettings
from server.store.simulation import SimAgent

_CAUSES = {
    Kind.MISSED: "noAnswer",
    Kind.ABANDONED: "cancel",
    Kind.BUSY: "busy",
    Kind.UNTAKEN: "noAnswer",
}


class CtiCall(PbxCall):
    def __init__(self, line: Line) -> None:
        super().__init__(line, line.stage.new_id())
        self.json = line.stage.random.random() < 0.5
        self.direction = "in"
        self.earlier: list[str] = []  # ids under which the call began
        self.answered_by = ""

    def request(self, event: str, **more: str | list[str]) -> Request:
        line, plan = self.line, self.plan
        numbers = [plan.caller.number.lstrip("+") or "anonymous", plan.dnis.lstrip("+")]
        if self.direction == "out":
            numbers.reverse()
        fields: dict[str, str | list[str]] = {
            "event": event,
            "from": numbers[0],
            "to": numbers[1],
            "direction": self.direction,
            "callId": self.key,
        }
        fields |= more
        if self.json:
            kind, body = "application/json", json.dumps(fields)
        else:
            kind = "application/x-www-form-urlencoded"
            pairs = {
                f"{name}[]" if isinstance(value, list) else name: value for name, value in fields.items()
            }
            body = urlencode(pairs, doseq=True)
        headers = {"Authorization": f"Bearer {plan.secret}", "Content-Type": kind}
        return Request(line.hook_url, body.encode(), headers, is_object)

    async def ring(self, agent: SimAgent | None) -> None:
        queue = self.plan.settings.queue
        if agent is not None:
            await self.line.ask(self.request("newCall", user=[agent.extension]))
        elif queue:
            await self.line.ask(self.request("newCall", queue=queue))
        else:
            await self.line.ask(self.request("newCall"))

    async def pick_up(self, agent: SimAgent) -> None:
        self.answered_by = agent.extension
        await self.line.tell(self.request("answer", user=agent.extension, answeringNumber=agent.extension))

    async def hand_over(self, agent: SimAgent, to: SimAgent) -> None:
        await self.line.tell(self.request("hangup", cause="forwarded", answeringNumber=agent.extension))
        self.earlier.append(self.key)
        self.key = self.line.stage.new_id()
        await self.ring(to)
        await self.pick_up(to)

    async def take_message(self) -> None:
        await self.line.tell(self.request("answer", user="voicemail"))

    async def dial(self, agent: SimAgent) -> None:
        self.direction = "out"
        await self.ring(agent)

    async def reach(self, agent: SimAgent) -> None:
        await self.line.tell(self.request("answer", user=agent.extension))

    async def hang_up(self, kind: Kind) -> None:
        cause = _CAUSES.get(kind, "normalClearing")
        more = {"answeringNumber": self.answered_by} if self.answered_by else {}
        await self.line.tell(self.request("hangup", cause=cause, **more))

    def played(self, kind: Kind) -> list[Played]:
        return [self.line.played(key, kind) for key in (*self.earlier, self.key)]


class CtiScript:
    name = "cti"
    kinds = frozenset(Kind) - {Kind.HELD}
    led = False

    def lack(self, settings: CallSourceSettings) -> str:
        return ""

    async def play(self, line: Line) -> Sequence[Played]:
        return await lead(CtiCall(line))


SCRIPT = CtiScript()
