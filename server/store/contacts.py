"""Contacts (one row per touch) and what agents taught about who calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from server.store.pool import Connection, Pool, load_sql
from server.store.where import Where, like

SQL = load_sql(__file__)
Executor = Connection | Pool
FROM = f"SELECT {SQL.columns} FROM contacts c {SQL.joins}"
EQUAL = (
    "id", "channel", "direction", "source", "ani", "dnis", "customer_id", "ticket_id", "agent_id", "match",
    "disposition", "hangup_cause",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a typed number may mean: whole numbers, and beginnings of E.164."""

    exact: tuple[str, ...]
    starts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """What a search may mean: a number, some customers, words of a note."""

    words: str
    customer_ids: tuple[int, ...] = ()
    number: Numbers | None = None


async def fetch_contact(pool: Executor, contact_id: int) -> asyncpg.Record | None:
    return await pool.fetchrow(f"{FROM} WHERE c.unit_id = 1 AND c.id = $1", contact_id)


async def lock_contact(connection: Connection, contact_id: int) -> asyncpg.Record | None:
    return await connection.fetchrow(f"{FROM} WHERE c.unit_id = 1 AND c.id = $1 FOR UPDATE OF c", contact_id)


# The other side's number, in the words of the index contacts_peer.
PEER = "(CASE WHEN c.direction = 'outbound' THEN c.dnis ELSE c.ani END)"


def conditions(filters: Mapping[str, Any]) -> Where:
    """Filters: those of EQUAL, ``state`` (list), ``linkedid``, ``queue`` (name), ``waiting`` (True: rung to nobody
    yet), ``live`` (True: a call that goes on), ``answered``, ``started_after``, ``started_before``, ``number``
    (``Numbers`` of the other side), ``found`` (``Found``: any of it), ``visible_to`` (agent, own queues)."""
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
    if filters.get("answered") is not None:
        where.add(f"c.answered_at IS {'NOT ' if filters['answered'] else ''}NULL")
    for name, sign in (("started_after", ">="), ("started_before", "<")):
        if filters.get(name) is not None:
            where.add(f"c.started_at {sign} {{}}", filters[name])
    if filters.get("number") is not None:
        where.add(f"c.id IN ({_of_number(where, filters['number'])})")
    if filters.get("found") is not None:
        where.add(f"c.id IN ({_search(where, filters['found'])})")
    if filters.get("visible_to") is not None:
        agent_id, queue_ids = filters["visible_to"]
        agent, queues = where.value(agent_id), where.value(list(queue_ids))
        where.add(
            f"(c.agent_id = {agent} OR {agent} = ANY (c.rung_agent_ids) OR c.queue_id = ANY ({queues}::bigint[]) "
            f"OR c.first_queue_id = ANY ({queues}::bigint[]))"
        )
    return where


def _of_number(where: Where, number: Numbers) -> str:
    """Ids of the touches of a number. Ranges beside LIKE: a plain index finds a beginning in any collation."""
    of_phones = f"SELECT c.id FROM contacts c WHERE c.unit_id = 1 AND c.channel IN ('call', 'sms') AND {PEER}"
    found = [f"({of_phones} = ANY ({where.value(list(number.exact))}::text[]))"]
    for start in number.starts:
        low, high, pattern = where.value(start), where.value(start + "9" * 16), where.value(like(start)[1:])
        found.append(f"({of_phones} BETWEEN {low} AND {high} AND {PEER} LIKE {pattern})")
    return " UNION ALL ".join(found)


def _search(where: Where, found: Found) -> str:
    """Ids of the touches of these customers or numbers, or with these words in the note."""
    ways = []
    if found.customer_ids:
        customers = where.value(list(found.customer_ids))
        ways.append(f"(SELECT c.id FROM contacts c WHERE c.customer_id = ANY ({customers}::bigint[]))")
    if found.number is not None:
        ways.append(_of_number(where, found.number))
    words = where.value(like(found.words))
    ways.append(
        f"(SELECT c.id FROM contacts c WHERE c.unit_id = 1 AND c.note <> '' AND c.note ILIKE {words})"
    )
    return " UNION ALL ".join(ways)


async def list_contacts(
    pool: Pool, filters: Mapping[str, Any], limit: int, before: int | None
) -> list[asyncpg.Record]:
    """Newest first by id; filters as in ``conditions``."""
    where = conditions(filters)
    if before is not None:
        where.add("c.id < {}", before)
    return await _fetch(pool, where, f"ORDER BY c.id DESC LIMIT {where.value(limit)}")


async def list_calls(
    pool: Pool, filters: Mapping[str, Any], limit: int, before: tuple[datetime, int] | None
) -> list[asyncpg.Record]:
    """Calls, the latest first by when they started; filters as in ``conditions``."""
    where = conditions(filters)
    where.add("c.channel = 'call'")
    if before is not None:
        where.add("(c.started_at, c.id) < ({}, {})", *before)
    return await _fetch(pool, where, f"ORDER BY c.started_at DESC, c.id DESC LIMIT {where.value(limit)}")


async def _fetch(pool: Pool, where: Where, order: str) -> list[asyncpg.Record]:
    async with pool.acquire() as connection, connection.transaction(readonly=True):
        # Patterns as parameters get a general plan after five uses, and it is a hundred times slower.
        await connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")
        return await connection.fetch(f"{FROM} WHERE {where.text} {order}", *where.values)


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


async def fetch_dispositions(pool: Executor) -> list[dict[str, Any]]:
    """``{"code", "en", "zh_CN"}`` of each outcome that a queue offers."""
    return [row["said"] for row in await pool.fetch(SQL.fetch_dispositions)]
