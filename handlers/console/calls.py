"""The call log: filters, search, and the filtered list as CSV and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from aiohttp import web

from handlers.console.call_columns import columns_of, head_of
from handlers.console.door import page
from handlers.console.render import render, words_for
from handlers.console.spreadsheet import BYTE_ORDER_MARK, csv_line
from server.context import Context
from server.domain.errors import Invalid, NotFound
from server.domain.fields import parse_id
from server.domain.permission import Actor, Permission
from server.services import call_log, customers, desk

PAGE = 50
FILTERS = (
    "q", "from", "to", "direction", "state", "queue", "agent", "number", "customer", "source", "disposition",
)  # fmt: skip
FEW = ("queue", "agent", "number", "source", "disposition")  # shown when asked for
STATES = ("ringing", "answered", "held", "transferred", "ended", "missed", "voicemail")
DIRECTIONS = ("inbound", "outbound", "internal")


def asked_of(request: web.Request) -> dict[str, str]:
    """The filters of the address, as the form shows them again."""
    said = ((name, request.query.get(name, "").replace("\x00", "").strip()[:200]) for name in FILTERS)
    return {name: value for name, value in said if value}


async def filters_of(ctx: Context, actor: Actor, asked: Mapping[str, str]) -> dict[str, Any]:
    """As ``store.contacts.conditions`` takes them. Raises Invalid for what cannot be understood."""
    region = ctx.settings.region
    filters: dict[str, Any] = {
        name: asked[name] for name in ("queue", "source", "disposition") if name in asked
    }
    if asked.get("direction") in DIRECTIONS:
        filters["direction"] = asked["direction"]
    state = asked.get("state", "")
    if state in STATES:
        filters["state"] = [state]
    filters |= {"picked-up": {"answered": True}, "going-on": {"live": True}}.get(state, {})
    zone, wrong = ZoneInfo(region.timezone), dict[str, str]()
    for name, column, days in (("from", "started_after", 0), ("to", "started_before", 1)):
        if name in asked:
            filters[column] = _midnight(asked[name], zone, days)
            if filters[column] is None:
                wrong[name] = "must be a date such as 2026-01-31"
    if "agent" in asked:
        filters["agent_id"] = actor.agent_id if asked["agent"] == "me" else _id(asked, "agent", wrong)
    if "customer" in asked:
        filters["customer_id"] = _id(asked, "customer", wrong)
    if wrong:
        raise Invalid(fields=wrong)
    if "number" in asked:
        filters["number"] = call_log.read_number(asked["number"], region.default_country)
    if "q" in asked:
        filters["found"] = await call_log.read_search(ctx.pool, asked["q"], region.default_country)
    return filters


def _id(asked: Mapping[str, str], name: str, wrong: dict[str, str]) -> int:
    found = parse_id(asked[name])
    if found is None:
        wrong[name] = "must be an id"
    return found or 0


def _midnight(text: str, zone: ZoneInfo, days: int) -> datetime | None:
    """When the day begins where the installation is; None for what is no date."""
    try:
        return datetime.combine(date.fromisoformat(text) + timedelta(days), time(), zone)
    except (ValueError, OverflowError):
        return None


@page("GET", "/calls", Permission.CONTACTS_READ)
async def calls_page(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    asked, wrong = asked_of(request), dict[str, str]()
    found: dict[str, Any] = {"items": [], "next": None}
    try:
        filters = await filters_of(ctx, actor, asked)
        found = await call_log.list_calls(ctx.pool, actor, filters, PAGE, request.query.get("cursor") or None)
    except Invalid as bad:
        wrong = bad.fields
    return render(
        request, ctx, actor, "calls.html",
        items=found["items"],
        next=urlencode({**asked, "cursor": found["next"]}) if found["next"] else None,
        asked=asked,
        wrong=wrong,
        more=[name for name in FEW if name in asked],
        query=urlencode(asked),
        continued=bool(request.query.get("cursor")),
        about=await _customer(ctx, asked),
        without_customer=urlencode({name: value for name, value in asked.items() if name != "customer"}),
        people=await desk.assignable(ctx.pool),
        queues=[desk.queue_title(ctx.directory.snapshot, one) for one in ctx.directory.snapshot.queues],
        sources=list(ctx.settings.call_sources),
        outcomes={one["code"]: one for one in await call_log.known_dispositions(ctx.pool)},
        presence=await desk.presence_of(ctx.pool, actor.agent_id),
    )  # fmt: skip


async def _customer(ctx: Context, asked: Mapping[str, str]) -> dict[str, Any] | None:
    """Whose calls are asked for."""
    customer_id = parse_id(asked.get("customer"))
    if customer_id is None:
        return None
    try:
        return await customers.fetch_customer(ctx.pool, customer_id)
    except NotFound:
        return None


@page("GET", "/calls.csv", Permission.CONTACTS_READ)
async def calls_csv(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    """What the filters find, in the reader's words. The last line says so when there is more."""
    asked, words = asked_of(request), words_for(request, ctx, actor)
    filters = await filters_of(ctx, actor, asked)
    response = await _download(request, "calls.csv", "text/csv")
    await response.write((BYTE_ORDER_MARK + csv_line(head_of(words))).encode())
    async for items, cut in call_log.export_calls(ctx.pool, actor, filters, asked):
        lines = [csv_line(columns_of(one, words)) for one in items]
        if cut:
            said = words.texts.gettext("Cut off after %(count)s calls: choose a shorter period.")
            lines.append(csv_line([said % {"count": words.num(call_log.EXPORT_MOST)}]))
        await response.write("".join(lines).encode("utf-8", "replace"))
    await response.write_eof()
    return response


@page("GET", "/calls.json", Permission.CONTACTS_READ)
async def calls_json(request: web.Request, ctx: Context, actor: Actor) -> web.StreamResponse:
    """``{"items": [contacts as the API gives them], "cut": whether there are more}``."""
    asked = asked_of(request)
    filters = await filters_of(ctx, actor, asked)
    response = await _download(request, "calls.json", "application/json")
    await response.write(b'{"items":[')
    before, is_cut = "", False
    async for items, cut in call_log.export_calls(ctx.pool, actor, filters, asked):
        texts = [json.dumps(one, ensure_ascii=False, separators=(",", ":")) for one in items]
        if texts:
            await response.write((before + ",\n".join(texts)).encode("utf-8", "replace"))
            before = ",\n"
        is_cut = cut
    await response.write(b'],"cut":true}\n' if is_cut else b'],"cut":false}\n')
    await response.write_eof()
    return response


async def _download(request: web.Request, name: str, content_type: str) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={
            "Content-Type": f"{content_type}; charset=utf-8",
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        }
    )
    await response.prepare(request)
    return response
