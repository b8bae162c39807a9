"""How a console page is declared, and what a person sees when it cannot be shown."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from urllib.parse import quote, urlsplit

import structlog
from aiohttp import web

from handlers.console.render import render
from handlers.http import route
from server.context import Context
from server.domain.errors import Invalid, NotAuthenticated, NotFound, RingpostError, TooLarge
from server.domain.permission import Actor, Permission, require

log = structlog.get_logger("console")
Page = Callable[[web.Request, Context, Actor], Awaitable[web.StreamResponse]]
AnyPage = Callable[[web.Request, Context, Actor | None], Awaitable[web.StreamResponse]]
MAX_FORM_BYTES = 1_048_576


def page(method: str, path: str, permission: Permission) -> Callable[[Page], AnyPage]:
    """A route of the console for agents that are logged in.

    The permission is declared to the router and enforced here too, so that a refusal is a page and
    one who is not logged in is led to the log-in and back.
    """

    def declare(handler: Page) -> AnyPage:
        @wraps(handler)
        async def shown(request: web.Request, ctx: Context, actor: Actor | None) -> web.StreamResponse:
            try:
                if actor is None:
                    raise NotAuthenticated("log in first")
                require(actor, permission)
                return await handler(request, ctx, actor)
            except NotAuthenticated:
                return to_log_in(request)
            except RingpostError as wrong:
                return error_page(request, ctx, actor, wrong)
            except (web.HTTPException, ConnectionResetError):
                raise
            except Exception as fault:
                log.exception("page_failed", path=request.path, exc_info=fault)
                return error_page(request, ctx, actor, RingpostError("the server failed: this is our fault"))

        shown.__dict__["console_page"] = True
        return route(method, path, permission)(shown)

    return declare


def to_log_in(request: web.Request) -> web.Response:
    """To the log-in, and back to where the agent was: for a part that htmx fetches that is the page around it."""
    if request.headers.get("HX-Request"):
        around = urlsplit(request.headers.get("HX-Current-URL", ""))
        here = safe_next(f"{around.path}?{around.query}" if around.query else around.path)
        return web.Response(status=401, headers={"HX-Redirect": f"/login?next={quote(here, safe='')}"})
    here = request.rel_url.path_qs if request.method == "GET" else "/"
    target = "/login" if here == "/" else f"/login?next={quote(here, safe='')}"
    return web.Response(status=303, headers={"Location": target, "Cache-Control": "no-store"})


def error_page(request: web.Request, ctx: Context, actor: Actor | None, wrong: RingpostError) -> web.Response:
    return render(request, ctx, actor, "error.html", status=wrong.status, wrong=wrong)


def safe_next(target: str) -> str:
    """A path of this server, never another site."""
    parts = urlsplit(target)
    plain = target.startswith("/") and not target.startswith(("//", "/\\"))
    if plain and not parts.scheme and not parts.netloc and "\\" not in target and target.isprintable():
        return target
    return "/"


async def form_of(request: web.Request) -> Mapping[str, str]:
    """The posted fields; of a name that comes twice the last one."""
    fields = await form_lists(request)
    return {name: values[-1] for name, values in fields.items()}


async def form_lists(request: web.Request) -> dict[str, list[str]]:
    if (request.content_length or 0) > MAX_FORM_BYTES:
        raise TooLarge("this is more than a form may hold")
    posted = await request.post()
    fields: dict[str, list[str]] = {}
    for name, value in posted.items():
        if not isinstance(value, str):
            raise Invalid(f"{name}: a file is not expected here")
        plain = value if name == "password" else value.replace("\r\n", "\n").strip()
        fields.setdefault(name, []).append(plain)
    return fields


def id_of(request: web.Request, name: str = "id") -> int:
    said = request.match_info[name]
    if not said.isascii() or not said.isdecimal() or len(said) > 18:
        raise NotFound("there is no such page")
    return int(said)


def number_in(text: str, field: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise Invalid(fields={field: "must be an id"})
    return int(text)
