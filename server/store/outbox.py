"""Mail that is to leave: rows written with the reply, sent by a job."""

from __future__ import annotations

from datetime import datetime, timedelta

import asyncpg

from server.store.pool import Pool, load_sql

SQL = load_sql(__file__)
LEASE = timedelta(minutes=5)


async def take_due(pool: Pool, now: datetime) -> asyncpg.Record | None:
    """The next mail that is due, leased to the caller."""
    async with pool.acquire() as connection, connection.transaction():
        row = await connection.fetchrow(SQL.lock_due, now)
        if row is not None:
            await connection.execute(SQL.lease, row["id"], now + LEASE)
        return row


async def settle(pool: Pool, outbox_id: int, state: str, error: str, now: datetime) -> None:
    await pool.execute(SQL.settle, outbox_id, state, error[:1000], now)


async def postpone(pool: Pool, outbox_id: int, until: datetime, error: str) -> None:
    await pool.execute(SQL.postpone, outbox_id, until, error[:1000])
