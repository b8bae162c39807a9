"""``/api/v1/tickets`` and what is said in them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import quote

from aiohttp import web
from pydantic import Field

from handlers.api.customers import id_of
from handlers.api.shapes import ListedTicket, Message, Ticket
from handlers.resource import Body, Call, Paged, resource
from server.domain.errors import Invalid
from server.domain.fields import Checks
from server.domain.permission import Permission
from server.domain.ticket import PRIORITIES, STATUSES
from server.services import tickets

READ, WRITE = Permission.TICKETS_READ, Permission.TICKETS_WRITE
TicketKind = Literal[
    "inquiry", "service_request", "complaint", "work_order", "callback", "return", "fault_report"
]
TicketStatus = Literal["open", "waiting", "resolved", "closed"]
Priority = Literal["low", "normal", "high", "urgent"]
TicketChannel = Literal["api", "call", "email", "form", "sms", "console", "chat"]
TimeIn = Annotated[str | None, Field(min_length=1, json_schema_extra={"format": "date-time"})]


class TicketChanges(Body):
    """A merge patch: what is not said stays, null empties."""

    kind: TicketKind | None = None
    subject: Annotated[str | None, Field(min_length=1, max_length=500)] = None
    status: TicketStatus | None = None
    priority: Priority | None = None
    queue: Annotated[str | None, Field(description="name of a queue")] = None
    assignee_agent_id: str | None = None
    customer_id: str | None = None
    fields: dict[str, Any] | None = None
    first_response_due_at: TimeIn = None
    resolve_due_at: TimeIn = None


class NewTicket(TicketChanges):
    """A ticket; only a subject is needed. Without a queue the default one takes it."""

    subject: Annotated[str, Field(min_length=1, max_length=500)]
    channel: TicketChannel | None = None


class NewMessage(Body):
    """A note for colleagues, or a reply that leaves by mail."""

    kind: Literal["note", "reply"]
    body: Annotated[str, Field(min_length=1)]
    to: Annotated[
        str | list[str] | None, Field(description="of a reply: whoever wrote last when it is not said")
    ] = None


class MergeTicket(Body):
    """One of the two: ``from`` is merged into this ticket, or this ticket ``into`` another."""

    from_: Annotated[str | None, Field(alias="from")] = None
    into: str | None = None


class TicketQuery(Paged):
    id: str | None = None
    number: Annotated[str | None, Field(max_length=40, description="RP-000123")] = None
    kind: str | None = None
    subject: Annotated[str | None, Field(max_length=200, description="part of it")] = None
    status: Annotated[str | None, Field(description="one or several, with commas")] = None
    stage: str | None = None
    priority: Annotated[str | None, Field(description="one or several, with commas")] = None
    queue: Annotated[str | None, Field(description="name")] = None
    assignee_agent_id: Annotated[str | None, Field(description="an id, me, or none")] = None
    customer_id: str | None = None
    channel: str | None = None
    q: Annotated[str | None, Field(max_length=200, description="number or part of the subject")] = None
    created_after: TimeIn = None
    created_before: TimeIn = None
    updated_after: TimeIn = None
    overdue: bool | None = None


@resource("GET", "/tickets", READ, answer=ListedTicket, listed=True)
async def list_tickets(call: Call, query: TicketQuery) -> dict[str, Any]:
    """Tickets, newest first"""
    filters = query.filters()
    assignee = filters.get("assignee_agent_id")
    if assignee == "none":
        filters["unassigned"] = True
        del filters["assignee_agent_id"]
    elif assignee == "me":
        filters["assignee_agent_id"] = str(call.who.agent_id)
    for name in ("id", "assignee_agent_id", "customer_id"):
        if name in filters:
            filters[name] = id_of(filters[name], name)
    check = Checks()
    for name, words in (("status", STATUSES), ("priority", PRIORITIES)):
        if name in filters:
            filters[name] = [check.choice(name, word.strip(), words) for word in filters[name].split(",")]
    for name in ("created_after", "created_before", "updated_after"):
        if name in filters:
            filters[name] = check.moment(name, filters[name])
    check.done()
    if filters.pop("overdue", False):
        filters["overdue_at"] = datetime.now(UTC)
    return await tickets.list_tickets(call.ctx.pool, filters, query.limit, query.cursor)


@resource("POST", "/tickets", WRITE, answer=Ticket, status=201, versioned=True)
async def open_ticket(call: Call, body: NewTicket) -> dict[str, Any]:
    """Open a ticket"""
    return await tickets.open_ticket(call.ctx.pool, call.ctx.hub, call.who, body.changes(), call.ctx.rules)


@resource("GET", "/tickets/{id}", READ, answer=Ticket, versioned=True)
async def fetch_ticket(call: Call) -> dict[str, Any]:
    """A ticket; the id of a merged one gives the ticket that it went into"""
    return await tickets.fetch_ticket(call.ctx.pool, call.id())


@resource("PATCH", "/tickets/{id}", WRITE, answer=Ticket, versioned=True)
async def update_ticket(call: Call, body: TicketChanges) -> dict[str, Any]:
    """Change a ticket (RFC 7396)"""
    return await tickets.update_ticket(
        call.ctx.pool, call.ctx.hub, call.who, call.id(), body.changes(), call.version
    )


@resource("POST", "/tickets/{id}/merge", WRITE, answer=Ticket, versioned=True)
async def merge_ticket(call: Call, body: MergeTicket) -> dict[str, Any]:
    """Merge two tickets; gives the one that survives"""
    if (body.from_ is None) == (body.into is None):
        raise Invalid(fields={"from": "say either from or into"})
    here = call.id()
    if body.into is not None:
        source, target = here, id_of(body.into, "into")
    else:
        source, target = id_of(body.from_ or "", "from"), here
    return await tickets.merge_ticket(call.ctx.pool, call.ctx.hub, call.who, source, target)


@resource("GET", "/tickets/{id}/messages", READ, answer=Message, listed=True)
async def list_messages(call: Call, query: Paged) -> dict[str, Any]:
    """The conversation, newest first"""
    return await tickets.page_messages(call.ctx.pool, call.id(), query.limit, query.cursor)


@resource("POST", "/tickets/{id}/messages", WRITE, answer=Message, status=201)
async def add_message(call: Call, body: NewMessage) -> dict[str, Any]:
    """Add a note, or reply by mail"""
    ctx = call.ctx
    if body.kind == "note":
        if body.to is not None:
            raise Invalid(fields={"to": "a note goes to nobody"})
        return await tickets.add_note(ctx.pool, ctx.hub, call.who, call.id(), body.body)
    return await tickets.reply(
        ctx.pool, ctx.hub, call.who, call.id(), body.body, body.to, ctx.mailboxes, datetime.now(UTC)
    )


@resource("GET", "/tickets/{id}/messages/{message_id}/raw", READ, media_type="message/rfc822")
async def raw_message(call: Call) -> web.StreamResponse:
    """The mail as it came or left"""
    raw = await tickets.raw_message(call.ctx.pool, call.id("message_id"), call.id())
    return download(raw, f"{call.id('message_id')}.eml", "message/rfc822")


@resource("GET", "/tickets/{id}/attachments/{attachment_id}", READ, media_type="application/octet-stream")
async def fetch_attachment(call: Call) -> web.StreamResponse:
    """An attachment's content"""
    name, _, content = await tickets.fetch_attachment(call.ctx.pool, call.id(), call.id("attachment_id"))
    # The sender's type is not believed: nothing of a stranger's is ever shown by us as a page.
    return download(content, name, "application/octet-stream")


def download(content: bytes, name: str, content_type: str) -> web.Response:
    """A file to keep: never opened in our origin."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._- ") else "_" for c in name)[:150]
    disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name[:150], safe='')}"
    return web.Response(
        body=content,
        content_type=content_type,
        headers={
            "Content-Disposition": disposition,
            "Content-Security-Policy": "sandbox; default-src 'none'",
            "Cache-Control": "private, no-store",
        },
    )
