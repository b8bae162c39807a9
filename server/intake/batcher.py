"""The batcher that clocks itself.

A few writers; whenever one is free it takes everything that waits (at most ``batch_max``) and
commits it in one transaction; meanwhile the next batch gathers. No timer: an idle server commits a
lone event at once, a busy one shares the commit.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import structlog

from server.domain.errors import RingpostError, Unavailable

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")
log = structlog.get_logger("intake")


class Batcher(Generic[Item, Outcome]):
    """``commit`` takes a list of items and gives one outcome each, in order, after COMMIT.

    A batch that fails is retried item by item, so that one poisonous item cannot fail its
    neighbours; ``quarantine`` is told of an item that fails alone. Unavailable (no database) is not
    poison: the sender is told to come again.
    """

    def __init__(
        self,
        commit: Callable[[list[Item]], Awaitable[Sequence[Outcome]]],
        quarantine: Callable[[Item, Exception], Awaitable[None]],
        *,
        writers: int = 2,
        batch_max: int = 256,
        waiting_max: int = 4096,
    ) -> None:
        self._commit = commit
        self._quarantine = quarantine
        self._writers = writers
        self._batch_max = batch_max
        self._waiting_max = waiting_max
        self._waiting: deque[tuple[Item, asyncio.Future[Outcome]]] = deque()
        self._idle: deque[asyncio.Future[None]] = deque()
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False
        self.batches = 0  # committed since the start

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._write(), name=f"intake-writer-{n}") for n in range(self._writers)
        ]

    async def stop(self) -> None:
        """Finish what was accepted, then end."""
        self._closing = True
        while self._idle:
            self._wake()
        await asyncio.gather(*self._tasks)
        self._tasks = []

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """True when ``submit`` would refuse: a door may say so before it spends anything on the event."""
        return self._closing or len(self._waiting) >= self._waiting_max

    async def submit(self, item: Item) -> Outcome:
        """Give the item to the next batch; returns after its commit. Raises Unavailable when full."""
        if self.full:
            raise Unavailable("the server takes no more for the moment: send it again", retry_after_seconds=1)
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._idle:
            self._wake()
        return await future

    def _wake(self) -> None:
        sleeper = self._idle.popleft()
        if not sleeper.done():
            sleeper.set_result(None)

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if not self._waiting:
                if self._closing:
                    return
                sleeper: asyncio.Future[None] = loop.create_future()
                self._idle.append(sleeper)
                await sleeper
                continue
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._batch_max))]
            await self._run(batch)

    async def _run(self, batch: list[tuple[Item, asyncio.Future[Outcome]]]) -> None:
        try:
            outcomes = await self._commit([item for item, _ in batch])
        except Unavailable as away:
            for _, future in batch:
                _fail(future, away)
            return
        except Exception as bad:
            if len(batch) > 1:
                log.warning("batch_failed", size=len(batch), error=type(bad).__name__)
                for one in batch:
                    await self._run([one])
                return
            item, future = batch[0]
            if not isinstance(bad, RingpostError):
                log.error("event_failed", error=repr(bad), exc_info=bad)
                try:
                    await self._quarantine(item, bad)
                except Exception as worse:
                    log.error("quarantine_failed", error=repr(worse))
            _fail(future, bad)
            return
        self.batches += 1
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            if not future.done():
                future.set_result(outcome)


def _fail(future: asyncio.Future[Outcome], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
