"""Calls that agents ask for, and what they ask of calls that go on."""

from __future__ import annotations

from datetime import datetime

import asyncpg

from server.store.pool import Connection, Pool, load_sql
from server.store.where import like

SQL = load_sql(__file__)
Executor = Connection | Pool


async def fetch_dialling(
    pool: Executor, agent_id: int, customer_id: int | None, ticket_id: int | None, number: str
) -> asyncpg.Record | None:
    """``extension`` of the agent, ``ticket_id``; ``customer`` and ``known`` (who has the number) as JSON text."""
    return await pool.fetchrow(SQL.fetch_dialling, agent_id, customer_id, ticket_id, number)


async def expect_call(
    connection: Connection,
    source: str,
    call_key: str,
    number: str,
    customer_id: int | None,
    ticket_id: int | None,
    agent_id: int,
    at: datetime,
) -> int:
    """The contact's id."""
    return int(
        await connection.fetchval(
            SQL.expect_call, source, call_key, number, customer_id, ticket_id, agent_id, at
        )
    )


async def fetch_going_call(pool: Executor, contact_id: int) -> asyncpg.Record | None:
    """The contact's row, and ``last_command``: the data of what was done last that moves the call."""
    return await pool.fetchrow(SQL.fetch_going_call, contact_id)


async def lock_request(connection: Connection, key: int) -> None:
    """Within the transaction: the same request waits for the other."""
    await connection.fetchval(SQL.lock_request, key)


async def fetch_requests(
    connection: Connection, subject_kind: str, subject_id: int, action: str, agent_id: int, key: str
) -> list[asyncpg.Record]:
    """``data`` and ``at`` of what is known of a request, the earliest first."""
    return await connection.fetch(SQL.fetch_requests, subject_kind, subject_id, action, agent_id, key)


async def find_targets(pool: Executor, without: int | None, text: str, limit: int) -> list[asyncpg.Record]:
    return await pool.fetch(SQL.find_targets, without or 0, like(text), limit)
