"""One use case, one transaction."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from server.store.pool import Connection, Pool, transaction_errors


@contextlib.asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Connection]:
    """A connection inside of a transaction; what the database says comes out as our errors."""
    async with transaction_errors(), pool.acquire() as connection, connection.transaction():
        yield connection
