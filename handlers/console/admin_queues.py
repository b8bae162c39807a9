"""Administration of queues: their numbers, who takes what comes, and what comes after it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from handlers.console.door import form_of, id_of, page
from handlers.console.language import catalogue, language_of
from handlers.console.queue_fields import day_names, read_form, typed_of, zones
from handlers.console.render import render, see_other
from server.context import Context
from server.domain.errors import Conflict, Invalid
from server.domain.permission import Actor, Permission
from server.services import desk, queues

WRITE = Permission.QUEUES_WRITE


@page("GET", "/admin/queues", WRITE)
async def queues_page(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    return render(
        request, ctx, actor, "admin_queues.html",
        queues=await queues.list_queues(ctx.pool, ctx.settings.region.timezone),
        presence=await desk.presence_of(ctx.pool, actor.agent_id),
    )  # fmt: skip


@page("GET", "/admin/queues/new", WRITE)
async def new_queue_page(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    return await _form(request, ctx, actor, None)


@page("GET", "/admin/queues/{id}", WRITE)
async def queue_page(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    return await _form(request, ctx, actor, await queues.fetch_queue(ctx.pool, id_of(request)))


@page("POST", "/admin/queues/new", WRITE)
async def add_queue(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    return await _save(request, ctx, actor, None)


@page("POST", "/admin/queues/{id}", WRITE)
async def save_queue(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    return await _save(request, ctx, actor, id_of(request))


async def _save(request: web.Request, ctx: Context, actor: Actor, queue_id: int | None) -> web.StreamResponse:
    form, country = await form_of(request), ctx.settings.region.default_country
    changes, wrong = read_form(form, catalogue(language_of(request, actor, ctx.settings.region.language)))
    status = Invalid.status
    if not wrong:
        try:
            if queue_id is None:
                await queues.add_queue(ctx.pool, country=country, actor=actor, **changes)
            else:
                await queues.update_queue(ctx.pool, actor, queue_id, changes, country=country)
        except (Invalid, Conflict) as refused:
            wrong, status = dict(refused.fields) or {"": refused.detail}, refused.status
    if not wrong:
        return see_other("/admin/queues", "created" if queue_id is None else "saved")
    queue = await queues.fetch_queue(ctx.pool, queue_id) if queue_id is not None else None
    return await _form(request, ctx, actor, queue, form, wrong, status)


async def _form(
    request: web.Request,
    ctx: Context,
    actor: Actor,
    queue: Mapping[str, Any] | None,
    form: Mapping[str, str] | None = None,
    wrong: Mapping[str, str] | None = None,
    status: int = 200,
) -> web.StreamResponse:
    """What was typed, where something was, else what is kept."""
    snapshot = ctx.directory.snapshot
    others = (
        desk.queue_title(snapshot, one) for one in snapshot.queues if str(one) != (queue or {}).get("id")
    )
    typed = typed_of(queue or {})
    return render(
        request, ctx, actor, "admin_queue.html",
        status=status,
        queue=queue,
        typed={name: form.get(name, "") for name in typed} if form else typed,
        others=[one for one in others if one is not None],
        days=day_names(language_of(request, actor, ctx.settings.region.language)),
        zones=zones(),
        own_zone=ctx.settings.region.timezone,
        wrong=wrong or {},
        presence=await desk.presence_of(ctx.pool, actor.agent_id),
    )  # fmt: skip
