"""Customers with their numbers, addresses and ids elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg

from server.store.pool import Connection, Pool, load_sql
from server.store.where import Where, like

SQL = load_sql(__file__)
Executor = Connection | Pool


async def insert_customer(pool: Executor, values: Sequence[Any]) -> int:
    """Customer, numbers, addresses, ids elsewhere and audit row in one statement."""
    return int(await pool.fetchval(SQL.insert_customer, *values))


async def fetch_customer(
    pool: Executor, customer_id: int, *, lock: bool = False, deleted: bool = False
) -> asyncpg.Record | None:
    """The record, or the one that it was merged into (merges are kept one step deep)."""
    statement = (
        f"SELECT {SQL.columns} FROM customers k "
        "WHERE k.id = coalesce((SELECT merged_into FROM customers WHERE id = $1), $1) "
        "AND k.unit_id = 1 AND ($2 OR k.deleted_at IS NULL)" + (" FOR UPDATE OF k" if lock else "")
    )
    return await pool.fetchrow(statement, customer_id, deleted)


async def update_customer(connection: Connection, values: Sequence[Any]) -> None:
    await connection.execute(SQL.update_customer, *values)


async def replace_phones(connection: Connection, customer_id: int, columns: Sequence[Sequence[Any]]) -> None:
    """Columns number, label, extension, verified."""
    await connection.execute(SQL.replace_phones, customer_id, *columns)


async def replace_emails(connection: Connection, customer_id: int, columns: Sequence[Sequence[Any]]) -> None:
    """Columns address, match_key, verified."""
    await connection.execute(SQL.replace_emails, customer_id, *columns)


async def replace_external_ids(connection: Connection, customer_id: int, ids: Mapping[str, str]) -> None:
    await connection.execute(SQL.delete_external_ids, customer_id)
    if ids:
        await connection.execute(SQL.insert_external_ids, customer_id, list(ids), list(ids.values()))


async def delete_customer(connection: Connection, customer_id: int) -> None:
    """Soft; its ids elsewhere are free again."""
    await connection.execute(SQL.delete_customer, customer_id)
    await connection.execute(SQL.delete_external_ids, customer_id)


async def agent_exists(connection: Executor, agent_id: int) -> bool:
    return bool(await connection.fetchval(SQL.agent_exists, agent_id))


async def list_customers(
    pool: Pool, filters: Mapping[str, Any], limit: int, before: int | None
) -> list[asyncpg.Record]:
    """Newest first. Filters: ``phone`` (E.164), ``email_key``, ``external_id`` (system, id), ``provisional``,
    ``owner_agent_id``, ``kind``, ``tier``, ``tag``; what the search box may mean, any of it: ``numbers`` (E.164),
    ``starts`` (beginnings of E.164), ``address_start``, ``number`` (the record's own), ``names`` (search keys, each
    of them is in the name)."""
    where = Where("k.unit_id = 1", "k.deleted_at IS NULL", "k.merged_into IS NULL")
    if filters.get("phone") is not None:
        where.add(
            "k.id IN (SELECT customer_id FROM customer_phones WHERE unit_id = 1 AND number = {})",
            filters["phone"],
        )
    if filters.get("email_key") is not None:
        where.add(
            "k.id IN (SELECT customer_id FROM customer_emails WHERE unit_id = 1 AND match_key = {})",
            filters["email_key"],
        )
    if filters.get("external_id") is not None:
        where.add(
            "k.id = (SELECT customer_id FROM customer_external_ids "
            "WHERE unit_id = 1 AND system = {} AND external_id = {})",
            *filters["external_id"],
        )
    for name in ("provisional", "owner_agent_id", "kind", "tier"):
        if filters.get(name) is not None:
            where.add(f"k.{name} = {{}}", filters[name])
    if filters.get("tag") is not None:
        where.add("{} = ANY (k.tags)", filters["tag"])
    if before is not None:
        where.add("k.id < {}", before)
    most = where.value(limit)
    found = _search(where, filters, most)
    if found:
        where.add(f"k.id IN ({' UNION ALL '.join(found)})")
    statement = f"SELECT {SQL.columns} FROM customers k WHERE {where.text} ORDER BY k.id DESC LIMIT {most}"
    async with pool.acquire() as connection, connection.transaction(readonly=True):
        # Patterns as parameters get a general plan after five uses, and it is a hundred times slower.
        await connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")
        return await connection.fetch(statement, *where.values)


def _search(where: Where, filters: Mapping[str, Any], most: str) -> list[str]:
    """Ids of what the search box may mean, any of it: a number, an address, the record's number, a name.

    Ranges beside LIKE let a plain index find a beginning whatever the collation is.
    """
    found: list[str] = []
    if filters.get("numbers"):
        numbers = where.value(filters["numbers"])
        found.append(
            "(SELECT customer_id FROM customer_phones "
            f"WHERE unit_id = 1 AND number = ANY ({numbers}::text[]) LIMIT 1000)"
        )
    for start in filters.get("starts") or ():
        low, high, pattern = where.value(start), where.value(start + "9" * 16), where.value(start + "%")
        found.append(
            "(SELECT customer_id FROM customer_phones WHERE unit_id = 1 "
            f"AND number BETWEEN {low} AND {high} AND number LIKE {pattern} LIMIT 1000)"
        )
    if filters.get("end"):
        start = filters["end"][::-1]
        low, high, pattern = where.value(start), where.value(start + "9" * 16), where.value(start + "%")
        found.append(
            "(SELECT customer_id FROM customer_phones WHERE unit_id = 1 "
            f"AND reverse(number) BETWEEN {low} AND {high} AND reverse(number) LIKE {pattern} LIMIT 1000)"
        )
    if filters.get("address_start"):
        start = filters["address_start"]
        low, high = where.value(start), where.value(start + "\U0010ffff")
        pattern = where.value(like(start)[1:])
        found.append(
            "(SELECT customer_id FROM customer_emails WHERE unit_id = 1 "
            f"AND match_key BETWEEN {low} AND {high} AND match_key LIKE {pattern} LIMIT 1000)"
        )
    if filters.get("number"):
        found.append(
            f"(SELECT id FROM customers WHERE unit_id = 1 AND number = {where.value(filters['number'])})"
        )
    if filters.get("names"):
        each = [f"k.search_key LIKE {where.value(like(name))}" for name in filters["names"]]
        found.append(
            f"(SELECT k.id FROM customers k WHERE {where.text} AND {' AND '.join(each)} "
            f"ORDER BY k.id DESC LIMIT {most})"
        )
    return found


async def fetch_timeline(
    pool: Executor, customer_id: int, after: tuple[datetime, int, int] | None, limit: int
) -> list[asyncpg.Record]:
    at, rank, row_id = after or (None, None, None)
    return await pool.fetch(SQL.timeline, customer_id, at, rank, row_id, limit)
