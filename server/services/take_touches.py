"""Mails and forms in one transaction per batch: record, thread, match, ticket, whom, message, pop.

The way is that of a call; what differs is that a mail may answer a ticket (References, then the
ticket number in the subject together with a known participant) and that it carries a message.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import asyncpg

from server.domain.directory import Queue
from server.domain.identity import email_match_key, normalise_email, normalise_phone
from server.domain.mail import ParsedMail
from server.domain.matching import decide_match
from server.domain.names import search_key
from server.domain.routing import FreeAgent, decide_agent
from server.domain.view import ticket_number
from server.mail.reply import split_reply
from server.push.hub import Hub, Pop
from server.services.directory import DirectoryKeeper
from server.services.match_rows import candidates_of, evidence_of
from server.services.pop_payload import payload_of_contact
from server.services.take_calls import IntakeRules
from server.store import intake as intake_store
from server.store import touches as store
from server.store.pool import Connection, Pool, transaction_errors

TICKET_TAG = re.compile(r"\bRP-(\d{6,15})\b")
MAX_SUBJECT = 300
REASON = "assigned"


@dataclass(frozen=True, slots=True)
class MailItem:
    """A mail as parsed, the mailbox it came to, and its raw bytes."""

    mail: ParsedMail
    mailbox: str
    queue: str | None
    raw: bytes
    received_at: datetime
    own_addresses: frozenset[str]


@dataclass(frozen=True, slots=True)
class FormItem:
    """A form's values. ``event_key`` makes a double click one ticket."""

    form: str
    queue: str | None
    name: str
    email: str
    phone: str
    subject: str
    message: str
    fields: Mapping[str, str]
    event_key: str
    raw: bytes
    received_at: datetime
    country: str


@dataclass(frozen=True, slots=True)
class TouchOutcome:
    contact_id: int
    ticket_id: int
    continued: bool
    duplicate: bool

    @property
    def ticket_number(self) -> str:
        return ticket_number(self.ticket_id)


@dataclass(slots=True)
class _Touch:
    """Mail and form made alike."""

    channel: str
    source: str
    event_key: str
    queue: str | None
    address: str
    mail_key: str
    phone: str
    name: str
    subject: str
    body: str
    quoted: str
    html: str | None
    at: datetime
    raw: bytes | None
    ledger: bytes
    machine: bool = False
    bounce: bool = False
    thread_ids: tuple[str, ...] = ()
    message_id: str | None = None
    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    attachments: Sequence[Any] = ()
    own: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Batch:
    """What the touches of one transaction share."""

    size: int
    given: dict[int, datetime] = field(default_factory=dict)  # agent -> when one was given to them
    present: dict[int, dict[int, datetime]] = field(default_factory=dict)  # queue -> agent -> last given
    asked: set[tuple[int, int]] = field(default_factory=set)  # queue, agent: whether they are there was read
    pops: list[tuple[int, int, str]] = field(default_factory=list)  # agent, contact, reason
    hints: set[tuple[str, int, int]] = field(default_factory=set)  # kind, id, agent


class TouchIntake:
    """``commit`` is what the batcher of mails and forms calls."""

    def __init__(self, pool: Pool, directory: DirectoryKeeper, hub: Hub, rules: IntakeRules) -> None:
        self._pool, self._directory, self._hub, self._rules = pool, directory, hub, rules

    async def commit(self, items: list[MailItem | FormItem]) -> list[TouchOutcome]:
        """One outcome per item, in order. Raises Unavailable when the database is away."""
        touches = [_of_mail(item) if isinstance(item, MailItem) else _of_form(item) for item in items]
        batch = _Batch(len(touches))
        pops: list[Pop] = []
        async with transaction_errors(), self._pool.acquire() as connection:
            try:
                await intake_store.begin_locked(connection, _lock_keys(touches))
                outcomes = [await self._take(connection, touch, batch) for touch in touches]
                if batch.given:
                    await intake_store.touch_given(connection, batch.given, max(batch.given.values()))
                if batch.pops:
                    pops = await self._write_pops(connection, batch.pops)
                await connection.execute("COMMIT")
            except BaseException:
                if not connection.is_closed():
                    await connection.execute("ROLLBACK")
                raise
        self._hub.pop(pops)
        for kind, about, agent_id in batch.hints:
            if agent_id:
                self._hub.hint(kind, about, [agent_id])
            self._hub.hint_supervisors(kind, about)
        return outcomes

    async def _write_pops(self, connection: Connection, wanted: list[tuple[int, int, str]]) -> list[Pop]:
        """All pops of the batch; the frames only of agents who are here to see them."""
        written = await intake_store.insert_pops(connection, wanted)
        pops = []
        for row in written:
            if self._hub.is_connected(row["agent_id"]):
                payload = await payload_of_contact(
                    connection, row["contact_id"], REASON, self._directory.snapshot, datetime.now(UTC)
                )
                pops.append(Pop(row["id"], row["agent_id"], payload))
        return pops

    async def _take(self, connection: Connection, touch: _Touch, batch: _Batch) -> TouchOutcome:
        row = await store.read_touch(
            connection,
            touch.source,
            touch.event_key,
            touch.ledger,
            touch.at,
            touch.thread_ids,
            touch.mail_key,
            touch.phone,
        )
        if not row["fresh"] and row["existing"]:
            before = json.loads(row["existing"])
            return TouchOutcome(before["id"], before["ticket_id"], False, True)
        if touch.bounce and touch.thread_ids:
            await store.set_bounced(connection, touch.thread_ids, touch.subject)
        ticket, trust = await self._answered_ticket(connection, touch, row["thread_ticket_id"])
        word, candidates, customer = await self._match(connection, touch, row, ticket)
        queue = self._queue(touch, ticket)
        agent_id = await self._agent(connection, queue, ticket, customer, batch)
        if agent_id is not None:
            batch.given[agent_id] = datetime.now(UTC)
        ticket_id = ticket["id"] if ticket is not None else row["ticket_id"]
        is_new = ticket is None
        customer_id = customer["id"] if customer is not None else None
        await store.write_touch(
            connection,
            (
                ticket_id, touch.subject, queue.id if queue else None, agent_id, customer_id, touch.channel,
                dict(touch.fields), touch.at + self._rules.first_response, touch.at + self._rules.resolve, touch.at,
                is_new, not touch.machine, row["contact_id"], touch.source, touch.event_key,
                "ringing" if agent_id is None else "answered", touch.phone or None, touch.address, touch.name,
                agent_id, [agent_id] if agent_id is not None else [], word,
                json.dumps(candidates, ensure_ascii=False),
                hashlib.sha256(touch.raw).digest() if touch.raw is not None else None, touch.raw,
                row["message_id"], touch.channel, touch.address, list(touch.to), list(touch.cc), touch.subject,
                touch.body, touch.html, touch.quoted, trust, touch.message_id, list(touch.thread_ids),
            ),
        )  # fmt: skip
        if touch.attachments:
            await store.insert_attachments(
                connection,
                row["message_id"],
                [
                    (
                        part.name, part.content_type, len(part.content), hashlib.sha256(part.content).digest(),
                        part.inline, part.content_id or "", part.content,
                    )
                    for part in touch.attachments
                ],
            )  # fmt: skip
        if agent_id is not None and not touch.machine:
            batch.pops.append((agent_id, row["contact_id"], REASON))
        batch.hints.add(("ticket_changed", ticket_id, agent_id or 0))
        if queue is not None:
            batch.hints.add(("queue_changed", queue.id, 0))
        return TouchOutcome(row["contact_id"], ticket_id, not is_new, False)

    async def _answered_ticket(
        self, connection: Connection, touch: _Touch, thread_ticket_id: int | None
    ) -> tuple[asyncpg.Record | None, str]:
        """The ticket that this answers, and ``unproven`` when its sender is a stranger to it."""
        if touch.channel != "email":
            return None, ""
        if thread_ticket_id is not None:
            ticket = await store.fetch_ticket_for_reply(
                connection, thread_ticket_id, touch.address, touch.mail_key
            )
            if ticket is not None:
                return ticket, "" if ticket["participant"] or touch.machine else "unproven"
        for tag in TICKET_TAG.findall(touch.subject)[:3]:
            ticket = await store.fetch_ticket_for_reply(connection, int(tag), touch.address, touch.mail_key)
            if ticket is not None and ticket["participant"]:
                return ticket, ""
        return None, ""

    async def _match(
        self, connection: Connection, touch: _Touch, row: asyncpg.Record, ticket: asyncpg.Record | None
    ) -> tuple[str, list[dict[str, Any]], dict[str, Any] | None]:
        found: list[dict[str, Any]] = json.loads(row["found"]) if row["found"] else []
        match = decide_match([evidence_of(one, one["kind"], one["key"]) for one in found])
        by_id = {one["id"]: one for one in found}
        candidates = candidates_of(match, {one["id"]: one["name"] for one in found})
        if match.chosen is not None:
            return match.word, candidates, by_id[match.chosen.customer_id]
        known_by_ticket = ticket["customer_id"] if ticket is not None else None
        if known_by_ticket is not None and known_by_ticket in by_id:
            return "matched", candidates, by_id[known_by_ticket]
        nobody = touch.machine or not (touch.mail_key or touch.phone) or touch.address.lower() in touch.own
        if match.candidates or nobody:
            return match.word, candidates, None
        name = touch.name or touch.address or touch.phone
        values = (
            row["customer_id"], name, "", search_key(name), touch.at, touch.phone, touch.address.lower(),
            touch.mail_key,
        )  # fmt: skip
        await intake_store.insert_provisional(connection, [values])
        born = {"id": row["customer_id"], "name": name, "owner_agent_id": None, "last_agent_id": None}
        return "unknown", [], born

    def _queue(self, touch: _Touch, ticket: asyncpg.Record | None) -> Queue | None:
        directory = self._directory.snapshot
        if ticket is not None and ticket["queue_id"] in directory.queues:
            return directory.queues[ticket["queue_id"]]
        return directory.find_queue(ref=touch.queue, dnis=(), fallback=None)

    async def _agent(
        self,
        connection: Connection,
        queue: Queue | None,
        ticket: asyncpg.Record | None,
        customer: dict[str, Any] | None,
        batch: _Batch,
    ) -> int | None:
        """The ticket's own agent, else the one that routing picks; None: it waits in the queue."""
        if ticket is not None and ticket["assignee_agent_id"] is not None:
            return int(ticket["assignee_agent_id"])
        if queue is None:
            return None
        last, owner = (customer or {}).get("last_agent_id"), (customer or {}).get("owner_agent_id")
        wanted = [agent_id for agent_id in (last, owner) if agent_id is not None]
        present = batch.present.get(queue.id)
        asked = {(queue.id, agent_id) for agent_id in wanted}
        if present is None or not asked <= batch.asked:
            batch.asked |= asked
            # As many as the batch may need: each gets one before anybody gets a second.
            rows = await intake_store.fetch_present_agents(connection, queue.id, wanted, batch.size)
            present = {**(present or {}), **{row["agent_id"]: row["given_at"] for row in rows}}
            batch.present[queue.id] = present
        free = [FreeAgent(agent_id, batch.given.get(agent_id, at)) for agent_id, at in present.items()]
        return decide_agent(free, voice=False, last_agent_id=last, owner_agent_id=owner)


def _lock_keys(touches: Sequence[_Touch]) -> list[int]:
    keys = [intake_store.ROUTING_TOUCHES]
    for touch in touches:
        keys.append(intake_store.lock_key(touch.source, touch.event_key))
        if touch.mail_key:
            keys.append(intake_store.lock_key("mail", touch.mail_key))
        if touch.phone:
            keys.append(intake_store.lock_key("tel", touch.phone))
    return keys


def _of_mail(item: MailItem) -> _Touch:
    mail = item.mail
    address = mail.from_address
    answers = mail.in_reply_to is not None or bool(mail.references)
    body, quoted = split_reply(mail.body_text) if answers else (mail.body_text, "")
    # Nearest first: what it answers, then the references from last to first.
    threads = [mail.in_reply_to] if mail.in_reply_to else []
    threads += [one for one in reversed(mail.references) if one not in threads]
    proof = hashlib.sha256(
        f"{address}\0{mail.subject}\0{mail.body_text}".encode("utf-8", "replace")
    ).hexdigest()[:16]
    normal = normalise_email(address)
    return _Touch(
        channel="email",
        source="mail",
        event_key=f"{mail.message_id[:400]}:{proof}",
        queue=item.queue,
        address=address,
        mail_key=email_match_key(normal) if normal else "",
        phone="",
        name=mail.from_name[:200],
        subject=(mail.subject or "(no subject)")[:MAX_SUBJECT],
        body=body,
        quoted=quoted,
        html=mail.body_html,
        at=item.received_at,
        raw=item.raw,
        ledger=b"",
        machine=mail.auto_submitted or mail.bounce,
        bounce=mail.bounce,
        thread_ids=tuple(threads[:50]),
        message_id=mail.message_id,
        to=mail.to,
        cc=mail.cc,
        attachments=mail.attachments,
        own=item.own_addresses,
    )


def _of_form(item: FormItem) -> _Touch:
    normal = normalise_email(item.email) or ""
    return _Touch(
        channel="form",
        source=f"form:{item.form}",
        event_key=item.event_key[:400],
        queue=item.queue,
        address=normal,
        mail_key=email_match_key(normal) if normal else "",
        phone=normalise_phone(item.phone, item.country) or "",
        name=item.name[:200],
        subject=(item.subject or item.message.strip().split("\n")[0] or item.form)[:MAX_SUBJECT],
        body=item.message,
        quoted="",
        html=None,
        at=item.received_at,
        raw=None,
        ledger=item.raw,
        fields=item.fields,
    )
