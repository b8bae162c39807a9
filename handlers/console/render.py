"""One Jinja environment for each language, and the answer of a page with its headers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import jinja2
from aiohttp import web

from handlers.console.assets import asset_url
from handlers.console.language import LANGUAGES, TAGS, Language, catalogue, language_of
from handlers.console.words import FILTERS, Words, initials, named
from handlers.telephony.commands import dial_source
from server.context import Context
from server.domain.permission import Actor, Permission, allowed

FOLDER = Path(__file__).resolve().parents[2] / "templates" / "console"
NOTICE = "ringpost_notice"
# Where a softphone may sign on: what services/agent_phones.py takes as an address.
PBX_SOCKETS = " wss: ws://localhost:* ws://127.0.0.1:*"


@dataclass(frozen=True, slots=True)
class Reader:
    """Who looks at the page, and how: what every template may ask."""

    actor: Actor | None
    language: Language
    path: str
    theme: str
    socket_url: str
    notice: str
    part: str  # the id of the element that htmx will put the answer into; "" for a whole page
    can_call: bool = False  # a call source can dial

    @property
    def tag(self) -> str:
        return TAGS[self.language]

    @property
    def other_languages(self) -> list[Language]:
        return [language for language in LANGUAGES if language != self.language]

    def may(self, permission: str) -> bool:
        return allowed(self.actor, Permission(permission))


@lru_cache
def environment(language: Language) -> jinja2.Environment:
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n", "jinja2.ext.do"],
    )
    texts = catalogue(language)
    env.install_gettext_callables(  # type: ignore[attr-defined]
        texts.gettext, texts.ngettext, newstyle=True, pgettext=texts.pgettext, npgettext=texts.npgettext
    )
    env.globals["asset"] = asset_url
    env.filters.update({name: _worded(name) for name in FILTERS})
    env.filters |= {"initials": initials, "named": named}
    return env


def _worded(name: str) -> Callable[..., object]:
    """A filter that writes in the reader's way: the template's context says whose."""

    @jinja2.pass_context
    def written(context: jinja2.runtime.Context, value: Any, *rest: Any) -> object:
        return getattr(context["words"], name)(value, *rest)

    return written


def words_of(language: Language, zone: str, country: str, now: datetime) -> Words:
    return Words(language, catalogue(language), ZoneInfo(zone), country, now)


def reader_of(request: web.Request, ctx: Context, actor: Actor | None) -> Reader:
    theme = request.cookies.get("ringpost_theme", "")
    return Reader(
        actor=actor,
        language=language_of(request, actor, ctx.settings.region.language),
        path=request.path,
        theme=theme if theme in ("light", "dark") else "",
        socket_url=socket_url(request, ctx),
        notice=request.cookies.get(NOTICE, ""),
        part=request.headers.get("HX-Target", "") if request.headers.get("HX-Request") else "",
        can_call=actor is not None and dial_source(ctx) is not None,
    )


def words_for(request: web.Request, ctx: Context, actor: Actor | None) -> Words:
    region = ctx.settings.region
    language = language_of(request, actor, region.language)
    return words_of(language, region.timezone, region.default_country, datetime.now(UTC))


def render_text(reader: Reader, words: Words, template: str, **values: Any) -> str:
    page = environment(reader.language).get_template(template)
    return page.render(reader=reader, words=words, now=words.now, **values)


def render(
    request: web.Request,
    ctx: Context,
    actor: Actor | None,
    template: str,
    *,
    status: int = 200,
    **values: Any,
) -> web.Response:
    """A page, or the part of it that the template gives when htmx asks."""
    reader = reader_of(request, ctx, actor)
    text = render_text(reader, words_for(request, ctx, actor), template, **values)
    response = web.Response(status=status, text=text, content_type="text/html", headers=page_headers(reader))
    if reader.notice:
        response.del_cookie(NOTICE, path="/", samesite="Lax")
    return response


def page_headers(reader: Reader) -> dict[str, str]:
    socket = urlsplit(reader.socket_url)
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        f"connect-src 'self' {socket.scheme}://{socket.netloc}{PBX_SOCKETS if reader.actor else ''}; "
        "frame-src 'self'; media-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'; manifest-src 'self'"
    )
    return {
        "Content-Security-Policy": policy,
        "Content-Language": reader.tag,
        "Cache-Control": "no-store",
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Vary": "Cookie, Accept-Language, HX-Request",
    }


def socket_url(request: web.Request, ctx: Context) -> str:
    """Beside this page on the socket's own port; behind a TLS proxy the proxy passes ``/agent`` on."""
    public = urlsplit(ctx.settings.server.public_url)
    if public.scheme == "https" and request.host == public.netloc:
        return f"wss://{public.netloc}/agent"
    host = request.url.host or "127.0.0.1"
    shown = f"[{host}]" if ":" in host else host
    port = ctx.addresses.get("ws_port") or ctx.settings.server.ws_port
    return f"ws://{shown}:{port}/agent"


def see_other(location: str, notice: str = "") -> web.Response:
    """Answer a form post; ``notice`` names a text of ``notices.html`` that the next page shows once."""
    response = web.Response(status=303, headers={"Location": location, "Cache-Control": "no-store"})
    if notice:
        response.set_cookie(NOTICE, notice, max_age=30, path="/", httponly=True, samesite="Lax")
    return response
