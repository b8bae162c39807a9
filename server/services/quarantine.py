"""What was authentic but could not be taken in: kept with its raw bytes, looked at, retried, discarded."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from server.domain.cursor import decode_id_cursor, encode_cursor
from server.domain.errors import Conflict, NotFound, RingpostError
from server.domain.permission import Actor
from server.domain.view import time_text
from server.services.transaction import transaction
from server.store import audit
from server.store import quarantine as store
from server.store.pool import Pool, transaction_errors

MAX_REASON = 500
Retake = Callable[[str, str, Mapping[str, Any], bytes], Awaitable[None]]  # door, source, meta, raw


async def put(pool: Pool, door: str, source: str, reason: str, meta: Mapping[str, Any], raw: bytes) -> int:
    """Keep what came. ``door`` is call, email or form."""
    clean = reason.replace("\0", "")[:MAX_REASON]
    async with transaction_errors():
        return await store.insert_quarantine(pool, door, source, clean, meta, raw)


async def list_quarantine(
    pool: Pool,
    *,
    state: str | None = None,
    door: str | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> dict[str, Any]:
    """Newest first, without the raw bytes."""
    before = decode_id_cursor(cursor) if cursor else None
    async with transaction_errors():
        rows = await store.fetch_page(pool, state, door, before, limit + 1)
    items = [_view(dict(row)) for row in rows[:limit]]
    return {"items": items, "next": encode_cursor(rows[limit - 1]["id"]) if len(rows) > limit else None}


async def fetch_quarantine(pool: Pool, quarantine_id: int) -> dict[str, Any]:
    """One, with its raw bytes as text where they are text, and as base64. Raises NotFound."""
    row = await store.fetch_one(pool, quarantine_id)
    if row is None:
        raise NotFound("this is not in quarantine")
    raw = bytes(row["raw"])
    return _view(dict(row)) | {
        "raw_text": raw[:200_000].decode("utf-8", "replace"),
        "raw_base64": base64.b64encode(raw).decode(),
    }


async def discard(pool: Pool, actor: Actor, quarantine_id: int) -> dict[str, Any]:
    """Settle it without taking it in. Raises NotFound, Conflict."""
    await _settle(pool, actor, quarantine_id, "discarded")
    return await fetch_quarantine(pool, quarantine_id)


async def retry(pool: Pool, actor: Actor, quarantine_id: int, retake: Retake) -> dict[str, Any]:
    """Take it in again. What fails again stays, with the new reason; the error is raised on."""
    row = await store.fetch_one(pool, quarantine_id)
    if row is None:
        raise NotFound("this is not in quarantine")
    if row["state"] != "open":
        raise Conflict(f"this was {row['state']} already")
    try:
        await retake(row["door"], row["source"], row["meta"], bytes(row["raw"]))
    except RingpostError as bad:
        await store.failed_again(pool, quarantine_id, bad.detail[:MAX_REASON])
        raise
    await _settle(pool, actor, quarantine_id, "retried")
    return await fetch_quarantine(pool, quarantine_id)


async def _settle(pool: Pool, actor: Actor, quarantine_id: int, state: str) -> None:
    async with transaction(pool) as connection:
        if not await store.settle(connection, quarantine_id, state, datetime.now(UTC)):
            if await store.fetch_one(pool, quarantine_id) is None:
                raise NotFound("this is not in quarantine")
            raise Conflict("this was settled already")
        await audit.insert_audit(
            connection, actor.agent_id, f"quarantine.{state}", "quarantine", quarantine_id
        )


def _view(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": str(row["id"]),
        "door": row["door"],
        "source": row["source"],
        "reason": row["reason"],
        "meta": row["meta"],
        "state": row["state"],
        "attempts": row["attempts"],
        "size": row["size"],
        "received_at": time_text(row["received_at"]),
        "settled_at": time_text(row["settled_at"]),
    }
