"""Tickets: opened, changed, found, merged. What is said in them is in ``messages.py``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import asyncpg

from server.domain.cursor import decode_id_cursor, encode_cursor
from server.domain.errors import Invalid, NotFound, PreconditionFailed
from server.domain.fields import MAX_ID, Checks
from server.domain.merge_patch import merge_patch
from server.domain.permission import Actor
from server.domain.ticket import CHANNELS, DONE, KINDS, PRIORITIES, STATUSES, decide_resolved_at
from server.domain.view import ticket_view, time_text
from server.push.hub import Hub
from server.services.messages import (
    add_note,
    fetch_attachment,
    list_messages,
    page_messages,
    raw_message,
    reply,
)
from server.services.take_calls import IntakeRules
from server.services.transaction import transaction
from server.store import audit
from server.store import tickets as store
from server.store.pool import Pool, transaction_errors

MAX_SUBJECT = 500
WRITABLE = (
    "kind", "subject", "status", "priority", "queue", "assignee_agent_id", "customer_id", "fields",
    "first_response_due_at", "resolve_due_at",
)  # fmt: skip
NUMBER = re.compile(r"(?:RP-?)?0*(\d{1,18})", re.IGNORECASE)


def _view(row: asyncpg.Record) -> dict[str, Any]:
    return ticket_view(dict(row), row["queue"]) | {"version": row["version"]}


async def open_ticket(
    pool: Pool, hub: Hub, actor: Actor, data: Mapping[str, Any], rules: IntakeRules
) -> dict[str, Any]:
    """One statement, one round trip. ``queue`` is a name; without one the default queue takes it.

    Raises Invalid naming the fields.
    """
    check = Checks((*WRITABLE, "channel"), data)
    now = datetime.now(UTC)
    subject = check.text("subject", data.get("subject"), MAX_SUBJECT, least=1)
    queue = check.text("queue", data.get("queue"), 200) or None
    first_due = check.moment("first_response_due_at", data.get("first_response_due_at"))
    resolve_due = check.moment("resolve_due_at", data.get("resolve_due_at"))
    fields = data.get("fields")
    values = (
        actor.agent_id,
        check.choice("kind", data.get("kind") or "inquiry", KINDS),
        subject,
        check.choice("status", data.get("status") or "open", STATUSES),
        check.choice("priority", data.get("priority") or "normal", PRIORITIES),
        queue,
        check.reference("assignee_agent_id", data.get("assignee_agent_id")),
        check.reference("customer_id", data.get("customer_id")),
        check.choice("channel", data.get("channel") or "api", CHANNELS),
        check.record("fields", fields) if fields is not None else {},
        first_due or now + rules.first_response,
        resolve_due or now + rules.resolve,
        now,
    )
    check.done()
    async with transaction_errors():
        row = await store.insert_ticket(pool, values)
    if row["id"] is None:
        _missing(row, queue, values[6], values[7], "ref_")
    if row["assignee_agent_id"] is not None:
        hub.hint("ticket_changed", row["id"], [row["assignee_agent_id"]])
    if row["queue_id"] is not None:
        hub.hint_supervisors("queue_changed", row["queue_id"])
    return _view(row)


def _missing(
    row: asyncpg.Record,
    queue: object,
    assignee: object,
    customer: object,
    prefix: str = "",
) -> None:
    """Raise Invalid for names that led nowhere."""
    check = Checks()
    if queue is not None and row[f"{prefix}queue_id"] is None:
        check.fault("queue", "there is no queue of that name")
    if assignee is not None and row[f"{prefix}assignee_id"] is None:
        check.fault("assignee_agent_id", "there is no such agent")
    if customer is not None and row[f"{prefix}customer_id"] is None:
        check.fault("customer_id", "there is no such customer")
    check.done()


async def update_ticket(
    pool: Pool,
    hub: Hub,
    actor: Actor,
    ticket_id: int,
    changes: Mapping[str, Any],
    version: int | None = None,
) -> dict[str, Any]:
    """A merge patch (RFC 7396) on the fields of WRITABLE; nothing is written when nothing changes.

    Raises Invalid, NotFound, PreconditionFailed (``version`` is not the present one).
    """
    check = Checks(WRITABLE, changes)
    check.done()
    now = datetime.now(UTC)
    async with transaction(pool) as connection:
        old = await store.lock_ticket(connection, ticket_id)
        if old is None:
            raise NotFound("there is no such ticket")
        if version is not None and version != old["version"]:
            raise PreconditionFailed("the ticket was changed meanwhile: read it again")
        new = dict(old)
        queue = customer = assignee = None
        for name, value in changes.items():
            if name == "subject":
                new[name] = check.text(name, value, MAX_SUBJECT, least=1)
            elif name == "kind":
                new[name] = check.choice(name, value, KINDS)
            elif name == "status":
                new[name] = check.choice(name, value, STATUSES)
            elif name == "priority":
                new[name] = check.choice(name, value, PRIORITIES)
            elif name == "queue":
                queue = new[name] = check.text(name, value, 200) or None
            elif name == "assignee_agent_id":
                assignee = new[name] = check.reference(name, value)
            elif name == "customer_id":
                customer = new[name] = check.reference(name, value)
            elif name == "fields":
                new[name] = check.record(name, merge_patch(old["fields"] or {}, value or {}))
            else:
                new[name] = check.moment(name, value)
        check.done()
        refs = await store.resolve_refs(connection, queue, assignee, customer)
        _missing(refs, queue, assignee, customer)
        if "queue" in changes:
            new["queue_id"] = refs["queue_id"]
        if customer is not None:
            new["customer_id"] = refs["customer_id"]
        new["resolved_at"] = decide_resolved_at(new["status"], old["resolved_at"], now)
        columns = ["queue_id" if name == "queue" else name for name in changes]
        diff = {name: [_plain(old[name]), _plain(new[name])] for name in columns if old[name] != new[name]}
        if not diff:
            return _view(old)
        row = await store.update_ticket(
            connection,
            (
                old["id"], new["kind"], new["subject"], new["status"], new["priority"], new["queue_id"],
                new["assignee_agent_id"], new["customer_id"], new["fields"], new["first_response_due_at"],
                new["resolve_due_at"], new["resolved_at"], now,
            ),
        )  # fmt: skip
        if new["assignee_agent_id"] is not None and "assignee_agent_id" in diff:
            await store.settle_waiting(connection, old["id"], new["assignee_agent_id"], now)
        elif new["status"] in DONE and "status" in diff:
            await store.settle_waiting(connection, old["id"], None, now)
        await audit.insert_audit(connection, actor.agent_id, "ticket.update", "ticket", old["id"], diff)
    hub.hint_all("ticket_changed", old["id"])
    for queue_id in {old["queue_id"], row["queue_id"]} - {None}:
        hub.hint_supervisors("queue_changed", queue_id)
    return _view(row)


def _plain(value: Any) -> Any:
    return time_text(value) if isinstance(value, datetime) else value


async def fetch_ticket(pool: Pool, ticket_id: int) -> dict[str, Any]:
    """The ticket, or the one that it was merged into. Raises NotFound."""
    async with transaction_errors():
        row = await store.fetch_ticket(pool, ticket_id)
    if row is None:
        raise NotFound("there is no such ticket")
    return _view(row)


async def list_tickets(
    pool: Pool, filters: Mapping[str, Any], limit: int = 50, cursor: str | None = None
) -> dict[str, Any]:
    """``{"items", "next"}``, newest first; filters as in ``store.list_tickets``, with ``number`` as text.

    Items carry ``customer_name`` and ``assignee_name`` beside the ticket.
    """
    asked = dict(filters)
    if asked.get("q"):
        number = NUMBER.fullmatch(str(asked["q"]).strip())
        asked["number"] = int(number[1]) if number else None
    elif asked.get("number") is not None:
        number = NUMBER.fullmatch(str(asked["number"]).strip())
        if number is None:
            raise Invalid(fields={"number": "must be a ticket number such as RP-000123"})
        asked["number"] = min(int(number[1]), MAX_ID)
    async with transaction_errors():
        rows = await store.list_tickets(pool, asked, limit + 1, decode_id_cursor(cursor))
    items = [
        _view(row) | {"customer_name": row["customer_name"], "assignee_name": row["assignee_name"]}
        for row in rows[:limit]
    ]
    return {"items": items, "next": encode_cursor(rows[limit - 1]["id"]) if len(rows) > limit else None}


async def merge_ticket(pool: Pool, hub: Hub, actor: Actor, ticket_id: int, into: int) -> dict[str, Any]:
    """Everything of ``ticket_id`` goes to ``into``, and the old number leads there; gives that ticket."""
    async with transaction(pool) as connection:
        source = await store.fetch_ticket(connection, ticket_id)
        target = await store.fetch_ticket(connection, into)
        if source is None:
            raise NotFound("there is no such ticket")
        if target is None:
            raise Invalid(fields={"into": "there is no such ticket"})
        if source["id"] == target["id"]:
            raise Invalid(fields={"into": "a ticket cannot be merged into itself"})
        locked = await store.lock_pair(connection, source["id"], target["id"])
        if any(row["merged_into"] is not None for row in locked.values()):
            raise PreconditionFailed("one of the tickets was merged meanwhile: read them again")
        now = datetime.now(UTC)
        await store.move_into(
            connection, source["id"], target["id"], now, locked[source["id"]]["customer_id"]
        )
        for subject, data in ((source["id"], {"into": target["id"]}), (target["id"], {"from": source["id"]})):
            await audit.insert_audit(connection, actor.agent_id, "ticket.merge", "ticket", subject, data)
        merged = await store.fetch_ticket(connection, target["id"])
    if merged is None:
        raise NotFound("the ticket is gone")
    for changed in (source["id"], target["id"]):
        hub.hint_all("ticket_changed", changed)
    return _view(merged)


__all__ = [
    "add_note",
    "fetch_attachment",
    "fetch_ticket",
    "list_messages",
    "list_tickets",
    "merge_ticket",
    "open_ticket",
    "page_messages",
    "raw_message",
    "reply",
    "update_ticket",
]
