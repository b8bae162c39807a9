"""A cheap HTTP/1.1 load generator: keep-alive connections over raw protocols, loopback only.

``closed_loop`` keeps every connection busy (throughput). ``open_loop`` sends at random moments of
its own, whatever the server does (Poisson arrivals); latency counts from the moment at which the
request was meant to leave, so that a server that stalls cannot hide it.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from bench.clock import ExactTimer
from bench.events import Ring, Source

Done = Callable[["HttpClient", int, bool], None]


class HttpClient(asyncio.Protocol):
    """One connection, one request at a time.

    ``done`` gets (client, status, has Retry-After); status 0 = the connection was lost.
    """

    def __init__(self) -> None:
        self.done: Done | None = None
        self.context: Ring | None = None
        self.due_at = 0.0
        self.open = False
        self._transport: asyncio.Transport | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]
        self.open = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        if self.done is not None and self.context is not None:
            self.done(self, 0, False)

    def send(self, ring: Ring, due_at: float) -> None:
        self.context, self.due_at = ring, due_at
        assert self._transport is not None
        self._transport.write(ring.request)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            self._buffer = buffer
            return
        head = buffer[:end].lower()
        at = head.find(b"\r\ncontent-length:")
        length = 0
        if at >= 0:
            stop = head.find(b"\r\n", at + 2)
            length = int(head[at + 17 : stop if stop > 0 else None])
        if len(buffer) < end + 4 + length:
            self._buffer = buffer
            return
        self._buffer = buffer[end + 4 + length :]
        if self.done is not None:
            self.done(self, int(buffer[9:12]), b"\r\nretry-after:" in head)

    def close(self) -> None:
        self.done = None
        if self._transport is not None:
            self._transport.close()


async def connect(host: str, port: int, count: int) -> list[HttpClient]:
    """Open connections, a few hundred at a time so that no listen queue overflows."""
    assert host in ("127.0.0.1", "::1", "localhost"), "load goes to loopback only"
    loop = asyncio.get_running_loop()
    clients: list[HttpClient] = []
    while len(clients) < count:
        step = min(256, count - len(clients))
        made = await asyncio.gather(*(loop.create_connection(HttpClient, host, port) for _ in range(step)))
        clients.extend(client for _, client in made)
    return clients


@dataclass(slots=True)
class Outcome:
    """What one run of load saw. ``latencies`` (seconds) are those of 2xx answers."""

    seconds: float = 0.0
    sent: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    with_retry_after: int = 0
    unanswered: int = 0

    @property
    def done(self) -> int:
        return sum(count for status, count in self.statuses.items() if 200 <= status < 300)

    @property
    def per_second(self) -> float:
        return self.done / self.seconds if self.seconds else 0.0

    @property
    def trouble(self) -> str:
        """Anything but 2xx, in words; empty when all went well."""
        bad = {status: count for status, count in self.statuses.items() if not 200 <= status < 300}
        return ", ".join(f"{count} x {status or 'connection lost'}" for status, count in bad.items())


async def closed_loop(clients: list[HttpClient], source: Source, seconds: float) -> Outcome:
    """Each client sends its next request as soon as it has the answer, for ``seconds``."""
    outcome = Outcome()
    started = monotonic()
    until = started + seconds
    busy = len(clients)
    over = asyncio.Event()
    ended = started

    def done(client: HttpClient, status: int, retry_after: bool) -> None:
        nonlocal busy, ended
        now = monotonic()
        outcome.statuses[status] += 1
        if 200 <= status < 300:
            outcome.latencies.append(now - client.due_at)
        if now < until and client.open:
            outcome.sent += 1
            client.send(source(), now)
            return
        client.done, client.context = None, None
        busy -= 1
        ended = now
        if not busy:
            over.set()

    for client in clients:
        client.done = done
        outcome.sent += 1
        client.send(source(), monotonic())
    try:
        await asyncio.wait_for(over.wait(), seconds + 20)
    except TimeoutError:
        outcome.unanswered = busy
    outcome.seconds = (ended if ended > started else monotonic()) - started
    return outcome


async def open_loop(
    clients: list[HttpClient],
    source: Source,
    rate: float,
    seconds: float,
    *,
    seed: int = 7,
    due: dict[bytes, float] | None = None,
    patience: float = 10.0,
) -> Outcome:
    """Poisson arrivals at ``rate`` a second. ``due`` collects the intended moment of each call's key.

    A request that finds no free connection waits for one; its clock runs from the intended moment.
    ``seconds`` of the outcome reach to the last answer, so that a server which lags shows it.
    """
    chance = random.Random(seed)
    outcome = Outcome()
    free: deque[HttpClient] = deque(clients)
    late: deque[tuple[Ring, float]] = deque()
    started = monotonic() + 0.02
    until = started + seconds
    over = asyncio.Event()
    pending = 0
    ended = started
    # Made beforehand: signing must not delay the sending.
    made: deque[tuple[Ring, float]] = deque()
    at = started
    while (at := at + chance.expovariate(rate)) < until:
        made.append((source(), at - started))
    started = monotonic() + 0.02

    def done(client: HttpClient, status: int, retry_after: bool) -> None:
        nonlocal pending, ended
        now = ended = monotonic()
        outcome.statuses[status] += 1
        outcome.with_retry_after += retry_after
        if 200 <= status < 300:
            outcome.latencies.append(now - client.due_at)
        pending -= 1
        if late and client.open:
            client.send(*late.popleft())
        else:
            client.context = None
            if client.open:
                free.append(client)
        if not pending and not made:
            over.set()

    def fire() -> None:
        nonlocal pending
        now = monotonic()
        while made and started + made[0][1] <= now:
            ring, offset = made.popleft()
            if due is not None:
                due[ring.call_key] = started + offset
            outcome.sent += 1
            pending += 1
            if free:
                free.pop().send(ring, started + offset)
            else:
                late.append((ring, started + offset))
        if made:
            timer.arm(started + made[0][1])

    for client in clients:
        client.done = done
    timer = ExactTimer(fire)
    try:
        if made:
            timer.arm(started + made[0][1])
            await asyncio.wait_for(over.wait(), seconds + patience)
    except TimeoutError:
        outcome.unanswered = pending
    finally:
        timer.close()
        for client in clients:
            client.done, client.context = None, None
    outcome.seconds = max(ended - started, seconds)
    return outcome
