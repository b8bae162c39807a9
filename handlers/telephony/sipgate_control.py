"""Commands to sipgate's REST API v2 (sipgate docs, "Real Time Call Manipulation"; POST /sessions/calls).

Source options: ``token_id`` and ``token`` (a personal access token with the scopes sessions:calls:write
and rtcm:write), ``api_url`` (sipgate's own unless said otherwise), ``devices.EXTENSION`` (the device, e0
or y1, that dials for the agent of that extension; without it the extension itself is named), and
``device_id`` (the device that calls when the agent's phone is a number).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import aiohttp

from handlers.telephony.control import Command, CommandFailed, Deed
from handlers.telephony.provider import CallSource
from handlers.telephony.rest import ask

API_URL = "https://api.sipgate.com/v2"
DEEDS = frozenset({Deed.DIAL, Deed.HANG_UP, Deed.HOLD, Deed.UNHOLD, Deed.TRANSFER})


async def act(source: CallSource, command: Command, http: aiohttp.ClientSession) -> str:
    """As ``Control.act``. The session id of a dialled call is the callId of its events."""
    if command.deed is Deed.DIAL:
        answer = await _ask(source, http, "POST", "/sessions/calls", _dial(source, command))
        session = answer.get("sessionId") if isinstance(answer, dict) else None
        if not isinstance(session, str) or not session:
            raise CommandFailed("the telephony did not say which call it made")
        return session
    path = f"/calls/{quote(_call_id(command), safe='')}"
    if command.deed is Deed.HANG_UP:
        await _ask(source, http, "DELETE", path)
    elif command.deed in (Deed.HOLD, Deed.UNHOLD):
        await _ask(source, http, "PUT", f"{path}/hold", {"value": command.deed is Deed.HOLD})
    elif command.deed is Deed.TRANSFER:
        message = {"attended": False, "phoneNumber": command.target}
        await _ask(source, http, "POST", f"{path}/transfer", message)
    else:
        raise CommandFailed(f"this telephony cannot {command.deed.replace('_', ' ')}")
    return ""


def _dial(source: CallSource, command: Command) -> dict[str, str]:
    message = {
        "caller": source.options.get(f"devices.{command.agent}", command.agent),
        "callee": command.target,
        "callerId": command.caller_id,
        "deviceId": source.options.get("device_id", ""),
    }
    return {name: value for name, value in message.items() if value}


def _call_id(command: Command) -> str:
    """A transferred call has several ids; the one that the agent is in can be acted on."""
    call = command.call
    if call is None:
        raise CommandFailed("there is no call to act on")
    return call.agent_leg or call.customer_leg or call.call_key


async def _ask(
    source: CallSource,
    http: aiohttp.ClientSession,
    method: str,
    path: str,
    message: dict[str, Any] | None = None,
) -> Any:
    token_id, token = source.options.get("token_id", ""), source.options.get("token", "")
    if not token_id or not token:
        raise CommandFailed(f"set token_id and token in [call_sources.{source.name}]")
    url = source.options.get("api_url", API_URL).rstrip("/") + path
    headers = {"Authorization": aiohttp.encode_basic_auth(token_id, token)}
    return await ask(http, method, url, headers=headers, message=message)
