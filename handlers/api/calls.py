"""``POST /api/v1/calls`` (click to dial) and ``/api/v1/contacts/{id}/commands`` (hold, transfer, hang up)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import Field

from handlers.api.customers import id_of
from handlers.api.shapes import CommandedContact, MadeCall
from handlers.errors import problem
from handlers.resource import Body, Call, resource
from handlers.telephony.commands import command_call, deeds_now, dial
from handlers.telephony.control import CommandFailed, Deed
from server.domain.errors import Invalid
from server.domain.permission import Permission
from server.services import contacts, dialling
from server.services.going_call import fetch_going_call

WRITE = Permission.CONTACTS_WRITE
KEY_MOST = 120
Do = Literal["answer", "hang_up", "hold", "unhold", "transfer", "attended", "complete"]


class NewCall(Body):
    number: Annotated[str, Field(description="in any spelling of the installation's country, or +44...")]
    customer_id: str | None = None
    ticket_id: str | None = None
    source: Annotated[str | None, Field(description="the call source; else the first that can dial")] = None
    confirm: Annotated[bool, Field(description="call somebody who does not want to be called")] = False


class NewCommand(Body):
    do: Do
    target: Annotated[
        str | None, Field(description="of transfer and attended: an extension, a number, a SIP address")
    ] = None


def idempotency_key(call: Call) -> str:
    """The client's key for a request that must be done once, with or without its quotes; "" when there is none.

    draft-ietf-httpapi-idempotency-key-header 2.1. Raises Invalid.
    """
    said = call.request.headers.get("Idempotency-Key")
    if said is None:
        return ""
    key = said.strip().removeprefix('"').removesuffix('"')
    if not key or len(key) > KEY_MOST or not (key.isascii() and key.isprintable()):
        raise Invalid(fields={"Idempotency-Key": f"must be up to {KEY_MOST} printable ASCII characters"})
    return key


def telephony_problem(failed: CommandFailed) -> web.Response:
    """RFC 9110 15.6.3: what stands behind us said no, or nothing."""
    return problem(HTTPStatus.BAD_GATEWAY, str(failed), code="telephony_failed")


@resource("POST", "/calls", WRITE, answer=MadeCall, status=HTTPStatus.ACCEPTED)
async def make_call(call: Call, body: NewCall) -> dict[str, Any] | web.StreamResponse:
    """Click to dial: the agent's phone rings, then the customer's"""
    key = idempotency_key(call)
    wanted = await dialling.prepare_call(
        call.ctx.pool,
        call.who,
        body.number,
        country=call.country,
        customer_id=id_of(body.customer_id, "customer_id") if body.customer_id is not None else None,
        ticket_id=id_of(body.ticket_id, "ticket_id") if body.ticket_id is not None else None,
        is_confirmed=body.confirm,
    )
    try:
        made = await dial(call.ctx, call.who, wanted, body.source, key)
    except CommandFailed as failed:
        return telephony_problem(failed)
    return {"call_key": made.call_key, "source": made.source}


@resource("POST", "/contacts/{id}/commands", WRITE, answer=CommandedContact, status=HTTPStatus.ACCEPTED)
async def command_contact(call: Call, body: NewCommand) -> dict[str, Any] | web.StreamResponse:
    """Ask something of a call that goes on: its events tell what came of it"""
    key, contact_id = idempotency_key(call), call.id()
    try:
        await command_call(call.ctx, call.who, contact_id, Deed(body.do), body.target or "", key)
    except CommandFailed as failed:
        return telephony_problem(failed)
    return await with_commands(call, contact_id)


async def with_commands(call: Call, contact_id: int) -> dict[str, Any]:
    """The contact, and what can be asked of it now by the one who asks."""
    contact = await contacts.fetch_contact(call.ctx.pool, contact_id)
    going = await fetch_going_call(call.ctx.pool, contact_id) if contact["channel"] == "call" else None
    return contact | {"commands": list(deeds_now(call.ctx, call.who, going))}
