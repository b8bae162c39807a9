"""Contacts (one row per touch) and what agents taught about who calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

from server.store.pool import Connection, Pool, load_sql
from server.store.where import Where

SQL = load_sql(__file__)
Executor = Connection | Pool
FROM = f"SELECT {SQL.columns} FROM contacts c {SQL.joins}"
EQUAL = (
    "id", "channel", "direction", "source", "ani", "dnis", "customer_id", "ticket_id", "agent_id", "match",
    "disposition", "hangup_cause",
)  # fmt: skip


async def fetch_contact(pool: Executor, contact_id: int) -> asyncpg.Record | None:
    return await pool.fetchrow(f"{FROM} WHERE c.unit_id = 1 AND c.id = $1", contact_id)


async def lock_contact(connection: Connection, contact_id: int) -> asyncpg.Record | None:
    return await connection.fetchrow(f"{FROM} WHERE c.unit_id = 1 AND c.id = $1 FOR UPDATE OF c", contact_id)


async def list_contacts(
    pool: Executor, filters: Mapping[str, Any], limit: int, before: int | None
) -> list[asyncpg.Record]:
    """Newest first. Filters: those of EQUAL, ``state`` (list), ``linkedid``, ``queue`` (name), ``waiting`` (True:
    rung to nobody yet), ``live`` (True: a call that goes on), ``started_after``, ``started_before``."""
    where = Where("c.unit_id = 1")
    for name in EQUAL:
        if filters.get(name) is not None:
            where.add(f"c.{name} = {{}}", filters[name])
    if filters.get("state"):
        where.add("c.state = ANY ({}::text[])", list(filters["state"]))
    if filters.get("linkedid") is not None:
        where.add("c.call_key = {}", filters["linkedid"])
    if filters.get("queue") is not None:
        where.add(
            "c.queue_id = (SELECT id FROM queues WHERE unit_id = 1 AND lower(name) = lower({}) LIMIT 1)",
            filters["queue"],
        )
    if filters.get("waiting"):
        where.add("c.state = 'ringing' AND c.agent_id IS NULL AND c.rung_agent_ids = '{{}}'")
    if filters.get("live"):
        where.add("c.channel = 'call' AND c.ended_at IS NULL")
    for name, sign in (("started_after", ">="), ("started_before", "<")):
        if filters.get(name) is not None:
            where.add(f"c.started_at {sign} {{}}", filters[name])
    if before is not None:
        where.add("c.id < {}", before)
    order = f"ORDER BY c.id DESC LIMIT {where.value(limit)}"
    return await pool.fetch(f"{FROM} WHERE {where.text} {order}", *where.values)


async def set_customer(
    connection: Connection, contact_id: int, customer_id: int | None, match: str, candidates: str
) -> None:
    await connection.execute(SQL.set_customer, contact_id, customer_id, match, candidates)


async def set_details(
    connection: Connection, contact_id: int, disposition: str | None, ticket_id: int | None
) -> None:
    await connection.execute(SQL.set_details, contact_id, disposition, ticket_id)


async def insert_lessons(
    connection: Connection,
    keys: Sequence[str],
    customer_id: int,
    verdict: str,
    agent_id: int,
    contact_id: int,
) -> list[int]:
    rows = await connection.fetch(SQL.insert_lessons, list(keys), customer_id, verdict, agent_id, contact_id)
    return [row["id"] for row in rows]


async def undo_lesson(connection: Connection, lesson_id: int) -> asyncpg.Record | None:
    return await connection.fetchrow(SQL.undo_lesson, lesson_id)


async def list_lessons(pool: Executor, customer_id: int) -> list[asyncpg.Record]:
    return await pool.fetch(SQL.list_lessons, customer_id)


async def add_phone(connection: Connection, customer_id: int, number: str) -> bool:
    return await connection.fetchval(SQL.add_phone, customer_id, number) is not None


async def add_email(connection: Connection, customer_id: int, address: str, match_key: str) -> bool:
    return await connection.fetchval(SQL.add_email, customer_id, address, match_key) is not None


async def touch_customer(connection: Connection, customer_id: int) -> None:
    await connection.execute(SQL.touch_customer, customer_id)


async def give_ticket(connection: Connection, ticket_id: int, customer_id: int) -> bool:
    return await connection.fetchval(SQL.give_ticket, ticket_id, customer_id) is not None


async def take_ticket(connection: Connection, ticket_id: int, customer_id: int, contact_id: int) -> bool:
    """Away from the customer, when no other contact of theirs is in it."""
    return await connection.fetchval(SQL.take_ticket, ticket_id, customer_id, contact_id) is not None


async def is_needless(
    connection: Connection, customer_id: int, numbers: Sequence[str], match_keys: Sequence[str]
) -> bool:
    return bool(await connection.fetchval(SQL.is_needless, customer_id, list(numbers), list(match_keys)))


async def merge_needless(connection: Connection, customer_id: int, into: int) -> dict[str, list[int]]:
    row = await connection.fetchrow(SQL.merge_needless, customer_id, into)
    return {"contacts": list(row["contacts"]), "tickets": list(row["tickets"])} if row is not None else {}
