"""Agents and queues as one snapshot, and the bell that says that they changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from server.domain.directory import Agent, Directory, Queue, build_directory
from server.domain.hours import Hours, read_hours
from server.store.pool import Connection, Pool, load_sql

SQL = load_sql(__file__)
CHANNEL = "ringpost_directory"


async def fetch_directory(connection: Connection | Pool, zone: str = "UTC") -> Directory:
    """``zone`` is that of the installation, for queues that have none of their own."""
    agents = [Agent(**dict(row)) for row in await connection.fetch(SQL.fetch_agents)]
    queues = [_queue(dict(row), zone) for row in await connection.fetch(SQL.fetch_queues)]
    dnis = {row["dnis"]: row["queue_id"] for row in await connection.fetch(SQL.fetch_dnis)}
    members = {row["queue_id"]: tuple(row["agent_ids"]) for row in await connection.fetch(SQL.fetch_members)}
    return build_directory(agents, queues, dnis, members)


def _queue(row: dict[str, Any], zone: str) -> Queue:
    hours, _ = read_hours(row.pop("hours"), row.pop("holidays"), row.pop("time_zone") or zone)
    codes = tuple(one["code"] for one in row.pop("dispositions"))
    return Queue(**row, hours=hours or Hours(zone=zone), dispositions=codes)


async def insert_queues(connection: Connection | Pool, names: Iterable[str]) -> None:
    """Queues that the settings name and that do not exist yet."""
    for name in names:
        await connection.execute(SQL.insert_queue, name)


async def notify(connection: Connection | Pool) -> None:
    await connection.execute(SQL.notify)
