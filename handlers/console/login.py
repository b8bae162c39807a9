"""Log in and out, and the language of this browser."""

from __future__ import annotations

from aiohttp import web

from handlers.console.door import form_of, page, safe_next
from handlers.console.language import COOKIE as LANGUAGE
from handlers.console.language import LANGUAGES, catalogue, language_of
from handlers.console.render import render
from handlers.form_guard import client_address
from handlers.http import COOKIE, check_same_origin, route
from server.context import Context
from server.domain.errors import NotAuthenticated, RingpostError, TooMany
from server.domain.permission import Actor, Permission
from server.services import sessions

YEAR = 365 * 86400


@route("GET", "/login", Permission.PUBLIC)
async def login_page(request: web.Request, ctx: Context, actor: Actor | None) -> web.StreamResponse:
    target = safe_next(request.query.get("next", "/"))
    if actor is not None:
        return web.Response(status=303, headers={"Location": target})
    return render(request, ctx, None, "login.html", wrong="", next=target, email="")


@route("POST", "/login", Permission.PUBLIC)
async def log_in(request: web.Request, ctx: Context, actor: Actor | None) -> web.StreamResponse:
    check_same_origin(request, ctx)
    form = await form_of(request)
    target, email = safe_next(form.get("next", "/")), form.get("email", "")[:320]
    peer = client_address(request, ctx.settings.server.trusted_proxies)
    client = f"{peer} {request.headers.get('User-Agent', '')}"
    hours = ctx.settings.agents.session_hours
    texts = catalogue(language_of(request, None, ctx.settings.region.language))
    try:
        token, _ = await sessions.log_in(
            ctx.pool, email, form.get("password", ""), client=client, hours=hours
        )
    except (NotAuthenticated, TooMany) as refused:
        said = texts.gettext("The address or the password is not right.")
        headers = {}
        if isinstance(refused, TooMany):
            said = texts.gettext("Too many attempts. Wait a few minutes, then try again.")
            headers["Retry-After"] = str(refused.retry_after_seconds)
        answer = render(
            request, ctx, None, "login.html", status=refused.status, wrong=said, next=target, email=email
        )
        answer.headers.update(headers)
        return answer
    except RingpostError as away:
        return render(request, ctx, None, "error.html", status=away.status, wrong=away)
    response = web.Response(status=303, headers={"Location": target, "Cache-Control": "no-store"})
    response.set_cookie(
        COOKIE,
        token,
        max_age=int(hours * 3600),
        path="/",
        httponly=True,
        samesite="Lax",
        secure=ctx.public_url.startswith("https://"),
    )
    return response


@page("POST", "/logout", Permission.SESSION_OWN)
async def log_out(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    token = request.cookies.get(COOKIE, "")
    await sessions.log_out(ctx.pool, token)
    ctx.authenticator.forget(token)
    response = web.Response(status=303, headers={"Location": "/login", "Cache-Control": "no-store"})
    response.del_cookie(COOKIE, path="/", httponly=True, samesite="Lax")
    return response


@route("POST", "/language", Permission.PUBLIC)
async def choose_language(request: web.Request, ctx: Context, actor: Actor | None) -> web.StreamResponse:
    """Switch in place: the same page comes again in the other language."""
    form = await form_of(request)
    response = web.Response(status=303, headers={"Location": safe_next(form.get("back", "/"))})
    if form.get("language") in LANGUAGES:
        response.set_cookie(LANGUAGE, form["language"], max_age=YEAR, path="/", samesite="Lax")
    return response
