"""The directory in memory: loaded at start, again when the bell rings, and now and then anyway."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import asyncpg
import structlog

from server.domain.directory import Directory
from server.store import directory as store
from server.store.pool import Connection, Pool

log = structlog.get_logger("directory")
RELOAD_SECONDS = 15.0


async def notify_directory(connection: Connection | Pool) -> None:
    """Tell every node that an agent or a queue changed; goes out with the transaction's COMMIT."""
    await store.notify(connection)


class DirectoryKeeper:
    """Holds the snapshot; ``run`` keeps it fresh on a connection of its own (LISTEN is never pooled)."""

    def __init__(self, pool: Pool, dsn: str, zone: str = "UTC") -> None:
        self._zone = zone
        self._pool = pool
        self._dsn = dsn
        self._bell = asyncio.Event()
        self._reloading = asyncio.Lock()
        self.snapshot = Directory()

    async def reload(self) -> None:
        async with self._reloading:  # one that began earlier must not put its older snapshot over a newer one
            self.snapshot = await store.fetch_directory(self._pool, self._zone)

    def _ring(self, *_: Any) -> None:
        self._bell.set()

    async def run(self) -> None:
        """Until cancelled. A lost connection is made again; what was missed is read."""
        listener: Connection | None = None
        try:
            while True:
                try:
                    if listener is None or listener.is_closed():
                        listener = await asyncpg.connect(self._dsn)
                        await listener.add_listener(store.CHANNEL, self._ring)
                    await self.reload()
                    self._bell.clear()
                except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as away:
                    log.warning("directory_away", error=type(away).__name__)
                    await asyncio.sleep(0.5)
                    continue
                # Not wait_for: of Python 3.11 it swallows a cancellation that comes with the bell itself.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(RELOAD_SECONDS):
                        await self._bell.wait()
        finally:
            if listener is not None and not listener.is_closed():
                await listener.close()
