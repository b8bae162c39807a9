"""What could not be taken in: seen with its raw bytes, taken in again, or discarded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from handlers.api.quarantine import retake
from handlers.console.door import form_of, id_of, page
from handlers.console.render import render, see_other
from server.context import Context
from server.domain.errors import Conflict, RingpostError, Unavailable
from server.domain.permission import Actor, Permission
from server.services import desk, quarantine

PAGE = 50
STATES, DOORS = ("open", "retried", "discarded"), ("call", "email", "form")


@page("GET", "/quarantine", Permission.QUARANTINE_READ)
async def quarantine_page(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    said, door = request.query.get("state", "open"), request.query.get("door", "")
    found = await quarantine.list_quarantine(
        ctx.pool,
        state=said if said in STATES else None,
        door=door if door in DOORS else None,
        cursor=request.query.get("cursor") or None,
        limit=PAGE,
    )
    following = urlencode({"state": said, "door": door, "cursor": found["next"]}) if found["next"] else None
    return render(
        request, ctx, actor, "quarantine.html",
        items=found["items"],
        next=following,
        asked={"state": said, "door": door},
        states=STATES,
        doors=DOORS,
        presence=await desk.presence_of(ctx.pool, actor.agent_id),
    )  # fmt: skip


@page("GET", "/quarantine/{id}", Permission.QUARANTINE_READ)
async def one_page(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    one = await quarantine.fetch_quarantine(ctx.pool, id_of(request))
    presence = await desk.presence_of(ctx.pool, actor.agent_id)
    return render(request, ctx, actor, "quarantine_one.html", one=one, presence=presence)


@page("POST", "/quarantine/{id}/retry", Permission.QUARANTINE_WRITE)
async def retry(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    quarantine_id = id_of(request)
    await form_of(request)

    async def again(door: str, source: str, meta: Mapping[str, Any], raw: bytes) -> None:
        await retake(ctx, door, source, meta, raw)

    try:
        await quarantine.retry(ctx.pool, actor, quarantine_id, again)
    except (Unavailable, Conflict):
        raise
    except RingpostError:
        return see_other(f"/quarantine/{quarantine_id}", "still-wrong")
    return see_other(f"/quarantine/{quarantine_id}", "retried")


@page("POST", "/quarantine/{id}/discard", Permission.QUARANTINE_WRITE)
async def discard(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    await form_of(request)
    await quarantine.discard(ctx.pool, actor, id_of(request))
    return see_other("/quarantine", "discarded")
