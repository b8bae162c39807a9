"""Agents: added, changed, disabled; their passwords."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg

from server.domain.cursor import decode_id_cursor, encode_cursor
from server.domain.errors import Conflict, NotFound, PreconditionFailed
from server.domain.fields import Checks
from server.domain.identity import normalise_email
from server.domain.permission import ROLE_PERMISSIONS, Actor
from server.domain.view import agent_view
from server.services.directory import notify_directory
from server.services.sessions import hash_password_aside, token_hash
from server.services.transaction import transaction
from server.store import agents as store
from server.store import audit
from server.store import queues as queue_store
from server.store import sessions as session_store
from server.store.pool import Connection, Pool, transaction_errors

LANGUAGES = ("", "en", "zh_CN")
ROLES = tuple(ROLE_PERMISSIONS)
WRITABLE = ("email", "name", "role", "extension", "queues", "skills", "language", "disabled")


def _view(row: asyncpg.Record) -> dict[str, Any]:
    return agent_view(dict(row), row["queues"]) | {"busy": row["busy"], "version": row["version"]}


def _read(check: Checks, name: str, value: Any) -> Any:
    if name == "email":
        address = normalise_email(check.text(name, value, 320))
        if address is None:
            check.fault(name, "must be a mail address")
        return address or ""
    if name == "name":
        return check.text(name, value, 200, least=1)
    if name == "role":
        return check.choice(name, value, ROLES)
    if name == "extension":
        return check.text(name, value, 100) or None
    if name == "language":
        return check.choice(name, value or "", LANGUAGES)
    if name == "disabled":
        return check.flag(name, value)
    return check.words(name, value if value is not None else [], longest=200)


async def add_agent(
    pool: Pool,
    *,
    email: str,
    name: str,
    role: str = "agent",
    extension: str | None = None,
    queues: Sequence[str] = (),
    skills: Sequence[str] = (),
    language: str = "",
    password: str | None = None,
    actor: Actor | None = None,
) -> dict[str, Any]:
    """``queues`` are names; without a password the agent cannot log in yet. Raises Invalid, Conflict."""
    check = Checks()
    given = {
        "email": email, "name": name, "role": role, "extension": extension, "queues": list(queues),
        "skills": list(skills), "language": language,
    }  # fmt: skip
    new = {key: _read(check, key, value) for key, value in given.items()}
    check.done()
    hashed = await hash_password_aside(password) if password is not None else None
    async with transaction(pool) as connection:
        queue_ids = await _queue_ids(connection, new["queues"])
        try:
            agent_id = await store.insert_agent(
                connection,
                (
                    new["email"], new["name"], new["role"], new["extension"], new["language"], new["skills"], hashed,
                ),
            )  # fmt: skip
        except asyncpg.UniqueViolationError as taken:
            raise _taken(taken) from None
        await store.replace_queues(connection, agent_id, queue_ids)
        await queue_store.refresh_eligible(connection, agent_id=agent_id)
        await audit.insert_audit(
            connection, actor.agent_id if actor else None, "agent.add", "agent", agent_id, {"role": role}
        )
        await notify_directory(connection)
        rows = await store.list_agents(connection, {"id": agent_id})
    return _view(rows[0])


def _taken(error: asyncpg.UniqueViolationError) -> Conflict:
    field = "extension" if error.constraint_name == "agents_extension" else "email"
    return Conflict(f"another agent has this {field}", fields={field: "another agent has it"})


async def _queue_ids(connection: Connection, names: Sequence[str]) -> list[int]:
    found = await store.resolve_queues(connection, names)
    check = Checks()
    for name, queue_id in found.items():
        if queue_id is None:
            check.fault("queues", f"there is no queue {name[:60]!r}")
    check.done()
    return sorted({queue_id for queue_id in found.values() if queue_id is not None})


async def update_agent(
    pool: Pool, actor: Actor, agent_id: int, changes: Mapping[str, Any], version: int | None = None
) -> dict[str, Any]:
    """A merge patch on WRITABLE. Raises Invalid, NotFound, Conflict, PreconditionFailed.

    The last administrator can be neither disabled nor given another role.
    """
    check = Checks(WRITABLE, changes)
    read = {key: _read(check, key, value) for key, value in changes.items() if key in WRITABLE}
    check.done()
    async with transaction(pool) as connection:
        locked = await store.lock_agent(connection, agent_id)
        if locked is None:
            raise NotFound("there is no such agent")
        if version is not None and version != locked["version"]:
            raise PreconditionFailed("the agent was changed meanwhile: read it again")
        row = (await store.list_agents(connection, {"id": agent_id}))[0]
        old = dict(row) | {"disabled": row["disabled_at"] is not None, "skills": list(row["skills"])}
        new = old | read
        queue_ids = await _queue_ids(connection, read["queues"]) if "queues" in read else None
        diff = {key: [old[key], new[key]] for key in read if old[key] != new[key]}
        if not diff:
            return _view(row)
        was_admin = old["role"] == "administrator" and not old["disabled"]
        loses = was_admin and (new["role"] != "administrator" or new["disabled"])
        if loses and not await store.other_administrators(connection, agent_id):
            raise Conflict("this is the last administrator: make another one first")
        disabled_at = (old["disabled_at"] or datetime.now(UTC)) if new["disabled"] else None
        try:
            await store.update_agent(
                connection,
                (
                    agent_id, new["email"], new["name"], new["role"], new["extension"], new["language"],
                    new["skills"], disabled_at,
                ),
            )  # fmt: skip
        except asyncpg.UniqueViolationError as taken:
            raise _taken(taken) from None
        if queue_ids is not None:
            await store.replace_queues(connection, agent_id, queue_ids)
        if queue_ids is not None or "skills" in diff:
            await queue_store.refresh_eligible(connection, agent_id=agent_id)
        if "disabled" in diff and new["disabled"]:
            await session_store.delete_sessions_of(connection, agent_id)
            await session_store.revoke_tokens_of(connection, agent_id)
            await store.set_offline(connection, agent_id)
        await audit.insert_audit(connection, actor.agent_id, "agent.update", "agent", agent_id, diff)
        await notify_directory(connection)
        rows = await store.list_agents(connection, {"id": agent_id})
    return _view(rows[0])


async def disable_agent(pool: Pool, actor: Actor, agent_id: int) -> dict[str, Any]:
    """No log-in, no token, no contact any more; what the agent did stays. Raises NotFound, Conflict."""
    return await update_agent(pool, actor, agent_id, {"disabled": True})


async def set_password(
    pool: Pool, actor: Actor, agent_id: int, password: str, *, keep_token: str | None = None
) -> None:
    """Ends the agent's sessions, but for that of ``keep_token``. Raises Invalid, NotFound."""
    hashed = await hash_password_aside(password)
    async with transaction(pool) as connection:
        if await store.lock_agent(connection, agent_id) is None:
            raise NotFound("there is no such agent")
        await session_store.set_password(connection, agent_id, hashed)
        kept = token_hash(keep_token) if keep_token is not None else None
        await session_store.delete_sessions_of(connection, agent_id, kept)
        await audit.insert_audit(connection, actor.agent_id, "agent.password", "agent", agent_id)


async def fetch_agent(pool: Pool, agent_id: int) -> dict[str, Any]:
    """Raises NotFound."""
    async with transaction_errors():
        rows = await store.list_agents(pool, {"id": agent_id})
    if not rows:
        raise NotFound("there is no such agent")
    return _view(rows[0])


async def find_agent(pool: Pool, email: str) -> dict[str, Any]:
    """By address, as the command line names them. Raises NotFound."""
    address = normalise_email(email)
    async with transaction_errors():
        rows = await store.list_agents(pool, {"email": address}) if address is not None else []
    if not rows:
        raise NotFound(f"there is no agent {email[:100]}")
    return _view(rows[0])


async def list_agents(
    pool: Pool, *, include_disabled: bool = False, queue: str | None = None
) -> list[dict[str, Any]]:
    """All of them, by name."""
    async with transaction_errors():
        rows = await store.list_agents(
            pool, {"queue": queue, "disabled": None if include_disabled else False}
        )
    return sorted(map(_view, rows), key=lambda one: (one["name"].casefold(), one["id"]))


async def page_agents(
    pool: Pool, filters: Mapping[str, Any], limit: int, cursor: str | None
) -> dict[str, Any]:
    """``{"items", "next"}``, newest first; filters email, role, extension, queue, disabled."""
    async with transaction_errors():
        rows = await store.list_agents(pool, filters, limit + 1, decode_id_cursor(cursor))
    following = encode_cursor(rows[limit - 1]["id"]) if len(rows) > limit else None
    return {"items": [_view(row) for row in rows[:limit]], "next": following}
