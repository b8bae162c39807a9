"""Twilio's signed webhooks over real HTTP: rung when somebody is free, held in the queue when nobody is."""

from __future__ import annotations

import base64
import hashlib
import hmac
from urllib.parse import parse_qsl, urlencode
from xml.etree import ElementTree

import aiohttp

from tests.flows.conftest import TWILIO_SECRET, Ringpost


async def post(ringpost: Ringpost, query: str = "", **fields: str) -> tuple[int, ElementTree.Element | None]:
    """Sign as Twilio does, over the URL as it calls it, and give the TwiML that came back."""
    target = f"/hooks/calls/main{query}"
    body = {
        "AccountSid": "AC" + "0" * 32,
        "CallSid": "CA" + "1" * 32,
        "CallStatus": "ringing",
        "Direction": "inbound",
        "From": "+447700900123",
        "To": "+442079460100",
        **fields,
    }
    signed = ringpost.ctx.public_url + target + "".join(name + body[name] for name in sorted(body))
    proof = base64.b64encode(
        hmac.new(TWILIO_SECRET.encode(), signed.encode(), hashlib.sha1).digest()
    ).decode()
    async with ringpost.http.post(
        ringpost.url + target,
        data=urlencode(body),
        headers={"Content-Type": "application/x-www-form-urlencoded", "X-Twilio-Signature": proof},
    ) as answer:
        text = await answer.text()
        return answer.status, ElementTree.fromstring(text) if text else None


def query_of(url: str) -> str:
    return "?" + url.partition("?")[2]


async def test_rings_the_agent_that_routing_picked(ringpost: Ringpost) -> None:
    await ringpost.add_agent("priya", extension="101")
    priya = await ringpost.socket("priya")
    for _ in range(2):  # a repeated event is answered like the first time
        status, twiml = await post(ringpost)
        assert status == 200 and twiml is not None
        client = twiml.find("Dial/Client")
        assert client is not None and client.text == "101"
    pop = await priya.next("screen_pop")
    assert pop["contact"]["linkedid"] == "CA" + "1" * 32
    assert await priya.quiet()
    child = {"CallSid": "CA" + "2" * 32, "ParentCallSid": "CA" + "1" * 32, "To": "client:101"}
    more = {"CallbackSource": "call-progress-events", "Direction": "outbound-dial"}
    status, _ = await post(ringpost, **child, **more, CallStatus="in-progress", SequenceNumber="2")
    assert status == 204
    contact = await ringpost.api("GET", f"/contacts/{pop['contact']['id']}", "priya")
    assert contact["state"] == "answered"
    await post(ringpost, CallStatus="completed", CallbackSource="call-progress-events", SequenceNumber="0")
    contact = await ringpost.api("GET", f"/contacts/{pop['contact']['id']}", "priya")
    assert contact["state"] == "ended"


async def test_holds_the_caller_until_somebody_is_free(ringpost: Ringpost) -> None:
    await ringpost.add_agent("priya", extension="101")
    _, twiml = await post(ringpost)
    assert twiml is not None
    enqueue = twiml.find("Enqueue")
    assert enqueue is not None and enqueue.text == "support"
    wait, dequeued = query_of(enqueue.attrib["waitUrl"]), query_of(enqueue.attrib["action"])
    assert dict(parse_qsl(wait[1:]))
    _, held = await post(ringpost, wait, QueueTime="0", QueueResult="")
    assert held is not None and held.find("Leave") is None
    priya = await ringpost.socket("priya")
    assert [frame["contact"]["queue"] for frame in priya.frames if frame["type"] == "screen_pop"] == [
        "support"
    ]
    _, free = await post(ringpost, wait, QueueTime="6")
    assert free is not None and free.find("Leave") is not None
    _, rung = await post(ringpost, dequeued, QueueResult="leave", QueueTime="6", CallStatus="in-progress")
    assert rung is not None
    client = rung.find("Dial/Client")
    assert client is not None and client.text == "101"
    assert await ringpost.count("contacts") == 1 and await ringpost.count("tickets") == 1


async def test_a_forged_signature_stores_nothing(ringpost: Ringpost) -> None:
    answer: aiohttp.ClientResponse = await ringpost.http.post(
        f"{ringpost.url}/hooks/calls/main",
        data={"CallSid": "CA" + "1" * 32, "CallStatus": "ringing", "Direction": "inbound"},
        headers={"X-Twilio-Signature": "AAAAAAAAAAAAAAAAAAAAAAAAAAA="},
    )
    assert answer.status == 403
    assert await ringpost.count("contacts") == 0 and await ringpost.count("quarantine") == 0
