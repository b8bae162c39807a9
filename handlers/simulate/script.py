"""One provider's calls, and the line on which one of them is played."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

from handlers.simulate.answers import CallLost
from handlers.simulate.plan import OUT, CallPlan, Kind, Played
from handlers.simulate.stage import Answer, Request, Stage, shown
from server.settings import CallSourceSettings

_TWICE = 0.25
_LATE = 0.3


class Line:
    """The way of one call to the server: as networks are, with requests that come twice or late.

    The answer to what is asked leads the call on; an event only tells, so the next may overtake it.
    """

    def __init__(self, stage: Stage, plan: CallPlan) -> None:
        self.stage = stage
        self.plan = plan
        self._held: Request | None = None

    @property
    def hook_url(self) -> str:
        return self.stage.hook_url(self.plan.source)

    @property
    def who(self) -> str:
        return f"{self.plan.caller.name} ({shown(self.plan.caller.number)})"

    def now(self) -> datetime:
        """The provider's clock."""
        return datetime.now(UTC)

    def since(self, then: datetime | None) -> int:
        """Whole seconds; 0 when it never happened."""
        return int((self.now() - then).total_seconds()) if then is not None else 0

    def say(self, words: str) -> None:
        self.stage.tell(f"call  {self.plan.source}: {words}")

    def say_record(self, kind: Kind) -> None:
        """Of a provider that tells of a call when it is over."""
        agent = self.plan.agents[0].name if self.plan.agents else "the queue"
        ends = (agent, self.who) if kind in OUT else (self.who, agent)
        self.say(f"{ends[0]} called {ends[1]}: {kind}")

    def played(self, key: str, kind: Kind) -> Played:
        return Played(self.plan.source, key, kind)

    async def pause(self, seconds: float) -> None:
        await self.stage.pause(seconds)

    async def ask(self, request: Request) -> str:
        """The answer, by which the call goes on. Raises CallLost when it is none."""
        answer = await self._send(request)
        if not answer.ok:
            raise CallLost(answer.wrong)
        return answer.text

    async def tell(self, request: Request) -> None:
        """An event; nobody waits for the answer, so it may be late."""
        if self._held is None and self.plan.late and self.stage.random.random() < _LATE:
            self._held = request
            return
        await self._send(request)
        await self.close()

    async def close(self) -> None:
        """Send what was held back."""
        held, self._held = self._held, None
        if held is not None:
            await self._send(held)

    async def _send(self, request: Request) -> Answer:
        answer = await self.stage.send(request)
        if answer.ok and self.plan.twice and self.stage.random.random() < _TWICE:
            return await self.stage.send(request)
        return answer


class CallScript(Protocol):
    """One provider's calls, from the first ring to the end: a module's ``SCRIPT``."""

    name: str
    kinds: frozenset[Kind]  # what this provider can tell of
    led: bool  # the server chooses whom to ring; else the PBX does

    def lack(self, settings: CallSourceSettings) -> str:
        """The setting that a source needs so that its calls can be played; "" when it has all."""

    async def play(self, line: Line) -> Sequence[Played]:
        """One call, or the parts in which the provider tells it. Raises CallLost, WrongServer."""


def discover_scripts() -> dict[str, CallScript]:
    package = importlib.import_module("handlers.simulate")
    found: dict[str, CallScript] = {}
    for module in pkgutil.iter_modules(package.__path__):
        script = getattr(importlib.import_module(f"{package.__name__}.{module.name}"), "SCRIPT", None)
        if script is not None:
            found[script.name] = script
    return found
