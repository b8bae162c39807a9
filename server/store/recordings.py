"""Recordings: what became of each, and who listened."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from server.store.pool import Connection, Pool, load_sql

SQL = load_sql(__file__)
Executor = Connection | Pool
Rows = list[asyncpg.Record]
ADOPTED = 200


async def adopt(pool: Pool, state: str, now: datetime) -> Rows:
    """Give contacts whose recording is not known here yet their row; ``id, contact_id, ticket_id, agent_id``."""
    async with pool.acquire() as connection, connection.transaction():
        # A plan that was made while contacts was empty must not read all of it every second once it has grown.
        await connection.execute(SQL.by_index)
        return await connection.fetch(SQL.adopt, state, now, ADOPTED)


async def take_due(pool: Pool, now: datetime, until: datetime) -> asyncpg.Record | None:
    """The next one that is due, the caller's until ``until``; ``attempts`` counts this try too."""
    return await pool.fetchrow(SQL.take_due, now, until)


async def settle_fetched(
    pool: Pool,
    recording_id: int,
    path: str,
    content_type: str,
    size: int,
    duration_seconds: float | None,
    now: datetime,
) -> asyncpg.Record | None:
    """None when somebody else settled it meanwhile; else ``contact_id, ticket_id, agent_id``, here and below."""
    values = (recording_id, path, content_type, size, duration_seconds, now)
    return await pool.fetchrow(SQL.settle_fetched, *values)


async def settle_failed(
    pool: Pool, recording_id: int, state: str, error: str, next_attempt_at: datetime
) -> asyncpg.Record | None:
    """``state``: failed, or waiting for the next try."""
    return await pool.fetchrow(SQL.settle_failed, recording_id, state, error, next_attempt_at)


async def fetch_expired(pool: Pool, before: datetime, limit: int) -> Rows:
    return await pool.fetch(SQL.fetch_expired, before, limit)


async def settle_deleted(pool: Pool, recording_id: int, keep_days: int) -> asyncpg.Record | None:
    """With its line in the audit."""
    return await pool.fetchrow(SQL.settle_deleted, recording_id, {"keep_days": keep_days})


async def retry(connection: Connection, recording_id: int, now: datetime) -> bool:
    return await connection.fetchval(SQL.retry, recording_id, now) is not None


async def fetch_recording(pool: Executor, contact_id: int, agent_id: int) -> asyncpg.Record | None:
    """The contact, with its recording where it has one; ``is_theirs``: the agent's own call, or their queue's."""
    return await pool.fetchrow(SQL.fetch_recording, contact_id, agent_id)


async def fetch_of_ticket(pool: Executor, ticket_id: int, agent_id: int) -> Rows:
    return await pool.fetch(SQL.fetch_of_ticket, ticket_id, agent_id)


async def insert_play(
    connection: Connection, contact_id: int, agent_id: int, recording_id: int, unless_since: datetime | None
) -> None:
    """A line in the audit, unless there is one of this agent since then. Inside of a transaction."""
    await connection.execute(SQL.lock_recording, recording_id)
    data = {"recording_id": str(recording_id)}
    await connection.execute(SQL.insert_play, contact_id, agent_id, data, unless_since)


async def fetch_plays(pool: Executor, contact_ids: Sequence[int], limit: int) -> Rows:
    """The newest first."""
    return await pool.fetch(SQL.fetch_plays, list(contact_ids), limit)
