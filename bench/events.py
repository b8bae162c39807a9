"""Prebuilt webhooks: one callable per kind gives the bytes of a new call's request each time."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode

PUBLIC_URL = "https://bench.example.com"
CTI_SECRET = "bench-cti-secret"
TWILIO_SECRET = "bench-twilio-auth-token"
DNIS = "+442079460100"
AGENTS = 500
FIRST_PHONE = 7_700_000_000  # +44 and ten digits; customer n of SIZE has FIRST_PHONE + n


def phone(n: int) -> str:
    return f"+44{FIRST_PHONE + n}"


def extension(n: int) -> str:
    """Of agent ``n`` of 0..AGENTS-1."""
    return str(1000 + n)


@dataclass(frozen=True, slots=True)
class Ring:
    """One ringing event: the call's key, and the bytes to send."""

    call_key: bytes
    request: bytes


Source = Callable[[], Ring]


def cti_source(customers: int, agents: int = AGENTS, seed: int = 1) -> Source:
    """JSON ``newCall`` of a known caller that names one agent."""
    chance, run = random.Random(seed), secrets.token_hex(4)
    numbers = itertools.count()
    head = (
        "POST /hooks/calls/pbx HTTP/1.1\r\nHost: bench.example.com\r\nUser-Agent: bench\r\n"
        f"Authorization: Bearer {CTI_SECRET}\r\nContent-Type: application/json\r\nContent-Length: "
    )

    def make() -> Ring:
        key = f"{run}-{next(numbers)}"
        body = (
            f'{{"event":"newCall","direction":"in","callId":"{key}","from":"{phone(chance.randrange(customers))}",'
            f'"to":"{DNIS}","user":"{extension(chance.randrange(agents))}"}}'
        )
        return Ring(key.encode(), f"{head}{len(body)}\r\n\r\n{body}".encode())

    return make


def twilio_source(customers: int, seed: int = 2) -> Source:
    """Twilio's incoming-voice form, signed over the public URL; it names no agent, so routing picks."""
    chance, run = random.Random(seed), secrets.token_hex(8)
    numbers = itertools.count()
    path = "/hooks/calls/main"

    def make() -> Ring:
        sid = f"CA{run}{next(numbers):016x}"
        caller = phone(chance.randrange(customers))
        parameters = {
            "AccountSid": "AC" + "0" * 32,
            "ApiVersion": "2010-04-01",
            "CallSid": sid,
            "CallStatus": "ringing",
            "Called": DNIS,
            "CalledCountry": "GB",
            "Caller": caller,
            "CallerCity": "",
            "CallerCountry": "GB",
            "Direction": "inbound",
            "From": caller,
            "FromCountry": "GB",
            "To": DNIS,
            "ToCountry": "GB",
        }
        signed = PUBLIC_URL + path + "".join(name + parameters[name] for name in sorted(parameters))
        digest = hmac.digest(TWILIO_SECRET.encode(), signed.encode(), hashlib.sha1)
        body = urlencode(parameters)
        request = (
            f"POST {path} HTTP/1.1\r\nHost: bench.example.com\r\nUser-Agent: bench\r\n"
            f"X-Twilio-Signature: {base64.b64encode(digest).decode()}\r\n"
            f"I-Twilio-Idempotency-Token: {sid}\r\n"
            "Content-Type: application/x-www-form-urlencoded; charset=UTF-8\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        )
        return Ring(sid.encode(), request.encode())

    return make


def ticket_source(token: str, customers: int, seed: int = 3) -> Source:
    """``POST /api/v1/tickets`` with a bearer token."""
    chance, numbers = random.Random(seed), itertools.count()
    head = (
        "POST /api/v1/tickets HTTP/1.1\r\nHost: bench.example.com\r\nUser-Agent: bench\r\n"
        f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: "
    )

    def make() -> Ring:
        n = next(numbers)
        body = (
            f'{{"subject":"Delivery {n} has not arrived","kind":"inquiry","priority":"normal",'
            f'"queue":"support","customer_id":"{1_000_000_000 + chance.randrange(customers)}"}}'
        )
        return Ring(str(n).encode(), f"{head}{len(body)}\r\n\r\n{body}".encode())

    return make
