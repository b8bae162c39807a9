"""Telnyx's Voice API: commands to legs, over HTTP with a bearer key ("Sending commands" of its docs).

Every command has a ``command_id``: within a minute the same one is carried out once. So a command whose
answer was lost is simply sent again, and so may the whole event be that it follows from.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp

from handlers.telephony.control import CommandFailed
from handlers.telephony.fields import optional_text
from handlers.telephony.provider import CallSource
from handlers.telephony.telnyx_message import ClientState, read_state

API_URL = "https://api.telnyx.com/v2"
SIP_DOMAIN = "sip.telnyx.com"
_COMMAND_IDS = uuid.UUID("6a0f5f0e-6b0b-5c1c-9d53-0f1f4f6f2b7d")
_TIMEOUT = aiohttp.ClientTimeout(total=10)
_ATTEMPTS = 2
_PAUSE_SECONDS = 0.5
_ENDED = "90018"  # "Call has already ended"
_PAGE = 250
_MOST_PAGES = 20


class CallGone(CommandFailed):
    """The leg that the command was for has ended."""


@dataclass(frozen=True, slots=True)
class ActiveLeg:
    """A leg that goes on, as the connection's list has it."""

    control: str
    leg_key: str
    call_key: str
    state: ClientState


@dataclass(frozen=True, slots=True)
class Commands:
    """The commands that follow from one event or one request; ``seed`` is its key."""

    source: CallSource
    http: aiohttp.ClientSession
    seed: str

    async def on(self, control: str, action: str, **body: Any) -> None:
        """``action`` to one leg. Raises CallGone or CommandFailed."""
        leg = quote(control, safe=":")
        message = {**_plain(body), "command_id": self._id(f"{action}:{control}")}
        await self._ask("POST", f"/calls/{leg}/actions/{action}", message)

    async def dial(self, **body: Any) -> str:
        """A new call. Gives its call_session_id. Raises CommandFailed."""
        made = await self._ask("POST", "/calls", {**_plain(body), "command_id": self._id("dial")})
        data = made.get("data")
        first = data[0] if isinstance(data, list) and data else data
        return str(first.get("call_session_id", "")) if isinstance(first, Mapping) else ""

    async def active(self, connection: str) -> list[ActiveLeg]:
        """Every leg of the connection that goes on. Raises CommandFailed."""
        found: list[ActiveLeg] = []
        after = ""
        path = f"/connections/{quote(connection, safe='')}/active_calls"
        for _ in range(_MOST_PAGES):
            page = {"page[limit]": str(_PAGE)} | ({"page[after]": after} if after else {})
            listed = await self._ask("GET", path, page=page)
            rows = listed.get("data")
            rows = [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
            found += [_active(row) for row in rows]
            meta = listed.get("meta")
            cursors = meta.get("cursors") if isinstance(meta, Mapping) else None
            after = str(cursors.get("after") or "") if isinstance(cursors, Mapping) else ""
            if not after or len(rows) < _PAGE:
                break
        return found

    def _id(self, what: str) -> str:
        return str(uuid.uuid5(_COMMAND_IDS, f"{self.source.name}:{self.seed}:{what}"))

    async def _ask(
        self,
        method: str,
        path: str,
        message: Mapping[str, Any] | None = None,
        page: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """The JSON of a 2xx answer; a second attempt where it cannot have been understood."""
        for attempt in range(1, _ATTEMPTS + 1):
            last = attempt == _ATTEMPTS
            try:
                status, answer = await self._send(method, path, message, page)
            except (aiohttp.ClientError, TimeoutError, OSError) as broken:
                if last:
                    raise CommandFailed("Telnyx cannot be reached") from broken
            else:
                if status < 300:
                    return answer
                if last or (status != 429 and status < 500):
                    raise _refusal(status, answer)
            await asyncio.sleep(_PAUSE_SECONDS)
        raise AssertionError("the last attempt returns or raises")

    async def _send(
        self, method: str, path: str, message: Mapping[str, Any] | None, page: Mapping[str, str] | None
    ) -> tuple[int, dict[str, Any]]:
        options = self.source.options
        async with self.http.request(
            method,
            options.get("api_url", API_URL).rstrip("/") + path,
            json=message,
            params=page,
            headers={"Authorization": f"Bearer {options.get('api_key', '')}"},
            timeout=_TIMEOUT,
            allow_redirects=False,  # the key is for this host only
        ) as response:
            body = await response.read()
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            answer = None
        return response.status, answer if isinstance(answer, dict) else {}


def address_of(source: CallSource, phone: str) -> str:
    """A phone's address: numbers and SIP URIs as they are, else a user of Telnyx's SIP domain."""
    if phone.startswith(("+", "sip:", "sips:")):
        return phone
    return f"sip:{quote(phone, safe='+')}@{source.options.get('sip_domain', SIP_DOMAIN)}"


def recording(source: CallSource) -> dict[str, str]:
    """What a new leg needs so that the talk is recorded, as the source's ``record`` says."""
    channels = {"dual": "dual", "mono": "single"}.get(source.options.get("record", ""))
    if channels is None:
        return {}
    return {"record": "record-from-answer", "record_channels": channels, "record_format": "mp3"}


def _plain(body: Mapping[str, Any]) -> dict[str, Any]:
    """``from_`` for ``from``; what is not known is not sent; states as they travel."""
    said = {name.rstrip("_"): value for name, value in body.items() if value is not None}
    return {name: value.pack() if isinstance(value, ClientState) else value for name, value in said.items()}


def _active(row: Mapping[str, Any]) -> ActiveLeg:
    control, leg, session = (
        str(row.get(name) or "") for name in ("call_control_id", "call_leg_id", "call_session_id")
    )
    return ActiveLeg(control, leg, session, read_state(row.get("client_state")))


def _refusal(status: int, answer: Mapping[str, Any]) -> CommandFailed:
    errors = answer.get("errors")
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], Mapping) else {}
    if str(first.get("code")) == _ENDED or (status == 404 and first):
        return CallGone("the call has ended")
    reason = optional_text(str(first.get("detail") or first.get("title") or ""))
    return CommandFailed(f"Telnyx refused ({status}{': ' + reason if reason else ''})")
