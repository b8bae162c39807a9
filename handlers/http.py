"""The application's plumbing: routes that declare their permission, and the one place that enforces it.

``@route(method, path, Permission.X)`` marks a handler ``async def (request, ctx, actor)``;
``build_http_app`` collects the marked handlers of the modules it is given. Cookie-authenticated
requests that change something must come from a page of this server (``Sec-Fetch-Site`` or
``Origin``), so that another site cannot act in an agent's name.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from types import ModuleType
from urllib.parse import urlsplit

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler as AiohttpHandler

from handlers.errors import fault_response, problem, problem_response
from server.context import Context
from server.domain.errors import Forbidden, NotAuthenticated, NotFound, RingpostError
from server.domain.permission import Actor, Permission, require

COOKIE = "ringpost_session"
UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})
HOT = ("/hooks/", "/healthz", "/readyz", "/metrics")  # neither authenticated nor given a request id
REQUEST_ID = web.RequestKey("request_id", str)
PLAIN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
MAX_BODY_BYTES = 40 * 1024 * 1024  # doors have tighter limits of their own

Handler = Callable[[web.Request, Context, Actor | None], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    path: str
    permission: Permission
    handler: Handler


def route(method: str, path: str, permission: Permission) -> Callable[[Handler], Handler]:
    """Declare a route; may be used several times on one handler."""

    def declare(handler: Handler) -> Handler:
        handler.__dict__.setdefault("ringpost_routes", []).append((method, path, permission))
        return handler

    return declare


def routes_of(modules: Iterable[ModuleType]) -> list[Route]:
    """Every declared route of these modules, fixed paths before patterns."""
    found = {
        (method, path): Route(method, path, permission, handler)
        for module in modules
        for handler in vars(module).values()
        if callable(handler) and getattr(handler, "__module__", None) == module.__name__
        for method, path, permission in getattr(handler, "__dict__", {}).get("ringpost_routes", ())
    }
    return sorted(found.values(), key=lambda one: (one.path.count("{"), one.path, one.method))


Lost = Callable[[web.Request, Context, Actor | None, RingpostError], web.Response]
LOST: web.AppKey[Callable[[web.Request], Awaitable[web.Response]]] = web.AppKey("lost")
MACHINES = ("/api/", "/hooks/", "/assets/", "/healthz", "/readyz", "/metrics")


def build_http_app(ctx: Context, modules: Iterable[ModuleType], lost: Lost | None = None) -> web.Application:
    """``lost`` is the page for a person whose address leads nowhere."""
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[_outermost])
    if lost is not None:

        async def page(request: web.Request) -> web.Response:
            actor, _ = await authenticate(request, ctx)
            return lost(request, ctx, actor, NotFound("there is no such page"))

        app[LOST] = page
    for one in routes_of(modules):
        app.router.add_route(one.method, one.path, _guarded(ctx, one))
    app.on_response_prepare.append(_secure)
    return app


def _guarded(ctx: Context, one: Route) -> AiohttpHandler:
    """The handler behind its permission. Public doors pay nothing for it."""
    handler, permission = one.handler, one.permission
    is_page = bool(handler.__dict__.get("console_page"))

    if permission is Permission.PUBLIC and one.path.startswith(
        ("/hooks/", "/healthz", "/readyz", "/metrics")
    ):

        async def open_door(request: web.Request) -> web.StreamResponse:
            return await handler(request, ctx, None)

        return _declared(open_door, permission)

    async def guarded(request: web.Request) -> web.StreamResponse:
        actor, by_cookie = await authenticate(request, ctx)
        if permission is not Permission.PUBLIC:
            if by_cookie and actor is not None and request.method in UNSAFE:
                check_same_origin(request, ctx)
            if not is_page:  # a page answers a refusal with a page
                if actor is None:
                    raise NotAuthenticated("log in, or send a token as Authorization: Bearer")
                require(actor, permission)
        return await handler(request, ctx, actor)

    return _declared(guarded, permission)


def _declared(handler: AiohttpHandler, permission: Permission) -> AiohttpHandler:
    handler.__dict__["permission"] = permission
    return handler


async def authenticate(request: web.Request, ctx: Context) -> tuple[Actor | None, bool]:
    """Who asks, and whether a cookie said so."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return await ctx.authenticator.actor(token.strip()), False
    cookie = request.cookies.get(COOKIE)
    if cookie:
        return await ctx.authenticator.actor(cookie), True
    return None, False


def check_same_origin(request: web.Request, ctx: Context) -> None:
    """Raise Forbidden unless a page of this server sent the request."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        if site in ("same-origin", "none"):
            return
        raise Forbidden("this request came from another site")
    origin = request.headers.get("Origin") or request.headers.get("Referer")
    if origin is not None:
        said = urlsplit(origin)
        if said.netloc == request.host or f"{said.scheme}://{said.netloc}" == ctx.public_url:
            return
    raise Forbidden("this request did not come from a page of this server")


@web.middleware
async def _outermost(request: web.Request, handler: AiohttpHandler) -> web.StreamResponse:
    """Every door: errors become answers. But for machines' hot doors, logs carry the request's id."""
    if request.path.startswith(HOT):
        return await _answered(request, handler)
    request[REQUEST_ID] = request_id_of(request)
    with structlog.contextvars.bound_contextvars(request_id=request[REQUEST_ID]):
        return await _answered(request, handler)


def _is_person(request: web.Request) -> bool:
    return "text/html" in request.headers.get("Accept", "") and not request.path.startswith(MACHINES)


def request_id_of(request: web.Request) -> str:
    """The ``X-Request-Id`` that came, where it is a plain one, else one of ours."""
    said = request.headers.get("X-Request-Id", "")
    return said if PLAIN_ID.fullmatch(said) else secrets.token_hex(8)


async def _answered(request: web.Request, handler: AiohttpHandler) -> web.StreamResponse:
    try:
        return await handler(request)
    except RingpostError as error:
        return problem_response(request, error)
    except web.HTTPException as http:
        if http.status < 400:
            raise
        page = request.app.get(LOST)
        if http.status == 404 and page is not None and _is_person(request):
            return await page(request)
        said = {404: "there is nothing here", 405: "this method is not allowed here"}
        answer = problem(http.status, said.get(http.status, http.reason))
        if "Allow" in http.headers:
            answer.headers["Allow"] = http.headers["Allow"]
        return answer
    except Exception as error:
        request_id = request.get(REQUEST_ID) or request_id_of(request)
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            return fault_response(request, error, request_id)


CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "media-src 'self'; connect-src 'self' ws: wss:; frame-src 'self'; manifest-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)


async def _secure(request: web.Request, response: web.StreamResponse) -> None:
    """Headers for what browsers show; machines' doors do without."""
    if request.path.startswith("/hooks/"):
        return
    headers = response.headers
    if REQUEST_ID in request:
        headers["X-Request-Id"] = request[REQUEST_ID]
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("Referrer-Policy", "same-origin")
    if response.content_type == "text/html":
        headers.setdefault("Content-Security-Policy", CSP)
        headers.setdefault("Cache-Control", "no-store")
        if "frame-ancestors 'none'" in headers["Content-Security-Policy"]:
            headers.setdefault("X-Frame-Options", "DENY")
