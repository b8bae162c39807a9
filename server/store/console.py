"""What the console's pages read beside the records themselves: the desk, the board, a ticket's course."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from server.store.pool import Connection, Pool, load_sql

SQL = load_sql(__file__)
Executor = Connection | Pool
Rows = list[asyncpg.Record]


async def fetch_own_tickets(pool: Executor, agent_id: int, limit: int) -> Rows:
    return await pool.fetch(SQL.fetch_own_tickets, agent_id, limit)


async def fetch_own_queues(pool: Executor, agent_id: int) -> list[int]:
    return [row["queue_id"] for row in await pool.fetch(SQL.fetch_own_queues, agent_id)]


async def fetch_waiting(pool: Executor, queue_ids: Sequence[int], limit: int) -> Rows:
    """The oldest ``limit`` of each queue, and as many calls."""
    return await pool.fetch(SQL.fetch_waiting, list(queue_ids), limit)


async def fetch_live_calls(pool: Executor, agent_id: int, since: datetime) -> Rows:
    return await pool.fetch(SQL.fetch_live_calls, agent_id, since)


async def fetch_recent_own(pool: Executor, agent_id: int, since: datetime) -> Rows:
    return await pool.fetch(SQL.fetch_recent_own, agent_id, since)


async def fetch_contact_ticket(pool: Executor, contact_id: int) -> asyncpg.Record | None:
    return await pool.fetchrow(SQL.fetch_contact_ticket, contact_id)


async def fetch_candidates(pool: Executor, customer_ids: Sequence[int]) -> Rows:
    return await pool.fetch(SQL.fetch_candidates, list(customer_ids))


async def fetch_refused(pool: Executor, key: str) -> set[int]:
    return {row["customer_id"] for row in await pool.fetch(SQL.fetch_refused, key)}


async def is_taught(pool: Executor, key: str, customer_id: int) -> bool:
    return bool(await pool.fetchval(SQL.is_taught, key, customer_id))


async def fetch_ticket_contacts(pool: Executor, ticket_id: int) -> Rows:
    return await pool.fetch(SQL.fetch_ticket_contacts, ticket_id)


async def fetch_call_facts(pool: Executor, contact_id: int) -> asyncpg.Record | None:
    """What became of a contact: its facts, times and disposition, with the dispositions of its queue."""
    return await pool.fetchrow(SQL.fetch_call_facts, contact_id)


async def fetch_audit(pool: Executor, kind: str, subject_id: int) -> Rows:
    return await pool.fetch(SQL.fetch_audit, kind, subject_id)


async def fetch_board(pool: Executor) -> Rows:
    return await pool.fetch(SQL.fetch_board)


async def fetch_assignable(pool: Executor) -> Rows:
    return await pool.fetch(SQL.fetch_assignable)


async def fetch_message_html(pool: Executor, ticket_id: int, message_id: int) -> asyncpg.Record | None:
    return await pool.fetchrow(SQL.fetch_message_html, ticket_id, message_id)
