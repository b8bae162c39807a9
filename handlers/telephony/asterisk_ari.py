"""Asterisk over ARI: one live connection to a PBX, whether its dialplan leads the calls or we do.

A session opens the WebSocket of events, then reads what goes on (GET /channels, /bridges), so that
nothing falls between the two; ARI numbers no events and repeats none. The calls of a PBX outlive the
session: what ended while nobody listened is closed after the next connection. What an emission could not
hand over is owed until then.

The settings are those of ``ari_settings``; in the PBX: http.conf and ari.conf (a user, not read-only), and
better ``channelvars = CHANNEL(linkedid)`` there.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson
import structlog
from yarl import URL

from handlers.telephony.ari_calls import AriCalls
from handlers.telephony.ari_channel import Sides
from handlers.telephony.ari_deeds import DEEDS, perform
from handlers.telephony.ari_rest import UNREACHED, AriRefused, AriRest
from handlers.telephony.ari_routing import Desk
from handlers.telephony.ari_settings import AriSettings, read_settings
from handlers.telephony.control import Command, CommandFailed
from handlers.telephony.live import Link, LinkBroken
from handlers.telephony.provider import CallSource
from server.domain.errors import RingpostError
from server.domain.event import CallEvent
from server.domain.outcome import CallOutcome

log = structlog.get_logger("asterisk_ari")

MOST_FRAME_BYTES = 1024 * 1024
"""Of one event; a transfer, the largest, has about 5,000."""
MOST_OWED = 10_000
CONNECT_SECONDS = 10
_FRAMES_AT_ONCE = 32
_MOST_ASKED, _ASKED_AT_ONCE = 500, 10
_HEARD = (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.PING, aiohttp.WSMsgType.PONG)


@dataclass(slots=True)
class Pbx:
    """What outlives a connection."""

    calls: AriCalls
    desk: Desk
    owed: list[CallEvent] = field(default_factory=list)


class AriSession:
    """One connection's life; see ``live.Session``."""

    def __init__(self, source: CallSource, settings: AriSettings, pbx: Pbx) -> None:
        self._source = source
        self._settings = settings
        self._pbx = pbx
        self._link: Link | None = None
        self._rest: AriRest | None = None

    async def run(self, link: Link) -> None:
        try:
            authority = ssl.create_default_context(cafile=self._settings.tls_ca or None)
        except OSError as bad:
            raise LinkBroken(f"tls_ca cannot be read: {_short(bad)}") from None
        connector = aiohttp.TCPConnector(ssl=authority)
        async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as http:
            socket, auth = await self._connect(http)
            try:
                async with socket:
                    rest = AriRest(http, self._settings.url, auth)
                    await self._come_into_step(rest, link)
                    await self._listen(socket, link)
            finally:
                self._link = self._rest = None

    async def act(self, command: Command) -> str:
        link, rest = self._link, self._rest
        if link is None or rest is None:
            raise CommandFailed("the PBX is not connected")
        done = await perform(rest, self._settings, self._pbx.calls, self._pbx.desk, command)
        try:
            await self._emit(link, done.events, b"")
        except RingpostError as full:
            log.warning("what an agent did is told later", why=full.detail)  # it is owed
        return done.call_key

    async def follow_up(self, events: Sequence[CallEvent], outcomes: Sequence[CallOutcome]) -> None:
        """What routing decided for calls that our application holds: ring, connect, music, clear up.

        To be called after each ``emit``, with the same events and their outcomes.
        """
        rest = self._rest
        if rest is not None:
            await self._pbx.desk.follow(rest, events, outcomes)

    # -- connecting ------------------------------------------------------------------------------

    async def _connect(self, http: aiohttp.ClientSession) -> tuple[aiohttp.ClientWebSocketResponse, str]:
        """The first of the secrets that Asterisk takes is the one of this session."""
        settings = self._settings
        query = {"app": settings.app, "subscribeAll": str(settings.subscribe_all).lower()}
        url = URL(f"{settings.url}/events").with_query(query)
        for secret in self._source.secrets:
            auth = aiohttp.encode_basic_auth(settings.username, secret)
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    socket = await http.ws_connect(
                        url,
                        headers={"Authorization": auth},
                        heartbeat=settings.heartbeat_seconds,
                        max_msg_size=MOST_FRAME_BYTES,
                        timeout=aiohttp.ClientWSTimeout(ws_close=2),
                    )
            except aiohttp.WSServerHandshakeError as refused:
                if refused.status in (401, 403):
                    continue
                raise LinkBroken(_refusal(refused.status)) from None
            except TimeoutError:
                raise LinkBroken(f"the PBX did not answer within {CONNECT_SECONDS} seconds") from None
            except (aiohttp.ClientError, OSError, ValueError) as gone:
                raise LinkBroken(f"the PBX cannot be reached: {_short(gone)}") from None
            return socket, auth
        raise LinkBroken(
            f"the PBX refuses the user {settings.username!r} or the password: see ari.conf and secrets"
        )

    async def _come_into_step(self, rest: AriRest, link: Link) -> None:
        channels, bridges = await self._list(rest, "channels"), await self._list(rest, "bridges")
        calls = self._pbx.calls
        if not self._settings.subscribe_all:
            # Of the others we would hear the beginning here, and never the end.
            channels = [one for one in channels if calls.knows(one)]
        await self._ask_for_linkedids(rest, channels)
        self._rest, self._link = rest, link
        raw = orjson.dumps({"type": "resync", "channels": len(channels), "bridges": len(bridges)})
        await self._emit(link, calls.resync(channels, bridges), raw)
        link.up(f"{len(calls.legs)} channels")

    async def _list(self, rest: AriRest, what: str) -> list[Any]:
        try:
            found = await rest.send("GET", what)
        except AriRefused as refused:
            words = f"cannot be reached: {refused.message}"
            raise LinkBroken(
                f"the PBX {words}" if refused.status == UNREACHED else _refusal(refused.status)
            ) from None
        if not isinstance(found, list):
            raise LinkBroken(f"what the PBX gives as {what} is no list")
        return found

    async def _ask_for_linkedids(self, rest: AriRest, channels: list[Any]) -> None:
        """Of calls that began before us the channels do not say which are one call; Asterisk may, if asked."""
        asked = self._pbx.calls.unknown(channels)[:_MOST_ASKED]
        found: dict[str, Any] = {}

        async def ask(channel: str) -> None:
            try:
                answer = await rest.send(
                    "GET", "channels", channel, "variable", query={"variable": "CHANNEL(linkedid)"}
                )
            except AriRefused:
                return  # gone, or not ours to ask: bridges and numbers have to tell
            if isinstance(answer, dict):
                found[channel] = answer.get("value")

        for start in range(0, len(asked), _ASKED_AT_ONCE):
            await asyncio.gather(*map(ask, asked[start : start + _ASKED_AT_ONCE]))
        for one in channels:
            if isinstance(one, dict) and isinstance(one.get("id"), str) and one["id"] in found:
                one["channelvars"] = {"CHANNEL(linkedid)": found[one["id"]]}

    # -- listening -------------------------------------------------------------------------------

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse, link: Link) -> None:
        clock = asyncio.get_running_loop().time
        look_at = clock() + self._settings.wait_seconds
        count = 0
        while True:
            try:
                frame = await socket.receive(timeout=max(0.01, look_at - clock()))
            except TimeoutError:
                frame = None
            if frame is not None and frame.type not in _HEARD:
                raise LinkBroken(_ending(frame, socket))
            if frame is not None and frame.type is aiohttp.WSMsgType.TEXT:
                await self._take(frame.data, link)
            if clock() >= look_at:
                await self._emit(link, self._pbx.desk.waiting(str(int(time.time()))), b"")
                look_at = clock() + self._settings.wait_seconds
            count += 1
            if count % _FRAMES_AT_ONCE == 0:
                await asyncio.sleep(0)  # a flood does not suspend us by itself

    async def _take(self, text: str, link: Link) -> None:
        try:
            event = orjson.loads(text)
        except orjson.JSONDecodeError as bad:
            raise LinkBroken(f"the PBX sent what is no JSON: {_short(bad)}") from None
        if not isinstance(event, dict):
            raise LinkBroken("the PBX sent what is no event")
        kind = event.get("type")
        if kind == "ApplicationReplaced":
            raise LinkBroken(
                f"another connection took over the application {self._settings.app!r}:"
                " give each server an app of its own"
            )
        await self._emit(link, self._pbx.calls.take(event), text.encode())

    async def _emit(self, link: Link, events: Sequence[CallEvent], raw: bytes) -> None:
        pbx = self._pbx
        batch, pbx.owed = [*pbx.owed, *events], []
        if not batch:
            return
        try:
            await link.emit(batch, raw)
        except BaseException:
            pbx.owed = [*batch, *pbx.owed][:MOST_OWED]
            raise


class AsteriskAri:
    """The ``LiveProvider`` of sources with ``provider = "asterisk_ari"``."""

    name = "asterisk_ari"
    deeds = DEEDS

    def __init__(self) -> None:
        self._pbxs: dict[tuple[str, AriSettings], Pbx] = {}

    def session(self, source: CallSource) -> AriSession:
        settings = read_settings(source)
        pbx = self._pbxs.get((source.name, settings))
        if pbx is None:
            calls = AriCalls(settings.app, Sides(settings.trunks))
            pbx = self._pbxs[(source.name, settings)] = Pbx(calls, Desk(settings, calls))
        return AriSession(source, settings, pbx)


def _refusal(status: int) -> str:
    if status == 404:
        return "there is no ARI at this address (404): see url, and enabled in http.conf and ari.conf"
    return f"the PBX refuses the connection ({status})"


def _ending(frame: aiohttp.WSMessage, socket: aiohttp.ClientWebSocketResponse) -> str:
    if frame.type is aiohttp.WSMsgType.BINARY:
        return "the PBX sent what is no text"
    broken = socket.exception()
    if broken is not None:
        return f"the connection to the PBX broke: {_short(broken)}"
    return f"the PBX closed the connection ({socket.close_code})"


def _short(error: BaseException) -> str:
    return (str(error) or type(error).__name__)[:200]


LIVE = AsteriskAri()
