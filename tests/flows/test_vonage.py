"""Vonage's signed webhooks over real HTTP: held while nobody is free, rung when somebody is, transferred."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

import aiohttp
import pytest

from handlers.doors import HANDLERS
from server.app import start
from server.domain.permission import Actor
from tests.conformance.vonage_requests import SECRET, token
from tests.flows.conftest import Ringpost

CALL = {"from": "447700900123", "to": "442079460100", "uuid": "leg-caller", "conversation_uuid": "CON-1"}
STATUS = {"conversation_uuid": "CON-1", "timestamp": "2026-11-16T09:15:02.120Z", "direction": "outbound"}


@pytest.fixture
async def ringpost(settings_of: Callable[..., Any]) -> AsyncIterator[Ringpost]:
    source = {"PROVIDER": "vonage", "SECRETS": json.dumps([SECRET]), "QUEUE": "support"}
    environ = {f"RINGPOST_CALL_SOURCES__PHONE__{name}": value for name, value in source.items()}
    async with contextlib.AsyncExitStack() as stack:
        running = await start(settings_of(**environ), HANDLERS, stack)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        admin = Actor(agent_id=0, name="Admin", email="", role="administrator", language="en")
        yield Ringpost(running, http, stack, admin)


async def send(ringpost: Ringpost, target: str, fields: dict[str, Any] | None = None, **claims: Any) -> Any:
    """What comes back: the NCCO, None for an empty answer, the status of a refusal."""
    body = b"" if fields is None else json.dumps(fields).encode()
    said = {"iat": int(time.time()), "jti": str(uuid4()), "iss": "Vonage"} | claims
    if body:
        said.setdefault("payload_hash", hashlib.sha256(body).hexdigest())
    headers = {"Authorization": f"Bearer {token(said)}", "Content-Type": "application/json"}
    method = "GET" if fields is None else "POST"
    async with ringpost.http.request(method, ringpost.url + target, data=body, headers=headers) as answer:
        text = await answer.text()
        if answer.status != 200:
            return answer.status
        return json.loads(text) if text else None


def target_of(action: dict[str, Any]) -> str:
    parts = urlsplit(action["eventUrl"][0])
    return f"{parts.path}?{parts.query}"


async def test_from_the_queue_to_an_agent_and_on_to_another(ringpost: Ringpost) -> None:
    _, pause = await send(ringpost, "/hooks/calls/phone/answer?" + urlencode(CALL))
    keyed = {"uuid": "leg-caller", "conversation_uuid": "CON-1", "dtmf": {"digits": "", "timed_out": True}}
    _, pause = await send(ringpost, target_of(pause), keyed)
    assert "poll=2" in target_of(pause)
    await ringpost.add_agent("priya", extension="+442079460111")
    await ringpost.add_agent("tomasz", extension="+442079460112")
    priya = await ringpost.socket("priya")
    (pop,) = [frame for frame in priya.frames if frame["type"] == "screen_pop"]
    (ring,) = await send(ringpost, target_of(pause), keyed)
    assert ring["endpoint"] == [{"type": "phone", "number": "442079460111"}]
    phone = STATUS | {"from": "442079460100", "to": "442079460111", "uuid": "leg-priya"}
    for status in ("started", "ringing", "answered"):
        assert await send(ringpost, target_of(ring), phone | {"status": status}) is None
    contact = await ringpost.api("GET", f"/contacts/{pop['contact']['id']}", "priya")
    assert (contact["state"], contact["ani"]) == ("answered", "+447700900123")
    own = urlencode(
        {"target": "+442079460112", "call": "CON-1", "first": "leg-caller", "line": "442079460100"}
    )
    moved = urlencode({"uuid": "leg-caller", "conversation_uuid": "CON-2"})
    (ring,) = await send(ringpost, f"/hooks/calls/phone/answer?{own}&{moved}")
    assert await send(ringpost, target_of(ring), phone | {"status": "completed", "uuid": "leg-priya"}) is None
    other = phone | {"uuid": "leg-tomasz", "to": "442079460112", "conversation_uuid": "CON-2"}
    for status in ("ringing", "answered", "completed"):
        assert await send(ringpost, target_of(ring), other | {"status": status}) is None
    over = CALL | STATUS | {"status": "completed", "direction": "inbound", "conversation_uuid": "CON-2"}
    assert await send(ringpost, "/hooks/calls/phone/event", over) is None
    contact = await ringpost.api("GET", f"/contacts/{pop['contact']['id']}", "priya")
    assert (contact["state"], await ringpost.count("contacts")) == ("ended", 1)


async def test_untaken_goes_to_the_voicemail(ringpost: Ringpost) -> None:
    await ringpost.add_agent("priya", extension="+442079460111")
    priya = await ringpost.socket("priya")
    (ring,) = await send(ringpost, "/hooks/calls/phone", CALL)  # no path, and POST: the same
    pop = await priya.next("screen_pop")
    phone = STATUS | {"to": "442079460111", "uuid": "leg-priya", "status": "unanswered", "detail": "timeout"}
    talk, record = await send(ringpost, target_of(ring), phone)
    assert (talk["action"], record["action"]) == ("talk", "record")
    left = {"recording_uuid": "R1", "recording_url": "https://api.example/R1", "conversation_uuid": "CON-1"}
    assert await send(ringpost, target_of(record), left) is None
    over = CALL | STATUS | {"status": "completed", "direction": "inbound"}
    assert await send(ringpost, "/hooks/calls/phone/event", over) is None
    contact = await ringpost.api("GET", f"/contacts/{pop['contact']['id']}", "priya")
    assert contact["state"] == "voicemail"


async def test_what_is_not_signed_for_this_is_refused(ringpost: Ringpost) -> None:
    async with ringpost.http.post(f"{ringpost.url}/hooks/calls/phone/event", json=CALL) as answer:
        assert (answer.status, "Retry-After" in answer.headers) == (503, True)
    assert await send(ringpost, "/hooks/calls/phone/event", CALL, payload_hash="0" * 64) == 401
    assert await send(ringpost, "/hooks/calls/phone/event", CALL, iat=1) == 401
    assert await ringpost.count("contacts") == 0
