"""Queues: added, changed, and what waits in them now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg

from server.domain.errors import Conflict, NotFound, PreconditionFailed
from server.domain.fields import Checks
from server.domain.identity import normalise_phone
from server.domain.permission import Actor
from server.services.directory import notify_directory
from server.services.transaction import transaction
from server.store import audit
from server.store import queues as store
from server.store.pool import Connection, Pool, transaction_errors

WRITABLE = ("name", "title_en", "title_zh", "is_default", "dnis")


def _view(row: asyncpg.Record, now: datetime) -> dict[str, Any]:
    """``oldest_wait_seconds`` is None when nothing waits; ``agents`` counts the queue's agents."""
    oldest = row["oldest"]
    return {
        "id": str(row["id"]),
        "name": row["name"],
        "title_en": row["title_en"],
        "title_zh": row["title_zh"],
        "is_default": row["is_default"],
        "dnis": list(row["dnis"]),
        "waiting": row["waiting"],
        "oldest_wait_seconds": max(0, int((now - oldest).total_seconds())) if oldest is not None else None,
        "agents": {name: row[name] for name in ("free", "busy", "not_ready", "offline")},
        "version": row["version"],
    }


def _read(check: Checks, name: str, value: Any, country: str) -> Any:
    if name == "name":
        return check.text(name, value, 64, least=1)
    if name == "is_default":
        return check.flag(name, value)
    if name == "dnis":
        return _numbers(check, value if value is not None else [], country)
    return check.text(name, value, 100)


def _numbers(check: Checks, value: Any, country: str) -> list[str]:
    """Numbers as they are dialled: E.164 where they are that, else as the PBX says them."""
    words = check.words("dnis", value, most=500, longest=64)
    return sorted({normalise_phone(word, country) or word for word in words if word})


async def _check_free(connection: Connection, new: Mapping[str, Any], queue_id: int | None) -> None:
    if await store.find_queue(connection, new["name"], queue_id) is not None:
        raise Conflict("another queue has this name", fields={"name": "another queue has it"})
    for row in await store.taken_dnis(connection, new["dnis"], queue_id):
        raise Conflict(
            f"{row['dnis']} belongs to the queue {row['name']}",
            fields={"dnis": f"{row['dnis']} belongs to the queue {row['name']}"},
        )


async def add_queue(
    pool: Pool,
    *,
    name: str,
    title_en: str = "",
    title_zh: str = "",
    dnis: Sequence[str] = (),
    is_default: bool = False,
    country: str = "",
    actor: Actor | None = None,
) -> dict[str, Any]:
    """``dnis`` are the numbers dialled that lead here. Raises Invalid, Conflict."""
    check = Checks()
    given = {
        "name": name, "title_en": title_en, "title_zh": title_zh, "is_default": is_default, "dnis": list(dnis),
    }  # fmt: skip
    new = {key: _read(check, key, value, country) for key, value in given.items()}
    check.done()
    async with transaction(pool) as connection:
        await _check_free(connection, new, None)
        if new["is_default"]:
            await store.clear_default(connection, None)
        queue_id = await store.insert_queue(
            connection, (new["name"], new["title_en"], new["title_zh"], new["is_default"])
        )
        await store.replace_dnis(connection, queue_id, new["dnis"])
        agent_id = actor.agent_id if actor is not None else None
        await audit.insert_audit(connection, agent_id, "queue.add", "queue", queue_id)
        await notify_directory(connection)
        rows = await store.list_queues(connection, queue_id)
    return _view(rows[0], datetime.now(UTC))


async def update_queue(
    pool: Pool,
    actor: Actor,
    queue_id: int,
    changes: Mapping[str, Any],
    version: int | None = None,
    *,
    country: str = "",
) -> dict[str, Any]:
    """A merge patch on WRITABLE. Raises Invalid, NotFound, Conflict, PreconditionFailed."""
    check = Checks(WRITABLE, changes)
    read = {key: _read(check, key, value, country) for key, value in changes.items() if key in WRITABLE}
    check.done()
    async with transaction(pool) as connection:
        if await store.lock_queue(connection, queue_id) is None:
            raise NotFound("there is no such queue")
        row = (await store.list_queues(connection, queue_id))[0]
        if version is not None and version != row["version"]:
            raise PreconditionFailed("the queue was changed meanwhile: read it again")
        old = dict(row) | {"dnis": list(row["dnis"])}
        new = old | read
        diff = {key: [old[key], new[key]] for key in read if old[key] != new[key]}
        if not diff:
            return _view(row, datetime.now(UTC))
        await _check_free(connection, new, queue_id)
        if new["is_default"]:
            await store.clear_default(connection, queue_id)
        await store.update_queue(
            connection, (queue_id, new["name"], new["title_en"], new["title_zh"], new["is_default"])
        )
        await store.replace_dnis(connection, queue_id, new["dnis"])
        await audit.insert_audit(connection, actor.agent_id, "queue.update", "queue", queue_id, diff)
        await notify_directory(connection)
        rows = await store.list_queues(connection, queue_id)
    return _view(rows[0], datetime.now(UTC))


async def list_queues(pool: Pool) -> list[dict[str, Any]]:
    """All of them by name, with live figures."""
    async with transaction_errors():
        rows = await store.list_queues(pool)
    now = datetime.now(UTC)
    return sorted((_view(row, now) for row in rows), key=lambda one: one["name"].casefold())


async def fetch_queue(pool: Pool, queue_id: int) -> dict[str, Any]:
    """Raises NotFound."""
    async with transaction_errors():
        rows = await store.list_queues(pool, queue_id)
    if not rows:
        raise NotFound("there is no such queue")
    return _view(rows[0], datetime.now(UTC))
