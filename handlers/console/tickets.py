"""The list of tickets: filters, search, CSV, and a new one by hand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from handlers.console.door import form_of, page
from handlers.console.render import render, see_other, words_for
from handlers.console.spreadsheet import BYTE_ORDER_MARK, csv_line
from server.context import Context
from server.domain.errors import Invalid
from server.domain.permission import Actor, Permission
from server.domain.ticket import KINDS, PRIORITIES, STATUSES
from server.services import desk, tickets

PAGE = 50
EXPORT_MOST = 10_000
FILTERS = ("q", "status", "queue", "assignee", "priority", "overdue", "kind")


def asked_of(request: web.Request) -> dict[str, str]:
    """The filters of the address, as the form shows them again."""
    said = {
        name: request.query[name].strip()[:200] for name in FILTERS if request.query.get(name, "").strip()
    }
    return said if request.query else {"status": "active"}


def filters_of(asked: Mapping[str, str], actor: Actor, now: datetime) -> dict[str, Any]:
    filters: dict[str, Any] = {}
    status = asked.get("status", "")
    if status == "active":
        filters["status"] = ["open", "waiting"]
    elif status in STATUSES:
        filters["status"] = [status]
    if asked.get("priority") in PRIORITIES:
        filters["priority"] = [asked["priority"]]
    if asked.get("kind") in KINDS:
        filters["kind"] = asked["kind"]
    if asked.get("queue"):
        filters["queue"] = asked["queue"]
    who = asked.get("assignee", "")
    if who == "me":
        filters["assignee_agent_id"] = actor.agent_id
    elif who == "nobody":
        filters["unassigned"] = True
    elif who.isascii() and who.isdecimal() and len(who) < 19:
        filters["assignee_agent_id"] = int(who)
    if asked.get("overdue"):
        filters["overdue_at"] = now
    if asked.get("q"):
        filters["q"] = asked["q"]
    return filters


@page("GET", "/tickets", Permission.TICKETS_READ)
async def tickets_page(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    now, asked = datetime.now(UTC), asked_of(request)
    found = await tickets.list_tickets(
        ctx.pool, filters_of(asked, actor, now), PAGE, request.query.get("cursor") or None
    )
    items = [one | desk.due_of(one, now) for one in found["items"]]
    return render(
        request, ctx, actor, "tickets.html",
        items=items,
        next=urlencode({**asked, "cursor": found["next"]}) if found["next"] else None,
        asked=asked,
        query=urlencode(asked),
        continued=bool(request.query.get("cursor")),
        people=await desk.assignable(ctx.pool),
        queues=[desk.queue_title(ctx.directory.snapshot, one) for one in ctx.directory.snapshot.queues],
        presence=await desk.presence_of(ctx.pool, actor.agent_id),
    )  # fmt: skip


@page("GET", "/tickets.csv", Permission.TICKETS_READ)
async def tickets_csv(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    """What the filters find (at most 10,000), with a byte order mark so that spreadsheets read Chinese."""
    words, texts = words_for(request, ctx, actor), words_for(request, ctx, actor).texts
    filters = filters_of(asked_of(request), actor, datetime.now(UTC))
    head = (
        "Number", "Subject", "Status", "Priority", "Queue", "Assigned to", "Customer", "Channel", "Opened",
        "Last change", "Solution due", "Resolved",
    )  # fmt: skip
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/csv; charset=utf-8",
            "Content-Disposition": 'attachment; filename="tickets.csv"',
            "Cache-Control": "no-store",
        }
    )
    await response.prepare(request)
    await response.write(
        (BYTE_ORDER_MARK + csv_line([texts.pgettext("column", one) for one in head])).encode()
    )
    cursor: str | None = None
    sent = 0
    while sent < EXPORT_MOST:
        found = await tickets.list_tickets(ctx.pool, filters, 200, cursor)
        rows = [
            csv_line(
                [
                    one["number"], one["subject"], words.label(one["status"], "status"),
                    words.label(one["priority"], "priority"), one["queue"] or "", one["assignee_name"] or "",
                    one["customer_name"] or "", words.label(one["channel"], "channel"), one["created_at"],
                    one["updated_at"], one["resolve_due_at"] or "", one["resolved_at"] or "",
                ]
            )
            for one in found["items"]
        ]  # fmt: skip
        await response.write("".join(rows).encode("utf-8", "replace"))
        sent, cursor = sent + len(rows), found["next"]
        if cursor is None:
            break
    await response.write_eof()
    return response


@page("GET", "/tickets/new", Permission.TICKETS_WRITE)
async def new_ticket_page(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    return await _new(request, ctx, actor, {"customer_id": request.query.get("customer", "")}, {}, 200)


@page("POST", "/tickets", Permission.TICKETS_WRITE)
async def open_ticket(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    form = await form_of(request)
    data: dict[str, Any] = {name: form[name] for name in ("subject", "kind", "priority") if form.get(name)}
    data["subject"] = form.get("subject", "")
    data |= {name: form[name] for name in ("queue", "customer_id") if form.get(name)}
    if form.get("mine"):
        data["assignee_agent_id"] = str(actor.agent_id)
    data["channel"] = "console"
    try:
        opened = await tickets.open_ticket(ctx.pool, ctx.hub, actor, data, ctx.rules)
        if form.get("body"):
            await tickets.add_note(ctx.pool, ctx.hub, actor, int(opened["id"]), form["body"])
    except Invalid as wrong:
        return await _new(request, ctx, actor, form, wrong.fields, 422)
    return see_other(f"/tickets/{opened['id']}", "opened")


async def _new(
    request: web.Request,
    ctx: Context,
    actor: Actor,
    typed: Mapping[str, str],
    wrong: Mapping[str, str],
    status: int,
) -> web.StreamResponse:
    return render(
        request, ctx, actor, "ticket_new.html",
        status=status,
        typed=typed,
        wrong=wrong,
        kinds=KINDS,
        priorities=PRIORITIES,
        queues=[desk.queue_title(ctx.directory.snapshot, one) for one in ctx.directory.snapshot.queues],
        presence=await desk.presence_of(ctx.pool, actor.agent_id),
    )  # fmt: skip
