"""The live connections to PBXs: which are up, which are not and why. Asked again while it is looked at."""

from __future__ import annotations

from aiohttp import web

from handlers.console.door import page
from handlers.console.render import render
from handlers.console.words import fault
from server.context import Context, LinkState
from server.domain.permission import Actor, Permission
from server.services import desk

BADGES = {
    LinkState.CONNECTING: "ringing",
    LinkState.UP: "available",
    LinkState.WAITING: "waiting",
    LinkState.REFUSED: "failed",
    LinkState.STANDBY: "closed",
}
# What connections say of themselves, where it is always the same; the rest stays in English.
SAID = (
    fault("the database is away"),
    fault("the connection ended"),
    fault("what came could not be handled: this is our fault, see the log"),
    fault("no answer in time"),
    fault("{n} channels"),
    fault("the calls that already went on are not known: add reporting to write= of the manager user"),
    fault("the PBX is silent"),
    fault("the PBX closed the connection"),
    fault("the PBX closed the socket of its call control"),
    fault("the PBX did not answer within {n} seconds"),
    fault("the switch closed the connection"),
    fault("the switch is silent: neither heartbeats nor answers"),
    fault("the switch refuses the password: secrets must be that of event_socket.conf.xml"),
    fault("what answers there is no event socket"),
)


@page("GET", "/connections", Permission.QUARANTINE_READ)
async def connections_page(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    return render(
        request, ctx, actor, "connections.html",
        connections=ctx.telephony.connections,
        badges=BADGES,
        presence=await desk.presence_of(ctx.pool, actor.agent_id),
    )  # fmt: skip
