"""What is said in a ticket: listed, noted, replied to by mail, given as it came."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import asyncpg

from server.domain.cursor import decode_id_cursor, encode_cursor
from server.domain.errors import Invalid, NotFound
from server.domain.fields import Checks
from server.domain.identity import normalise_email
from server.domain.permission import Actor
from server.domain.view import text_id, ticket_number, time_text
from server.mail.compose import compose_reply, make_message_id, references_of, subject_of
from server.mail.html import sanitise
from server.push.hub import Hub
from server.services.transaction import transaction
from server.store import audit
from server.store import messages as store
from server.store import tickets as ticket_store
from server.store.pool import Pool, transaction_errors

MAX_BODY = 200_000
MAX_RECIPIENTS = 20
SMALL_HTML = 20_000  # characters that are made safe in a millisecond or two


class Mailbox(Protocol):
    """One ``[mailboxes.NAME]``: where replies come from, and where their answers come back to."""

    @property
    def address(self) -> str: ...
    @property
    def aliases(self) -> Collection[str]: ...
    @property
    def queue(self) -> str | None: ...
    @property
    def name(self) -> str: ...
    @property
    def signature(self) -> str: ...


async def list_messages(pool: Pool, ticket_id: int) -> list[dict[str, Any]]:
    """The conversation, oldest first (the last thousand). Raises NotFound. ``body_html`` is safe to show."""
    page = await _page(pool, ticket_id, None, 1000)
    return page["items"][::-1]  # type: ignore[no-any-return]


async def page_messages(pool: Pool, ticket_id: int, limit: int, cursor: str | None) -> dict[str, Any]:
    """``{"items", "next"}``, newest first."""
    return await _page(pool, ticket_id, decode_id_cursor(cursor), limit)


async def _page(pool: Pool, ticket_id: int, before: int | None, limit: int) -> dict[str, Any]:
    async with transaction_errors():
        ticket = await ticket_store.fetch_ticket(pool, ticket_id)
        if ticket is None:
            raise NotFound("there is no such ticket")
        rows = await store.list_messages(pool, ticket["id"], before, limit + 1)
    items = [await _message_view(row) for row in rows[:limit]]
    return {"items": items, "next": encode_cursor(rows[limit - 1]["id"]) if len(rows) > limit else None}


async def _message_view(row: asyncpg.Record) -> dict[str, Any]:
    html: str | None = row["body_html"]
    if html is not None:
        # A stranger's HTML: made safe when it is read, aside because a large one takes long.
        html = sanitise(html) if len(html) < SMALL_HTML else await asyncio.to_thread(sanitise, html)
    return {
        "id": str(row["id"]),
        "ticket_id": str(row["ticket_id"]),
        "contact_id": text_id(row["contact_id"]),
        "kind": row["kind"],
        "direction": row["direction"],
        "author_agent_id": text_id(row["author_agent_id"]),
        "author_name": row["author_name"],
        "from": row["from_address"],
        "from_name": row["from_name"],
        "to": list(row["to_addresses"]),
        "cc": list(row["cc_addresses"]),
        "subject": row["subject"],
        "body_text": row["body_text"],
        "body_html": html,
        "quoted_text": row["quoted_text"],
        "trust": row["trust"],
        "message_id": row["message_id"],
        "has_raw": row["raw_sha256"] is not None or row["outbox_state"] is not None,
        "delivery": (
            {
                "state": row["outbox_state"],
                "error": row["outbox_error"],
                "sent_at": time_text(row["sent_at"]),
            }
            if row["outbox_state"] is not None
            else None
        ),
        "attachments": json.loads(row["attachments"]) if row["attachments"] else [],
        "created_at": time_text(row["created_at"]),
    }


async def _one(pool: Pool, ticket_id: int, message_id: int) -> dict[str, Any]:
    rows = await store.list_messages(pool, ticket_id, None, 1, message_id)
    return await _message_view(rows[0])


async def add_note(pool: Pool, hub: Hub, actor: Actor, ticket_id: int, body: str) -> dict[str, Any]:
    """An internal note; the customer never sees it. Raises Invalid, NotFound."""
    check = Checks()
    text = check.text("body", body, MAX_BODY, least=1, lines=True)
    check.done()
    now = datetime.now(UTC)
    async with transaction(pool) as connection:
        ticket = await ticket_store.lock_ticket(connection, ticket_id)
        if ticket is None:
            raise NotFound("there is no such ticket")
        message_id = await store.insert_message(
            connection,
            (
                None, ticket["id"], "note", "internal", actor.agent_id, actor.email, actor.name, [], "", text,
                None, [], now,
            ),
        )  # fmt: skip
        await store.touch_noted(connection, ticket["id"], now)
        await audit.insert_audit(
            connection, actor.agent_id, "ticket.note", "ticket", ticket["id"], {"message_id": message_id}
        )
    hub.hint_all("ticket_changed", ticket["id"])
    async with transaction_errors():
        return await _one(pool, ticket["id"], message_id)


async def reply(
    pool: Pool,
    hub: Hub,
    actor: Actor,
    ticket_id: int,
    body: str,
    to: str | Sequence[str] | None,
    mailboxes: Mapping[str, Mailbox],
    now: datetime,
) -> dict[str, Any]:
    """Answer by mail: the message and the outgoing mail are rows of one transaction; a job sends it.

    ``to`` None is whoever wrote last, else the customer's first address. The ticket waits for the
    customer afterwards; one that nobody has becomes the actor's. Raises Invalid, NotFound.
    """
    check = Checks()
    text = check.text("body", body, MAX_BODY, least=1, lines=True)
    asked = _recipients(check, to)
    check.done()
    async with transaction(pool) as connection:
        ticket = await ticket_store.lock_ticket(connection, ticket_id)
        if ticket is None:
            raise NotFound("there is no such ticket")
        thread = await store.fetch_thread(connection, ticket["id"])
        if not asked and thread is not None and thread["from_address"]:
            asked = [thread["from_address"]]
        if not asked:
            address = await store.fetch_customer_address(connection, ticket["customer_id"])
            if address is None:
                raise Invalid(fields={"to": "the customer has no address: name one"})
            asked = [address]
        name, mailbox = _sender(mailboxes, ticket["queue"], thread)
        message_id = await store.next_id(connection)
        answered = thread["message_id"] if thread is not None else None
        references = _references(thread)
        number = ticket_number(ticket["id"])
        mail_id = make_message_id(mailbox.address.rpartition("@")[2], ticket_number=number)
        subject = (thread["subject"] if thread is not None else "") or ticket["subject"]
        raw = compose_reply(
            message_id=mail_id,
            mail_from=mailbox.address,
            from_name=mailbox.name or actor.name,
            to=asked,
            subject=subject,
            body_text=f"{text}\n\n-- \n{mailbox.signature}" if mailbox.signature else text,
            in_reply_to=answered,
            references=references,
            ticket_number=number,
            date=now,
        )
        await store.insert_message(
            connection,
            (
                message_id, ticket["id"], "reply", "outbound", actor.agent_id, mailbox.address,
                mailbox.name or actor.name, asked, subject_of(subject, number, answer=answered is not None),
                text, mail_id, references_of(references, answered), now,
            ),
        )  # fmt: skip
        await store.insert_outbox(
            connection, message_id, ticket["id"], name, mailbox.address, asked, raw, now
        )
        agent_id = await store.touch_replied(connection, ticket["id"], now, actor.agent_id)
        await ticket_store.settle_waiting(connection, ticket["id"], agent_id, now)
        await audit.insert_audit(
            connection, actor.agent_id, "ticket.reply", "ticket", ticket["id"], {"message_id": message_id}
        )
    hub.hint_all("ticket_changed", ticket["id"])
    async with transaction_errors():
        return await _one(pool, ticket["id"], message_id)


def _recipients(check: Checks, to: str | Sequence[str] | None) -> list[str]:
    if to is None or to == "":
        return []
    given = [to] if isinstance(to, str) else list(to)
    if len(given) > MAX_RECIPIENTS:
        check.fault("to", f"at most {MAX_RECIPIENTS} addresses")
        return []
    found: dict[str, None] = {}
    for one in given:
        address = normalise_email(check.text("to", one, 320)) if isinstance(one, str) else None
        if address is None:
            check.fault("to", "must be a mail address")
        else:
            found[address] = None
    return list(found)


def _sender(
    mailboxes: Mapping[str, Mailbox], queue: str | None, thread: asyncpg.Record | None
) -> tuple[str, Mailbox]:
    """The mailbox that the customer wrote to, else the queue's, else the first."""
    if not mailboxes:
        raise Invalid("no mailbox is configured to reply from: add [mailboxes.NAME] to the settings")
    if thread is not None:
        written_to = {address.casefold() for address in (*thread["to_addresses"], *thread["cc_addresses"])}
        for name, box in mailboxes.items():
            if written_to & {address.casefold() for address in (box.address, *box.aliases)}:
                return name, box
    for name, box in mailboxes.items():
        if queue is not None and (box.queue or "").casefold() == queue.casefold():
            return name, box
    return next(iter(mailboxes.items()))


def _references(thread: asyncpg.Record | None) -> list[str]:
    """The references of what is answered, oldest first (they are stored nearest first)."""
    return list(reversed(thread["thread_ids"])) if thread is not None and thread["message_id"] else []


async def raw_message(pool: Pool, message_id: int, ticket_id: int | None = None) -> bytes:
    """The mail as it came, or as it left. Raises NotFound (a note has none)."""
    async with transaction_errors():
        row = await store.fetch_raw(pool, message_id)
    if row is None or row["raw"] is None or (ticket_id is not None and row["ticket_id"] != ticket_id):
        raise NotFound("there is no original of this message")
    return bytes(row["raw"])


async def fetch_attachment(pool: Pool, ticket_id: int, attachment_id: int) -> tuple[str, str, bytes]:
    """(file name, content type as the sender claims, content). Raises NotFound."""
    async with transaction_errors():
        row = await store.fetch_attachment(pool, ticket_id, attachment_id)
    if row is None:
        raise NotFound("there is no such attachment")
    return row["name"], row["content_type"], bytes(row["content"])
