"""Administration of agents: their roles, extensions, queues and phones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from handlers.console.door import form_lists, form_of, id_of, page
from handlers.console.render import render, see_other
from server.context import Context
from server.domain.errors import Conflict, Invalid
from server.domain.permission import ROLE_PERMISSIONS, Actor, Permission
from server.services import agent_phones, agents, desk

AGENT_FIELDS = ("name", "email", "role", "extension", "language")
PHONE_FIELDS = ("uri", "auth_user", "password", "wss_url", "display_name")


def _split(text: str) -> list[str]:
    return list(
        dict.fromkeys(
            one.strip() for one in text.replace("，", ",").replace("\n", ",").split(",") if one.strip()
        )
    )


@page("GET", "/admin/agents", Permission.AGENTS_WRITE)
async def agents_page(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    return render(
        request, ctx, actor, "admin_agents.html",
        agents=await agents.list_agents(ctx.pool, include_disabled=True),
        titles=_titles(ctx),
        presence=await desk.presence_of(ctx.pool, actor.agent_id),
    )  # fmt: skip


@page("GET", "/admin/agents/new", Permission.AGENTS_WRITE)
async def new_agent_page(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    return await _agent_form(request, ctx, actor, None, {}, {}, 200)


@page("POST", "/admin/agents/new", Permission.AGENTS_WRITE)
async def add_agent(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    form = await form_lists(request)
    said = {name: form.get(name, [""])[-1] for name in AGENT_FIELDS}
    try:
        made = await agents.add_agent(
            ctx.pool,
            name=said["name"],
            email=said["email"],
            role=said["role"],
            extension=said["extension"] or None,
            language=said["language"],
            queues=form.get("queues", []),
            skills=_split(form.get("skills", [""])[-1]),
            password=form.get("password", [""])[-1],
            actor=actor,
        )
    except (Invalid, Conflict) as wrong:
        fields = wrong.fields or {"": wrong.detail}
        return await _agent_form(request, ctx, actor, None, form, fields, wrong.status)
    return see_other(f"/admin/agents/{made['id']}", "created")


@page("GET", "/admin/agents/{id}", Permission.AGENTS_WRITE)
async def agent_page(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    agent = await agents.fetch_agent(ctx.pool, id_of(request))
    return await _agent_form(request, ctx, actor, agent, {}, {}, 200)


@page("POST", "/admin/agents/{id}", Permission.AGENTS_WRITE)
async def save_agent(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    agent_id, form = id_of(request), await form_lists(request)
    changes: dict[str, Any] = {name: form[name][-1] for name in AGENT_FIELDS if name in form}
    changes["queues"] = form.get("queues", [])
    changes["skills"] = _split(form.get("skills", [""])[-1])
    return await _save_agent(request, ctx, actor, agent_id, changes, form, "saved")


@page("POST", "/admin/agents/{id}/password", Permission.AGENTS_WRITE)
async def set_password(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    agent_id, form = id_of(request), await form_of(request)
    try:
        await agents.set_password(ctx.pool, actor, agent_id, form.get("password", ""))
    except Invalid as wrong:
        agent = await agents.fetch_agent(ctx.pool, agent_id)
        return await _agent_form(request, ctx, actor, agent, {}, wrong.fields, 422)
    ctx.authenticator.forget()
    return see_other(f"/admin/agents/{agent_id}", "password")


@page("POST", "/admin/agents/{id}/disabled", Permission.AGENTS_WRITE)
async def disable_agent(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    agent_id, form = id_of(request), await form_lists(request)
    off = form.get("disabled", [""])[-1] == "1"
    notice = "disabled" if off else "enabled"
    return await _save_agent(request, ctx, actor, agent_id, {"disabled": off}, {}, notice)


@page("POST", "/admin/agents/{id}/phone", Permission.AGENTS_WRITE)
async def save_phone(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    agent_id, form = id_of(request), await form_of(request)
    given = {name: form.get(name, "") for name in PHONE_FIELDS}
    try:
        await agent_phones.set_phone(ctx.pool, actor, agent_id, given)
    except Invalid as wrong:
        agent = await agents.fetch_agent(ctx.pool, agent_id)
        return await _agent_form(request, ctx, actor, agent, {}, {}, 422, given, wrong.fields)
    return see_other(f"/admin/agents/{agent_id}", "saved")


@page("POST", "/admin/agents/{id}/phone/removed", Permission.AGENTS_WRITE)
async def remove_phone(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    agent_id = id_of(request)
    await agent_phones.remove_phone(ctx.pool, actor, agent_id)
    return see_other(f"/admin/agents/{agent_id}", "unphoned")


async def _save_agent(
    request: web.Request,
    ctx: Context,
    actor: Actor,
    agent_id: int,
    changes: Mapping[str, Any],
    form: Mapping[str, list[str]],
    notice: str,
) -> web.StreamResponse:
    try:
        await agents.update_agent(ctx.pool, actor, agent_id, changes)
    except (Invalid, Conflict) as wrong:
        agent = await agents.fetch_agent(ctx.pool, agent_id)
        fields = wrong.fields or {"": wrong.detail}
        return await _agent_form(request, ctx, actor, agent, form, fields, wrong.status)
    ctx.authenticator.forget()
    return see_other(f"/admin/agents/{agent_id}", notice)


async def _agent_form(
    request: web.Request,
    ctx: Context,
    actor: Actor,
    agent: Mapping[str, Any] | None,
    form: Mapping[str, list[str]],
    wrong: Mapping[str, str],
    status: int,
    phone_form: Mapping[str, str] | None = None,
    phone_wrong: Mapping[str, str] | None = None,
) -> web.StreamResponse:
    phone = await agent_phones.find_phone(ctx.pool, int(agent["id"])) if agent else None
    stored: dict[str, Any] = {name: (agent or {}).get(name) or "" for name in AGENT_FIELDS}
    typed = {name: form[name][-1] if name in form else stored[name] for name in stored}
    skills = form["skills"][-1] if "skills" in form else ", ".join((agent or {}).get("skills", ()))
    return render(
        request, ctx, actor, "admin_agent.html",
        status=status,
        agent=agent,
        typed=typed | {"skills": skills},
        member=form.get("queues", []) if form else (agent or {}).get("queues", []),
        roles=tuple(ROLE_PERMISSIONS),
        titles=_titles(ctx),
        wrong=wrong,
        phone=phone,
        phone_typed=phone_form or phone or {},
        phone_wrong=phone_wrong or {},
        presence=await desk.presence_of(ctx.pool, actor.agent_id),
    )  # fmt: skip


def _titles(ctx: Context) -> list[dict[str, str]]:
    snapshot = ctx.directory.snapshot
    found = (desk.queue_title(snapshot, one) for one in snapshot.queues)
    return sorted((one for one in found if one is not None), key=lambda one: one["name"].casefold())
