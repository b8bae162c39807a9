"""One ticket: its course, answering it, and what is decided about it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from aiohttp import web

from handlers.console.door import form_of, id_of, page
from handlers.console.render import render, see_other
from server.context import Context
from server.domain.errors import Conflict, Invalid, NotFound
from server.domain.permission import Actor, Permission
from server.mail.html import sanitise
from server.services import customers, desk, recordings, tickets

# Pictures by cid: are attachments of the same mail; nothing may come from elsewhere, nothing may run.
BODY_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; img-src data:; "
    "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
SHOWN_INLINE = ("image/png", "image/jpeg", "image/gif", "image/webp")
CHANGES = ("status", "priority", "queue", "assignee_agent_id", "subject", "kind")


async def show(
    request: web.Request, ctx: Context, actor: Actor, ticket_id: int, *, status: int = 200, **more: Any
) -> web.StreamResponse:
    ticket = await tickets.fetch_ticket(ctx.pool, ticket_id)
    messages = await tickets.list_messages(ctx.pool, int(ticket["id"]))
    course = await desk.ticket_course(ctx.pool, ctx.directory.snapshot, int(ticket["id"]), messages)
    customer = past = None
    if ticket["customer_id"] is not None:
        try:
            customer = await customers.fetch_customer(ctx.pool, int(ticket["customer_id"]))
        except NotFound:  # deleted meanwhile: the ticket stays
            customer = None
    if customer is not None:
        past = (await tickets.list_tickets(ctx.pool, {"customer_id": int(customer["id"])}, 8))["items"]
    inbound = [one for one in messages if one["direction"] == "inbound" and one["from"]]
    address = inbound[-1]["from"] if inbound else ""
    if not address and customer is not None and customer["emails"]:
        address = customer["emails"][0]["address"]
    values: dict[str, Any] = {
        "ticket": ticket,
        "due": desk.due_of(ticket, datetime.now(UTC)),
        "course": course,
        "customer": customer,
        "past": past or [],
        "address": address,
        "people": await desk.assignable(ctx.pool),
        "queues": [desk.queue_title(ctx.directory.snapshot, one) for one in ctx.directory.snapshot.queues],
        "presence": await desk.presence_of(ctx.pool, actor.agent_id),
        "can_mail": bool(ctx.mailboxes),
        "recordings": await recordings.recordings_of_ticket(ctx.pool, actor, int(ticket["id"])),
        "wrong": {},
        "typed": {},
    }
    return render(request, ctx, actor, "ticket.html", status=status, **(values | more))


@page("GET", "/tickets/{id}", Permission.TICKETS_READ)
async def ticket_page(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    return await show(request, ctx, actor, id_of(request))


@page("POST", "/tickets/{id}", Permission.TICKETS_WRITE)
async def change(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    """What was chosen in the ticket's fields; ``version`` tells when somebody else was faster."""
    ticket_id, form = id_of(request), await form_of(request)
    changes: dict[str, Any] = {name: form[name] for name in CHANGES if name in form}
    if "assignee_agent_id" in changes:
        said = changes["assignee_agent_id"]
        changes["assignee_agent_id"] = str(actor.agent_id) if said == "me" else said or None
    version = int(form["version"]) if form.get("version", "").isdecimal() else None
    try:
        await tickets.update_ticket(ctx.pool, ctx.hub, actor, ticket_id, changes, version)
    except Conflict:
        return see_other(f"/tickets/{ticket_id}", "gone")
    return see_other(f"/tickets/{ticket_id}", "saved")


@page("POST", "/tickets/{id}/messages", Permission.TICKETS_WRITE)
async def say(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    """A reply by mail, or a note among colleagues; ``then`` sets the status at once."""
    ticket_id, form = id_of(request), await form_of(request)
    is_note, now = form.get("kind") == "note", datetime.now(UTC)
    try:
        if is_note:
            await tickets.add_note(ctx.pool, ctx.hub, actor, ticket_id, form.get("body", ""))
        else:
            to = [
                one
                for one in form.get("to", "").replace(";", ",").replace("，", ",").split(",")
                if one.strip()
            ]
            await tickets.reply(
                ctx.pool, ctx.hub, actor, ticket_id, form.get("body", ""),
                [one.strip() for one in to] or None, ctx.mailboxes, now,
            )  # fmt: skip
        if form.get("then") in ("resolved", "open", "closed"):
            await tickets.update_ticket(ctx.pool, ctx.hub, actor, ticket_id, {"status": form["then"]})
    except Invalid as wrong:
        fields = wrong.fields or {"body": wrong.detail}
        return await show(request, ctx, actor, ticket_id, status=422, wrong=fields, typed=form)
    return see_other(f"/tickets/{ticket_id}", "noted" if is_note else "sent")


@page("GET", "/tickets/{id}/messages/{message}/body", Permission.TICKETS_READ)
async def mail_body(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    """A mail's HTML made safe, for the sandboxed frame of the ticket's page; nothing in it can run or call out."""
    source = await desk.message_html(ctx.pool, id_of(request), id_of(request, "message"))
    safe = await asyncio.to_thread(sanitise, source)
    text = (
        '<!doctype html><meta charset="utf-8"><meta name="color-scheme" content="light">'
        '<base target="_blank"><style>body{margin:12px;font:15px/1.5 -apple-system,"Segoe UI",Roboto,"Noto Sans",'
        '"PingFang SC","Microsoft YaHei","Noto Sans CJK SC",sans-serif;color:#17211e;background:#fff;'
        "overflow-wrap:anywhere}img{max-width:100%;height:auto}table{max-width:100%}</style>" + safe
    )
    headers = {
        "Content-Security-Policy": BODY_POLICY,
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "SAMEORIGIN",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "private, max-age=300",
    }
    return web.Response(text=text, content_type="text/html", headers=headers)


@page("GET", "/tickets/{id}/messages/{message}/raw", Permission.TICKETS_READ)
async def original(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    raw = await tickets.raw_message(ctx.pool, id_of(request, "message"), id_of(request))
    name = f"message-{id_of(request, 'message')}.eml"
    return _download(raw, name, "message/rfc822")


@page("GET", "/tickets/{id}/attachments/{attachment}", Permission.TICKETS_READ)
async def attachment(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    """A stranger's file: always saved, never shown as a page of this server."""
    name, _, content = await tickets.fetch_attachment(ctx.pool, id_of(request), id_of(request, "attachment"))
    return _download(content, name or "attachment", "application/octet-stream")


def _download(content: bytes, name: str, content_type: str) -> web.Response:
    plain = "".join(char if char.isascii() and (char.isalnum() or char in "._-") else "_" for char in name)[
        :100
    ]
    return web.Response(
        body=content,
        content_type=content_type,
        headers={
            "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name[:200], safe='')}",
            "Content-Security-Policy": "sandbox; default-src 'none'",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, no-store",
        },
    )
