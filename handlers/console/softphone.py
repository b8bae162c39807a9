"""The telephone at the foot of the page, for agents who have one: the agent's browser asks for it once."""

from __future__ import annotations

from aiohttp import web

from handlers.console.door import page
from handlers.console.render import render
from handlers.console.words import fault
from server.context import Context
from server.domain.permission import Actor, Permission
from server.services import agent_phones

# What the administration's form may be told, beside the sentences of words.py.
FAULTS = (
    fault("must be a SIP address such as sip:name@pbx.example.com"),
    fault("must be an address such as wss://pbx.example.com/ws"),
    fault("must not hold quotes or backslashes"),
)


@page("GET", "/softphone", Permission.DESK_USE)
async def softphone_part(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    """The panel without what it signs on with; that the script asks of the API. 204 for who has no phone."""
    phone = await agent_phones.find_phone(ctx.pool, actor.agent_id)
    if phone is None:
        return web.Response(status=204, headers={"Cache-Control": "no-store"})
    return render(request, ctx, actor, "softphone.html", phone=phone)
