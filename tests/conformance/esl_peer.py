"""A small event socket on loopback: logs clients in, answers commands, replays a stream in odd pieces."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote


def frame(kind: str, body: str | bytes = b"", **headers: str) -> bytes:
    data = body.encode() if isinstance(body, str) else body
    lines = [
        f"Content-Type: {kind}",
        *(f"{name.replace('_', '-')}: {text}" for name, text in headers.items()),
    ]
    if data:
        lines.insert(0, f"Content-Length: {len(data)}")
    return ("\n".join(lines) + "\n\n").encode() + data


_numbers = itertools.count(1)


def plain_event(name: str, body: str = "", **headers: str) -> bytes:
    """An event as ``event plain`` sends it; ``Unique_ID`` is written with dashes, ``variable_x`` as it is."""
    lines = {"Event-Name": name, "Core-UUID": "core-1", "Event-Sequence": str(next(_numbers))}
    for header, value in headers.items():
        lines[header if header.startswith("variable_") else header.replace("_", "-")] = value
    text = "".join(
        f"{header}: {quote(value, safe='/ ,()') or '_undef_'}\n" for header, value in lines.items()
    )
    if body:
        text += f"Content-Length: {len(body.encode())}\n\n{body}"
    else:
        text += "\n"
    return frame("text/event-plain", text)


def pieces(stream: bytes, sizes: Iterable[int]) -> Iterator[bytes]:
    at = 0
    for size in itertools.cycle(list(sizes) or [211]):
        if at >= len(stream):
            return
        yield stream[at : at + max(1, size)]
        at += max(1, size)


@dataclass
class EslPeer:
    """``script`` runs for each client that has subscribed; the rest says how commands are answered."""

    password: str = "fictitious-esl-password"
    channels: list[dict[str, Any]] = field(default_factory=list)
    jobs: Callable[[str], str | None] = lambda line: "+OK\n"
    script: Callable[[EslPeer, asyncio.StreamWriter], Any] | None = None
    greeting: bytes = frame("auth/request")
    refuse: str = ""
    deaf: bool = False
    port: int = 0
    clients: int = 0
    commands: list[str] = field(default_factory=list)
    _clients: list[asyncio.Task[Any] | None] = field(default_factory=list)
    _scripts: list[asyncio.Task[Any]] = field(default_factory=list)
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[EslPeer]:
        server = await asyncio.start_server(self._client, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for script in self._scripts:
                script.cancel()
            self.drop()  # what ends the clients' tasks
            await asyncio.gather(*self._scripts, *filter(None, self._clients), return_exceptions=True)
            await server.wait_closed()

    def drop(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def say(self, data: bytes) -> None:
        for writer in self._writers:
            writer.write(data)

    async def replay(self, stream: bytes, sizes: Iterable[int] = (211,)) -> None:
        for number, piece in enumerate(pieces(stream, sizes)):
            self.say(piece)
            if number % 7 == 0:
                await asyncio.sleep(0)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.append(asyncio.current_task())
        self._writers.append(writer)
        self.clients += 1
        writer.write(self.greeting)
        authorised = False
        try:
            while True:
                said = (await reader.readuntil(b"\n\n")).decode().strip()
                self.commands.append(said)
                if self.deaf:
                    continue
                line, _, rest = said.partition("\n")
                verb, _, argument = line.partition(" ")
                if verb == "auth":
                    authorised = argument == self.password
                    writer.write(reply("+OK accepted" if authorised else "-ERR invalid"))
                    if not authorised:
                        break
                elif not authorised:
                    writer.write(reply("-ERR command not found"))
                elif verb == self.refuse:
                    writer.write(reply("-ERR permission denied"))
                elif verb == "event":
                    writer.write(reply("+OK event listener enabled plain"))
                elif line == "api show channels as json":
                    writer.write(frame("api/response", listing(self.channels)))
                    if self.script is not None:
                        self._scripts.append(asyncio.ensure_future(self.script(self, writer)))
                elif verb == "bgapi":
                    job = rest.removeprefix("Job-UUID: ")
                    writer.write(reply(f"+OK Job-UUID: {job}", Job_UUID=job))
                    result = self.jobs(argument)
                    if result is not None:
                        writer.write(plain_event("BACKGROUND_JOB", result, Job_UUID=job))
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()


def reply(text: str, **headers: str) -> bytes:
    return frame("command/reply", Reply_Text=text, **headers)


def listing(channels: list[dict[str, Any]]) -> str:
    whole: dict[str, Any] = {"row_count": len(channels)}
    if channels:
        whole["rows"] = channels
    return json.dumps(whole)
