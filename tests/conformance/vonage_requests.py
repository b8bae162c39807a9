"""Vonage webhooks made for the tests: signed as Vonage signs them, asked and answered."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from multidict import CIMultiDict

from handlers.telephony.provider import CallSource, HookRequest
from handlers.telephony.vonage import PROVIDER
from server.domain.event import CallEvent
from server.domain.outcome import CallOutcome, RungAgent

SECRET = "an-invented-signature-secret-of-some-length"
HOOK = "https://cti.example.com/hooks/calls/main"
NOW = datetime(2026, 11, 16, 9, 15, tzinfo=UTC)
CALL, LEG, PHONE = "CON-1", "leg-caller", "leg-agent"
PRIYA = RungAgent(agent_id=1, name="Priya Raman", email="priya.raman@example.com", extension=None)
TOMASZ = RungAgent(agent_id=2, name="Tomasz", email="t@example.com", extension="sip:tomasz@pbx.example.com")
HUGO = RungAgent(agent_id=3, name="Hugo", email="h@example.com", extension="+447700900555")
INCOMING = {"from": "447700900123", "to": "442079460100", "uuid": LEG, "conversation_uuid": CALL}


def source(name: str = "main", **options: str) -> CallSource:
    return CallSource(name, "vonage", (SECRET,), "GB", "support", "one", HOOK, options)


def token(claims: Any, header: Any = None, algorithm: str = "sha256", secret: str = SECRET) -> str:
    """RFC 7515 7.1 by hand, so that the tests and the product do not share an implementation."""
    parts = [json.dumps(part).encode() for part in (header or {"alg": "HS256", "typ": "JWT"}, claims)]
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    mac = hmac.digest(secret.encode(), signed, algorithm)
    return (signed + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")).decode()


def claims_for(body: bytes, **changes: Any) -> dict[str, Any]:
    said = {"iat": int(NOW.timestamp()), "jti": random.randbytes(8).hex(), "iss": "Vonage"}
    if body:
        said["payload_hash"] = hashlib.sha256(body).hexdigest()
    return {name: value for name, value in (said | changes).items() if value is not None}


def request(
    fields: dict[str, Any] | None = None, query: str = "", *, method: str = "POST", bearer: str = ""
) -> HookRequest:
    body = b"" if fields is None else json.dumps(fields).encode()
    headers = {"Authorization": f"Bearer {bearer or token(claims_for(body))}"}
    return HookRequest(method, HOOK + query, CIMultiDict(headers), body, received_at=NOW)


def parse_one(fields: dict[str, Any], query: str = "", **options: str) -> CallEvent:
    (event,) = PROVIDER.parse(source(**options), request(fields, query))
    return event


def answer(
    fields: dict[str, Any], query: str = "", *agents: RungAgent, is_closed: bool = False, **options: str
) -> Any:
    """The NCCO that comes back; None for an empty answer."""
    asked = request(fields, query)
    events = PROVIDER.parse(source(**options), asked)
    outcomes = [CallOutcome(1, "ringing", "support", agents, closed=is_closed) for _ in events]
    reply = PROVIDER.reply(source(**options), asked, events, outcomes)
    assert reply.status == 200
    if not reply.body:
        return None
    assert reply.content_type == "application/json"
    return json.loads(reply.body)


def own_of(action: dict[str, Any]) -> list[tuple[str, str]]:
    """The query of the URL to which an action's events come."""
    (url,) = action["eventUrl"]
    assert url.startswith(HOOK + "/event?")
    return parse_qsl(urlsplit(url).query)


def phone_event(status: str, query: str, **more: str) -> tuple[dict[str, str], str]:
    fields = {
        "from": "442079460100", "to": "priya.raman", "uuid": PHONE, "conversation_uuid": CALL,
        "status": status, "direction": "outbound", "timestamp": "2026-11-16T09:15:02.120Z",
    }  # fmt: skip
    return fields | more, query
