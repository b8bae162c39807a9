"""``/api/v1/agents``, their state, and ``/api/v1/queues``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import Field

from handlers.api.sessions import session_token
from handlers.api.shapes import Agent, State, WrapUpOrNull
from handlers.resource import Body, Call, Paged, resource
from server.domain.permission import Permission
from server.domain.view import time_text
from server.services import after_call, agents

Role = Literal["agent", "supervisor", "administrator"]
Language = Literal["", "en", "zh_CN"]
READ, WRITE = Permission.AGENTS_READ, Permission.AGENTS_WRITE


class AgentChanges(Body):
    """A merge patch: what is not said stays, null empties, lists are replaced as a whole."""

    email: str | None = None
    name: Annotated[str | None, Field(min_length=1, max_length=200)] = None
    role: Role | None = None
    extension: str | None = None
    queues: Annotated[list[str] | None, Field(description="names")] = None
    skills: list[str] | None = None
    language: Language | None = None
    disabled: bool | None = None


class NewAgent(Body):
    email: Annotated[str, Field(json_schema_extra={"format": "email"})]
    name: Annotated[str, Field(min_length=1, max_length=200)]
    role: Role = "agent"
    extension: str | None = None
    queues: list[str] = Field(default_factory=list)
    skills: list[str] = Field(default_factory=list)
    language: Language = ""
    password: Annotated[str | None, Field(min_length=8, max_length=1024)] = None


class NewPassword(Body):
    password: Annotated[str, Field(min_length=8, max_length=1024)]


class NewState(Body):
    state: Literal["available", "not_ready"]
    reason: Annotated[str | None, Field(max_length=200)] = None


class AgentQuery(Paged):
    email: str | None = None
    role: str | None = None
    extension: str | None = None
    queue: Annotated[str | None, Field(description="name")] = None
    disabled: bool | None = None


@resource("GET", "/agents", READ, answer=Agent, listed=True)
async def list_agents(call: Call, query: AgentQuery) -> dict[str, Any]:
    """Agents, newest first"""
    return await agents.page_agents(call.ctx.pool, query.filters(), query.limit, query.cursor)


@resource("POST", "/agents", WRITE, answer=Agent, status=201, versioned=True)
async def add_agent(call: Call, body: NewAgent) -> dict[str, Any]:
    """Add an agent"""
    return await agents.add_agent(call.ctx.pool, actor=call.who, **body.model_dump())


@resource("GET", "/agents/me", Permission.SESSION_OWN, answer=Agent, versioned=True)
async def fetch_me(call: Call) -> dict[str, Any]:
    """Oneself"""
    return await agents.fetch_agent(call.ctx.pool, call.who.agent_id)


@resource("PUT", "/agents/me/state", Permission.PRESENCE_OWN, answer=State)
async def set_state(call: Call, body: NewState) -> dict[str, Any]:
    """Say whether one can take contacts; who becomes available gets what waits"""
    return await call.ctx.presence.set_state(call.who.agent_id, body.state, body.reason or "")


@resource("GET", "/agents/me/wrap_up", Permission.PRESENCE_OWN, answer=WrapUpOrNull)
async def fetch_wrap_up(call: Call) -> web.Response:
    """The after-call work that is to be done, or null; ended by the contact's disposition"""
    work = await after_call.wrap_up_of(call.ctx.pool, call.who.agent_id)
    if work is not None:
        work |= {"until": time_text(work["until"]), "since": time_text(work["since"])}
    return web.json_response(work, headers={"Cache-Control": "no-store"})


@resource("GET", "/agents/{id}", READ, answer=Agent, versioned=True)
async def fetch_agent(call: Call) -> dict[str, Any]:
    """An agent"""
    return await agents.fetch_agent(call.ctx.pool, call.id())


@resource("PATCH", "/agents/{id}", WRITE, answer=Agent, versioned=True)
async def update_agent(call: Call, body: AgentChanges) -> dict[str, Any]:
    """Change or disable an agent (RFC 7396)"""
    changed = await agents.update_agent(call.ctx.pool, call.who, call.id(), body.changes(), call.version)
    call.ctx.authenticator.forget()
    return changed


@resource("PUT", "/agents/{id}/password", WRITE, status=204)
async def set_password(call: Call, body: NewPassword) -> None:
    """Set an agent's password; the agent's sessions end"""
    own = call.id() == call.who.agent_id
    await agents.set_password(
        call.ctx.pool,
        call.who,
        call.id(),
        body.password,
        keep_token=session_token(call.request) if own else None,
    )
    call.ctx.authenticator.forget()


@resource("PUT", "/agents/{id}/state", Permission.PRESENCE_OTHERS, answer=State)
async def set_state_of(call: Call, body: NewState) -> dict[str, Any]:
    """Say for another agent whether contacts may come"""
    agent = await agents.fetch_agent(call.ctx.pool, call.id())
    return await call.ctx.presence.set_state(int(agent["id"]), body.state, body.reason or "")
