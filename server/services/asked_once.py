"""What agents ask of the outside world: audited before it is done, and done once for a key.

A key is the client's (``Idempotency-Key``); a repeated request answers as the first did. The audit is the
memory: "asked" is written before, "done" or "failed" after, so that a crash between the two can be seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from server.domain.errors import Conflict, Invalid
from server.domain.permission import Actor
from server.services.transaction import transaction
from server.store import audit
from server.store import dialling as store
from server.store import intake as intake_store
from server.store.pool import Connection, Pool, transaction_errors

PATIENCE = timedelta(seconds=45)  # after which what was asked and never answered may be asked again


@dataclass(frozen=True, slots=True)
class Request:
    """``said`` is what was asked; the same key with something else is a mistake of the client."""

    key: str
    action: str
    subject_kind: str
    subject_id: int
    said: Mapping[str, str] = field(default_factory=dict)


async def find_done(pool: Pool, actor: Actor, request: Request) -> dict[str, Any] | None:
    """What came of the request when it was done before. Raises Invalid when the key was used for something else."""
    async with transaction(pool) as connection:
        return _done(await _known(connection, actor, request), request)


async def begin(pool: Pool, actor: Actor, request: Request) -> dict[str, Any] | None:
    """Gives what came of it when it was done before, else notes that it is asked for now.

    Raises Conflict while it is being done, Invalid when the key was used for something else.
    """
    lock = intake_store.lock_key(f"{request.action}:{actor.agent_id}", request.key)
    async with transaction(pool) as connection:
        await store.lock_request(connection, lock)
        known = await _known(connection, actor, request)
        done = _done(known, request)
        if done is not None:
            return done
        last = known[-1] if known else None
        asked_lately = last is not None and datetime.now(UTC) - last["at"] < PATIENCE
        if last is not None and asked_lately and last["data"]["outcome"] == "asked":
            raise Conflict("this is being done: wait for the answer")
        await _note(connection, actor, request, {"outcome": "asked"})
    return None


async def _known(connection: Connection, actor: Actor, request: Request) -> list[asyncpg.Record]:
    return await store.fetch_requests(
        connection,
        request.subject_kind,
        request.subject_id,
        request.action,
        actor.agent_id,
        request.key,
    )


def _done(known: Sequence[asyncpg.Record], request: Request) -> dict[str, Any] | None:
    for row in known:
        if any(row["data"].get(name) != value for name, value in request.said.items()):
            raise Invalid(fields={"Idempotency-Key": "was used for another request"})
    return next((dict(row["data"]) for row in known if row["data"]["outcome"] == "done"), None)


async def finish(
    pool: Pool, actor: Actor, request: Request, outcome: str, result: Mapping[str, str] | None = None
) -> None:
    """``outcome`` is done or failed."""
    async with transaction_errors():
        await _note(pool, actor, request, {"outcome": outcome, **(result or {})})


async def _note(
    connection: Connection | Pool, actor: Actor, request: Request, what: Mapping[str, str]
) -> None:
    data = {"key": request.key, **request.said, **what}
    await audit.insert_audit(
        connection, actor.agent_id, request.action, request.subject_kind, request.subject_id, data
    )
