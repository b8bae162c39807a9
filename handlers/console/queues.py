"""The board of the supervisor: who is free, who waits, for how long; kept up by hints."""

from __future__ import annotations

from aiohttp import web

from handlers.console.door import page
from handlers.console.render import render
from server.context import Context
from server.domain.permission import Actor, Permission
from server.services import desk


@page("GET", "/queues", Permission.PRESENCE_OTHERS)
async def board_page(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    board = await desk.board(ctx.pool, ctx.directory.snapshot)
    presence = await desk.presence_of(ctx.pool, actor.agent_id)
    return render(request, ctx, actor, "queues.html", presence=presence, **board)
