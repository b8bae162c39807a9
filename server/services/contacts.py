"""Contacts: looked at, and told who it was. What an agent says about that is a lesson for the next time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg

from server.domain.cursor import decode_id_cursor, encode_cursor
from server.domain.errors import Invalid, NotFound, PreconditionFailed
from server.domain.fields import Checks
from server.domain.identity import email_match_key, normalise_email
from server.domain.permission import Actor
from server.domain.view import contact_view, text_id, time_text
from server.push.hub import Hub
from server.services.recordings import recording_view
from server.services.transaction import transaction
from server.store import audit
from server.store import contacts as store
from server.store import customers as customer_store
from server.store import tickets as ticket_store
from server.store.pool import Connection, Pool, transaction_errors

MAX_DISPOSITION = 100


@dataclass(frozen=True, slots=True)
class Identity:
    """By what the other side of a contact is known: a number, an address, or neither."""

    number: str | None
    address: str | None

    @property
    def match_key(self) -> str | None:
        return email_match_key(self.address) if self.address is not None else None

    @property
    def lesson_keys(self) -> list[str]:
        keys = [f"tel:{self.number}"] if self.number is not None else []
        return [*keys, f"mail:{self.match_key}"] if self.match_key is not None else keys


def _identity(row: asyncpg.Record) -> Identity:
    if row["channel"] == "call":
        number = row["dnis"] if row["direction"] == "outbound" else row["ani"]
        return Identity(None if row["withheld"] else number, None)
    return Identity(row["ani"], normalise_email(row["ani_raw"]) if row["ani_raw"] else None)


def contact_record(row: asyncpg.Record) -> dict[str, Any]:
    """The contact, with ``ani_raw``, its recording, the names of its customer and agent, and a mail's subject."""
    return contact_view(dict(row), row["queue"], json.loads(row["candidates"])) | {
        "ani_raw": row["ani_raw"],
        "recording": recording_view(dict(row)),
        "customer_name": row["customer_name"],
        "agent_name": row["agent_name"],
        "subject": row["subject"],
        "version": row["version"],
    }


async def fetch_contact(pool: Pool, contact_id: int) -> dict[str, Any]:
    """Raises NotFound."""
    async with transaction_errors():
        row = await store.fetch_contact(pool, contact_id)
    if row is None:
        raise NotFound("there is no such contact")
    return contact_record(row)


async def list_contacts(
    pool: Pool, filters: Mapping[str, Any], limit: int = 50, cursor: str | None = None
) -> dict[str, Any]:
    """``{"items", "next"}``, newest first; filters as in ``store.list_contacts``."""
    async with transaction_errors():
        rows = await store.list_contacts(pool, filters, limit + 1, decode_id_cursor(cursor))
    following = encode_cursor(rows[limit - 1]["id"]) if len(rows) > limit else None
    return {"items": [contact_record(row) for row in rows[:limit]], "next": following}


async def _lock(connection: Connection, contact_id: int, version: int | None = None) -> asyncpg.Record:
    row = await store.lock_contact(connection, contact_id)
    if row is None:
        raise NotFound("there is no such contact")
    if version is not None and version != row["version"]:
        raise PreconditionFailed("the contact was changed meanwhile: read it again")
    return row


async def set_customer(
    pool: Pool, hub: Hub, actor: Actor, contact_id: int, customer_id: int
) -> dict[str, Any]:
    """ "This is the caller": the contact's customer from now on, and a lesson for the next call.

    The customer learns the number or address; the ticket goes to the customer when nobody confirmed had
    it; a provisional customer that is nothing but this number goes away into the real one. Gives the
    contact with ``lesson_ids``. Raises NotFound, Invalid.
    """
    async with transaction(pool) as connection:
        row = await _lock(connection, contact_id)
        customer = await customer_store.fetch_customer(connection, customer_id, lock=True)
        if customer is None:
            raise Invalid(fields={"customer_id": "there is no such customer"})
        chosen, before = customer["id"], row["customer_id"]
        who = _identity(row)
        data: dict[str, Any] = {"customer_id": [before, chosen], "match": [row["match"], "matched"]}
        await store.set_customer(connection, contact_id, chosen, "matched", row["candidates"])
        lessons: list[int] = []
        if who.lesson_keys:
            lessons = await store.insert_lessons(
                connection, who.lesson_keys, chosen, "is", actor.agent_id, contact_id
            )
            data["lesson_ids"] = lessons
        await _learn(connection, actor, chosen, who, contact_id)
        tickets = set()
        if row["ticket_id"] is not None and await store.give_ticket(connection, row["ticket_id"], chosen):
            tickets.add(row["ticket_id"])
            change = {"customer_id": [before, chosen]}
            await audit.insert_audit(
                connection, actor.agent_id, "ticket.update", "ticket", row["ticket_id"], change
            )
        tickets |= await _merge_needless(connection, actor, before, chosen, who)
        await audit.insert_audit(connection, actor.agent_id, "contact.customer", "contact", contact_id, data)
        changed = await _lock(connection, contact_id)
    _tell(hub, changed, tickets, {chosen, before})
    return contact_record(changed) | {"lesson_ids": [str(one) for one in lessons]}


async def _learn(
    connection: Connection, actor: Actor, customer_id: int, who: Identity, contact_id: int
) -> None:
    """The number and the address become the customer's, if it has none such."""
    learned: dict[str, Any] = {}
    if who.number is not None and await store.add_phone(connection, customer_id, who.number):
        learned["phones"] = [None, who.number]
    key = who.match_key
    if who.address and key and await store.add_email(connection, customer_id, who.address, key):
        learned["emails"] = [None, who.address]
    if learned:
        await store.touch_customer(connection, customer_id)
        learned["contact_id"] = contact_id
        await audit.insert_audit(
            connection, actor.agent_id, "customer.learn", "customer", customer_id, learned
        )


async def _merge_needless(
    connection: Connection, actor: Actor, before: int | None, chosen: int, who: Identity
) -> set[int]:
    """Gives the tickets that moved with it."""
    if before is None or before == chosen:
        return set()
    numbers = [who.number] if who.number is not None else []
    keys = [who.match_key] if who.match_key is not None else []
    if not await store.is_needless(connection, before, numbers, keys):
        return set()
    moved = await store.merge_needless(connection, before, chosen)
    for subject, data in ((before, {"into": chosen}), (chosen, {"from": before, **moved})):
        await audit.insert_audit(connection, actor.agent_id, "customer.merge", "customer", subject, data)
    return set(moved.get("tickets", ()))


async def refuse_customer(
    pool: Pool, hub: Hub, actor: Actor, contact_id: int, customer_id: int
) -> dict[str, Any]:
    """ "Never this one": a lesson, and the contact loses that customer and candidate.

    Gives the contact with ``lesson_ids``. Raises NotFound, Invalid.
    """
    async with transaction(pool) as connection:
        row = await _lock(connection, contact_id)
        customer = await customer_store.fetch_customer(connection, customer_id)
        if customer is None:
            raise Invalid(fields={"customer_id": "there is no such customer"})
        refused = customer["id"]
        who = _identity(row)
        if not who.lesson_keys and row["customer_id"] != refused:
            raise Invalid(fields={"customer_id": "the contact has no number or address to remember it by"})
        lessons = await store.insert_lessons(
            connection, who.lesson_keys, refused, "never", actor.agent_id, contact_id
        )
        candidates = [
            one
            for one in json.loads(row["candidates"])
            if one["customer_id"] not in (str(refused), str(customer_id))
        ]
        was_theirs = row["customer_id"] == refused
        kept = None if was_theirs else row["customer_id"]
        match = row["match"] if kept is not None else "ambiguous" if candidates else "unknown"
        await store.set_customer(
            connection, contact_id, kept, match, json.dumps(candidates, ensure_ascii=False)
        )
        tickets = set()
        ticket_id = row["ticket_id"] if was_theirs else None
        if ticket_id and await store.take_ticket(connection, ticket_id, refused, contact_id):
            tickets.add(ticket_id)
        data = {"refused": refused, "customer_id": [row["customer_id"], kept], "lesson_ids": lessons}
        await audit.insert_audit(connection, actor.agent_id, "contact.refuse", "contact", contact_id, data)
        changed = await _lock(connection, contact_id)
    _tell(hub, changed, tickets, {refused})
    return contact_record(changed) | {"lesson_ids": [str(one) for one in lessons]}


async def undo_lesson(pool: Pool, hub: Hub, actor: Actor, lesson_id: int) -> dict[str, Any]:
    """Forget what was taught; contacts that it changed stay as they are. Raises NotFound."""
    async with transaction(pool) as connection:
        lesson = await store.undo_lesson(connection, lesson_id)
        if lesson is None:
            raise NotFound("there is no such lesson, or it was undone before")
        data = {"key": lesson["key"], "verdict": lesson["verdict"], "customer_id": lesson["customer_id"]}
        await audit.insert_audit(connection, actor.agent_id, "lesson.undo", "lesson", lesson_id, data)
        customer = lesson["customer_id"]
        await audit.insert_audit(connection, actor.agent_id, "lesson.undo", "customer", customer, data)
    hub.hint_all("customer_changed", customer)
    return {"id": str(lesson_id), "customer_id": str(customer), "verdict": lesson["verdict"]}


async def list_lessons(pool: Pool, customer_id: int) -> list[dict[str, Any]]:
    """What was taught about a customer: id, key (``tel:+44...``, ``mail:...``), verdict (is, never)."""
    async with transaction_errors():
        rows = await store.list_lessons(pool, customer_id)
    return [
        {
            "id": str(row["id"]),
            "key": row["key"],
            "customer_id": str(row["customer_id"]),
            "customer_name": row["customer_name"],
            "verdict": row["verdict"],
            "agent_id": text_id(row["agent_id"]),
            "contact_id": text_id(row["contact_id"]),
            "created_at": time_text(row["created_at"]),
        }
        for row in rows
    ]


async def patch_contact(
    pool: Pool,
    hub: Hub,
    actor: Actor,
    contact_id: int,
    changes: Mapping[str, Any],
    version: int | None = None,
) -> dict[str, Any]:
    """A merge patch on ``disposition`` and ``ticket_id``. Raises Invalid, NotFound, PreconditionFailed."""
    check = Checks(("disposition", "ticket_id"), changes)
    read: dict[str, Any] = {}
    if "disposition" in changes:
        read["disposition"] = check.text("disposition", changes["disposition"], MAX_DISPOSITION) or None
    if "ticket_id" in changes:
        read["ticket_id"] = check.reference("ticket_id", changes["ticket_id"])
    check.done()
    async with transaction(pool) as connection:
        row = await _lock(connection, contact_id, version)
        if read.get("ticket_id") is not None:
            ticket = await ticket_store.fetch_ticket(connection, read["ticket_id"])
            if ticket is None:
                raise Invalid(fields={"ticket_id": "there is no such ticket"})
            read["ticket_id"] = ticket["id"]
        diff = {name: [row[name], value] for name, value in read.items() if row[name] != value}
        if not diff:
            return contact_record(row)
        new = dict(row) | read
        await store.set_details(connection, contact_id, new["disposition"], new["ticket_id"])
        await audit.insert_audit(connection, actor.agent_id, "contact.update", "contact", contact_id, diff)
        changed = await _lock(connection, contact_id)
    _tell(hub, changed, {row["ticket_id"], changed["ticket_id"]} if "ticket_id" in diff else set(), set())
    return contact_record(changed)


def _tell(
    hub: Hub, contact: asyncpg.Record, tickets: set[int | None] | set[int], customers: set[int | None]
) -> None:
    people = {*contact["rung_agent_ids"], contact["agent_id"]} - {None}
    hub.hint("contact_changed", contact["id"], people)
    for ticket_id in tickets - {None}:
        hub.hint_all("ticket_changed", ticket_id or 0)
    for customer_id in customers - {None}:
        hub.hint_all("customer_changed", customer_id or 0)
