"""Pops, who is available, and the contact that waits longest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import asyncpg

from server.store.pool import Connection, Pool, load_sql

SQL = load_sql(__file__)
Executor = Connection | Pool


async def fetch_contact_for_pop(connection: Connection, contact_id: int) -> asyncpg.Record | None:
    return await connection.fetchrow(SQL.fetch_contact_for_pop, contact_id)


async def fetch_unacked(pool: Executor, agent_id: int, since: datetime) -> list[asyncpg.Record]:
    return await pool.fetch(SQL.fetch_unacked, agent_id, since)


async def ack(pool: Executor, pop_id: int, agent_id: int, at: datetime) -> bool:
    """False when it is not this agent's, or was acknowledged before."""
    return bool((await pool.execute(SQL.ack, pop_id, agent_id, at)) == "UPDATE 1")


async def insert_pop(connection: Connection, agent_id: int, contact_id: int, reason: str) -> int:
    return int(await connection.fetchval(SQL.insert_pop, agent_id, contact_id, reason))


async def fetch_waiting_for(
    connection: Connection, agent_id: int, queue_ids: Sequence[int], voice: bool
) -> list[asyncpg.Record]:
    """(id, source, call_key, channel, queue_id, queued_at, tier, priority, owner_agent_id)."""
    return await connection.fetch(SQL.fetch_waiting_for, agent_id, queue_ids, voice)


async def lock_waiting(connection: Connection, contact_id: int, queue_id: int) -> bool:
    return await connection.fetchval(SQL.lock_waiting, contact_id, queue_id) is not None


async def fetch_free_in(pool: Executor, queue_id: int, limit: int) -> list[int]:
    return [row["agent_id"] for row in await pool.fetch(SQL.fetch_free_in, queue_id, limit)]


async def anything_waits(pool: Executor, queue_id: int) -> bool:
    return bool(await pool.fetchval(SQL.anything_waits, queue_id))


async def move_overflown(connection: Executor, at: datetime) -> list[asyncpg.Record]:
    """(id, ticket_id, from_queue_id, to_queue_id) of contacts that went on to another queue."""
    return await connection.fetch(SQL.move_overflown, at)


async def move_tickets(connection: Executor, moved: Mapping[int, int]) -> None:
    """Tickets of contacts that overflowed, to their new queue."""
    await connection.execute(SQL.move_tickets, list(moved), list(moved.values()))


async def end_wrap_ups(pool: Executor, at: datetime) -> list[asyncpg.Record]:
    """(agent_id, contact_id) of those whose time is over."""
    return await pool.fetch(SQL.end_wrap_ups, at)


async def end_wrap_up(connection: Executor, agent_id: int, contact_id: int, at: datetime) -> bool:
    return bool((await connection.execute(SQL.end_wrap_up, agent_id, contact_id, at)) == "UPDATE 1")


async def offer(connection: Connection, contact_id: int, agent_id: int) -> int | None:
    """Give the contact to the agent; gives the ticket's id."""
    ticket_id: int | None = await connection.fetchval(SQL.offer, contact_id, agent_id)
    return ticket_id


async def assign_if_free(connection: Connection, ticket_id: int, agent_id: int, at: datetime) -> None:
    await connection.execute(SQL.assign_if_free, ticket_id, agent_id, at)


async def fetch_presence(pool: Executor, agent_id: int) -> asyncpg.Record | None:
    return await pool.fetchrow(SQL.fetch_presence, agent_id)


async def set_presence(pool: Executor, agent_id: int, state: str, reason: str, at: datetime) -> bool:
    """True when something changed."""
    return bool((await pool.execute(SQL.set_presence, agent_id, state, reason, at)) == "INSERT 0 1")


async def connect_presence(pool: Executor, agent_id: int, at: datetime) -> bool:
    return bool((await pool.execute(SQL.connect_presence, agent_id, at)) == "INSERT 0 1")


async def fetch_live_calls(
    pool: Executor, before: datetime, untold: datetime, rung: datetime
) -> list[asyncpg.Record]:
    """Calls without an end from ``before``; asked for before ``untold``, and no event ever came; at an agent's
    phone since before ``rung``, and still ringing."""
    return await pool.fetch(SQL.fetch_live_calls, before, untold, rung)


async def close_swept(pool: Executor, contact_id: int, state: str, legs: str, at: datetime) -> None:
    await pool.execute(SQL.close_swept, contact_id, state, legs, at)
