"""Search over customers and tickets as one types: a number, a name, an address, a telephone in any spelling."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from handlers.console.door import number_in, page
from handlers.console.render import render
from server.context import Context
from server.domain.permission import Actor, Permission
from server.services import customers, desk, tickets

QUICK, FULL = 6, 40
LEAST = 2  # one Chinese character is a surname: two characters of any script, or a digit


def _query(request: web.Request) -> str:
    return request.query.get("q", "").replace("\x00", "").strip()[:200]


async def find(ctx: Context, q: str, limit: int, *, with_tickets: bool = True) -> dict[str, Any]:
    """``{"customers", "tickets", "more"}``; nothing for nothing."""
    if len(q) < LEAST and not q.isdecimal():
        return {"customers": [], "tickets": [], "more": False}
    country = ctx.settings.region.default_country
    people = await customers.list_customers(ctx.pool, q=q, limit=limit, country=country)
    matters: dict[str, Any] = {"items": [], "next": None}
    if with_tickets:
        matters = await tickets.list_tickets(ctx.pool, {"q": q}, limit)
        if people["items"] and not matters["items"]:
            # The matters of the one who was found, when the words are a name or a number.
            asked = {"customer_id": int(people["items"][0]["id"])}
            matters = await tickets.list_tickets(ctx.pool, asked, limit)
    return {
        "customers": people["items"],
        "tickets": matters["items"],
        "more": bool(people["next"] or matters["next"]),
    }


@page("GET", "/search", Permission.CUSTOMERS_READ)
async def search_page(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    q = _query(request)
    found = await find(ctx, q, FULL)
    presence = await desk.presence_of(ctx.pool, actor.agent_id)
    return render(request, ctx, actor, "search.html", q=q, presence=presence, **found)


@page("GET", "/search/quick", Permission.CUSTOMERS_READ)
async def quick(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    q = _query(request)
    return render(request, ctx, actor, "search_quick.html", q=q, **await find(ctx, q, QUICK))


@page("GET", "/search/attach", Permission.CUSTOMERS_READ)
async def attach(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    """Customers to attach a contact to, each with the one click that does it."""
    q, contact_id = _query(request), number_in(request.query.get("contact", ""), "contact")
    found = await find(ctx, q, QUICK, with_tickets=False)
    return render(request, ctx, actor, "search_attach.html", q=q, contact_id=contact_id, **found)
