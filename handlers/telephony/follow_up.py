"""What providers do after events were taken in: ring the chosen agent, connect, clear up. Owned tasks.

Those of one call are done one after the other, in the order of their events; calls do not wait for each other.
What fails is logged with the name of its source: the events that follow tell what became of the call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, runtime_checkable

import aiohttp
import structlog

from handlers.telephony.control import CommandFailed
from handlers.telephony.provider import CallSource
from server.domain.event import CallEvent
from server.domain.outcome import CallOutcome

log = structlog.get_logger("telephony")
MOST = 10_000
LONGEST_SECONDS = 60.0


@runtime_checkable
class FollowsHooks(Protocol):
    """The part of a ``Provider`` that gives commands of its own accord, after its reply. Retries itself."""

    async def follow_up(
        self,
        source: CallSource,
        events: Sequence[CallEvent],
        outcomes: Sequence[CallOutcome],
        http: aiohttp.ClientSession,
    ) -> None:
        """Raises CommandFailed."""


@runtime_checkable
class FollowsEvents(Protocol):
    """The same part of a live ``Session``."""

    async def follow_up(self, events: Sequence[CallEvent], outcomes: Sequence[CallOutcome]) -> None:
        """Raises CommandFailed."""


def by_call(
    events: Sequence[CallEvent], outcomes: Sequence[CallOutcome]
) -> dict[str, tuple[list[CallEvent], list[CallOutcome]]]:
    """Call key -> its events with their outcomes."""
    calls: dict[str, tuple[list[CallEvent], list[CallOutcome]]] = {}
    for event, outcome in zip(events, outcomes, strict=True):
        of_call = calls.setdefault(event.call_key, ([], []))
        of_call[0].append(event)
        of_call[1].append(outcome)
    return calls


class FollowUps:
    """Those that are under way."""

    def __init__(self, grace_seconds: float = 0.5) -> None:
        self._grace_seconds = grace_seconds
        self._tasks: set[asyncio.Task[None]] = set()
        self._last: dict[tuple[str, str], asyncio.Task[None]] = {}  # of each call

    def add(self, source: str, call_key: str, work: Callable[[], Awaitable[None]]) -> None:
        if len(self._tasks) >= MOST:
            log.error("follow_up_left_out", source=source, why=f"{MOST} are under way")
            return
        call = (source, call_key)
        task = asyncio.create_task(self._do(self._last.get(call), source, work), name=f"follow-up {source}")
        self._last[call] = task
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._forget(call, done))

    def _forget(self, call: tuple[str, str], done: asyncio.Task[None]) -> None:
        self._tasks.discard(done)
        if self._last.get(call) is done:
            del self._last[call]

    async def _do(
        self, before: asyncio.Task[None] | None, source: str, work: Callable[[], Awaitable[None]]
    ) -> None:
        if before is not None:
            await asyncio.wait({before})
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                await work()
        except CommandFailed as failed:
            log.warning("follow_up_failed", source=source, why=str(failed))
        except Exception as bad:
            log.error("follow_up_failed", source=source, exc_info=bad)

    async def stop(self) -> None:
        """Finish what can be finished soon; the rest is given up."""
        tasks = [*self._tasks]
        if tasks:
            await asyncio.wait(tasks, timeout=self._grace_seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
