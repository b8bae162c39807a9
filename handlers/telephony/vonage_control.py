"""What agents ask of Vonage ("Voice API reference": create a call, modify a call).

Every request carries a token that the application's private key signs (RS256). Source options:
``application_id``, ``private_key`` (PEM) or ``private_key_file``, ``number`` (shown to those who are
called), ``api_url`` (Vonage's own unless said otherwise).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode
from uuid import uuid4

import aiohttp
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from handlers.telephony import ncco
from handlers.telephony.control import Command, CommandFailed, Deed, LiveCall
from handlers.telephony.fields import optional_text
from handlers.telephony.provider import CallSource
from handlers.telephony.rest import ask

API_URL = "https://api.nexmo.com"
DEEDS = frozenset({Deed.DIAL, Deed.HANG_UP, Deed.TRANSFER})

_RING_SECONDS = 25
_TOKEN_SECONDS = 300


async def act(source: CallSource, command: Command, http: aiohttp.ClientSession) -> str:
    """As ``Control.act``. The key of a dialled call is its conversation."""
    if command.deed is Deed.DIAL:
        answer = await _ask(source, http, "POST", "/v1/calls", _dial(source, command))
        key = answer.get("conversation_uuid") if isinstance(answer, dict) else None
        if not isinstance(key, str) or not key:
            raise CommandFailed("the telephony did not say which call it made")
        return key
    if command.deed not in DEEDS:
        raise CommandFailed(f"this telephony cannot {command.deed.replace('_', ' ')}")
    if command.call is None:
        raise CommandFailed("there is no call to act on")
    leg = command.call.customer_leg or command.call.agent_leg or ""
    if not leg:
        raise CommandFailed("there is no call to act on")
    change = {"action": "hangup"}
    if command.deed is Deed.TRANSFER:
        change = _transfer(source, command, command.call)
    await _ask(source, http, "PUT", f"/v1/calls/{quote(leg, safe='')}", change)
    return ""


def _dial(source: CallSource, command: Command) -> dict[str, Any]:
    """The agent's phone first; who picks it up is connected by the answer to ``?customer=``."""
    customer = ncco.plain_number(command.target)
    if customer is None:
        raise CommandFailed("this is no number that could be dialled: write it with its country code")
    line = ncco.plain_number(command.caller_id or _option(source, "number"))
    if line is None:
        raise CommandFailed(f"number in [call_sources.{source.name}] is no number")
    agent = optional_text(command.agent)
    if agent is None:
        raise CommandFailed("you have no phone: set your extension")
    query = urlencode({"customer": customer})
    return {
        "to": [ncco.endpoint(agent)],
        "from": {"type": "phone", "number": line},
        "answer_url": [f"{source.hook_url}/answer?{query}"],
        "answer_method": "GET",
        "event_url": [f"{source.hook_url}/event?{query}"],
        "event_method": "POST",
        "ringing_timer": _RING_SECONDS,
    }


def _transfer(source: CallSource, command: Command, call: LiveCall) -> dict[str, Any]:
    """The customer's leg moves to an NCCO of ours that rings the target, and leaves the agent's behind."""
    target = optional_text(command.target)
    if target is None:
        raise CommandFailed("say where to transfer the call to")
    line = call.ani if call.direction == "outbound" else call.dnis
    own = {
        "target": target,
        "call": call.call_key,
        "first": call.customer_leg,
        "line": (line or "").removeprefix("+"),
    }
    query = urlencode({name: value for name, value in own.items() if value}, errors="replace")
    return {
        "action": "transfer",
        "destination": {"type": "ncco", "url": [f"{source.hook_url}/answer?{query}"]},
    }


async def _ask(
    source: CallSource, http: aiohttp.ClientSession, method: str, path: str, message: Mapping[str, Any]
) -> Any:
    url = source.options.get("api_url", API_URL).rstrip("/") + path
    headers = {"Authorization": f"Bearer {application_token(source)}"}
    return await ask(http, method, url, headers=headers, message=message)


def application_token(source: CallSource) -> str:
    now = int(time.time())
    claims = {
        "application_id": _option(source, "application_id"),
        "iat": now,
        "exp": now + _TOKEN_SECONDS,
        "jti": str(uuid4()),
    }
    try:
        pem = source.options.get("private_key") or _read(_option(source, "private_key_file"))
        return jwt.encode({"alg": "RS256"}, claims, _key(pem), algorithms=["RS256"])
    except OSError as bad:
        raise CommandFailed(f"private_key_file of [call_sources.{source.name}]: {bad.strerror}") from None
    except (JoseError, ValueError, TypeError):
        raise CommandFailed(f"private_key of [call_sources.{source.name}] is no private key") from None


def _read(file: str) -> str:
    return Path(file).read_text(encoding="ascii")


@lru_cache(maxsize=16)
def _key(pem: str) -> RSAKey:
    return RSAKey.import_key(pem)


def _option(source: CallSource, name: str) -> str:
    value = source.options.get(name, "")
    if not value:
        raise CommandFailed(f"set {name} in [call_sources.{source.name}]")
    return value
