"""``/api/v1/customers``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from handlers.api.shapes import Channel, Customer, Lesson, TimelineEntry, UndoneLesson
from handlers.resource import Body, Call, Paged, resource
from server.domain.errors import Invalid
from server.domain.fields import parse_id
from server.domain.permission import Permission
from server.services import contacts, customers

READ, WRITE = Permission.CUSTOMERS_READ, Permission.CUSTOMERS_WRITE


class PhoneIn(Body):
    number: Annotated[
        str, Field(description="any spelling; national ones are read as of region.default_country")
    ]
    label: str = ""
    extension: str = ""
    verified: bool = False


class EmailIn(Body):
    address: str
    verified: bool = False


class CustomerChanges(Body):
    """A merge patch: what is not said stays, null empties, lists are replaced as a whole."""

    kind: Literal["person", "company"] | None = None
    name: Annotated[str | None, Field(max_length=200)] = None
    company: str | None = None
    language: str | None = None
    time_zone: str | None = None
    owner_agent_id: str | None = None
    tier: str | None = None
    blocked: bool | None = None
    do_not_contact: list[Channel] | None = None
    phones: list[PhoneIn] | None = None
    emails: list[EmailIn] | None = None
    external_ids: dict[str, str | None] | None = None
    tags: list[str] | None = None
    fields: dict[str, Any] | None = None
    notes: str | None = None


class NewCustomer(CustomerChanges):
    """A customer; only a name is needed."""

    name: Annotated[str, Field(min_length=1, max_length=200)]


class CustomerQuery(Paged):
    phone: Annotated[str | None, Field(description="in any spelling, exact")] = None
    email: Annotated[str | None, Field(description="exact, but for what a mailbox ignores")] = None
    external_id: Annotated[str | None, Field(description="system:id")] = None
    q: Annotated[
        str | None, Field(max_length=200, description="name, number, address, as people type it")
    ] = None
    provisional: bool | None = None
    owner_agent_id: str | None = None
    kind: str | None = None
    tier: str | None = None
    tag: str | None = None


@resource("GET", "/customers", READ, answer=Customer, listed=True)
async def list_customers(call: Call, query: CustomerQuery) -> dict[str, Any]:
    """Customers, newest first"""
    filters = query.filters()
    if "owner_agent_id" in filters:
        filters["owner_agent_id"] = id_of(filters["owner_agent_id"], "owner_agent_id")
    return await customers.list_customers(
        call.ctx.pool, limit=query.limit, cursor=query.cursor, country=call.country, **filters
    )


def id_of(value: str, field: str) -> int:
    """An id in a query or body. Raises Invalid."""
    found = parse_id(value)
    if found is None:
        raise Invalid(fields={field: "must be an id"})
    return found


@resource("POST", "/customers", WRITE, answer=Customer, status=201, versioned=True)
async def create_customer(call: Call, body: NewCustomer) -> dict[str, Any]:
    """Create a customer"""
    return await customers.create_customer(
        call.ctx.pool, call.ctx.hub, call.who, body.changes(), country=call.country
    )


@resource("GET", "/customers/{id}", READ, answer=Customer, versioned=True)
async def fetch_customer(call: Call) -> dict[str, Any]:
    """A customer; the id of a merged one gives the surviving record"""
    return await customers.fetch_customer(call.ctx.pool, call.id())


@resource("PATCH", "/customers/{id}", WRITE, answer=Customer, versioned=True)
async def update_customer(call: Call, body: CustomerChanges) -> dict[str, Any]:
    """Change a customer (RFC 7396)"""
    return await customers.update_customer(
        call.ctx.pool, call.ctx.hub, call.who, call.id(), body.changes(), call.version, country=call.country
    )


@resource("DELETE", "/customers/{id}", WRITE, status=204)
async def delete_customer(call: Call) -> None:
    """Delete a customer; contacts and tickets stay"""
    await customers.delete_customer(call.ctx.pool, call.ctx.hub, call.who, call.id(), call.version)


@resource("POST", "/customers/{id}/confirm", WRITE, answer=Customer, versioned=True)
async def confirm_customer(call: Call, body: CustomerChanges) -> dict[str, Any]:
    """Confirm a provisional customer, with corrections"""
    return await customers.confirm_customer(
        call.ctx.pool, call.ctx.hub, call.who, call.id(), body.changes(), country=call.country
    )


@resource("GET", "/customers/{id}/timeline", READ, answer=TimelineEntry, listed=True)
async def timeline(call: Call, query: Paged) -> dict[str, Any]:
    """Contacts, tickets, messages and changes of a customer, newest first"""
    return await customers.timeline(call.ctx.pool, call.id(), query.limit, query.cursor)


@resource("GET", "/customers/{id}/lessons", READ, answer=Lesson, listed=True)
async def list_lessons(call: Call, query: Paged) -> dict[str, Any]:
    """What agents taught about who this customer is"""
    record = await customers.fetch_customer(call.ctx.pool, call.id())
    found = await contacts.list_lessons(call.ctx.pool, int(record["id"]))
    return {"items": found[: query.limit], "next": None}


@resource("POST", "/lessons/{id}/undo", WRITE, answer=UndoneLesson)
async def undo_lesson(call: Call) -> dict[str, Any]:
    """Forget what was taught"""
    return await contacts.undo_lesson(call.ctx.pool, call.ctx.hub, call.who, call.id())
