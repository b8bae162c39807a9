"""What could not be taken in, with its raw bytes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import asyncpg

from server.store.pool import Connection, Pool, load_sql

SQL = load_sql(__file__)


async def insert_quarantine(
    pool: Connection | Pool, door: str, source: str, reason: str, meta: Mapping[str, Any], raw: bytes
) -> int:
    return int(await pool.fetchval(SQL.insert_quarantine, door, source, reason, dict(meta), raw))


async def fetch_page(
    pool: Pool, state: str | None, door: str | None, before: int | None, limit: int
) -> list[asyncpg.Record]:
    return await pool.fetch(SQL.fetch_page, state, door, before, limit)


async def fetch_one(pool: Pool, quarantine_id: int) -> asyncpg.Record | None:
    return await pool.fetchrow(SQL.fetch_one, quarantine_id)


async def settle(pool: Pool | Connection, quarantine_id: int, state: str, at: datetime) -> bool:
    return bool((await pool.execute(SQL.settle, quarantine_id, state, at)) == "UPDATE 1")


async def failed_again(pool: Pool, quarantine_id: int, reason: str) -> None:
    await pool.execute(SQL.failed_again, quarantine_id, reason)
