"""What a simulated caller has: a server to speak to, time that can be hurried, and a line to tell of it."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Protocol
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from server.domain.errors import RingpostError
from server.settings import CallSourceSettings
from server.store.simulation import SimAgent


@dataclass(frozen=True, slots=True)
class Caller:
    """``number`` is E.164, "" when withheld; ``name`` is for our line only."""

    name: str
    number: str


@dataclass(frozen=True, slots=True)
class CallPlan:
    """How a call goes unless the server decides otherwise. Spans in seconds."""

    key: str
    source: str
    settings: CallSourceSettings
    caller: Caller
    dnis: str
    agents: Sequence[SimAgent]  # who may pick up, likeliest first; empty: nobody will
    ring_seconds: float
    talk_seconds: float
    patience_seconds: float = 45.0


class WrongServer(RingpostError):
    """The server does not know the secrets of these settings: nothing that follows can succeed."""


@dataclass(slots=True)
class Stage:
    """``public_url`` is what providers call and sign; ``http`` is where the server really is."""

    session: aiohttp.ClientSession
    http: str
    public_url: str
    tell: Callable[[str], None]
    speed: float = 1.0
    random: Random = field(default_factory=Random)
    sent: int = 0
    refused: int = 0

    def hook_url(self, source: str) -> str:
        return f"{self.public_url}/hooks/calls/{source}"

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.speed)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
        """Send to the server what a provider sends to ``url``; once more when it asks for that (503)."""
        parts = urlsplit(url)
        target = self.http + (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        for attempt in range(4):
            async with self.session.post(
                URL(target, encoded=True), data=body, headers=headers, allow_redirects=False
            ) as reply:
                text = await reply.text()
                self.sent += 1
                if reply.status in (401, 403):
                    raise WrongServer(
                        f"the server refused {parts.path} ({reply.status}): it runs with other settings, "
                        "name them with --config or --data-dir"
                    )
                if reply.status != 503 or attempt == 3:
                    if reply.status >= 400:
                        self.refused += 1
                        self.tell(f"{reply.status} from {parts.path}: {' '.join(text.split())[:160]}")
                    return reply.status, text
                await asyncio.sleep(min(float(reply.headers.get("Retry-After", "1")), 5.0))
        raise AssertionError("unreachable")


class CallScript(Protocol):
    """One provider's calls, from the first ring to the end."""

    name: str

    async def play(self, stage: Stage, call: CallPlan) -> None: ...


def discover_scripts() -> dict[str, CallScript]:
    package = importlib.import_module("handlers.simulate")
    found: dict[str, CallScript] = {}
    for module in pkgutil.iter_modules(package.__path__):
        script = getattr(importlib.import_module(f"{package.__name__}.{module.name}"), "SCRIPT", None)
        if script is not None:
            found[script.name] = script
    return found


def shown(number: str) -> str:
    """As logs show numbers: nobody needs more of them on a screen."""
    return f"…{number[-3:]}" if number else "withheld"
