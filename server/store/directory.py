"""Agents and queues as one snapshot, and the bell that says that they changed."""

from __future__ import annotations

from collections.abc import Iterable

from server.domain.directory import Agent, Directory, Queue, build_directory
from server.store.pool import Connection, Pool, load_sql

SQL = load_sql(__file__)
CHANNEL = "ringpost_directory"


async def fetch_directory(connection: Connection | Pool) -> Directory:
    agents = [Agent(**dict(row)) for row in await connection.fetch(SQL.fetch_agents)]
    queues = [Queue(**dict(row)) for row in await connection.fetch(SQL.fetch_queues)]
    dnis = {row["dnis"]: row["queue_id"] for row in await connection.fetch(SQL.fetch_dnis)}
    return build_directory(agents, queues, dnis)


async def insert_queues(connection: Connection | Pool, names: Iterable[str]) -> None:
    """Queues that the settings name and that do not exist yet."""
    for name in names:
        await connection.execute(SQL.insert_queue, name)


async def notify(connection: Connection | Pool) -> None:
    await connection.execute(SQL.notify)
