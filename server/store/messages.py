"""What was said in a ticket: mails, forms, replies, notes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg

from server.store.pool import Connection, Pool, load_sql

SQL = load_sql(__file__)
Executor = Connection | Pool


async def list_messages(
    pool: Executor, ticket_id: int, before: int | None, limit: int, only: int | None = None
) -> list[asyncpg.Record]:
    """Newest first, with their attachments and the state of delivery."""
    return await pool.fetch(SQL.list_messages, ticket_id, before, limit, only)


async def next_id(connection: Executor) -> int:
    return int(await connection.fetchval(SQL.next_id))


async def insert_message(connection: Executor, values: Sequence[Any]) -> int:
    return int(await connection.fetchval(SQL.insert_message, *values))


async def insert_outbox(
    connection: Executor,
    message_id: int,
    ticket_id: int,
    mailbox: str,
    mail_from: str,
    rcpt_to: Sequence[str],
    raw: bytes,
    at: datetime,
) -> None:
    await connection.execute(
        SQL.insert_outbox, message_id, ticket_id, mailbox, mail_from, list(rcpt_to), raw, at
    )


async def fetch_thread(connection: Executor, ticket_id: int) -> asyncpg.Record | None:
    return await connection.fetchrow(SQL.fetch_thread, ticket_id)


async def fetch_customer_address(connection: Executor, customer_id: int | None) -> str | None:
    address: str | None = await connection.fetchval(SQL.fetch_customer_address, customer_id)
    return address


async def touch_replied(connection: Executor, ticket_id: int, at: datetime, agent_id: int) -> int:
    """The ticket's agent; whoever replies first to one that nobody has takes it."""
    return int(await connection.fetchval(SQL.touch_replied, ticket_id, at, agent_id))


async def touch_noted(connection: Executor, ticket_id: int, at: datetime) -> None:
    await connection.execute(SQL.touch_noted, ticket_id, at)


async def fetch_raw(pool: Executor, message_id: int) -> asyncpg.Record | None:
    return await pool.fetchrow(SQL.fetch_raw, message_id)


async def fetch_attachment(pool: Executor, ticket_id: int, attachment_id: int) -> asyncpg.Record | None:
    return await pool.fetchrow(SQL.fetch_attachment, ticket_id, attachment_id)
