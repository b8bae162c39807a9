"""A PBX as small as one can be, on a real socket, and the live provider that speaks with it.

It says ``hello`` or ``no``, then one JSON object per line: an emission of events, or ``{"over": [keys]}`` when
it tells, after ``hello``, which calls have ended meanwhile.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from handlers.telephony.control import Command, CommandFailed, Deed
from handlers.telephony.live import Link, LinkBroken
from handlers.telephony.provider import CallSource
from server.domain.event import CallEvent, Direction, EventType
from server.domain.outcome import CallOutcome
from server.settings import SettingsError


class LinePeer:
    def __init__(self) -> None:
        self.port = 0
        self.greeting = b"hello\n"
        self.clients: list[asyncio.StreamWriter] = []
        self.connections = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[LinePeer]:
        server = await asyncio.start_server(self._client, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.drop()
            await asyncio.gather(*self._tasks)
            await server.wait_closed()

    def drop(self) -> None:
        for writer in self.clients:
            writer.transport.abort()

    def say(self, *events: Mapping[str, Any]) -> None:
        """One emission to whoever is connected."""
        for writer in self.clients:
            writer.write(json.dumps(events).encode() + b"\n")

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.clients.append(writer)
        self.connections += 1
        try:
            writer.write(self.greeting)
            await reader.read()
        except OSError:
            pass
        finally:
            self.clients.remove(writer)
            self._tasks.discard(task)
            writer.close()


def ringing(call: str, **more: Any) -> dict[str, Any]:
    return {"type": "ringing", "call_key": call, "ani": "+447700900123", "dnis": "+442079460100", **more}


class LineSession:
    def __init__(self, source: CallSource, live: LineLive) -> None:
        self._source, self._live = source, live

    async def run(self, link: Link) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(self._source.options["port"]))
        try:
            if await reader.readline() != b"hello\n":
                raise LinkBroken("the PBX said no")
            self._live.running += 1
            self._live.most_running = max(self._live.most_running, self._live.running)
            try:
                link.up("all well")
                while line := await reader.readline():
                    if not line.startswith(b"["):
                        raise LinkBroken("the PBX makes no sense")
                    await link.emit([_event(one) for one in json.loads(line)], line)
                    self._live.emissions += 1
            finally:
                self._live.running -= 1
            raise LinkBroken("the PBX hung up")
        finally:
            writer.close()

    async def act(self, command: Command) -> str:
        if command.target == "nobody":
            raise CommandFailed("there is nobody")
        if command.target == "a bug":
            raise KeyError("target")
        return f"call of {command.agent}"

    async def follow_up(self, events: Sequence[CallEvent], outcomes: Sequence[CallOutcome]) -> None:
        for event, outcome in zip(events, outcomes, strict=True):
            await self._live.followed(event, outcome)


class LineLive:
    """The provider; ``running`` sessions are up in this process, ``emissions`` returned from the intake."""

    name = "line"
    deeds = frozenset({Deed.DIAL, Deed.HANG_UP})

    def __init__(self) -> None:
        self.running = self.most_running = 0
        self.emissions = 0
        self.follows: list[tuple[str, str]] = []

    def session(self, source: CallSource) -> LineSession:
        if "port" not in source.options:
            raise SettingsError(f"call_sources.{source.name}.port: is required")
        return LineSession(source, self)

    async def followed(self, event: CallEvent, outcome: CallOutcome) -> None:
        await asyncio.sleep(0)
        self.follows.append((event.event_key, outcome.state))


def _event(said: Mapping[str, Any]) -> CallEvent:
    call = said["call_key"]
    return CallEvent(
        type=EventType(said["type"]),
        call_key=call,
        leg_key=said.get("leg_key", call),
        event_key=said.get("event_key", f"{call}:{said['type']}"),
        direction=Direction.INBOUND,
        ani=said.get("ani"),
        dnis=said.get("dnis"),
        agent_refs=tuple(said.get("agents", ())),
    )


async def until(ready: Callable[[], Any], seconds: float = 8.0) -> None:
    """Look until it is so; what changes has no event to wait for."""
    async with asyncio.timeout(seconds):
        while not await _now(ready):
            await asyncio.sleep(0.005)


async def _now(ready: Callable[[], Any]) -> Any:
    found = ready()
    return await found if asyncio.iscoroutine(found) else found
