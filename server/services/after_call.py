"""After-call work: what a contact came to, and the next one is offered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import asyncpg

from server.domain.errors import Conflict, Forbidden, Invalid, NotFound
from server.domain.fields import Checks
from server.domain.permission import Actor, Permission, allowed
from server.push.hub import Hub
from server.services.contacts import fetch_contact
from server.services.presence import Presence
from server.services.transaction import transaction
from server.store import after_call as store
from server.store import audit, pops
from server.store.pool import Connection, Pool, transaction_errors

MAX_NOTE = 20_000
MAX_DISPOSITION = 100


async def wrap_up_of(pool: Pool, agent_id: int) -> dict[str, Any] | None:
    """What the agent has to finish: the contact, until when, the codes there are; None when nothing is."""
    async with transaction_errors():
        row = await store.fetch_wrap_up(pool, agent_id)
    if row is None:
        return None
    return {
        "contact_id": str(row["contact_id"]),
        "until": row["wrap_up_until"],
        "since": row["ended_at"],
        "disposition": row["disposition"],
        "note": row["note"],
        "dispositions": list(row["dispositions"] or ()),
        "required": bool(row["disposition_required"]),
        "customer_name": row["customer_name"],
        "ani": row["ani"],
        "withheld": row["withheld"],
        "display_name": row["display_name"],
    }


async def set_own_state(
    pool: Pool, hub: Hub, presence: Presence, actor: Actor, state: str, reason: str = ""
) -> dict[str, Any]:
    """The agent's state by the agent's own word, which also ends after-call work.

    Raises Invalid (of the state, or a disposition that is still to be given: nothing changes then).
    """
    work = await wrap_up_of(pool, actor.agent_id)
    if work is None:
        return await presence.set_state(actor.agent_id, state, reason)
    if work["required"] and work["disposition"] is None:
        raise _missing(one["code"] for one in work["dispositions"])
    # Who leaves says so first: the end of the work offers what waits to whoever is available.
    said = await presence.set_state(actor.agent_id, state, reason)
    await wrap_up(pool, hub, presence, actor, int(work["contact_id"]), {})
    return said


async def wrap_up(
    pool: Pool, hub: Hub, presence: Presence, actor: Actor, contact_id: int, said: Mapping[str, Any]
) -> dict[str, Any]:
    """Keep ``disposition`` and ``note``; with ``done`` (as it is unless said otherwise) the work is over.

    Gives the contact. Raises Invalid (a code the queue does not have, none where one is required),
    Forbidden (of another agent), NotFound, Conflict (the call goes on).
    """
    check = Checks(("disposition", "note", "done"), said)
    note = check.text("note", said["note"], MAX_NOTE, lines=True) if said.get("note") is not None else None
    code = check.text("disposition", said.get("disposition"), MAX_DISPOSITION) or None
    keeps = "disposition" not in said
    done = check.flag("done", said["done"]) if "done" in said else True
    check.done()
    now = datetime.now(UTC)
    async with transaction(pool) as connection:
        row = await store.lock_contact(connection, contact_id)
        if row is None:
            raise NotFound("there is no such contact")
        wrapping = await store.fetch_wrapping_agent(connection, contact_id)
        if wrapping not in (None, actor.agent_id) and not allowed(actor, Permission.PRESENCE_OTHERS):
            raise Forbidden("another agent is finishing this contact")
        codes = [one["code"] for one in row["dispositions"] or ()]
        if code is not None and codes and code not in codes:
            raise _invalid(f"there is no such disposition: use {', '.join(codes)}")
        code = row["disposition"] if keeps else code
        if done and wrapping is not None and code is None and row["disposition_required"]:
            raise _missing(codes)
        if done and row["channel"] == "call" and row["ended_at"] is None and wrapping is not None:
            raise Conflict("the call goes on")
        await _keep(connection, actor, row, code, note)
        if done and wrapping is not None:
            await pops.end_wrap_up(connection, wrapping, contact_id, now)
    hub.hint("contact_changed", contact_id, {*row["rung_agent_ids"], *filter(None, (row["agent_id"],))})
    if done and wrapping is not None:
        presence.tell(wrapping)
        await presence.offer_waiting(wrapping)
    return await fetch_contact(pool, contact_id)


async def _keep(
    connection: Connection, actor: Actor, row: asyncpg.Record, code: str | None, note: str | None
) -> None:
    kept = row["note"] if note is None else note
    diff: dict[str, Any] = {}
    if code != row["disposition"]:
        diff["disposition"] = [row["disposition"], code]
    if kept != row["note"]:
        diff["note"] = True  # that it changed, not what it says
    if diff:
        await store.set_result(connection, row["id"], code, kept)
        await audit.insert_audit(connection, actor.agent_id, "contact.update", "contact", row["id"], diff)


def _missing(codes: Iterable[str]) -> Invalid:
    return _invalid(f"say what came of it: {', '.join(codes)}")


def _invalid(what: str) -> Invalid:
    return Invalid(f"disposition: {what}", fields={"disposition": what})
