"""Plivo's signed requests over real HTTP: held while nobody is free, rung when somebody is, voicemail."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode
from uuid import uuid4
from xml.etree import ElementTree

import aiohttp
import pytest

from handlers.doors import HANDLERS
from server.app import start
from server.domain.permission import Actor
from tests.conformance.plivo_requests import DIALLED, INCOMING, SECRET, sign
from tests.flows.conftest import Ringpost

HOOK = "/hooks/calls/phone"


@pytest.fixture
async def ringpost(settings_of: Callable[..., Any]) -> AsyncIterator[Ringpost]:
    source = {"PROVIDER": "plivo", "SECRETS": json.dumps([SECRET]), "QUEUE": "support"}
    environ = {f"RINGPOST_CALL_SOURCES__PHONE__{name}": value for name, value in source.items()}
    async with contextlib.AsyncExitStack() as stack:
        running = await start(settings_of(**environ), HANDLERS, stack)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        admin = Actor(agent_id=0, name="Admin", email="", role="administrator", language="en")
        yield Ringpost(running, http, stack, admin)


async def post(ringpost: Ringpost, url: str, fields: dict[str, str]) -> Any:
    """Sign as Plivo does, and give the XML that came back; None for an empty answer."""
    path, _, query = url.removeprefix(ringpost.ctx.public_url).partition("?")
    pairs = "&".join(f"{name}={value}" for name, value in sorted(parse_qsl(query)))
    text = f"{ringpost.ctx.public_url}{path}?{pairs}{'.' if pairs else ''}"
    text += "".join(name + fields[name] for name in sorted(fields))
    nonce = str(uuid4().int)
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Plivo-Signature-V3": sign(f"{text}.{nonce}"),
        "X-Plivo-Signature-V3-Nonce": nonce,
    }
    target = f"{ringpost.url}{path}{'?' if query else ''}{query}"
    async with ringpost.http.post(target, data=urlencode(fields), headers=headers) as answer:
        said = await answer.text()
        assert answer.status == 200, said
        return ElementTree.fromstring(said) if said else None


async def test_from_the_queue_to_an_agent(ringpost: Ringpost) -> None:
    (redirect,) = await post(ringpost, f"{HOOK}/answer", INCOMING)
    waiting = INCOMING | {"CallStatus": "in-progress", "Event": "Redirect"}
    *_, redirect = await post(ringpost, redirect.text, waiting)
    await ringpost.add_agent("priya", extension="priya")
    priya = await ringpost.socket("priya")
    (pop,) = [frame for frame in priya.frames if frame["type"] == "screen_pop"]
    (dial,) = await post(ringpost, redirect.text, waiting)
    assert dial[0].text == "sip:priya@phone.plivo.com"
    agent = DIALLED | {"DialBLegTo": "sip:priya@phone.plivo.com"}
    assert await post(ringpost, dial.get("callbackUrl"), agent | {"DialAction": "answer"}) is None
    contact = await ringpost.api("GET", f"/contacts/{pop['contact']['id']}", "priya")
    assert (contact["state"], contact["ani"]) == ("answered", "+447700900123")
    assert await post(ringpost, dial.get("callbackUrl"), agent | {"DialAction": "hangup"}) is None
    (hangup,) = await post(ringpost, dial.get("action"), waiting | {"DialStatus": "completed"})
    assert hangup.tag == "Hangup"
    assert await post(ringpost, HOOK, INCOMING | {"Event": "Hangup", "CallStatus": "completed"}) is None
    contact = await ringpost.api("GET", f"/contacts/{pop['contact']['id']}", "priya")
    assert (contact["state"], await ringpost.count("contacts")) == ("ended", 1)


async def test_untaken_goes_to_the_voicemail(ringpost: Ringpost) -> None:
    await ringpost.add_agent("priya", extension="priya")
    priya = await ringpost.socket("priya")
    (dial,) = await post(ringpost, HOOK, INCOMING)
    pop = await priya.next("screen_pop")
    untaken = INCOMING | {"CallStatus": "in-progress", "DialStatus": "no-answer", "DialBLegUUID": ""}
    _, record, _ = await post(ringpost, dial.get("action"), untaken)
    left = {
        "CallUUID": "A1",
        "RecordUrl": "https://media.example/1.mp3",
        "RecordingID": "R1",
        "CallStatus": "in-progress",
    }
    assert (await post(ringpost, record.get("action"), left))[0].tag == "Hangup"
    assert await post(ringpost, HOOK, INCOMING | {"Event": "Hangup", "CallStatus": "completed"}) is None
    contact = await ringpost.api("GET", f"/contacts/{pop['contact']['id']}", "priya")
    assert contact["state"] == "voicemail"


async def test_another_signature_is_refused(ringpost: Ringpost) -> None:
    headers = {"X-Plivo-Signature-V3": sign("x"), "X-Plivo-Signature-V3-Nonce": "1"}
    async with ringpost.http.post(ringpost.url + HOOK, data=INCOMING, headers=headers) as answer:
        assert answer.status == 403
    assert await ringpost.count("contacts") == 0
