"""Commands to the 3CX Call Control API (version 20, 3cx/call-control-examples).

Source options: ``api_url`` (the PBX's address, https://pbx.example.com), ``client_id`` and ``client_key``
(Integrations > API of the PBX's console, with access to the agents' extensions).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import aiohttp

from handlers.telephony.control import Command, CommandFailed, Deed
from handlers.telephony.provider import CallSource
from handlers.telephony.rest import ask, reason_of

DEEDS = frozenset({Deed.DIAL, Deed.HANG_UP, Deed.TRANSFER})


async def act(source: CallSource, command: Command, http: aiohttp.ClientSession) -> str:
    """As ``Control.act``. ``command.agent`` is the agent's extension."""
    token = await fetch_token(source, http)
    phone = extension_path(command.agent)
    if command.deed is Deed.DIAL:
        answer = await _command(source, http, token, f"{phone}/makecall", {"destination": command.target})
        made = answer.get("result") if isinstance(answer, dict) else None
        return str(made.get("callid") or "") if isinstance(made, dict) else ""
    if command.deed not in DEEDS:
        raise CommandFailed(f"this telephony cannot {command.deed.replace('_', ' ')}")
    participant = await _participant(source, http, token, phone, command)
    path = f"{phone}/participants/{quote(participant, safe='')}"
    if command.deed is Deed.HANG_UP:
        await _command(source, http, token, f"{path}/drop", {})
    else:
        await _command(source, http, token, f"{path}/transferto", {"destination": command.target})
    return ""


async def fetch_token(source: CallSource, http: aiohttp.ClientSession) -> str:
    """A bearer token, good for an hour. OAuth 2.0 client credentials, RFC 6749 4.4. Raises CommandFailed."""
    form = {
        "client_id": source.options.get("client_id", ""),
        "client_secret": source.options.get("client_key", ""),
        "grant_type": "client_credentials",
    }
    if not source.options.get("api_url") or not all(form.values()):
        raise CommandFailed(f"set api_url, client_id and client_key in [call_sources.{source.name}]")
    answer = await ask(http, "POST", api_url(source, "/connect/token"), form=form)
    token = answer.get("access_token") if isinstance(answer, dict) else None
    if not isinstance(token, str) or not token:
        raise CommandFailed("the PBX gave no access token")
    return token


def api_url(source: CallSource, path: str) -> str:
    return source.options.get("api_url", "").rstrip("/") + path


def extension_path(extension: str) -> str:
    return f"/callcontrol/{quote(extension, safe='')}"


async def get(source: CallSource, http: aiohttp.ClientSession, token: str, path: str) -> Any:
    """What the API holds under ``path``. Raises CommandFailed."""
    return await ask(http, "GET", api_url(source, path), headers={"Authorization": f"Bearer {token}"})


async def _participant(
    source: CallSource, http: aiohttp.ClientSession, token: str, phone: str, command: Command
) -> str:
    """The agent's end of the call: events name the call, commands go to the one who takes part in it."""
    if command.call is None:
        raise CommandFailed("there is no call to act on")
    listed = await get(source, http, token, f"{phone}/participants")
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, dict) and str(one.get("callid")) == command.call.call_key:
            return str(one.get("id"))
    raise CommandFailed("the call is not on your phone any more")


async def _command(
    source: CallSource, http: aiohttp.ClientSession, token: str, path: str, message: dict[str, Any]
) -> Any:
    headers = {"Authorization": f"Bearer {token}"}
    answer = await ask(http, "POST", api_url(source, path), headers=headers, message=message)
    status = str(answer.get("finalstatus") or "") if isinstance(answer, dict) else ""
    if status.lower().startswith(("fail", "reject")):
        raise CommandFailed(f"the PBX refused: {reason_of(answer) or status[:100]}")
    return answer
