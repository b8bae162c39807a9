"""What an agent asks of Twilio, over its REST API (Call resource: create, modify; 2010-04-01).

Source options: ``account`` (AC...), ``number`` (the caller id of calls that agents make, E.164), ``api_url``
(Twilio's own unless said otherwise). The secrets are the auth tokens: they sign Twilio's requests, and ours
as well (HTTP Basic); the next is tried when one is refused. A dialled call comes back to the source's URL
with ``?customer=NUMBER`` once the agent has picked up, a transferred one with ``?target=TARGET&by=AGENT``.
A call cannot be held: that needs conferences, and ours are none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp

from handlers.telephony.control import Command, CommandFailed, Deed, LiveCall
from handlers.telephony.fields import optional_text
from handlers.telephony.provider import CallSource
from handlers.telephony.twiml import with_query

API_URL = "https://api.twilio.com"
DEEDS = frozenset({Deed.DIAL, Deed.HANG_UP, Deed.TRANSFER})

_VERSION = "/2010-04-01"
_RING_SECONDS = "30"
_TIMEOUT = aiohttp.ClientTimeout(total=15)
_MOST_BYTES = 64 * 1024  # of an answer; a real one has 2 KiB

_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
_SID = re.compile(r"[A-Za-z0-9]{1,64}")
_CLIENT = re.compile(r"[A-Za-z0-9_.+@-]{1,120}")
_SIP = re.compile(r"sips?:[!-~]{1,250}")
_REASONS = {
    20003: "Twilio does not accept the account and its auth token",
    20008: "Twilio's test credentials cannot do that",
    20404: "the call is over",
    21201: "there is no number to call",
    21202: "that number cannot be called",
    21203: "international calls are not allowed for this account",
    21205: "Twilio cannot reach this server: server.public_url must be a public address",
    21210: "the caller id is not a number of this account",
    21211: "that is no number that can be called",
    21212: "the caller id is no valid number",
    21214: "that number cannot be reached",
    21215: "calls to that country are not allowed for this account",
    21216: "Twilio does not call that number",
    21217: "that is no number that can be called",
    21220: "the call is over",
    21606: "the caller id is not a number of this account",
    13224: "that is no number that can be called",
    20429: "Twilio takes no more requests for the moment: try again",
}


async def act(source: CallSource, command: Command, http: aiohttp.ClientSession) -> str:
    """As ``Control.act``. The sid of a dialled call is the call key of its events."""
    if command.deed is Deed.DIAL:
        answer = await _ask(source, http, "", _dial(source, command))
        sid = answer.get("sid")
        if not isinstance(sid, str) or not _SID.fullmatch(sid):
            raise CommandFailed("Twilio did not say which call it made")
        return sid
    call = command.call
    if call is None:
        raise CommandFailed("there is no call")
    if command.deed is Deed.HANG_UP:
        # The first leg: its end ends the others. "completed" also stops one that still rings.
        await _ask(source, http, _call(call.call_key), [("Status", "completed")])
    elif command.deed is Deed.TRANSFER:
        await _ask(source, http, _call(call.customer_leg or call.call_key), _transfer(source, command, call))
    else:
        raise CommandFailed(f"Twilio cannot {command.deed.replace('_', ' ')}")
    return ""


def _dial(source: CallSource, command: Command) -> list[tuple[str, str]]:
    """The agent's phone first; who picks up fetches the document that rings the customer."""
    customer = _checked(_NUMBER, command.target, "write the number with its country code: +44...")
    caller_id = _checked(
        _NUMBER,
        command.caller_id or source.options.get("number", ""),
        f"set number in [call_sources.{source.name}]: a number of the account, +44...",
    )
    status = [("StatusCallbackEvent", event) for event in ("initiated", "ringing", "answered", "completed")]
    return [
        ("To", _address(command.agent)),
        ("From", caller_id),
        ("Url", with_query(source.hook_url, urlencode({"customer": customer}))),
        ("Method", "POST"),
        ("StatusCallback", source.hook_url),
        ("StatusCallbackMethod", "POST"),
        *status,
        ("Timeout", _RING_SECONDS),
    ]


def _transfer(source: CallSource, command: Command, call: LiveCall) -> list[tuple[str, str]]:
    """The customer's leg fetches a document that rings the target; what it heard before ends."""
    _address(command.target)
    query = urlencode({"target": command.target, "by": command.agent[:120]})
    return [("Url", with_query(source.hook_url, query)), ("Method", "POST")]


def _address(who: str) -> str:
    """As our documents address phones: ``sip:...`` a SIP phone, ``+...`` a number, else a client."""
    if who.startswith("+"):
        return _checked(_NUMBER, who, "that is no number that can be called")
    if who.startswith(("sip:", "sips:")):
        return _checked(_SIP, who, "that is no SIP address")
    client = _checked(
        _CLIENT, who.removeprefix("client:"), "that is no phone: an extension, sip:... or +44..."
    )
    return f"client:{client}"


def _call(sid: str) -> str:
    return f"/{_checked(_SID, sid, 'there is no such call')}"


def _checked(pattern: re.Pattern[str], text: str, otherwise: str) -> str:
    if not pattern.fullmatch(text):
        raise CommandFailed(otherwise)
    return text


async def _ask(
    source: CallSource, http: aiohttp.ClientSession, path: str, form: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """POST to ``/Calls{path}.json`` with each token until one is accepted. Raises CommandFailed."""
    account = _checked(
        _SID, source.options.get("account", ""), f"set account in [call_sources.{source.name}]: AC..."
    )
    origin = source.options.get("api_url", API_URL).rstrip("/").removesuffix(_VERSION)
    url = f"{origin}{_VERSION}/Accounts/{quote(account, safe='')}/Calls{path}.json"
    status, answer = 401, dict[str, Any]()
    for token in source.secrets:
        status, answer = await _post(http, url, aiohttp.encode_basic_auth(account, token), form)
        if status != 401:
            break
    if 200 <= status < 300:
        return answer
    raise CommandFailed(_reason(status, answer))


async def _post(
    http: aiohttp.ClientSession, url: str, authorization: str, form: Sequence[tuple[str, str]]
) -> tuple[int, dict[str, Any]]:
    try:
        async with http.post(
            url,
            data=urlencode(form).encode(),
            headers={
                "Authorization": authorization,
                "Content-Type": "application/x-www-form-urlencoded",
                "Accept": "application/json",
            },
            timeout=_TIMEOUT,
            allow_redirects=False,  # the token is for this host only
        ) as response:
            body = await _read(response)
            return response.status, _object(body)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
        raise CommandFailed("Twilio cannot be reached") from None


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = b""
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > _MOST_BYTES:
            raise ValueError("an answer that long is none of Twilio's")
    return body


def _object(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _reason(status: int, answer: dict[str, Any]) -> str:
    """Twilio's error (``{"code", "message", "more_info", "status"}``) in words for an agent."""
    code = answer.get("code")
    known = _REASONS.get(code) if isinstance(code, int) else None
    if known is None and status in (401, 403):
        known = _REASONS[20003]
    if known is None and status == 404:
        known = _REASONS[20404]
    if known is None and status == 429:
        known = _REASONS[20429]
    if known is not None:
        return known
    message = answer.get("message")
    said = optional_text(message) if isinstance(message, str) else None
    return f"Twilio refused: {said}" if said else f"Twilio refused ({status})"
