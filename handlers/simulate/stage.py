"""What a simulated caller has: a server to speak to, time that can be hurried, and a line to tell of it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random, SystemRandom
from time import perf_counter
from urllib.parse import urlsplit
from uuid import UUID

import aiohttp
from yarl import URL

from handlers.simulate.answers import Check, is_anything
from handlers.simulate.sounds import Sounds
from server.domain.errors import RingpostError

ATTEMPTS = 4
_LONGEST_PAUSE = 5.0
_REMEMBERED = 100_000


class WrongServer(RingpostError):
    """The server does not know these settings: nothing that follows can succeed."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a provider sends to ``url``, its own view of our address."""

    url: str
    body: bytes
    headers: Mapping[str, str]
    check: Check = is_anything
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    text: str
    wrong: str = ""  # what is not as the provider expects

    @property
    def ok(self) -> bool:
        return not self.wrong


@dataclass(slots=True)
class Tally:
    """What was sent and how it was answered. ``again``: the server asked for it once more (503)."""

    sent: int = 0
    accepted: int = 0
    refused: int = 0
    again: int = 0
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    def percentile(self, share: float) -> float:
        """In milliseconds; 0 when nothing was sent."""
        ordered = sorted(self.seconds)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000 if ordered else 0.0

    def __str__(self) -> str:
        again = f"{self.again} sent again, " if self.again else ""
        return (
            f"{self.sent} requests: {self.accepted} answered 2xx, {again}"
            f"p50 {self.percentile(0.5):.1f} ms, p99 {self.percentile(0.99):.1f} ms, {self.refused} refused"
        )


@dataclass(slots=True)
class Stage:
    """``public_url`` is what providers call and sign; ``http`` is where the server really is.

    ``random`` decides what happens, so that a seed plays the same day again; ``ids`` names what is sent, so
    that it is new to the server all the same. ``journal``, where there is one, keeps every request.
    """

    session: aiohttp.ClientSession
    http: str
    public_url: str
    tell: Callable[[str], None]
    speed: float = 1.0
    random: Random = field(default_factory=Random)
    ids: Random = field(default_factory=SystemRandom)
    tally: Tally = field(default_factory=Tally)
    sounds: Sounds = field(default_factory=Sounds)
    journal: list[Request] | None = None
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def hook_url(self, source: str) -> str:
        return f"{self.public_url}/hooks/calls/{source}"

    def new_id(self) -> str:
        return str(UUID(int=self.ids.getrandbits(128), version=4))

    def new_recording(self, name: str = "") -> str:
        """The address of one."""
        return self.sounds.url(name or self.new_id())

    def stop(self) -> None:
        """Nothing new begins, and what goes on is played to its end without pauses."""
        self.stopping.set()

    async def pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), seconds / self.speed)

    async def send(self, request: Request) -> Answer:
        """Send to the server what a provider sends, up to four times while it asks for that (503)."""
        if self.journal is not None:
            self.journal.append(request)
        self.tally.sent += 1
        for attempt in range(1, ATTEMPTS + 1):
            status, text, retry_after = await self._deliver(request)
            if status != 503 or attempt == ATTEMPTS:
                break
            self.tally.again += 1
            await asyncio.sleep(retry_after)
        path = urlsplit(request.url).path
        if status in (401, 403, 404):
            self.tally.refused += 1
            raise WrongServer(
                f"the server refused {path} ({status}): it runs with other settings, "
                "name them with --config or --data-dir"
            )
        wrong = request.check(text) if 200 <= status < 300 else " ".join(text.split())[:160] or "refused"
        if wrong:
            self.tally.refused += 1
            self.tell(f"{status} from {path}: {wrong}")
        else:
            self.tally.accepted += 1
        return Answer(status, text, wrong)

    async def _deliver(self, request: Request) -> tuple[int, str, float]:
        parts = urlsplit(request.url)
        target = self.http + (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        began = perf_counter()
        async with self.session.request(
            request.method,
            URL(target, encoded=True),
            data=request.body or None,
            headers=request.headers,
            allow_redirects=False,
        ) as reply:
            text = await reply.text()
            self.tally.seconds.append(perf_counter() - began)
            asked = reply.headers.get("Retry-After", "1")
            return reply.status, text, min(float(asked) if asked.isdecimal() else 1.0, _LONGEST_PAUSE)


def shown(number: str) -> str:
    """As logs show numbers: nobody needs more of them on a screen."""
    return f"…{number[-3:]}" if number else "withheld"
