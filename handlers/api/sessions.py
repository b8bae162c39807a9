"""``/api/v1/sessions``: log in and out; ``/api/v1/tokens``: an agent's own API tokens."""

from __future__ import annotations

from typing import Annotated, Any

from aiohttp import web
from pydantic import Field

from handlers.api.shapes import NewTokenGiven, Session, Token
from handlers.form_guard import client_address
from handlers.http import COOKIE
from handlers.resource import Body, Call, Paged, answered, resource
from server.context import Context
from server.domain.errors import NotFound
from server.domain.permission import Permission
from server.services import agents, sessions

CREATED = 201


class LogIn(Body):
    email: Annotated[str, Field(max_length=320)]
    password: Annotated[str, Field(max_length=1024)]


class NewToken(Body):
    name: Annotated[str, Field(min_length=1, max_length=100, description="to tell it from others")]


def client_of(request: web.Request, ctx: Context) -> str:
    """The peer's address and its user agent, as a log-in is counted and remembered by."""
    agent = request.headers.get("User-Agent", "")[:200]
    return f"{client_address(request, ctx.settings.server.trusted_proxies)} {agent}".strip()


def set_session_cookie(response: web.Response, ctx: Context, token: str) -> None:
    response.set_cookie(
        COOKIE,
        token,
        max_age=ctx.settings.agents.session_hours * 3600,
        path="/",
        httponly=True,
        samesite="Lax",
        secure=ctx.public_url.startswith("https://"),
    )


def session_token(request: web.Request) -> str:
    """The token that this request came with, whichever way."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token else request.cookies.get(COOKIE, "")


@resource("POST", "/sessions", Permission.PUBLIC, answer=Session, status=CREATED)
async def log_in(call: Call, body: LogIn) -> web.StreamResponse:
    """Log in: a cookie for browsers, the same token for programs"""
    token, actor = await sessions.log_in(
        call.ctx.pool,
        body.email,
        body.password,
        client=client_of(call.request, call.ctx),
        hours=call.ctx.settings.agents.session_hours,
    )
    agent = await agents.fetch_agent(call.ctx.pool, actor.agent_id)
    response = answered(call.request, {"token": token, "agent": agent}, CREATED, versioned=False)
    set_session_cookie(response, call.ctx, token)
    return response


@resource("DELETE", "/sessions", Permission.SESSION_OWN, status=204)
async def log_out(call: Call) -> web.StreamResponse:
    """End the session that this request came with"""
    token = session_token(call.request)
    await sessions.log_out(call.ctx.pool, token)
    call.ctx.authenticator.forget(token)
    response = web.Response(status=204)
    response.del_cookie(COOKIE, path="/", httponly=True, samesite="Lax")
    return response


@resource("GET", "/tokens", Permission.TOKENS_OWN, answer=Token, listed=True)
async def list_tokens(call: Call, query: Paged) -> dict[str, Any]:
    """One's own API tokens, revoked ones too"""
    items = await sessions.list_tokens(call.ctx.pool, call.who.agent_id)
    return {"items": items[: query.limit], "next": None}


@resource("POST", "/tokens", Permission.TOKENS_OWN, answer=NewTokenGiven, status=CREATED)
async def add_token(call: Call, body: NewToken) -> dict[str, Any]:
    """A new API token; it is shown this once"""
    return {"token": await sessions.add_token(call.ctx.pool, call.who.agent_id, body.name)}


@resource("DELETE", "/tokens/{id}", Permission.TOKENS_OWN, status=204)
async def revoke_token(call: Call) -> None:
    """Revoke one of one's own tokens"""
    if call.id() <= 0:
        raise NotFound("there is no such token")
    await sessions.revoke_token(call.ctx.pool, call.id(), agent_id=call.who.agent_id)
    call.ctx.authenticator.forget()
