"""Agents: who answers. They are disabled, never deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

from server.store.pool import Connection, Pool, load_sql
from server.store.where import Where

SQL = load_sql(__file__)
Executor = Connection | Pool


async def list_agents(
    pool: Executor, filters: Mapping[str, Any], limit: int | None = None, before: int | None = None
) -> list[asyncpg.Record]:
    """Newest first. Filters: ``id``, ``email``, ``role``, ``extension``, ``queue`` (name), ``disabled``."""
    where = Where("a.unit_id = 1")
    for name in ("id", "role", "extension"):
        if filters.get(name) is not None:
            where.add(f"a.{name} = {{}}", filters[name])
    if filters.get("email") is not None:
        where.add("lower(a.email) = lower({})", filters["email"])
    if filters.get("disabled") is not None:
        where.add(f"a.disabled_at IS {'NOT ' if filters['disabled'] else ''}NULL")
    if filters.get("queue") is not None:
        where.add(
            "a.id IN (SELECT qa.agent_id FROM queue_agents qa JOIN queues q ON q.id = qa.queue_id "
            "WHERE q.unit_id = 1 AND lower(q.name) = lower({}))",
            filters["queue"],
        )
    if before is not None:
        where.add("a.id < {}", before)
    order = "ORDER BY a.id DESC" + (f" LIMIT {where.value(limit)}" if limit is not None else "")
    return await pool.fetch(f"{SQL.list_agents} WHERE {where.text} {order}", *where.values)


async def insert_agent(connection: Connection, values: Sequence[Any]) -> int:
    return int(await connection.fetchval(SQL.insert_agent, *values))


async def lock_agent(connection: Connection, agent_id: int) -> asyncpg.Record | None:
    return await connection.fetchrow(SQL.lock_agent, agent_id)


async def update_agent(connection: Connection, values: Sequence[Any]) -> None:
    await connection.execute(SQL.update_agent, *values)


async def resolve_queues(connection: Connection, names: Sequence[str]) -> dict[str, int | None]:
    """Queue ids by the names that were said; None for a name that no queue has."""
    return {row["said"]: row["id"] for row in await connection.fetch(SQL.resolve_queues, list(names))}


async def replace_queues(connection: Connection, agent_id: int, queue_ids: Sequence[int]) -> None:
    await connection.execute(SQL.replace_queues, agent_id, list(queue_ids))


async def other_administrators(connection: Connection, agent_id: int) -> int:
    """Locks them, so that two cannot disable each other."""
    return int(await connection.fetchval(SQL.other_administrators, agent_id))


async def set_offline(connection: Connection, agent_id: int) -> None:
    await connection.execute(SQL.set_offline, agent_id)
