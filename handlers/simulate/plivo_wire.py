"""Plivo's side of the wire: forms with signature V3, the phones that a Dial rings, what is told of them."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qsl, urlencode, urlsplit
from xml.etree import ElementTree

from handlers.simulate.answers import CallLost, Check, is_empty, is_response, read_response
from handlers.simulate.script import Line
from handlers.simulate.stage import Request

Form = dict[str, str]


def sign(secret: str, url: str, form: Mapping[str, str], nonce: str) -> str:
    """X-Plivo-Signature-V3: HMAC-SHA256 over address, sorted query, sorted form and nonce."""
    query = "&".join(f"{name}={value}" for name, value in sorted(parse_qsl(urlsplit(url).query, True)))
    body = "".join(name + form[name] for name in sorted(form))
    text = f"{url.partition('?')[0]}?{query}{'.' if query else ''}{body}.{nonce}"
    return base64.b64encode(hmac.digest(secret.encode(), text.encode(), "sha256")).decode()


@dataclass(slots=True)
class Leg:
    """A phone that a Dial rings. ``url``: where what becomes of it is told."""

    id: str
    url: str
    to: str
    answered_at: datetime | None = None


class Call:
    """A call's A leg, and what is sent for it and its others."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.id = line.stage.new_id()
        self.begun = line.now()
        plan = line.plan
        self.base = {
            "CallUUID": self.id,
            "ALegUUID": self.id,
            "From": plan.caller.number.removeprefix("+") or "anonymous",
            "To": plan.dnis.removeprefix("+"),
            "Direction": "inbound",
            "BillRate": "0.0065",
            "SessionStart": f"{line.now():%Y-%m-%d %H:%M:%S.%f}",
        }

    def request(self, url: str, form: Mapping[str, str], check: Check) -> Request:
        nonce = str(self.line.stage.ids.getrandbits(63))
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "User-Agent": "plivo-voice",
            "X-Plivo-Signature-V3": sign(self.line.plan.secret, url, form, nonce),
            "X-Plivo-Signature-V3-Nonce": nonce,
        }
        return Request(url, urlencode(form).encode(), headers, check)

    async def ask(self, url: str, event: str, status: str, **more: str) -> ElementTree.Element:
        """A request that is answered with XML."""
        form = self.base | {"Event": event, "CallStatus": status} | more
        return read_response(await self.line.ask(self.request(url, form, is_response)))

    async def tell(self, url: str, event: str, status: str, **more: str) -> None:
        form = self.base | {"Event": event, "CallStatus": status} | more
        await self.line.tell(self.request(url, form, is_empty))

    def legs(self, dial: ElementTree.Element) -> list[Leg]:
        """Raises CallLost when nobody is rung."""
        new_id, url = self.line.stage.new_id, dial.get("callbackUrl", "")
        nouns = [noun for noun in dial if noun.tag in ("User", "Number") and noun.text]
        if not nouns or not url:
            raise CallLost("a Dial rings nobody, or tells nobody of it")
        return [Leg(new_id(), url, (noun.text or "").strip()) for noun in nouns]

    async def dialled(self, leg: Leg, action: str, **more: str) -> None:
        """A Dial's callback: ``answer``, ``connected`` or ``hangup`` of one phone."""
        form = {
            "CallUUID": self.id,
            "ALegUUID": self.id,
            "DialALegUUID": self.id,
            "DialBLegUUID": leg.id,
            "DialBLegFrom": self.base["From"],
            "DialBLegTo": leg.to,
            "DialAction": action,
            "DialBLegStatus": action,
            "CallStatus": "in-progress",
            "Event": f"Dial{action.capitalize()}",
        }
        await self.line.tell(self.request(leg.url, form | more, is_empty))

    async def answered(self, leg: Leg) -> None:
        leg.answered_at = self.line.now()
        await self.dialled(leg, "answer")
        await self.dialled(leg, "connected")

    async def hung_up(self, leg: Leg) -> None:
        seconds = self.line.since(leg.answered_at)
        more = {"DialBLegDuration": str(seconds), "DialBLegBillDuration": str(seconds // 60 * 60 + 60)}
        await self.dialled(leg, "hangup", **more, DialBLegHangupCause="NORMAL_CLEARING")

    async def after_dial(
        self, dial: ElementTree.Element, status: str, leg: Leg | None, *, gone: bool = False
    ) -> ElementTree.Element:
        """The Dial's own action: how it ended."""
        more = {
            "DialStatus": status,
            "DialRingStatus": "true",
            "DialALegUUID": self.id,
            "DialBLegUUID": leg.id if leg is not None else "",
        }
        call_status = "completed" if gone else "in-progress"
        return await self.ask(dial.get("action", ""), "Redirect", call_status, **more)

    def recording(self, begun: datetime | None) -> Form:
        recording, now = self.line.stage.new_id(), self.line.now()
        began = begun or now
        milliseconds = int((now - began).total_seconds() * 1000)
        return {
            "RecordUrl": self.line.stage.new_recording(recording),
            "RecordingID": recording,
            "RecordingDuration": str(milliseconds // 1000),
            "RecordingDurationMs": str(milliseconds),
            "RecordingStartMs": str(int(began.timestamp() * 1000)),
            "RecordingEndMs": str(int(now.timestamp() * 1000)),
        }

    async def recorded(self, url: str, leg: Leg) -> None:
        """A Record's callback: it says of which call, and not which way that went."""
        form = {"CallUUID": self.id, "Event": "RecordStop", **self.recording(leg.answered_at)}
        await self.line.tell(self.request(url, form, is_empty))

    async def end(self, url: str, *, cancelled: bool = False) -> None:
        cause = "ORIGINATOR_CANCEL" if cancelled else "NORMAL_CLEARING"
        seconds = 0 if cancelled else self.line.since(self.begun)
        more = {"HangupCause": cause, "HangupSource": "Caller", "Duration": str(seconds)}
        await self.tell(url, "Hangup", "cancel" if cancelled else "completed", **more)
