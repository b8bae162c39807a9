"""After-call work on the desk: what came of the contact, a note, and the next one may come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from handlers.console.desk import refused
from handlers.console.door import form_of, id_of, number_in, page
from handlers.console.render import see_other
from handlers.console.words import fault
from server.context import Context
from server.domain.errors import Invalid
from server.domain.permission import Actor, Permission
from server.services import after_call

# What services/after_call.py says, up to the colon before the codes.
FAULTS = (fault("say what came of it"), fault("there is no such disposition"))


def _said(form: Mapping[str, str]) -> dict[str, Any]:
    """No key chosen says nothing: what was kept before stays."""
    said: dict[str, Any] = {"note": form.get("note", "")}
    return said | {"disposition": form["disposition"]} if form.get("disposition") else said


@page("POST", "/desk/contacts/{id}/after-call", Permission.CONTACTS_WRITE)
async def done(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    """Back to what the desk showed beside it."""
    contact_id, form = id_of(request), await form_of(request)
    shown = number_in(form.get("shown") or str(contact_id), "shown")
    try:
        await after_call.wrap_up(ctx.pool, ctx.hub, ctx.presence, actor, contact_id, _said(form))
    except Invalid as wrong:
        return await refused(request, ctx, actor, shown, after_wrong=wrong.fields, after_typed=form)
    return see_other(f"/?contact={shown}", "wrapped")


@page("POST", "/desk/contacts/{id}/after-call/keep", Permission.CONTACTS_WRITE)
async def keep(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    """As far as it is, before the time is over or the agent looks elsewhere."""
    said = _said(await form_of(request)) | {"done": False}
    await after_call.wrap_up(ctx.pool, ctx.hub, ctx.presence, actor, id_of(request), said)
    return web.Response(status=204)
