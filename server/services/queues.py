"""Queues: added, changed, and what waits in them now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg

from server.domain.errors import Conflict, Invalid, NotFound, PreconditionFailed
from server.domain.fields import Checks
from server.domain.hours import Hours, read_hours
from server.domain.identity import normalise_phone
from server.domain.permission import Actor
from server.services.directory import notify_directory
from server.services.transaction import transaction
from server.store import audit
from server.store import queues as store
from server.store.pool import Connection, Pool, transaction_errors

TEXTS = ("name", "title_en", "title_zh", "is_default")
DISTRIBUTION = (
    *("skills", "wrap_up_seconds", "dispositions", "disposition_required", "overflow_after_seconds"),
    *("overflow_queue", "hours", "holidays", "time_zone", "callback_due_seconds"),
)
WRITABLE = (*TEXTS, "dnis", *DISTRIBUTION)
SECONDS = {"wrap_up_seconds": (0, 3600), "callback_due_seconds": (60, 14 * 86400)}
MAX_LEVEL = 10
AGENT_STATES = ("free", "busy", "wrap_up", "not_ready", "offline")


def _view(row: asyncpg.Record, zone: str) -> dict[str, Any]:
    """``oldest_wait_seconds`` is None when nothing waits; ``agents`` counts the queue's agents.

    ``zone`` is the installation's, for a queue without one of its own.
    """
    now = datetime.now(UTC)
    oldest = row["oldest"]
    return {
        "id": str(row["id"]),
        "name": row["name"],
        "title_en": row["title_en"],
        "title_zh": row["title_zh"],
        "is_default": row["is_default"],
        "dnis": list(row["dnis"]),
        "skills": row["skills"],
        "wrap_up_seconds": row["wrap_up_seconds"],
        "dispositions": row["dispositions"],
        "disposition_required": row["disposition_required"],
        "overflow_after_seconds": row["overflow_after_seconds"],
        "overflow_queue": row["overflow_queue"],
        "hours": row["hours"],
        "holidays": row["holidays"],
        "time_zone": row["time_zone"],
        "callback_due_seconds": row["callback_due_seconds"],
        "is_open": _hours(row, zone).is_open(now),
        "waiting": row["waiting"],
        "oldest_wait_seconds": max(0, int((now - oldest).total_seconds())) if oldest is not None else None,
        "agents": {name: row[name] for name in AGENT_STATES},
        "version": row["version"],
    }


def _read(check: Checks, name: str, value: Any, country: str) -> Any:
    if name == "name":
        return check.text(name, value, 64, least=1)
    if name in ("is_default", "disposition_required"):
        return check.flag(name, value)
    if name in SECONDS:
        return check.count(name, value, *SECONDS[name])
    if name == "overflow_after_seconds":
        return None if value is None else check.count(name, value, 5, 86400)
    if name == "overflow_queue":
        return check.text(name, value, 64) or None
    if name == "skills":
        return _skills(check, value)
    if name == "dispositions":
        return _dispositions(check, value)
    if name == "hours":
        return _week(check, value)
    if name == "holidays":
        return sorted(set(check.words(name, value if value is not None else [], most=400, longest=10)))
    if name == "time_zone":
        return check.text(name, value, 60)
    if name == "dnis":
        return _numbers(check, value if value is not None else [], country)
    return check.text(name, value, 100)


def _skills(check: Checks, value: Any) -> dict[str, int]:
    """Skill -> the least level, 1 to 10."""
    if value is None:
        return {}
    if not isinstance(value, Mapping) or len(value) > 20:
        check.fault("skills", 'must be skills with the least level of each, such as {"french": 2}')
        return {}
    found: dict[str, int] = {}
    for skill, level in value.items():
        name = check.text("skills", skill, 60, least=1)
        if ":" in name or "," in name:
            check.fault("skills", "a skill's name has no colon and no comma")
        found[name] = check.count("skills", level, 1, MAX_LEVEL)
    return found


def _dispositions(check: Checks, value: Any) -> list[dict[str, str]]:
    """``[{"code", "en", "zh_CN"}]``; a code alone is its own title."""
    if value is None:
        return []
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) > 60:
        check.fault("dispositions", "must be a list of codes with their titles, 60 at the most")
        return []
    found: dict[str, dict[str, str]] = {}
    for one in value:
        said = {"code": one} if isinstance(one, str) else one
        if not isinstance(said, Mapping):
            check.fault("dispositions", "must be codes with their titles")
            continue
        code = check.text("dispositions", said.get("code"), 60, least=1)
        titles = {
            language: check.text("dispositions", said.get(language), 100) or code
            for language in ("en", "zh_CN")
        }
        if code in found:
            check.fault("dispositions", f"{code} is there twice")
        found[code] = {"code": code, **titles}
    return list(found.values())


def _week(check: Checks, value: Any) -> dict[str, list[list[str]]]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(spans, list) for spans in value.values()):
        check.fault("hours", 'must be days with their hours, such as {"mon": [["09:00", "17:30"]]}')
        return {}
    return {
        str(day): [list(map(str, span)) for span in spans if isinstance(span, list)]
        for day, spans in value.items()
    }


def _check_hours(new: Mapping[str, Any]) -> None:
    _, wrong = read_hours(new["hours"], new["holidays"], new["time_zone"] or "UTC")
    if wrong:
        field = "time_zone" if "time zone" in wrong else "holidays" if "no date" in wrong else "hours"
        raise Invalid(f"{field}: {wrong}", fields={field: wrong})


def _hours(row: asyncpg.Record, zone: str) -> Hours:
    hours, _ = read_hours(row["hours"], row["holidays"], row["time_zone"] or zone)
    return hours or Hours()


async def _set_distribution(connection: Connection, queue_id: int, new: Mapping[str, Any]) -> None:
    """Raises Invalid for a queue to overflow to that is not there or is this one."""
    _check_hours(new)
    overflow = None
    if new["overflow_queue"]:
        overflow = await store.find_queue(connection, new["overflow_queue"])
        if overflow is None or overflow == queue_id:
            wrong = "there is no such queue" if overflow is None else "must be another queue"
            raise Invalid(f"overflow_queue: {wrong}", fields={"overflow_queue": wrong})
    if new["disposition_required"] and not new["dispositions"]:
        wrong = "say which ones there are before one is required"
        raise Invalid(f"dispositions: {wrong}", fields={"dispositions": wrong})
    await store.set_distribution(
        connection,
        (
            queue_id, new["skills"], new["wrap_up_seconds"], new["dispositions"], new["disposition_required"],
            new["overflow_after_seconds"], overflow, new["hours"], new["holidays"], new["time_zone"],
            new["callback_due_seconds"],
        ),
    )  # fmt: skip
    await store.refresh_eligible(connection, queue_id=queue_id)


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
    zone: str = "UTC",
    actor: Actor | None = None,
    **distribution: Any,
) -> dict[str, Any]:
    """``dnis`` are the numbers dialled that lead here, ``distribution`` of DISTRIBUTION. Raises Invalid, Conflict."""
    check = Checks()
    given = {
        "name": name, "title_en": title_en, "title_zh": title_zh, "is_default": is_default, "dnis": list(dnis),
    }  # fmt: skip
    given |= {key: value for key, value in distribution.items() if key in DISTRIBUTION and value is not None}
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
        if any(key in new for key in DISTRIBUTION):
            row = (await store.list_queues(connection, queue_id))[0]
            await _set_distribution(connection, queue_id, dict(row) | new)
        agent_id = actor.agent_id if actor is not None else None
        await audit.insert_audit(connection, agent_id, "queue.add", "queue", queue_id)
        await notify_directory(connection)
        rows = await store.list_queues(connection, queue_id)
    return _view(rows[0], zone)


async def update_queue(
    pool: Pool,
    actor: Actor,
    queue_id: int,
    changes: Mapping[str, Any],
    version: int | None = None,
    *,
    country: str = "",
    zone: str = "UTC",
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
            return _view(row, zone)
        await _check_free(connection, new, queue_id)
        if new["is_default"]:
            await store.clear_default(connection, queue_id)
        await store.update_queue(
            connection, (queue_id, new["name"], new["title_en"], new["title_zh"], new["is_default"])
        )
        await store.replace_dnis(connection, queue_id, new["dnis"])
        if any(key in diff for key in DISTRIBUTION):
            await _set_distribution(connection, queue_id, new)
        await audit.insert_audit(connection, actor.agent_id, "queue.update", "queue", queue_id, diff)
        await notify_directory(connection)
        rows = await store.list_queues(connection, queue_id)
    return _view(rows[0], zone)


async def list_queues(pool: Pool, zone: str = "UTC") -> list[dict[str, Any]]:
    """All of them by name, with live figures."""
    async with transaction_errors():
        rows = await store.list_queues(pool)
    return sorted((_view(row, zone) for row in rows), key=lambda one: one["name"].casefold())


async def fetch_queue(pool: Pool, queue_id: int, zone: str = "UTC") -> dict[str, Any]:
    """Raises NotFound."""
    async with transaction_errors():
        rows = await store.list_queues(pool, queue_id)
    if not rows:
        raise NotFound("there is no such queue")
    return _view(rows[0], zone)
