"""One node's claim to a live call source: an advisory lock on a connection of its own.

The lock falls with its connection, so a node that dies gives it up. One that is cut off from the database
notices within two and a half beats; the server notices by TCP keepalives a little later, and only then can
another node take over.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import asyncpg

from server.domain.errors import Unavailable
from server.store.pool import Connection, load_sql

SQL = load_sql(__file__)
CALL_SOURCE = 0x4C696E65  # "Line"
CONNECT_SECONDS = 5.0
CLOSE_SECONDS = 0.5
PATIENCE = 1.5  # beats, for the answer to one
NODE = "ringpost on "


class SourceLock:
    """Made by ``open_source_lock``. Every method raises Unavailable when the database is away."""

    def __init__(self, connection: Connection, source: str, beat_seconds: float) -> None:
        self._connection = connection
        crc = zlib.crc32(source.encode())
        self._key = (CALL_SOURCE, crc - (1 << 32) if crc >> 31 else crc)
        self._beat_seconds = beat_seconds
        self._ended = asyncio.Event()
        connection.add_termination_listener(self._end)

    def _end(self, _: Any) -> None:
        self._ended.set()

    async def try_take(self) -> bool:
        """True when it is ours now, until the connection ends."""
        with _away():
            return bool(await self._connection.fetchval(SQL.try_lock, *self._key))

    async def holder(self) -> str:
        """The name of the node that has it; "" when nobody has it or it has no name."""
        with _away():
            said = await self._connection.fetchval(SQL.fetch_holder, *self._key)
        return said.removeprefix(NODE) if said and said.startswith(NODE) else ""

    async def lost(self) -> None:
        """Returns as soon as the lock may be somebody else's."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._beat_seconds):
                    await self._ended.wait()
                return
            try:
                with _away():
                    await self._connection.execute(SQL.beat, timeout=self._beat_seconds * PATIENCE)
            except Unavailable:
                return


@asynccontextmanager
async def open_source_lock(
    dsn: str, source: str, *, node: str, beat_seconds: float
) -> AsyncIterator[SourceLock]:
    """A connection to ask for the lock of ``source``; nothing is taken yet. Raises Unavailable."""
    name = {"application_name": (NODE + node)[:63]}
    with _away():
        connection = await asyncpg.connect(dsn, timeout=CONNECT_SECONDS, server_settings=name)
    try:
        with _away():
            await connection.execute(SQL.watch_client)
        yield SourceLock(connection, source, beat_seconds)
    finally:
        try:
            await connection.close(timeout=CLOSE_SECONDS)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            connection.terminate()


@contextmanager
def _away() -> Iterator[None]:
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as away:
        raise Unavailable("the database is away") from away
