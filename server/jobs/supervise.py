"""Tasks with an owner: restarted with back-off when they fail, cancelled when the server stops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

log = structlog.get_logger("jobs")


class Supervisor:
    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run ``work`` until it returns; an exception starts it again."""
        self._tasks.append(asyncio.create_task(self._keep(name, work), name=name))

    def every(self, name: str, seconds: float, work: Callable[[], Awaitable[object]]) -> None:
        async def loop() -> None:
            while True:
                await asyncio.sleep(seconds)
                await work()

        self.start(name, loop)

    async def _keep(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        wait = 0.5
        while True:
            try:
                await work()
                return
            except asyncio.CancelledError:
                raise
            except Exception as bad:
                log.error("job_failed", job=name, error=repr(bad), again_in_seconds=wait)
                await asyncio.sleep(wait)
                wait = min(wait * 2, 30.0)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
