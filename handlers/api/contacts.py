"""``/api/v1/contacts``: touches, and who it was."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from handlers.api.calls import with_commands
from handlers.api.customers import id_of
from handlers.api.shapes import Contact, ContactInFull, TaughtContact
from handlers.resource import Body, Call, Paged, resource
from server.domain.fields import Checks
from server.domain.permission import Permission
from server.services import after_call, call_log, contacts
from server.services.call_result import fetch_transitions

READ, WRITE = Permission.CONTACTS_READ, Permission.CONTACTS_WRITE
STATES = ("ringing", "answered", "held", "transferred", "ended", "missed", "voicemail")
TimeIn = Annotated[str | None, Field(min_length=1, json_schema_extra={"format": "date-time"})]


class ContactQuery(Paged):
    id: str | None = None
    channel: str | None = None
    direction: str | None = None
    source: str | None = None
    state: Annotated[str | None, Field(description="one or several, with commas")] = None
    ani: str | None = None
    dnis: str | None = None
    linkedid: str | None = None
    customer_id: str | None = None
    ticket_id: str | None = None
    agent_id: Annotated[str | None, Field(description="an id, or me")] = None
    queue: str | None = None
    match: str | None = None
    hangup_cause: str | None = None
    disposition: str | None = None
    waiting: Annotated[bool | None, Field(description="offered to nobody yet")] = None
    live: Annotated[bool | None, Field(description="a call that goes on")] = None
    answered: Annotated[bool | None, Field(description="an agent picked it up")] = None
    number: Annotated[
        str | None, Field(description="of the other side, in any spelling, or its beginning")
    ] = None
    q: Annotated[
        str | None,
        Field(min_length=1, description="a customer's name or number, a number, words of the note"),
    ] = None
    started_after: TimeIn = None
    started_before: TimeIn = None


class ContactChanges(Body):
    """A merge patch: what is not said stays, null empties."""

    disposition: str | None = None
    ticket_id: str | None = None


class WhichCustomer(Body):
    customer_id: str


class Disposition(Body):
    disposition: Annotated[
        str | None, Field(description="a code of the queue; in the agent's words where it has none")
    ]
    note: str | None = None
    done: Annotated[bool, Field(description="false: kept, and the after-call work goes on")] = True


@resource("GET", "/contacts", READ, answer=Contact, listed=True)
async def list_contacts(call: Call, query: ContactQuery) -> dict[str, Any]:
    """Contacts, newest first"""
    filters = query.filters()
    if filters.get("agent_id") == "me":
        filters["agent_id"] = str(call.who.agent_id)
    for name in ("id", "customer_id", "ticket_id", "agent_id"):
        if name in filters:
            filters[name] = id_of(filters[name], name)
    check = Checks()
    if "state" in filters:
        filters["state"] = [
            check.choice("state", word.strip(), STATES) for word in filters["state"].split(",")
        ]
    for name in ("started_after", "started_before"):
        if name in filters:
            filters[name] = check.moment(name, filters[name])
    check.done()
    if "number" in filters:
        filters["number"] = call_log.read_number(filters["number"], call.country)
    if "q" in filters:
        filters["found"] = await call_log.read_search(call.ctx.pool, filters.pop("q"), call.country)
    return await contacts.list_contacts(call.ctx.pool, filters, query.limit, query.cursor)


@resource("GET", "/contacts/{id}", READ, answer=ContactInFull, versioned=True)
async def fetch_contact(call: Call) -> dict[str, Any]:
    """A contact, what can be asked of a call that goes on, and the call's course"""
    course = await fetch_transitions(call.ctx.pool, call.ctx.directory.snapshot, call.id())
    return await with_commands(call, call.id()) | {"transitions": course}


@resource("PATCH", "/contacts/{id}", WRITE, answer=Contact, versioned=True)
async def patch_contact(call: Call, body: ContactChanges) -> dict[str, Any]:
    """Change a contact (RFC 7396)"""
    return await contacts.patch_contact(
        call.ctx.pool, call.ctx.hub, call.who, call.id(), body.changes(), call.version
    )


@resource("POST", "/contacts/{id}/customer", WRITE, answer=TaughtContact, versioned=True)
async def set_customer(call: Call, body: WhichCustomer) -> dict[str, Any]:
    """This is the caller: set the customer, and remember it for the next time"""
    customer_id = id_of(body.customer_id, "customer_id")
    return await contacts.set_customer(call.ctx.pool, call.ctx.hub, call.who, call.id(), customer_id)


@resource("POST", "/contacts/{id}/refuse", WRITE, answer=TaughtContact, versioned=True)
async def refuse_customer(call: Call, body: WhichCustomer) -> dict[str, Any]:
    """Never this one: take the customer away, and remember it for the next time"""
    customer_id = id_of(body.customer_id, "customer_id")
    return await contacts.refuse_customer(call.ctx.pool, call.ctx.hub, call.who, call.id(), customer_id)


@resource("POST", "/contacts/{id}/disposition", WRITE, answer=Contact, versioned=True)
async def set_disposition(call: Call, body: Disposition) -> dict[str, Any]:
    """How the contact ended; ends the after-call work unless ``done`` is false"""
    ctx = call.ctx
    return await after_call.wrap_up(ctx.pool, ctx.hub, ctx.presence, call.who, call.id(), body.changes())
