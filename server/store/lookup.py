"""Whose number it is, for a PBX that asks while a call rings."""

from __future__ import annotations

import asyncpg

from server.store.pool import Pool, load_sql

SQL = load_sql(__file__)
MOST = 50  # on one line; a name is certain for few of them only


async def fetch_by_number(pool: Pool, number: str) -> list[asyncpg.Record]:
    """Customers with that number (E.164), with what agents taught about it."""
    return await pool.fetch(SQL.fetch_by_number, number, f"tel:{number}", MOST)
