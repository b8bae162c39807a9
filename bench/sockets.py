"""Agents' sockets: raw websocket clients (RFC 6455) that note and acknowledge screen pops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic

# Clients must mask; a mask of zeros leaves the text as it is and costs nothing.
_ZERO_MASK = b"\x00\x00\x00\x00"
_POP = b'{"type":"screen_pop","id":"'
_LINKED = b'"linkedid":"'


class AgentClient(asyncio.Protocol):
    """One agent. ``on_pop`` gets (call key, arrival), ``on_hint`` the arrival of any other frame."""

    def __init__(
        self,
        token: str,
        port: int,
        on_pop: Callable[[bytes, float], None] | None = None,
        on_hint: Callable[[bytes, float], None] | None = None,
    ) -> None:
        self.greeted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed = False
        self._token, self._port = token, port
        self._on_pop, self._on_hint = on_pop, on_hint
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        transport.write(  # type: ignore[attr-defined]
            f"GET /agent HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
            f"Authorization: Bearer {self._token}\r\n\r\n".encode()
        )

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if not self.greeted.done():
            self.greeted.set_exception(ConnectionError(f"the socket was refused: {self._buffer[:200]!r}"))

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        if not self._open:
            end = buffer.find(b"\r\n\r\n")
            if end < 0 or not buffer.startswith(b"HTTP/1.1 101"):
                self._buffer = buffer
                return
            self._open = True
            buffer = buffer[end + 4 :]
        at, size = 0, len(buffer)
        while size - at >= 2:
            length, head = buffer[at + 1], 2
            if length == 126:
                length, head = int.from_bytes(buffer[at + 2 : at + 4]), 4
            elif length == 127:
                length, head = int.from_bytes(buffer[at + 2 : at + 10]), 10
            if size - at < head + length:
                break
            self._frame(buffer[at] & 15, buffer[at + head : at + head + length])
            at += head + length
        self._buffer = buffer[at:]

    def _frame(self, opcode: int, payload: bytes) -> None:
        if opcode == 1:
            if payload.startswith(_POP):
                now = monotonic()
                pop_id = payload[len(_POP) : payload.index(b'"', len(_POP))]
                start = payload.find(_LINKED) + len(_LINKED)
                if self._on_pop is not None:
                    self._on_pop(payload[start : payload.index(b'"', start)], now)
                self.send(1, b'{"type":"ack","id":"' + pop_id + b'"}')
            elif not self.greeted.done():
                self.greeted.set_result(None)
            elif self._on_hint is not None:
                self._on_hint(payload, monotonic())
        elif opcode == 9:
            self.send(10, payload)
        elif opcode == 8:
            self.closed = True

    def send(self, opcode: int, payload: bytes) -> None:
        """A control or text frame of at most 125 bytes."""
        assert self._transport is not None and len(payload) < 126
        self._transport.write(bytes((0x80 | opcode, 0x80 | len(payload))) + _ZERO_MASK + payload)

    def close(self) -> None:
        if self._transport is not None:
            if not self.closed and self._open:
                self.send(8, b"\x03\xe8")
            self._transport.close()


async def connect_agents(
    port: int,
    tokens: Sequence[str],
    *,
    on_pop: Callable[[bytes, float], None] | None = None,
    on_hint: Callable[[bytes, float], None] | None = None,
) -> list[AgentClient]:
    """Connect one agent per token and wait until each was greeted."""
    loop = asyncio.get_running_loop()
    clients: list[AgentClient] = []
    for start in range(0, len(tokens), 100):
        group = [AgentClient(token, port, on_pop, on_hint) for token in tokens[start : start + 100]]
        await asyncio.gather(
            *(loop.create_connection(partial(_itself, client), "127.0.0.1", port) for client in group)
        )
        await asyncio.wait_for(asyncio.gather(*(client.greeted for client in group)), 30)
        clients.extend(group)
    return clients


def _itself(client: AgentClient) -> AgentClient:
    return client


def close_agents(clients: Sequence[AgentClient]) -> None:
    for client in clients:
        client.close()


class PopBook:
    """When each call's pop arrived; a call that popped twice on one run is counted."""

    def __init__(self) -> None:
        self.arrived: dict[bytes, float] = {}
        self.twice = 0

    def note(self, call_key: bytes, at: float) -> None:
        if call_key in self.arrived:
            self.twice += 1
        else:
            self.arrived[call_key] = at

    async def wait_for(self, count: int, seconds: float) -> None:
        """Until ``count`` pops are there, at most ``seconds``."""
        until = monotonic() + seconds
        while len(self.arrived) < count and monotonic() < until:
            await asyncio.sleep(0.01)
