"""Live calls of a 3CX (version 20): its Call Control WebSocket says which participant changed, and we ask how.

``wss://PBX/callcontrol/ws`` sends ``{"event": {"event_type", "entity"}}``: 0 is a participant that is
new or changed, 1 one that is gone; ``entity`` is the path to GET. Each session begins with the whole
picture (GET /callcontrol), after the socket is open, so that nothing falls between the two.

Source options: those of ``threecx_control``; the first secret is the client key if none is set.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import aiohttp

from handlers.telephony import threecx_control
from handlers.telephony.control import Command, CommandFailed
from handlers.telephony.live import Link, LinkBroken
from handlers.telephony.provider import CallSource
from handlers.telephony.rest import Refused
from handlers.telephony.threecx_participants import Participants, read_participant
from server.settings import SettingsError

UPSET, REMOVE = 0, 1
_PARTICIPANT = re.compile(r"/callcontrol/[^/]{1,64}/participants/[^/]{1,64}")
_TOKEN_SECONDS = 50 * 60  # a token is good for an hour
_HEARTBEAT_SECONDS = 30
_NOT_FOUND = 404


class ThreecxSession:
    """One connection's life, see ``live.Session``."""

    def __init__(self, source: CallSource) -> None:
        self._source = source
        self._http: aiohttp.ClientSession | None = None
        self._token = ""
        self._token_until = 0.0

    async def run(self, link: Link) -> None:
        async with aiohttp.ClientSession() as http:
            self._http = http
            try:
                await self._follow(http, link)
            except CommandFailed as failed:
                raise LinkBroken(str(failed)) from None
            finally:
                self._http = None

    async def act(self, command: Command) -> str:
        if self._http is None:
            raise CommandFailed("the PBX is not connected")
        return await threecx_control.act(self._source, command, self._http)

    async def _follow(self, http: aiohttp.ClientSession, link: Link) -> None:
        headers = {"Authorization": f"Bearer {await self._fresh_token(http)}"}
        url = threecx_control.api_url(self._source, "/callcontrol/ws")
        try:
            socket = await http.ws_connect(url, headers=headers, heartbeat=_HEARTBEAT_SECONDS)
        except aiohttp.ClientError:
            raise LinkBroken("the PBX refused the socket of its call control") from None
        async with socket:
            participants = await self._whole_picture(http, link)
            link.up()
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    await self._take(http, link, participants, message.data)
        raise LinkBroken("the PBX closed the socket of its call control")

    async def _whole_picture(self, http: aiohttp.ClientSession, link: Link) -> Participants:
        state = await self._get(http, "/callcontrol")
        dns = [dn for dn in state if isinstance(dn, dict)] if isinstance(state, list) else []
        participants = Participants({str(dn.get("dn")): str(dn.get("type") or "") for dn in dns})
        for path, message in _listed(dns):
            participant = read_participant(message)
            if participant is not None:
                await link.emit(participants.update(path, participant), json.dumps(message).encode())
        return participants

    async def _take(
        self, http: aiohttp.ClientSession, link: Link, participants: Participants, text: str
    ) -> None:
        kind, path = _read_notice(text)
        if not _PARTICIPANT.fullmatch(path):
            return
        if kind == REMOVE:
            events = participants.remove(path)
            raw = text.encode()
        elif kind == UPSET:
            try:
                state = await self._get(http, path)
            except Refused as refused:
                if refused.status == _NOT_FOUND:
                    return  # gone before we asked; its removal is on the way
                raise
            participant = read_participant(state)
            events = participants.update(path, participant) if participant is not None else []
            raw = json.dumps(state).encode()
        else:
            return
        if events:
            await link.emit(events, raw)

    async def _get(self, http: aiohttp.ClientSession, path: str) -> Any:
        return await threecx_control.get(self._source, http, await self._fresh_token(http), path)

    async def _fresh_token(self, http: aiohttp.ClientSession) -> str:
        now = asyncio.get_running_loop().time()
        if not self._token or now >= self._token_until:
            self._token = await threecx_control.fetch_token(self._source, http)
            self._token_until = now + _TOKEN_SECONDS
        return self._token


def _listed(dns: list[dict[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Path and state of every participant of the whole picture."""
    for dn in dns:
        listed = dn.get("participants")
        for message in listed if isinstance(listed, list) else ():
            if isinstance(message, dict):
                path = f"{threecx_control.extension_path(str(dn.get('dn')))}/participants/{message.get('id')}"
                yield path, message


def _read_notice(text: str) -> tuple[int, str]:
    """Event type and entity of one message of the socket. Raises LinkBroken when it makes no sense."""
    try:
        event = json.loads(text).get("event")
    except (ValueError, RecursionError, AttributeError):
        raise LinkBroken("the PBX sent what is no JSON object") from None
    if not isinstance(event, dict):
        return -1, ""
    kind, entity = event.get("event_type"), event.get("entity")
    return (kind if isinstance(kind, int) else -1), (entity if isinstance(entity, str) else "")


class ThreecxLive:
    """The ``LiveProvider`` of sources with ``provider = "threecx_live"``."""

    name = "threecx_live"
    deeds = threecx_control.DEEDS

    def session(self, source: CallSource) -> ThreecxSession:
        options = {"client_key": source.secrets[0] if source.secrets else "", **source.options}
        for name in ("api_url", "client_id", "client_key"):
            if not options.get(name):
                raise SettingsError(f"call_sources.{source.name}.{name} is missing")
        return ThreecxSession(replace(source, options=options))


LIVE = ThreecxLive()
