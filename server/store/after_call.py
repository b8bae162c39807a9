"""After-call work of agents, and what a contact came to."""

from __future__ import annotations

import asyncpg

from server.store.pool import Connection, Pool, load_sql

SQL = load_sql(__file__)
Executor = Connection | Pool


async def fetch_wrap_up(pool: Executor, agent_id: int) -> asyncpg.Record | None:
    return await pool.fetchrow(SQL.fetch_wrap_up, agent_id)


async def lock_contact(connection: Connection, contact_id: int) -> asyncpg.Record | None:
    """The contact, with the dispositions of its queue."""
    return await connection.fetchrow(SQL.lock_contact, contact_id)


async def fetch_wrapping_agent(connection: Connection, contact_id: int) -> int | None:
    """Who has the contact as after-call work."""
    found: int | None = await connection.fetchval(SQL.fetch_wrapping_agent, contact_id)
    return found


async def set_result(connection: Connection, contact_id: int, disposition: str | None, note: str) -> None:
    await connection.execute(SQL.set_result, contact_id, disposition, note)
