"""Queues with their numbers and live figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg

from server.store.pool import Connection, Pool, load_sql

SQL = load_sql(__file__)
Executor = Connection | Pool


async def list_queues(pool: Executor, queue_id: int | None = None) -> list[asyncpg.Record]:
    """Newest first."""
    return await pool.fetch(SQL.list_queues, queue_id)


async def insert_queue(connection: Connection, values: Sequence[Any]) -> int:
    return int(await connection.fetchval(SQL.insert_queue, *values))


async def lock_queue(connection: Connection, queue_id: int) -> asyncpg.Record | None:
    return await connection.fetchrow(SQL.lock_queue, queue_id)


async def find_queue(connection: Executor, name: str, but: int | None = None) -> int | None:
    """By name in any case."""
    found: int | None = await connection.fetchval(SQL.find_queue, name, but)
    return found


async def update_queue(connection: Connection, values: Sequence[Any]) -> None:
    await connection.execute(SQL.update_queue, *values)


async def set_distribution(connection: Connection, values: Sequence[Any]) -> None:
    await connection.execute(SQL.set_distribution, *values)


async def refresh_eligible(
    connection: Connection, *, queue_id: int | None = None, agent_id: int | None = None
) -> None:
    """Work out again who has the skills of a queue, or of which queues an agent has them."""
    await connection.execute(SQL.refresh_eligible, queue_id, agent_id)


async def clear_default(connection: Connection, but: int | None) -> None:
    await connection.execute(SQL.clear_default, but)


async def replace_dnis(connection: Connection, queue_id: int, numbers: Sequence[str]) -> None:
    await connection.execute(SQL.replace_dnis, queue_id, list(numbers))


async def taken_dnis(connection: Connection, numbers: Sequence[str], but: int | None) -> list[asyncpg.Record]:
    return await connection.fetch(SQL.taken_dnis, list(numbers), but)
