"""What agents ask of Plivo ("Call API": make, transfer, hang up a call).

Source options: ``account`` (the auth id), ``auth_token`` (unless it is the first of the source's secrets),
``number`` (shown to those who are called), ``api_url`` (Plivo's own unless said otherwise), ``sip_domain``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import aiohttp

from handlers.telephony.control import Command, CommandFailed, Deed, LiveCall
from handlers.telephony.plivo_addresses import address_of, plain_number
from handlers.telephony.plivo_xml import with_query
from handlers.telephony.provider import CallSource
from handlers.telephony.rest import Refused, ask

API_URL = "https://api.plivo.com/v1"
DEEDS = frozenset({Deed.DIAL, Deed.HANG_UP, Deed.TRANSFER})

_RING_SECONDS = 25


async def act(source: CallSource, command: Command, http: aiohttp.ClientSession) -> str:
    """As ``Control.act``. The request id of a dialled call is the CallUUID of its events."""
    if command.deed is Deed.DIAL:
        answer = await _ask(source, http, "POST", "/Call/", _dial(source, command))
        key = answer.get("request_uuid") if isinstance(answer, dict) else None
        if not isinstance(key, str) or not key:
            raise CommandFailed("the telephony did not say which call it made")
        return key
    if command.call is None or not command.call.call_key:
        raise CommandFailed("there is no call to act on")
    key = quote(command.call.call_key, safe="")
    if command.deed is Deed.HANG_UP:
        await _hang_up(source, http, key)
    elif command.deed is Deed.TRANSFER:
        await _ask(source, http, "POST", f"/Call/{key}/", _transfer(source, command, command.call))
    else:
        raise CommandFailed(f"this telephony cannot {command.deed.replace('_', ' ')}")
    return ""


async def _hang_up(source: CallSource, http: aiohttp.ClientSession, key: str) -> None:
    """The A leg takes the other with it. A call that is not under way yet is only a request."""
    try:
        await _ask(source, http, "DELETE", f"/Call/{key}/")
    except Refused as refusal:
        if refusal.status != 404:
            raise
        await _ask(source, http, "DELETE", f"/Request/{key}/")


def _dial(source: CallSource, command: Command) -> dict[str, Any]:
    """The agent's phone first; who picks it up is connected by the answer to ``?customer=``."""
    customer = plain_number(command.target)
    if customer is None:
        raise CommandFailed("this is no number that could be dialled: write it with its country code")
    number = plain_number(command.caller_id or _option(source, "number"))
    if number is None:
        raise CommandFailed(f"number in [call_sources.{source.name}] is no number")
    agent = address_of(source, command.agent)
    if agent is None:
        raise CommandFailed("you have no phone: set your extension")
    url = with_query(source.hook_url, customer=customer)
    return {
        "from": number,
        "to": agent,
        "answer_url": url,
        "answer_method": "POST",
        "ring_url": url,
        "ring_method": "POST",
        "hangup_url": url,
        "hangup_method": "POST",
        "ring_timeout": _RING_SECONDS,
    }


def _transfer(source: CallSource, command: Command, call: LiveCall) -> dict[str, str]:
    """The customer's leg fetches XML of ours that rings the target: the A leg, or of a call out the B leg."""
    if address_of(source, command.target) is None:
        raise CommandFailed("say where to transfer the call to: a number, an extension or a SIP address")
    leg = "aleg" if call.customer_leg in ("", call.call_key) else "bleg"
    url = with_query(source.hook_url, target=command.target, call=call.call_key)
    return {"legs": leg, f"{leg}_url": url, f"{leg}_method": "POST"}


async def _ask(
    source: CallSource,
    http: aiohttp.ClientSession,
    method: str,
    path: str,
    message: Mapping[str, Any] | None = None,
) -> Any:
    account = _option(source, "account").replace(":", "")  # which ends the name, RFC 7617 2
    token = source.options.get("auth_token", "") or next(iter(source.secrets), "")
    url = f"{source.options.get('api_url', API_URL).rstrip('/')}/Account/{quote(account, safe='')}{path}"
    headers = {"Authorization": aiohttp.encode_basic_auth(account, token)}
    return await ask(http, method, url, headers=headers, message=message)


def _option(source: CallSource, name: str) -> str:
    value = source.options.get(name, "")
    if not value:
        raise CommandFailed(f"set {name} in [call_sources.{source.name}]")
    return value
