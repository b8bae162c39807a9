"""Vonage's side of the wire: webhooks with a signed token, and NCCOs read."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from handlers.simulate.answers import CallLost, Check
from handlers.simulate.script import Line
from handlers.simulate.stage import Request

Action = Mapping[str, Any]


def token(secret: str, claims: Mapping[str, Any]) -> str:
    """A JWT with HS256 (RFC 7515 7.1)."""
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    signed = b".".join(_base64url(part) for part in parts)
    return (signed + b"." + _base64url(hmac.digest(secret.encode(), signed, "sha256"))).decode()


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def read_ncco(text: str) -> list[Action]:
    """Empty for an empty answer: the flow goes on as it was. Raises CallLost."""
    try:
        actions = json.loads(text) if text else []
    except ValueError:
        raise CallLost("the answer is no NCCO") from None
    if not isinstance(actions, list) or not all(isinstance(one, dict) for one in actions):
        raise CallLost("the answer is no NCCO")
    return actions


def is_ncco(text: str) -> str:
    return is_event_answer(text) if text else "expected an NCCO, got no text"


def is_event_answer(text: str) -> str:
    """Nothing, or an NCCO that replaces the flow."""
    try:
        read_ncco(text)
    except CallLost as bad:
        return str(bad)
    return ""


def url_of(action: Action) -> str:
    """Where the events of an action go. Raises CallLost."""
    urls = action.get("eventUrl")
    if not isinstance(urls, list) or not urls or not isinstance(urls[0], str):
        raise CallLost("an action of the NCCO names no eventUrl")
    return urls[0]


@dataclass(slots=True)
class Leg:
    """One phone. ``url``: where its events go."""

    id: str
    url: str
    from_: str
    to: str
    direction: str
    conversation: str
    begun: datetime  # picked up, or else made


class Call:
    """What is sent for a call: each webhook signed for what it holds."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.key = f"CON-{line.stage.new_id()}"
        self.conversation = self.key  # a transfer opens another
        plan = line.plan
        self.number = plan.caller.number.removeprefix("+") or "anonymous"
        self.our_number = plan.dnis.removeprefix("+")

    def leg(self, url: str, from_: str, to: str, direction: str) -> Leg:
        new_id, now = self.line.stage.new_id(), self.line.now()
        return Leg(new_id, url, from_, to, direction, self.conversation, now)

    def request(self, url: str, fields: Mapping[str, Any], check: Check, method: str = "POST") -> Request:
        plan = self.line.plan
        body = b"" if method == "GET" else json.dumps(fields).encode()
        if method == "GET":
            url += ("&" if "?" in url else "?") + urlencode(fields)
        claims = {"iat": int(self.line.now().timestamp()), "jti": self.line.stage.new_id(), "iss": "Vonage"}
        if body:
            claims["payload_hash"] = hashlib.sha256(body).hexdigest()
        for name in ("api_key", "application_id"):
            if plan.option(name):
                claims[name] = plan.option(name)
        headers = {"Authorization": f"Bearer {token(plan.secret, claims)}"}
        if body:
            headers["Content-Type"] = "application/json"
        return Request(url, body, headers, check, method)

    async def answer(self, url: str, leg: Leg, method: str = "POST") -> list[Action]:
        """Ask what is to be done with a leg."""
        fields = {
            "from": leg.from_,
            "to": leg.to,
            "uuid": leg.id,
            "conversation_uuid": leg.conversation,
            "region_url": "https://api-eu-3.vonage.com",
        }
        return read_ncco(await self.line.ask(self.request(url, fields, is_ncco, method)))

    def status(self, leg: Leg, status: str, **more: Any) -> Request:
        fields = {
            "from": leg.from_,
            "to": leg.to,
            "uuid": leg.id,
            "conversation_uuid": leg.conversation,
            "status": status,
            "direction": leg.direction,
            "timestamp": self.stamp(),
        }
        return self.request(leg.url, fields | more, is_event_answer)

    async def tell(self, leg: Leg, status: str) -> None:
        await self.line.tell(self.status(leg, status))

    async def answered(self, leg: Leg) -> None:
        leg.begun = self.line.now()
        await self.line.tell(self.status(leg, "answered", start_time=None, rate=None, network=None))

    async def ask(self, leg: Leg, status: str, **more: Any) -> list[Action]:
        """An event whose answer may replace the flow (``eventType`` synchronous)."""
        return read_ncco(await self.line.ask(self.status(leg, status, **more)))

    async def ended(self, leg: Leg) -> None:
        more = {
            "start_time": self.stamp(leg.begun),
            "end_time": self.stamp(),
            "duration": str(self.line.since(leg.begun)),
            "rate": "0.00450000",
            "price": "0.00450000",
            "network": "23410",
        }
        await self.line.tell(self.status(leg, "completed", **more))

    async def recorded(self, url: str, begun: datetime) -> None:
        recording = self.line.stage.new_id()
        fields = {
            "start_time": self.stamp(begun),
            "end_time": self.stamp(),
            "recording_url": self.line.stage.new_recording(recording),
            "recording_uuid": recording,
            "size": 759360,
            "conversation_uuid": self.conversation,
            "timestamp": self.stamp(),
        }
        await self.line.tell(self.request(url, fields, is_event_answer))

    async def keys(self, url: str, leg: Leg) -> list[Action]:
        """The end of an ``input``: nobody pressed a key."""
        fields = {
            "dtmf": {"digits": "", "timed_out": True},
            "from": leg.from_,
            "to": leg.to,
            "uuid": leg.id,
            "conversation_uuid": leg.conversation,
            "timestamp": self.stamp(),
        }
        return read_ncco(await self.line.ask(self.request(url, fields, is_ncco)))

    def stamp(self, time: datetime | None = None) -> str:
        return f"{time or self.line.now():%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
