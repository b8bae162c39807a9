"""Calls as Placetel notifies of them: one signed form for each event, numbers as they are dialled there.

https://github.com/Placetel/call-control-notify-api. No event tells of a transfer or a hold. Of a number
whose routing is "External API" our answer decides where the call goes.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import urlencode

from handlers.simulate.answers import is_response, read_response
from handlers.simulate.dialled import national
from handlers.simulate.pbx import PbxCall, lead
from handlers.simulate.plan import Kind, Played
from handlers.simulate.script import Line
from handlers.simulate.stage import Request
from server.settings import CallSourceSettings
from server.store.simulation import SimAgent

_ENDS = {
    Kind.MISSED: "missed",
    Kind.ABANDONED: "missed",
    Kind.BUSY: "missed",
    Kind.VOICEMAIL: "voicemail",
    Kind.UNTAKEN: "unavailable",
}


def sign(secret: str, body: bytes) -> str:
    """X-PLACETEL-SIGNATURE: the hex HMAC-SHA256 of the body."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class PlacetelCall(PbxCall):
    def __init__(self, line: Line) -> None:
        super().__init__(line, f"{line.stage.ids.getrandbits(256):064x}")
        self.direction = "in"
        self.peer = ""  # who our answer lets ring
        self.accepted: datetime | None = None

    def request(self, event: str, **more: str) -> Request:
        plan = self.plan
        country = plan.settings.country or "DE"
        ends = [national(plan.caller.number, country) or "anonymous", national(plan.dnis, country)]
        if self.direction == "out":
            ends.reverse()
        fields = {"call_id": self.key, "direction": self.direction, "event": event}
        body = urlencode({**fields, "from": ends[0], "to": ends[1], **more}).encode()
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-PLACETEL-SIGNATURE": sign(plan.secret, body),
        }
        return Request(self.line.hook_url, body, headers, is_response)

    async def ring(self, agent: SimAgent | None) -> Kind | None:
        response = read_response(await self.line.ask(self.request("IncomingCall")))
        self.peer = response.findtext("Forward/Target/Number") or ""
        if response.find("Reject") is not None or response.find("Hangup") is not None:
            return Kind.BUSY
        forward = response.find("Forward")
        leaves_message = forward is not None and not self.peer and forward.get("voicemail") == "true"
        return Kind.VOICEMAIL if leaves_message else None

    async def pick_up(self, agent: SimAgent) -> None:
        self.accepted = self.line.now()
        await self.line.tell(self.request("CallAccepted", peer=self.peer or agent.extension))

    async def dial(self, agent: SimAgent) -> None:
        self.direction = "out"
        await self.line.tell(self.request("OutgoingCall", peer=agent.extension))

    async def take_message(self) -> None:
        self.accepted = self.line.now()  # no event of its own tells of it

    async def reach(self, agent: SimAgent) -> None:
        self.accepted = self.line.now()  # nor of this

    async def hang_up(self, kind: Kind) -> None:
        duration = str(self.line.since(self.accepted))
        await self.line.tell(self.request("HungUp", type=_ENDS.get(kind, "accepted"), duration=duration))


class PlacetelScript:
    name = "placetel"
    kinds = frozenset(Kind) - {Kind.HELD, Kind.TRANSFERRED, Kind.BUSY}
    led = False

    def lack(self, settings: CallSourceSettings) -> str:
        return ""

    async def play(self, line: Line) -> Sequence[Played]:
        return await lead(PlacetelCall(line))


SCRIPT = PlacetelScript()
