"""Statements for mails and forms: a touch that carries a message."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg

from server.store.pool import Connection, load_sql

SQL = load_sql(__file__)


async def read_touch(
    connection: Connection,
    source: str,
    event_key: str,
    payload: bytes,
    received_at: datetime,
    thread_ids: Sequence[str],
    mail_key: str,
    phone: str,
) -> asyncpg.Record:
    row = await connection.fetchrow(
        SQL.read_touch, source, event_key, payload, received_at, thread_ids, mail_key, phone
    )
    assert row is not None
    return row


async def fetch_ticket_for_reply(
    connection: Connection, ticket_id: int, address: str, mail_key: str
) -> asyncpg.Record | None:
    return await connection.fetchrow(SQL.fetch_ticket_for_reply, ticket_id, address.lower(), mail_key)


async def write_touch(connection: Connection, values: Sequence[Any]) -> None:
    """Ticket (opened or moved up), contact, raw blob and message; order of ``touches.sql``."""
    await connection.execute(SQL.write_touch, *values)


async def insert_attachments(
    connection: Connection, message_id: int, rows: Sequence[tuple[Any, ...]]
) -> None:
    """Rows (name, content_type, size, sha256, inline, content_id, content)."""
    await connection.executemany(SQL.insert_blob, [(row[3], row[2], row[6]) for row in rows])
    await connection.executemany(SQL.insert_attachment, [(message_id, *row[:6]) for row in rows])


async def set_bounced(connection: Connection, message_ids: Sequence[str], detail: str) -> None:
    await connection.execute(SQL.set_bounced, message_ids, detail[:500])
