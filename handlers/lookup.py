"""``GET /hooks/lookup/{source}?number=...``: a PBX asks who calls, while the call rings.

The answer becomes the caller's name as it is (FreePBX "CallerID Lookup Sources", any other PBX that fetches an
URL): ``text/plain``, one line without an end, empty for nobody. So an error has no body either, unless JSON was
asked for: its words would be shown on telephones. ``?format=xml`` puts the name between tags, for a PBX that
cuts it out by a pattern (FreePBX Superfecta "Regular Expressions": ``<name>([^<]+)</name>``). A provider whose
PBX wants another form has a ``lookup_reply``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiohttp import web

from handlers.errors import problem_response
from handlers.form_guard import client_address, peer_key
from handlers.http import route
from handlers.lookup_guard import Guesses, check_asker
from handlers.telephony import markup
from handlers.telephony.provider import CallSource, HookReply, HookRequest
from handlers.telephony.sources import call_source, providers
from server.context import Context
from server.domain.errors import Malformed, RingpostError, TooMany, Unavailable
from server.domain.permission import Actor, Permission
from server.services.lookup import Found, look_up

MAX_NAME = 80
PATIENCE_SECONDS = 2.0  # the call waits: no name is better than a late one
LookupReply = Callable[[CallSource, HookRequest, Sequence[Mapping[str, Any]]], HookReply]
NO_STORE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

_guesses = Guesses()


@route("GET", "/hooks/lookup/{source}", Permission.PUBLIC)
async def lookup(request: web.Request, ctx: Context, actor: Actor | None) -> web.StreamResponse:
    try:
        reply = await _answer(request, ctx)
    except RingpostError as wrong:
        return _refusal(request, wrong)
    return web.Response(
        status=reply.status, text=reply.body, content_type=reply.content_type, headers=NO_STORE
    )


async def _answer(request: web.Request, ctx: Context) -> HookReply:
    source = call_source(ctx, request.match_info["source"])
    peer = client_address(request, ctx.settings.server.trusted_proxies)
    asked = HookRequest("GET", ctx.public_url + request.raw_path, request.headers, b"", peer_key(peer))
    check_asker(source, asked, _guesses, time.monotonic())
    number = next((value for name, value in asked.query if name == "number"), None)
    if number is None:
        raise Malformed("number is missing", fields={"number": "is required; empty for a withheld one"})
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            found = await look_up(ctx.pool, number, source.country)
    except TimeoutError:
        raise Unavailable("the database is too slow") from None
    reply: LookupReply | None = getattr(providers().get(source.provider), "lookup_reply", None)
    if reply is not None:
        return reply(source, asked, [_customer(ctx, found)] if found is not None else [])
    name = one_line(found.name) if found is not None else ""
    if name and ("format", "xml") in asked.query:
        name = markup.element("result", content=markup.element("name", content=markup.text(name)))
    return HookReply(200, name, "text/plain")


def one_line(name: str) -> str:
    """A name as a telephone shows it: no control characters, blanks squeezed, at most MAX_NAME characters."""
    shown = "".join(char if char.isprintable() else " " if char.isspace() else "" for char in name)
    return " ".join(shown.split())[:MAX_NAME].rstrip()


def _customer(ctx: Context, found: Found) -> dict[str, Any]:
    known = found.customer_id is not None
    return {
        "name": one_line(found.name),
        "company": one_line(found.company),
        "phone": found.number,
        "email": found.email,
        "number": found.customer_number,
        "url": f"{ctx.public_url}/customers/{found.customer_id}" if known else "",
    }


def _refusal(request: web.Request, wrong: RingpostError) -> web.Response:
    if "json" in request.headers.get("Accept", "").lower():
        return problem_response(request, wrong)
    headers = dict(NO_STORE)
    if wrong.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(wrong, TooMany | Unavailable):
        headers["Retry-After"] = str(wrong.retry_after_seconds)
    return web.Response(status=wrong.status, content_type="text/plain", headers=headers)
