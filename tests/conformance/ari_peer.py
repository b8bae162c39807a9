"""An Asterisk on the loopback as far as ARI goes: REST, the WebSocket of events, and what goes on meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from handlers.telephony.live import Link
from handlers.telephony.provider import CallSource
from server.domain.event import CallEvent

Event = Mapping[str, Any]
PASSWORD = "from-ari.conf"


class Picture:
    """What GET /channels and GET /bridges would give after the events that were followed."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.channels: dict[str, Event] = {}
        self.bridges: dict[str, Event] = {}
        self._gone: set[str] = set()
        for event in events:
            self.follow(event)

    def follow(self, event: Event) -> None:
        for value in event.values():
            if isinstance(value, dict) and "dialplan" in value and value["id"] not in self._gone:
                self.channels[value["id"]] = value
        bridge, channel = event.get("bridge"), event.get("channel")
        if bridge and bridge["id"] not in self._gone:
            self.bridges[bridge["id"]] = bridge
        if event["type"] == "ChannelDestroyed" and channel:
            self._gone.add(channel["id"])
            self.channels.pop(channel["id"], None)
        if event["type"] == "BridgeDestroyed" and bridge:
            self._gone.add(bridge["id"])
            self.bridges.pop(bridge["id"], None)


class AriPeer:
    """``answers``: (method, path below /ari) -> status or (status, JSON); what is not named succeeds."""

    def __init__(self) -> None:
        self.url = ""
        self.passwords = [PASSWORD]
        self.picture = Picture()
        self.answers: dict[tuple[str, str], Any] = {}
        self.variables: dict[str, str] = {}
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        self.queries: list[dict[str, str]] = []
        self.sockets: list[web.WebSocketResponse] = []
        self.connected = asyncio.Event()
        self.refuse_socket: web.Response | None = None
        self.mute = False  # swallows what the client sends, pings too

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/ari/events", self._events)
        application.router.add_route("*", "/ari/{path:.*}", self._rest)
        return application

    async def say(self, *events: Event | str | bytes) -> None:
        """To whoever listens; a text or bytes go out as they are."""
        for event in events:
            for socket in self.sockets:
                if isinstance(event, bytes):
                    await socket.send_bytes(event)
                else:
                    if not isinstance(event, str):
                        self.picture.follow(event)
                    await socket.send_str(event if isinstance(event, str) else json.dumps(event))

    def requests(self, *methods: str) -> list[tuple[str, str]]:
        """What was asked with these methods, in order: (method, path)."""
        return [(method, path) for method, path, _ in self.asked if method in methods]

    def _is_known(self, request: web.Request) -> bool:
        auth = aiohttp.BasicAuth.decode(request.headers.get("Authorization", "Basic Og=="))
        return auth.login == "ringpost" and auth.password in self.passwords

    async def _events(self, request: web.Request) -> web.StreamResponse:
        self.queries.append(dict(request.query))
        if not self._is_known(request):
            return web.json_response({"message": "Authentication required"}, status=401)
        if self.refuse_socket is not None:
            return self.refuse_socket
        socket = web.WebSocketResponse(autoping=not self.mute)
        await socket.prepare(request)
        self.sockets.append(socket)
        self.connected.set()
        async for _ in socket:
            pass
        self.sockets.remove(socket)
        return socket

    async def _rest(self, request: web.Request) -> web.StreamResponse:
        if not self._is_known(request):
            return web.json_response({"message": "Authentication required"}, status=401)
        path = request.match_info["path"]
        body = await request.json() if request.can_read_body else {}
        self.asked.append((request.method, path, {**request.query, **body}))
        found = self.answers.get((request.method, path))
        if isinstance(found, web.Response):
            return found
        if found is not None:
            status, answer = (
                found if isinstance(found, tuple) else (found, {"message": "as the test wants it"})
            )
            return web.json_response(answer, status=status)
        if request.method == "GET" and path == "channels":
            return web.json_response([*self.picture.channels.values()])
        if request.method == "GET" and path == "bridges":
            return web.json_response([*self.picture.bridges.values()])
        if request.method == "GET" and path.endswith("/variable"):
            value = self.variables.get(path.split("/")[1])
            status = 409 if value is None else 200
            return web.json_response({"value": value}, status=status)
        return web.json_response({"id": body.get("channelId", "")}) if body else web.Response(status=204)


@asynccontextmanager
async def asterisk() -> AsyncIterator[AriPeer]:
    peer = AriPeer()
    server = TestServer(peer.application())
    await server.start_server()
    peer.url = str(server.make_url("/ari"))
    try:
        yield peer
    finally:
        for socket in [*peer.sockets]:
            await socket.close()
        await server.close()


@dataclass
class Notes(Link):
    """A ``Link`` that keeps what it is given; ``then`` is done after each emission, as intake does."""

    events: list[CallEvent] = field(default_factory=list)
    raws: list[bytes] = field(default_factory=list)
    details: list[str] = field(default_factory=list)
    then: Callable[[Sequence[CallEvent]], Any] | None = None
    fail: Exception | None = None

    def up(self, detail: str = "") -> None:
        self.details.append(detail)

    async def emit(self, events: Sequence[CallEvent], raw: bytes) -> None:
        if self.fail is not None:
            raise self.fail
        self.events += events
        self.raws.append(raw)
        if self.then is not None:
            await self.then(events)

    async def until(self, ready: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not ready():
                await asyncio.sleep(0.005)


def source_of(url: str, *secrets: str, **options: str) -> CallSource:
    return CallSource(
        name="pbx",
        provider="asterisk_ari",
        secrets=secrets or (PASSWORD,),
        country="DE",
        queue="support",
        ring="one",
        hook_url="https://cti.example.com/hooks/calls/pbx",
        options={"url": url, "username": "ringpost", **options},
    )
