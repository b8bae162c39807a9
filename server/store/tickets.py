"""Tickets: the matter that contacts are about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg

from server.store.pool import Connection, Pool, load_sql
from server.store.where import Where, like

SQL = load_sql(__file__)
Executor = Connection | Pool


async def insert_ticket(pool: Executor, values: Sequence[Any]) -> asyncpg.Record:
    """Values in the order of ``tickets.sql``; ``id`` is None when a ``ref_`` leads nowhere."""
    row = await pool.fetchrow(SQL.insert_ticket, *values)
    assert row is not None
    return row


async def resolve_refs(
    connection: Executor, queue: str | None, assignee_id: int | None, customer_id: int | None
) -> asyncpg.Record:
    row = await connection.fetchrow(SQL.resolve_refs, queue, assignee_id, customer_id)
    assert row is not None
    return row


async def fetch_ticket(pool: Executor, ticket_id: int) -> asyncpg.Record | None:
    return await pool.fetchrow(SQL.fetch_ticket, ticket_id)


async def lock_ticket(connection: Connection, ticket_id: int) -> asyncpg.Record | None:
    return await connection.fetchrow(SQL.lock_ticket, ticket_id)


async def update_ticket(connection: Connection, values: Sequence[Any]) -> asyncpg.Record:
    row = await connection.fetchrow(SQL.update_ticket, *values)
    assert row is not None
    return row


async def settle_waiting(connection: Connection, ticket_id: int, agent_id: int | None, at: datetime) -> None:
    await connection.execute(SQL.settle_waiting, ticket_id, agent_id, at)


async def lock_pair(connection: Connection, one: int, other: int) -> dict[int, asyncpg.Record]:
    return {row["id"]: row for row in await connection.fetch(SQL.lock_pair, [one, other])}


async def move_into(
    connection: Connection, from_id: int, into_id: int, at: datetime, customer_id: int | None
) -> None:
    await connection.execute(SQL.move_into, from_id, into_id, at, customer_id)


EQUAL = ("kind", "stage", "channel", "customer_id", "assignee_agent_id", "id")


async def list_tickets(
    pool: Pool, filters: Mapping[str, Any], limit: int, before: int | None
) -> list[asyncpg.Record]:
    """Newest first. Filters: those of EQUAL; ``status`` and ``priority`` (lists), ``queue`` (name),
    ``unassigned`` (True), ``subject`` (part of it), ``q`` (text, ``number`` when it may be one), ``created_after``,
    ``created_before``, ``updated_after``, ``overdue_at``, ``fields`` ({key: text})."""
    where = Where("t.unit_id = 1", "t.merged_into IS NULL")
    for name in EQUAL:
        if filters.get(name) is not None:
            where.add(f"t.{name} = {{}}", filters[name])
    for name in ("status", "priority"):
        if filters.get(name):
            where.add(f"t.{name} = ANY ({{}}::text[])", list(filters[name]))
    if filters.get("queue") is not None:
        where.add(
            "t.queue_id = (SELECT id FROM queues WHERE unit_id = 1 AND lower(name) = lower({}) LIMIT 1)",
            filters["queue"],
        )
    if filters.get("unassigned"):
        where.add("t.assignee_agent_id IS NULL")
    if filters.get("subject"):
        where.add("t.subject ILIKE {}", like(filters["subject"]))
    if filters.get("q"):
        if filters.get("number") is not None:
            where.add("(t.id = {} OR t.subject ILIKE {})", filters["number"], like(filters["q"]))
        else:
            where.add("t.subject ILIKE {}", like(filters["q"]))
    elif filters.get("number") is not None:
        where.add("t.id = {}", filters["number"])
    for name, sign in (("created_after", "t.created_at >="), ("created_before", "t.created_at <")):
        if filters.get(name) is not None:
            where.add(f"{sign} {{}}", filters[name])
    if filters.get("updated_after") is not None:
        where.add("t.updated_at >= {}", filters["updated_after"])
    if filters.get("overdue_at") is not None:
        where.add("t.resolve_due_at < {} AND t.status IN ('open', 'waiting')", filters["overdue_at"])
    for key, value in (filters.get("fields") or {}).items():
        where.add("t.fields ->> {} = {}", key, value)
    if before is not None:
        where.add("t.id < {}", before)
    order = f"ORDER BY t.id DESC LIMIT {where.value(limit)}"
    statement = f"{SQL.list_tickets} WHERE {where.text} {order}"
    async with pool.acquire() as connection, connection.transaction(readonly=True):
        # Patterns as parameters get a general plan after five uses, and it is a hundred times slower.
        await connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")
        return await connection.fetch(statement, *where.values)
