"""Missed calls as tickets of kind callback: opened by the call, closed by speaking with the customer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import asyncpg

from server.store.pool import Connection, load_sql

SQL = load_sql(__file__)


async def lock_open_callback(connection: Connection, customer_id: int) -> int | None:
    found: int | None = await connection.fetchval(SQL.lock_open_callback, customer_id)
    return found


async def lock_ticket_of(connection: Connection, contact_id: int) -> asyncpg.Record | None:
    """(id, kind, own) of the contact's ticket."""
    return await connection.fetchrow(SQL.lock_ticket_of, contact_id)


async def make_callback(
    connection: Connection,
    ticket_id: int,
    subject: str,
    queue_id: int | None,
    due_at: datetime,
    customer_id: int | None,
    at: datetime,
) -> None:
    await connection.execute(SQL.make_callback, ticket_id, subject, queue_id, due_at, customer_id, at)


async def insert_callback(
    connection: Connection,
    subject: str,
    queue_id: int | None,
    customer_id: int | None,
    due_at: datetime,
    at: datetime,
) -> int:
    return int(await connection.fetchval(SQL.insert_callback, subject, queue_id, customer_id, due_at, at))


async def attach(connection: Connection, contact_id: int, ticket_id: int) -> None:
    await connection.execute(SQL.attach, contact_id, ticket_id)


async def fold(connection: Connection, ticket_id: int, into: int, at: datetime) -> None:
    await connection.execute(SQL.fold, ticket_id, into, at)


async def touch_callback(connection: Connection, ticket_id: int, at: datetime) -> None:
    await connection.execute(SQL.touch_callback, ticket_id, at)


async def close_callbacks(
    connection: Connection, spoken: Mapping[int, int | None], at: datetime
) -> list[asyncpg.Record]:
    """``spoken``: customer -> the agent who has spoken with them. Gives (id, agent_id) per ticket."""
    customers = sorted(spoken)
    return await connection.fetch(SQL.close_callbacks, customers, [spoken[one] for one in customers], at)
