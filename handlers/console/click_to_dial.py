"""A telephone number was pressed: asked again where somebody does not want to be called, then dialled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from aiohttp import web

from handlers.console.call_control import words_of
from handlers.console.call_faults import CANNOT_CALL, told_to
from handlers.console.door import form_of, number_in, page, safe_next
from handlers.console.render import render, see_other
from handlers.telephony.commands import dial, dial_source
from handlers.telephony.control import CommandFailed
from server.context import Context
from server.domain.errors import Conflict, Invalid
from server.domain.permission import Actor, Permission
from server.services import dialling
from server.services.dialling import Dialling, Unwanted

REFUSED = 422  # htmx puts this answer in place as well
FAILED = 409


@page("POST", "/calls", Permission.CONTACTS_WRITE)
async def call(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    """``phone`` says that the agent's browser is a telephone: it dials where no call source can."""
    form = dict(await form_of(request))
    about = {name: form.get(name) or request.query.get(name, "") for name in ("customer", "ticket")}
    asked = {"number": form.get("number", "")[:200], **about}
    by_browser = form.get("phone") == "here" and dial_source(ctx) is None
    try:
        wanted = await _prepared(ctx, actor, form, asked, by_browser)
        if by_browser:
            await dialling.note_own_call(ctx.pool, actor, wanted)
        else:
            await dial(ctx, actor, wanted, None, form.get("key", "")[:40])
    except Unwanted as unwanted:
        return _answer(request, ctx, actor, REFUSED, asked, names=unwanted.names, key=uuid4().hex)
    except (Invalid, Conflict) as wrong:
        return _answer(request, ctx, actor, REFUSED, asked, failed=words_of(wrong))
    except CommandFailed as no:
        return _answer(request, ctx, actor, FAILED, asked, failed=told_to(actor, no, CANNOT_CALL))
    response = _answer(request, ctx, actor, 200, asked, dialled=wanted.number, by_browser=by_browser)
    told = {"number": wanted.number, "byBrowser": by_browser}
    response.headers["HX-Trigger"] = json.dumps({"rp-dialled": told})
    return response


async def _prepared(
    ctx: Context, actor: Actor, form: Mapping[str, str], asked: Mapping[str, str], by_browser: bool
) -> Dialling:
    return await dialling.prepare_call(
        ctx.pool,
        actor,
        asked["number"],
        country=ctx.settings.region.default_country,
        customer_id=number_in(asked["customer"], "customer_id") if asked["customer"] else None,
        ticket_id=number_in(asked["ticket"], "ticket_id") if asked["ticket"] else None,
        is_confirmed=form.get("confirm") == "yes",
        has_phone=by_browser,
    )


def _answer(
    request: web.Request, ctx: Context, actor: Actor, status: int, asked: Mapping[str, str], **what: Any
) -> web.Response:
    """A part for the page that asked, or a page of its own for a browser without scripts."""
    part = bool(request.headers.get("HX-Request"))
    values = {"names": [], "failed": "", "dialled": "", "by_browser": False, "key": ""} | what
    if not part:
        back = _back(request)
        if values["dialled"]:
            return see_other(back, "calling")
        return render(
            request, ctx, actor, "call_refused.html", status=status, asked=asked, back=back, **values
        )
    response = render(request, ctx, actor, "call_asked.html", status=status, asked=asked, **values)
    if not values["names"]:
        response.headers["HX-Reswap"] = "none"  # nothing to decide: only the notice over the page
    return response


def _back(request: web.Request) -> str:
    """Where the number was pressed."""
    here = urlsplit(request.headers.get("Referer", ""))
    return safe_next(f"{here.path}?{here.query}" if here.query else here.path or "/")
