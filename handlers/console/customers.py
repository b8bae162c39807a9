"""Customers: the list, one of them with everything that happened, editing."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import urlencode
from zoneinfo import available_timezones

from aiohttp import web

from handlers.console.customer_forms import changes_of, keep_verified
from handlers.console.door import form_lists, form_of, id_of, page
from handlers.console.render import render, see_other
from server.context import Context
from server.domain.errors import Conflict, Invalid, PreconditionFailed
from server.domain.permission import Actor, Permission
from server.services import contacts, customers, desk, tickets

PAGE = 50
FILTERS = ("q", "tier", "kind", "provisional")


@page("GET", "/customers", Permission.CUSTOMERS_READ)
async def customers_page(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    asked = {
        name: request.query[name].strip()[:200] for name in FILTERS if request.query.get(name, "").strip()
    }
    filters: dict[str, Any] = {name: asked[name] for name in ("tier", "kind") if name in asked}
    if asked.get("provisional"):
        filters["provisional"] = True
    found = await customers.list_customers(
        ctx.pool,
        q=asked.get("q"),
        limit=PAGE,
        cursor=request.query.get("cursor") or None,
        country=ctx.settings.region.default_country,
        **filters,
    )
    return render(
        request, ctx, actor, "customers.html",
        items=found["items"],
        next=urlencode({**asked, "cursor": found["next"]}) if found["next"] else None,
        asked=asked,
        presence=await desk.presence_of(ctx.pool, actor.agent_id),
    )  # fmt: skip


@page("GET", "/customers/{id}", Permission.CUSTOMERS_READ)
async def customer_page(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    customer_id = id_of(request)
    customer = await customers.fetch_customer(ctx.pool, customer_id)
    if customer["id"] != str(customer_id):
        return see_other(f"/customers/{customer['id']}")
    course = await customers.timeline(ctx.pool, customer_id, 40, request.query.get("cursor") or None)
    open_ones = {"customer_id": customer_id, "status": ["open", "waiting"]}
    return render(
        request, ctx, actor, "customer.html",
        customer=customer,
        course=course["items"],
        next=course["next"],
        tickets=(await tickets.list_tickets(ctx.pool, open_ones, 20))["items"],
        lessons=await contacts.list_lessons(ctx.pool, customer_id),
        people={str(one["id"]): one["name"] for one in await desk.assignable(ctx.pool)},
        presence=await desk.presence_of(ctx.pool, actor.agent_id),
    )  # fmt: skip


@page("GET", "/customers/{id}/edit", Permission.CUSTOMERS_WRITE)
async def edit_page(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    customer = await customers.fetch_customer(ctx.pool, id_of(request))
    return await _edit(request, ctx, actor, customer, {}, {}, 200)


@page("POST", "/customers/{id}/edit", Permission.CUSTOMERS_WRITE)
async def edit(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    """Save; a change by somebody else meanwhile is told, with what was typed kept."""
    customer_id, form = id_of(request), await form_lists(request)
    customer = await customers.fetch_customer(ctx.pool, customer_id)
    changes = keep_verified(changes_of(form), customer)
    said = form.get("version", [""])[-1]
    version = int(said) if said.isdecimal() else None
    country = ctx.settings.region.default_country
    try:
        if customer["provisional"]:
            await customers.confirm_customer(ctx.pool, ctx.hub, actor, customer_id, changes, country=country)
        else:
            await customers.update_customer(
                ctx.pool, ctx.hub, actor, customer_id, changes, version, country=country
            )
    except Invalid as wrong:
        return await _edit(request, ctx, actor, customer, form, wrong.fields, 422)
    except PreconditionFailed:
        wrong_now = {"": "It was changed meanwhile. Look at it again, then decide."}
        return await _edit(request, ctx, actor, customer, form, wrong_now, 409)
    except Conflict as taken:
        return await _edit(request, ctx, actor, customer, form, taken.fields or {"": taken.detail}, 409)
    return see_other(f"/customers/{customer_id}", "saved")


@page("GET", "/customers/new", Permission.CUSTOMERS_WRITE)
async def new_page(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    return await _edit(request, ctx, actor, None, {}, {}, 200)


@page("POST", "/customers/new", Permission.CUSTOMERS_WRITE)
async def create(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    form = await form_lists(request)
    country = ctx.settings.region.default_country
    try:
        made = await customers.create_customer(ctx.pool, ctx.hub, actor, changes_of(form), country=country)
    except Invalid as wrong:
        return await _edit(request, ctx, actor, None, form, wrong.fields, 422)
    return see_other(f"/customers/{made['id']}", "created")


@page("POST", "/customers/{id}/lessons/{lesson}/undo", Permission.CONTACTS_WRITE)
async def undo_lesson(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    await form_of(request)
    await contacts.undo_lesson(ctx.pool, ctx.hub, actor, id_of(request, "lesson"))
    return see_other(f"/customers/{id_of(request)}", "saved")


async def _edit(
    request: web.Request,
    ctx: Context,
    actor: Actor,
    customer: Mapping[str, Any] | None,
    form: Mapping[str, list[str]],
    wrong: Mapping[str, str],
    status: int,
) -> web.StreamResponse:
    """The form with what was typed, else with what is stored."""
    stored = _typed_of(customer)
    typed = {name: form[name][-1] if name in form else stored[name] for name in stored} if form else stored
    ticked = form.get("do_not_contact", []) if form else (customer or {}).get("do_not_contact", [])
    blocked = "blocked" in form if form else bool((customer or {}).get("blocked"))
    return render(
        request, ctx, actor, "customer_edit.html",
        status=status,
        customer=customer,
        typed=typed,
        ticked=ticked,
        blocked=blocked,
        wrong=wrong,
        zones=_zones(),
        people=await desk.assignable(ctx.pool),
        presence=await desk.presence_of(ctx.pool, actor.agent_id),
    )  # fmt: skip


@cache
def _zones() -> list[str]:
    return sorted(zone for zone in available_timezones() if "/" in zone and not zone.startswith("Etc/"))


def _typed_of(customer: Mapping[str, Any] | None) -> dict[str, str]:
    names = ("name", "company", "kind", "tier", "language", "time_zone", "notes")
    if customer is None:
        return dict.fromkeys((*names, "phones", "emails", "tags", "owner_agent_id", "version"), "")
    phones = "\n".join(
        f"{one['number']}, {one['label']}" if one["label"] else one["number"] for one in customer["phones"]
    )
    return {
        **{name: customer[name] for name in names},
        "phones": phones,
        "emails": "\n".join(one["address"] for one in customer["emails"]),
        "tags": ", ".join(customer["tags"]),
        "owner_agent_id": customer["owner_agent_id"] or "",
        "version": str(customer["version"]),
    }
