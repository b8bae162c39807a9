"""The agent's socket (docs/contract.md section 4): ``ws://HOST:ws_port/agent``, JSON text frames.

Every message that a client may send is declared in ``MESSAGES`` with the permission it needs; one
that is not declared is refused.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

import structlog
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from server.context import Context
from server.domain.errors import RingpostError
from server.domain.permission import Actor, Permission, allowed
from server.domain.view import time_text
from server.push.hub import TOO_SLOW, Session

log = structlog.get_logger("socket")

PATHS = ("/agent", "/ws/agent", "/ws")
AUTH_SECONDS = 5.0
MAX_FRAME = 16_384
NOT_AUTHENTICATED = 4401
SLOW_CLOSE_SECONDS = 15
COOKIE = "ringpost_session"


class AgentSocket:
    """The listener. ``start`` gives the port that it got."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._server: Server | None = None
        self._leaving: dict[int, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    async def start(self, host: str, port: int) -> int:
        self._server = await serve(
            self._talk,
            host,
            port,
            process_request=self._check,
            compression=None,  # 32 KiB a connection for frames of 2 KB
            max_size=MAX_FRAME,
            ping_interval=20,
            ping_timeout=20,
            close_timeout=3,
            server_header=None,
        )
        return int(next(iter(self._server.sockets)).getsockname()[1])

    async def stop(self) -> None:
        self._stopping = True
        for timer in self._leaving.values():
            timer.cancel()
        self._ctx.hub.close_all()
        if self._server is not None:
            self._server.close(code=1001, reason="going away: reconnect")
            await self._server.wait_closed()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _check(self, connection: ServerConnection, request: Request) -> Response | None:
        """Refuse other paths, and pages of other origins before a cookie could speak for them."""
        if urlsplit(request.path).path not in PATHS:
            return connection.respond(HTTPStatus.NOT_FOUND, "the agent's socket is at /agent\n")
        origin = request.headers.get("Origin")
        if origin is not None and not self._ctx.is_own_origin(origin, request.headers.get("Host", "")):
            return connection.respond(HTTPStatus.FORBIDDEN, "this origin may not connect\n")
        return None

    async def _talk(self, connection: ServerConnection) -> None:
        try:
            actor = await self._authenticate(connection)
            if actor is None:
                await connection.close(NOT_AUTHENTICATED, "not authenticated")
                return
            await self._serve_agent(connection, actor)
        except ConnectionClosed:
            pass
        except RingpostError as away:
            await connection.close(1013, away.detail[:100])

    async def _authenticate(self, connection: ServerConnection) -> Actor | None:
        request = connection.request
        assert request is not None
        authenticator = self._ctx.authenticator
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token:
            return await authenticator.actor(token.strip())
        # A cookie alone proves nothing about who opened the socket: only with the page's Origin.
        cookie = _cookie(request.headers.get_all("Cookie"))
        if cookie and request.headers.get("Origin"):
            actor = await authenticator.actor(cookie)
            if actor is not None:
                return actor
        try:
            async with asyncio.timeout(AUTH_SECONDS):
                first = _json(await connection.recv())
        except TimeoutError:
            return None
        if first.get("type") != "auth" or not isinstance(first.get("token"), str):
            return None
        return await authenticator.actor(first["token"])

    async def _serve_agent(self, connection: ServerConnection, actor: Actor) -> None:
        ctx = self._ctx
        wake, over = asyncio.Event(), asyncio.Event()
        session = Session(actor.agent_id, actor.role, wake.set, over.set)
        ctx.hub.add(session)
        if (timer := self._leaving.pop(actor.agent_id, None)) is not None:
            timer.cancel()
        tasks: list[asyncio.Task[None]] = []
        try:
            # What is offered on connecting is held back until the stored pops are read, and shown once.
            await ctx.presence.connected(actor.agent_id)
            hello = {
                "type": "hello",
                "agent": await ctx.agent_frame(actor),
                "server_time": time_text(datetime.now(UTC)),
            }
            await connection.send(json.dumps(hello, ensure_ascii=False))
            writer = asyncio.create_task(_write(connection, session, wake))
            closer = asyncio.create_task(_close(connection, session, over, writer))
            tasks = [writer, closer]
            session.resume(await ctx.presence.unacked(actor.agent_id))
            async for frame in connection:
                await self._receive(session, actor, frame)
        finally:
            for task in tasks:
                if session.closed is None:  # else the closing itself is under way
                    task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if ctx.hub.remove(session):
                self._schedule_leave(actor.agent_id)

    def _schedule_leave(self, agent_id: int) -> None:
        """A short grace: a page that reloads must not throw its agent out of the queue."""
        if self._stopping:
            return
        loop = asyncio.get_running_loop()
        self._leaving[agent_id] = loop.call_later(
            self._ctx.settings.agents.offline_after_seconds, self._leave, agent_id
        )

    def _leave(self, agent_id: int) -> None:
        self._leaving.pop(agent_id, None)
        task = asyncio.create_task(self._ctx.presence.gone(agent_id))
        self._tasks.add(task)
        task.add_done_callback(self._left)

    def _left(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (bad := task.exception()) is not None:
            # The database is away; the next connection or routing sees the truth again.
            log.warning("presence_not_updated", error=repr(bad))

    async def _receive(self, session: Session, actor: Actor, frame: str | bytes) -> None:
        message = _json(frame)
        declared = MESSAGES.get(str(message.get("type")))
        if declared is None:
            kind = str(message.get("type"))[:40]
            session.send(_error("unknown_message", f"there is no message {kind!r}: send ack, state or ping"))
            return
        permission, handle = declared
        if not allowed(actor, permission):
            session.send(_error("forbidden", f"this needs the permission {permission.value}"))
            return
        try:
            await handle(self._ctx, session, actor, message)
        except RingpostError as refused:
            said = "; ".join(f"{name}: {what}" for name, what in refused.fields.items())
            session.send(_error(refused.code, said or refused.detail))


async def _write(connection: ServerConnection, session: Session, wake: asyncio.Event) -> None:
    """Send what waits; a socket that takes nothing fills its queue, and the hub closes the session."""
    try:
        while True:
            await wake.wait()
            wake.clear()
            for frame in session.take():
                await connection.send(frame)
    except ConnectionClosed:
        pass


async def _close(
    connection: ServerConnection, session: Session, over: asyncio.Event, writer: asyncio.Task[None]
) -> None:
    """Close with the session's reason, also while the writer is stuck on a full socket."""
    await over.wait()
    assert session.closed is not None
    writer.cancel()
    code, reason = session.closed
    if code == TOO_SLOW:
        connection.close_timeout = (
            SLOW_CLOSE_SECONDS  # time to read what is buffered, and the reason after it
        )
    await connection.close(code, reason)


async def _ack(ctx: Context, session: Session, actor: Actor, message: Mapping[str, Any]) -> None:
    pop_id = str(message.get("id", ""))
    if not pop_id.isdecimal() or len(pop_id) > 18:
        session.send(_error("invalid", "id: the id of a screen pop"))
        return
    await ctx.presence.ack(actor.agent_id, int(pop_id))


async def _state(ctx: Context, session: Session, actor: Actor, message: Mapping[str, Any]) -> None:
    state = await ctx.presence.set_state(
        actor.agent_id, str(message.get("state", "")), str(message.get("reason") or "")
    )
    session.send(json.dumps({"type": "state", **state}, ensure_ascii=False))


async def _ping(ctx: Context, session: Session, actor: Actor, message: Mapping[str, Any]) -> None:
    session.send('{"type":"pong"}')


Handler = Callable[[Context, Session, Actor, Mapping[str, Any]], Awaitable[None]]
MESSAGES: dict[str, tuple[Permission, Handler]] = {
    "ack": (Permission.DESK_USE, _ack),
    "state": (Permission.PRESENCE_OWN, _state),
    "ping": (Permission.DESK_USE, _ping),
}


def _json(frame: str | bytes) -> dict[str, Any]:
    try:
        value = json.loads(frame)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _error(code: str, detail: str) -> str:
    return json.dumps({"type": "error", "code": code, "detail": detail}, ensure_ascii=False)


def _cookie(headers: list[str]) -> str | None:
    for header in headers:
        try:
            morsel = SimpleCookie(header).get(COOKIE)
        except CookieError:
            continue
        if morsel is not None:
            return morsel.value
    return None
