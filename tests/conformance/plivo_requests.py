"""Plivo requests made for the tests: signed as Plivo signs them, asked and answered."""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

from multidict import CIMultiDict

from handlers.telephony.plivo import PROVIDER
from handlers.telephony.provider import CallSource, HookRequest
from server.domain.event import CallEvent
from server.domain.outcome import CallOutcome, RungAgent

SECRET = "an-invented-token"
HOOK = "https://cti.example.com/hooks/calls/main"
NOW = datetime(2026, 11, 16, 9, 15, tzinfo=UTC)
PRIYA = RungAgent(agent_id=1, name="Priya Raman", email="priya.raman@example.com", extension=None)
TOMASZ = RungAgent(agent_id=2, name="Tomasz", email="t@example.com", extension="sip:tomasz@pbx.example.com")
HUGO = RungAgent(agent_id=3, name="Hugo", email="h@example.com", extension="+447700900555")
NOBODY = RungAgent(agent_id=4, name="Nobody", email="n@example.com", extension="sip:<x>")
INCOMING = {
    "CallUUID": "A1", "ALegUUID": "A1", "CallStatus": "ringing", "Event": "StartApp", "Direction": "inbound",
    "From": "447700900123", "To": "442079460100",
}  # fmt: skip
DIALLED = {
    "CallUUID": "A1", "ALegUUID": "A1", "DialALegUUID": "A1", "DialBLegUUID": "B1", "CallStatus": "in-progress",
    "DialBLegFrom": "447700900123", "DialBLegTo": "sip:priya.raman@phone.plivo.com",
}  # fmt: skip


def source(name: str = "main", **options: str) -> CallSource:
    return CallSource(name, "plivo", (SECRET,), "GB", "support", "one", HOOK, options)


def sign(text: str, secret: str = SECRET) -> str:
    return base64.b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()).decode()


def request(
    fields: dict[str, str] | None = None,
    query: str = "",
    *,
    body: bytes = b"",
    method: str = "POST",
    **headers: str,
) -> HookRequest:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = urlencode(fields).encode() if fields is not None else body
    return HookRequest(method, HOOK + query, CIMultiDict(named), body, received_at=NOW)


def signed(text: str, nonce: str | None = None, **headers: str) -> dict[str, str]:
    """The headers of a request whose address and parameters are ``text``."""
    nonce = nonce or str(random.getrandbits(60))
    signature = sign(f"{text}.{nonce}")
    return {"X_Plivo_Signature_V3": signature, "X_Plivo_Signature_V3_Nonce": nonce} | headers


def parse_one(fields: dict[str, str], query: str = "", **options: str) -> CallEvent:
    (event,) = PROVIDER.parse(source(**options), request(fields, query))
    return event


def answer(
    fields: dict[str, str], query: str = "", *agents: RungAgent, is_closed: bool = False, **options: str
) -> Any:
    asked = request(fields, query)
    events = PROVIDER.parse(source(**options), asked)
    outcomes = [CallOutcome(1, "ringing", "support", agents, closed=is_closed) for _ in events]
    reply = PROVIDER.reply(source(**options), asked, events, outcomes)
    assert (reply.status, reply.content_type) == (200, "application/xml")
    return ElementTree.fromstring(reply.body)
