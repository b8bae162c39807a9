"""The desk: my queue, the contact that I am on, and the customer beside it."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from handlers.console.call_control import control_of
from handlers.console.customer_forms import correction_of
from handlers.console.door import form_of, id_of, number_in, page
from handlers.console.language import catalogue, language_of
from handlers.console.render import render, see_other
from server.context import Context
from server.domain.errors import Conflict, Invalid
from server.domain.permission import Actor, Permission
from server.services import after_call, contacts, customers, desk, tickets

PAST_TICKETS = 8


async def work_of(ctx: Context, actor: Actor, contact_id: int | None) -> dict[str, Any]:
    """What the desk's centre and right show: a contact (else that of the after-call work), the agent's state."""
    after = await after_call.wrap_up_of(ctx.pool, actor.agent_id)
    if contact_id is None and after is not None:
        contact_id = int(after["contact_id"])
    presence = await desk.presence_of(ctx.pool, actor.agent_id)
    shown = {"contact_id": contact_id, "after": after, "presence": presence}
    if contact_id is None:
        return shown | {"card": None, "past": [], "control": None}
    card = await desk.contact_card(ctx.pool, ctx.directory.snapshot, contact_id)
    past: list[dict[str, Any]] = []
    if card["customer"] is not None:
        asked = {"customer_id": int(card["customer"]["id"])}
        past = (await tickets.list_tickets(ctx.pool, asked, PAST_TICKETS))["items"]
    control = await control_of(ctx, actor, contact_id) if card["is_live"] else None
    return shown | {"card": card, "past": past, "control": control}


def _asked(request: web.Request) -> int | None:
    said = request.query.get("contact", "")
    return number_in(said, "contact") if said else None


@page("GET", "/", Permission.DESK_USE)
async def desk_page(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    asked = _asked(request)
    contact_id = asked if asked is not None else await desk.current_contact_id(ctx.pool, actor)
    queue = await desk.my_queue(ctx.pool, ctx.directory.snapshot, actor)
    work = await work_of(ctx, actor, contact_id)
    return render(request, ctx, actor, "desk.html", queue=queue, **work)


async def refused(
    request: web.Request, ctx: Context, actor: Actor, contact_id: int, **said: Any
) -> web.StreamResponse:
    """The desk again, with what was typed and what is wrong with it."""
    queue = await desk.my_queue(ctx.pool, ctx.directory.snapshot, actor)
    work = await work_of(ctx, actor, contact_id)
    return render(request, ctx, actor, "desk.html", status=422, queue=queue, **work, **said)


@page("GET", "/desk/queue", Permission.DESK_USE)
async def queue_part(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    queue = await desk.my_queue(ctx.pool, ctx.directory.snapshot, actor)
    presence = await desk.presence_of(ctx.pool, actor.agent_id)
    return render(
        request, ctx, actor, "desk_queue.html", queue=queue, presence=presence, contact_id=_asked(request)
    )


@page("GET", "/desk/work", Permission.DESK_USE)
async def work_part(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    work = await work_of(ctx, actor, _asked(request))
    return render(request, ctx, actor, "desk_work.html", **work)


@page("GET", "/desk/pop/{id}", Permission.DESK_USE)
async def pop_part(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    """The pop's card, in the reader's language and way of writing numbers."""
    card = await desk.contact_card(ctx.pool, ctx.directory.snapshot, id_of(request))
    reason = request.query.get("reason", "ringing")
    return render(request, ctx, actor, "pop.html", card=card, reason=reason)


@page("GET", "/presence", Permission.PRESENCE_OWN)
async def presence_part(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    presence = await desk.presence_of(ctx.pool, actor.agent_id)
    return render(request, ctx, actor, "presence.html", presence=presence)


@page("POST", "/presence", Permission.PRESENCE_OWN)
async def set_presence(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    state, _, reason = (await form_of(request)).get("state", "").partition(":")
    try:
        await after_call.set_own_state(ctx.pool, ctx.hub, ctx.presence, actor, state, reason)
        unfinished = False
    except Invalid as wrong:
        if "disposition" not in wrong.fields:
            raise
        unfinished = True
    if request.headers.get("HX-Target") != "presence":
        return see_other("/", "unfinished") if unfinished else see_other(_back(request), "state")
    presence = await desk.presence_of(ctx.pool, actor.agent_id)
    return render(
        request, ctx, actor, "presence.html",
        status=422 if unfinished else 200, presence=presence, unfinished=unfinished,
    )  # fmt: skip


@page("POST", "/desk/contacts/{id}/customer", Permission.CONTACTS_WRITE)
async def this_is_the_caller(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    contact_id = id_of(request)
    customer_id = number_in((await form_of(request)).get("customer_id", ""), "customer_id")
    await contacts.set_customer(ctx.pool, ctx.hub, actor, contact_id, customer_id)
    return see_other(f"/?contact={contact_id}", "caller")


@page("POST", "/desk/contacts/{id}/refuse", Permission.CONTACTS_WRITE)
async def never_this_one(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    contact_id = id_of(request)
    customer_id = number_in((await form_of(request)).get("customer_id", ""), "customer_id")
    await contacts.refuse_customer(ctx.pool, ctx.hub, actor, contact_id, customer_id)
    return see_other(f"/?contact={contact_id}", "never")


@page("POST", "/desk/contacts/{id}/confirm", Permission.CUSTOMERS_WRITE)
async def confirm_provisional(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    """The provisional customer is a real one, with what the agent corrected on the way."""
    contact_id = id_of(request)
    form = await form_of(request)
    customer_id = number_in(form.get("customer_id", ""), "customer_id")
    try:
        await customers.confirm_customer(ctx.pool, ctx.hub, actor, customer_id, correction_of(form))
    except Invalid as wrong:
        return await refused(request, ctx, actor, contact_id, wrong=wrong.fields, typed=form)
    return see_other(f"/?contact={contact_id}", "confirmed")


@page("POST", "/desk/contacts/{id}/new-customer", Permission.CUSTOMERS_WRITE)
async def new_customer(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    """Nobody fits: a new customer with this contact's number or address, and this is the caller."""
    contact_id = id_of(request)
    form = await form_of(request)
    card = await desk.contact_card(ctx.pool, ctx.directory.snapshot, contact_id)
    data: dict[str, Any] = correction_of(form)
    contact = card["contact"]
    if contact["channel"] == "call" and contact["ani"] and not contact["withheld"]:
        data["phones"] = [{"number": contact["ani"]}]
    elif contact.get("from"):
        data["emails"] = [{"address": contact["from"]}]
    made = await customers.create_customer(ctx.pool, ctx.hub, actor, data)
    await contacts.set_customer(ctx.pool, ctx.hub, actor, contact_id, int(made["id"]))
    return see_other(f"/?contact={contact_id}", "created")


@page("POST", "/desk/contacts/{id}/take", Permission.CONTACTS_WRITE)
async def take(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    if await after_call.wrap_up_of(ctx.pool, actor.agent_id) is not None:
        return see_other("/", "unfinished")
    try:
        ticket_id = await desk.take_contact(ctx.pool, ctx.hub, actor, id_of(request))
    except Conflict:
        return see_other("/", "gone")
    return see_other(f"/tickets/{ticket_id}", "taken")


@page("POST", "/desk/contacts/{id}/ticket", Permission.TICKETS_WRITE)
async def open_ticket(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    texts = catalogue(language_of(request, actor, ctx.settings.region.language))
    subject = (await form_of(request)).get("subject") or texts.gettext("Call")
    ticket_id = await desk.ticket_of_contact(ctx.pool, ctx.hub, actor, id_of(request), subject, ctx.rules)
    return see_other(f"/tickets/{ticket_id}")


@page("POST", "/desk/contacts/{id}/note", Permission.TICKETS_WRITE)
async def note(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    """A note taken while talking, kept in the contact's ticket."""
    contact_id = id_of(request)
    form = await form_of(request)
    texts = catalogue(language_of(request, actor, ctx.settings.region.language))
    subject = texts.gettext("Call")
    ticket_id = await desk.ticket_of_contact(ctx.pool, ctx.hub, actor, contact_id, subject, ctx.rules)
    await tickets.add_note(ctx.pool, ctx.hub, actor, ticket_id, form.get("body", ""))
    return see_other(f"/?contact={contact_id}", "noted")


def _back(request: web.Request) -> str:
    referer = request.headers.get("Referer", "")
    return "/" + referer.partition("://")[2].partition("/")[2] if referer else "/"
