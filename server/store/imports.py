"""Customers by the thousand: one statement for a whole batch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from server.store.pool import Connection, load_sql

SQL = load_sql(__file__)


async def known_external_ids(connection: Connection, system: str, ids: Sequence[str]) -> set[str]:
    return {row["external_id"] for row in await connection.fetch(SQL.known_external_ids, system, ids)}


async def insert_customers(connection: Connection, system: str, rows: Sequence[Mapping[str, Any]]) -> int:
    """Rows ``{kind, name, company, language, search_key, phones, email, match_key, external_id}``; "" is none."""
    return int(await connection.fetchval(SQL.insert_customers, json.dumps(rows, ensure_ascii=False), system))
