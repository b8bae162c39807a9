"""The demo's rows, a table at a time: each statement takes all its rows as one JSON array.

Keys of a row are the columns' names, times are RFC 3339 texts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from server.store.pool import Connection, load_sql

SQL = load_sql(__file__)

Rows = Sequence[Mapping[str, Any]]


async def is_empty(connection: Connection) -> bool:
    """No customer, no agent: nobody has begun to work here."""
    return bool(await connection.fetchval(SQL.is_empty))


async def next_ids(connection: Connection, objects: int, tickets: int) -> tuple[list[int], list[int]]:
    """Ids in rising order, so that the newest of the demo's rows have the greatest."""
    found = [row[0] for row in await connection.fetch(SQL.next_object_ids, objects)]
    return sorted(found), sorted(row[0] for row in await connection.fetch(SQL.next_ticket_ids, tickets))


async def insert(connection: Connection, **tables: Rows) -> None:
    """``insert(connection, customers=[...], ...)``: in the order of the arguments."""
    for table, rows in tables.items():
        if rows:
            await connection.execute(getattr(SQL, f"insert_{table}"), json.dumps(rows, ensure_ascii=False))


async def analyze(connection: Connection) -> None:
    await connection.execute(SQL.analyze)


async def fetch_queue_ids(connection: Connection) -> dict[str, int]:
    return {row["name"]: row["id"] for row in await connection.fetch(SQL.fetch_queue_ids)}
