"""The SIP accounts of agents' softphones, at most one each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg

from server.store.pool import Connection, Pool, load_sql

SQL = load_sql(__file__)
Executor = Connection | Pool


async def fetch_phone(connection: Executor, agent_id: int) -> asyncpg.Record | None:
    """Without the password."""
    return await connection.fetchrow(SQL.fetch_phone, agent_id)


async def fetch_credentials(connection: Executor, agent_id: int) -> asyncpg.Record | None:
    return await connection.fetchrow(SQL.fetch_credentials, agent_id)


async def put_phone(connection: Connection, values: Sequence[Any]) -> None:
    """``values``: agent_id, uri, auth_user, password, wss_url, display_name."""
    await connection.execute(SQL.put_phone, *values)


async def delete_phone(connection: Connection, agent_id: int) -> None:
    await connection.execute(SQL.delete_phone, agent_id)
