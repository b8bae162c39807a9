"""A recording on a ticket's page: a supervisor has it fetched again."""

from __future__ import annotations

from aiohttp import web

from handlers.console.door import id_of, page
from handlers.console.render import see_other
from server.context import Context
from server.domain.permission import Actor, Permission
from server.services import recordings


@page("POST", "/tickets/{id}/recordings/{contact}/retry", Permission.CONTACTS_WRITE)
async def retry(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    await recordings.retry_recording(ctx.pool, ctx.hub, actor, id_of(request, "contact"))
    return see_other(f"/tickets/{id_of(request)}", "refetched")
