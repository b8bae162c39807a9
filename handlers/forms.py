"""Web forms: ``/forms/{form}``, hosted, embeddable and plain post (docs/contract.md section 2).

The page works without JavaScript and needs no cookie, so there is nothing that another site could
abuse. JSON is answered with 201 and the ticket, a browser's form post with 303 to a thank-you page.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from weakref import WeakKeyDictionary

import structlog
from aiohttp import web

from handlers.errors import problem_response
from handlers.form_fields import (
    Submission,
    check_submission,
    fields_of,
    guess_content_type,
    read_submission,
)
from handlers.form_guard import (
    ID_FIELD,
    STAMP_FIELD,
    RateLimit,
    Stamp,
    Stamps,
    client_address,
    decide_spam,
    peer_key,
)
from handlers.form_pages import FormDoor, embed_script, form_page, render
from handlers.form_texts import TEXTS, choose_language
from handlers.http import route
from server.context import Context
from server.domain.errors import Invalid, Malformed, NotFound, RingpostError, TooLarge
from server.domain.permission import Actor, Permission
from server.domain.view import ticket_number
from server.push.hub import Hub
from server.services import quarantine
from server.services.take_touches import FormItem

log = structlog.get_logger("forms")

BASIC = frozenset({"name", "email", "phone", "subject", "message"})
PREFLIGHT_SECONDS = "7200"
SUBMISSION_ID = re.compile(r"[A-Za-z0-9-]{16,64}")


@dataclass(frozen=True, slots=True)
class _Guards:
    """What is kept between requests, one for each running server."""

    stamps: Stamps
    limit: RateLimit


_guards: WeakKeyDictionary[Hub, _Guards] = WeakKeyDictionary()


def _guards_of(ctx: Context) -> _Guards:
    found = _guards.get(ctx.hub)
    if found is None:
        found = _guards[ctx.hub] = _Guards(Stamps.of(ctx.settings.server.data_dir), RateLimit())
    return found


@route("GET", "/forms/{form}", Permission.PUBLIC)
async def show_form(request: web.Request, ctx: Context, actor: Actor | None) -> web.StreamResponse:
    """The hosted page; with ``.js`` behind the name, the script that embeds the form elsewhere."""
    name = request.match_info["form"]
    if name not in ctx.settings.forms and name.endswith(".js"):
        return embed_script(_door(request, ctx, name.removesuffix(".js")))
    return _page(ctx, _door(request, ctx, name), Submission({}, {}))


@route("GET", "/forms/{form}/thanks", Permission.PUBLIC)
async def show_thanks(request: web.Request, ctx: Context, actor: Actor | None) -> web.StreamResponse:
    door = _door(request, ctx, request.match_info["form"])
    said = request.query.get("ticket", "")
    number = said if re.fullmatch(r"RP-\d{6,15}", said) else ""
    return render(door, "thanks.html", {"number": number}, status=200)


@route("OPTIONS", "/forms/{form}", Permission.PUBLIC)
async def preflight(request: web.Request, ctx: Context, actor: Actor | None) -> web.StreamResponse:
    """WHATWG Fetch: what a page of a configured origin may send."""
    door = _door(request, ctx, request.match_info["form"])
    reply = web.Response(status=204, headers={"Allow": "GET, POST, OPTIONS"})
    if _allow_origin(request, door, reply):
        reply.headers["Access-Control-Allow-Methods"] = "GET, POST"
        reply.headers["Access-Control-Allow-Headers"] = "content-type, idempotency-key, accept-language"
        reply.headers["Access-Control-Max-Age"] = PREFLIGHT_SECONDS
    return reply


@route("POST", "/forms/{form}", Permission.PUBLIC)
async def post_form(request: web.Request, ctx: Context, actor: Actor | None) -> web.StreamResponse:
    door = _door(request, ctx, request.match_info["form"])
    reply: web.StreamResponse
    try:
        reply = await _take(request, ctx, door)
    except RingpostError as bad:
        # Answered here, so that a page of an allowed origin can read what was wrong.
        if bad.status == 429 and _wants_page(request):
            say = TEXTS[door.language]
            reply = render(door, "stopped.html", {"text": say["error_too_many"]}, status=429)
            reply.headers["Retry-After"] = str(getattr(bad, "retry_after_seconds", 60))
        else:
            reply = problem_response(request, bad)
    _allow_origin(request, door, reply)
    return reply


async def _take(request: web.Request, ctx: Context, door: FormDoor) -> web.StreamResponse:
    guards, now = _guards_of(ctx), datetime.now(UTC)
    peer = client_address(request, ctx.settings.server.trusted_proxies)
    guards.limit.take(f"{door.name} {peer_key(peer)}", door.form.rate_per_minute, time.monotonic())
    body = await _read(request, ctx.settings.server.max_form_bytes)
    values = read_submission(body, request.headers.get("Content-Type", ""))
    is_json = "json" in request.headers.get("Content-Type", "").lower()
    sent = check_submission(door.fields, values, door.language, ctx.settings.region.default_country)
    stamp = guards.stamps.check(door.name, values.get(STAMP_FIELD, ""), now.timestamp())
    key = _event_key(request, values, sent.values)
    spam = decide_spam(values, door.honeypot, stamp)
    if spam is not None:
        log.info("form_spam", form=door.name, reason=spam)
        meta = {"peer": peer, "content_type": request.headers.get("Content-Type", "")[:200]}
        await quarantine.put(ctx.pool, "form", door.name, f"spam: {spam}", meta, body)
        # A number that looks like any other: the machine learns nothing.
        return _done(
            request, door, ticket_number(int(hashlib.sha256(key.encode()).hexdigest()[:4], 16)), is_json
        )
    if stamp is Stamp.STALE:
        say = TEXTS[door.language]["error_stale"]
        sent = replace(sent, errors={**sent.errors, "": say})
    if sent.errors:
        if not is_json and _wants_page(request):
            return _page(ctx, door, sent, status=422, submission_id=values.get(ID_FIELD, ""))
        named = {name or STAMP_FIELD: text for name, text in sent.errors.items()}
        raise Invalid("the form is not complete: " + ", ".join(named), fields=named)
    outcome = await ctx.touches.submit(_item(ctx, door, sent, key, body, now))
    return _done(request, door, outcome.ticket_number, is_json)


async def retake(ctx: Context, form_name: str, meta: Mapping[str, Any], raw: bytes) -> None:
    """Take a quarantined submission in again: a person has looked at it, so no trap holds it back.

    Raises NotFound for a form that is no longer there, and what is wrong with the fields.
    """
    form = ctx.settings.forms.get(form_name)
    if form is None:
        raise NotFound(f"there is no form {form_name[:64]!r} any more: configure [forms.{form_name[:64]}]")
    door = FormDoor(form_name, form, fields_of(form.fields), ctx.settings.region.language)
    values = read_submission(raw, str(meta.get("content_type") or guess_content_type(raw)))
    sent = check_submission(door.fields, values, door.language, ctx.settings.region.default_country)
    if sent.errors:
        raise Invalid("the form is not complete: " + ", ".join(sent.errors), fields=dict(sent.errors))
    key = f"again:{hashlib.sha256(raw).hexdigest()}"
    await ctx.touches.submit(_item(ctx, door, sent, key, raw, datetime.now(UTC)))


def _item(ctx: Context, door: FormDoor, sent: Submission, key: str, body: bytes, now: datetime) -> FormItem:
    return FormItem(
        form=door.name,
        queue=door.form.queue,
        name=sent.values.get("name", ""),
        email=_first_of(door, sent, "email", "email"),
        phone=_first_of(door, sent, "phone", "tel"),
        subject=sent.values.get("subject", ""),
        message=sent.values.get("message", "") or _as_text(door, sent),
        fields={name: value for name, value in sent.values.items() if name not in BASIC and value},
        event_key=key,
        raw=body,
        received_at=now,
        country=ctx.settings.region.default_country,
    )


def _door(request: web.Request, ctx: Context, name: str) -> FormDoor:
    form = ctx.settings.forms.get(name)
    if form is None:
        raise NotFound("there is no form of that name")
    language = choose_language(
        request.query.get("lang", ""),
        request.headers.get("Accept-Language", ""),
        ctx.settings.region.language,
    )
    return FormDoor(name, form, fields_of(form.fields), language)


def _first_of(door: FormDoor, sent: Submission, name: str, kind: str) -> str:
    """The field of that name, else the first filled one of that type."""
    value = sent.values.get(name, "")
    return value or next(
        (sent.values[f.name] for f in door.fields if f.type == kind and sent.values[f.name]), ""
    )


def _as_text(door: FormDoor, sent: Submission) -> str:
    """A form without a message field: its answers, one in a line."""
    filled = [field for field in door.fields if sent.values[field.name]]
    return "\n".join(f"{field.label(door.language)}: {sent.values[field.name]}" for field in filled)


async def _read(request: web.Request, most: int) -> bytes:
    too_large = TooLarge(f"a form may have at most {most} bytes")
    if (request.content_length or 0) > most:
        raise too_large
    body = bytearray()
    async for piece in request.content.iter_any():
        body += piece
        if len(body) > most:
            raise too_large
    return bytes(body)


def _event_key(request: web.Request, values: Mapping[str, str], cleaned: Mapping[str, str]) -> str:
    """Equal for the two posts of a double click. The header alone decides where a program sends one."""
    given = request.headers.get("Idempotency-Key")
    if given is not None:
        if not 1 <= len(given) <= 200 or not given.isprintable():
            raise Malformed("the Idempotency-Key header must have 1 to 200 printable characters")
        return f"key:{given}"
    shown = values.get(ID_FIELD, "")
    if SUBMISSION_ID.fullmatch(shown):
        # Going back and sending another text makes another ticket, although the page is the same.
        content = hashlib.sha256(json.dumps(sorted(cleaned.items())).encode()).hexdigest()[:16]
        return f"id:{shown}:{content}"
    return f"new:{uuid.uuid4()}"


def _wants_page(request: web.Request) -> bool:
    return "text/html" in request.headers.get("Accept", "")


def _done(request: web.Request, door: FormDoor, number: str, is_json: bool) -> web.StreamResponse:
    accepts = request.headers.get("Accept", "")
    if is_json or ("application/json" in accepts and not _wants_page(request)):
        return web.json_response({"ticket": number}, status=201)
    query = {"ticket": number}
    if request.query.get("lang"):
        query["lang"] = door.language
    return web.Response(status=303, headers={"Location": f"/forms/{door.name}/thanks?{urlencode(query)}"})


def _page(
    ctx: Context, door: FormDoor, sent: Submission, *, status: int = 200, submission_id: str = ""
) -> web.Response:
    stamp = _guards_of(ctx).stamps.make(door.name, time.time())
    shown_id = submission_id if SUBMISSION_ID.fullmatch(submission_id) else str(uuid.uuid4())
    return form_page(door, sent, {STAMP_FIELD: stamp, ID_FIELD: shown_id}, status=status)


def _allow_origin(request: web.Request, door: FormDoor, reply: web.StreamResponse) -> bool:
    """Echo a configured origin, never ``*`` and never ``null``; the answer differs by origin either way."""
    varies = [reply.headers["Vary"]] if "Vary" in reply.headers else []
    reply.headers["Vary"] = ", ".join([*varies, "Origin"])
    origin = request.headers.get("Origin", "")
    if not origin or origin == "null" or origin not in door.form.origins:
        return False
    reply.headers["Access-Control-Allow-Origin"] = origin
    reply.headers["Access-Control-Expose-Headers"] = "Retry-After"
    return True
