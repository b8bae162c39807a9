"""``/hooks/calls/{source}``: any provider's webhook in, the provider's own language out, after commit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

import structlog
from aiohttp import web
from multidict import CIMultiDict

from handlers.http import route
from handlers.telephony.provider import CallSource, HookRequest, Provider, discover
from server.context import Context
from server.domain.errors import NotFound, RingpostError, TooLarge
from server.domain.outcome import CallOutcome
from server.domain.permission import Actor, Permission
from server.services import quarantine
from server.services.take_calls import call_item
from server.settings import Settings

log = structlog.get_logger("hooks")
# Made once: while the intake is full, a refusal must cost next to nothing.
FULL = b"""{"type": "about:blank", "title": "Service Unavailable", "status": 503, "code": "unavailable", \
"detail": "the server takes no more for the moment: nothing was taken, send it again"}"""
COME_AGAIN = {"Retry-After": "1", "Cache-Control": "no-store"}
SECRET_HEADERS = ("authorization", "cookie", "signature", "secret")


@lru_cache(maxsize=1)
def providers() -> Mapping[str, Provider]:
    return discover()


def call_source(ctx: Context, name: str) -> CallSource:
    """The configured source of that name. Raises NotFound."""
    found = _sources(ctx).get(name)
    if found is None:
        raise NotFound(f"there is no call source {name[:64]!r}: configure [call_sources.{name[:64]}]")
    return found


_made: tuple[Settings, str, dict[str, CallSource]] | None = None


def _sources(ctx: Context) -> dict[str, CallSource]:
    """Made once: the settings are frozen, the public address is known from the start."""
    global _made  # noqa: PLW0603
    origin = ctx.public_url
    if _made is not None and _made[0] is ctx.settings and _made[1] == origin:
        return _made[2]
    region = ctx.settings.region.default_country
    sources = {
        name: CallSource(
            name=name,
            provider=said.provider,
            secrets=tuple(secret.get_secret_value() for secret in said.secrets),
            country=said.country or region,
            queue=said.queue,
            ring=said.ring,
            hook_url=f"{origin}/hooks/calls/{name}",
            options=dict(_flat(said.model_extra or {})),
        )
        for name, said in ctx.settings.call_sources.items()
    }
    _made = (ctx.settings, origin, sources)
    return sources


def _flat(extra: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in extra.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, str(value)


@route("POST", "/hooks/calls/{source}", Permission.PUBLIC)
@route("GET", "/hooks/calls/{source}", Permission.PUBLIC)
@route("POST", "/hooks/calls/{source}/{tail:.*}", Permission.PUBLIC)
@route("GET", "/hooks/calls/{source}/{tail:.*}", Permission.PUBLIC)
async def call_webhook(request: web.Request, ctx: Context, actor: Actor | None) -> web.StreamResponse:
    if ctx.calls.full:
        return web.Response(
            status=503, body=FULL, content_type="application/problem+json", headers=COME_AGAIN
        )
    source = call_source(ctx, request.match_info["source"])
    provider = providers()[source.provider]
    limit = ctx.settings.server.max_hook_bytes
    if (request.content_length or 0) > limit:
        raise TooLarge(f"a webhook may have {limit} bytes")
    body = await request.read()
    if len(body) > limit:
        raise TooLarge(f"a webhook may have {limit} bytes")
    now = datetime.now(UTC)
    hook = HookRequest(
        method=request.method,
        url=ctx.public_url + request.raw_path,
        headers=request.headers,
        body=body,
        peer=request.remote or "",
        received_at=now,
    )
    provider.verify(source, hook)
    try:
        events = provider.parse(source, hook)
    except Exception as bad:
        # It is authentic, so it is kept whatever is wrong with it; a fault of ours makes the sender retry.
        await quarantine.put(ctx.pool, "call", source.name, _reason(bad), _meta(request, hook), body)
        raise
    outcomes: list[CallOutcome] = []
    for event in events:
        item = call_item(source.name, source.country, source.queue, source.ring == "group", event, body, now)
        outcomes.append(await ctx.calls.submit(item))
    reply = provider.reply(source, hook, events, outcomes)
    return web.Response(status=reply.status, text=reply.body, content_type=reply.content_type)


def _reason(bad: Exception) -> str:
    if isinstance(bad, RingpostError):
        # The fields say it more exactly than the sentence above them.
        return ("; ".join(f"{name}: {what}" for name, what in bad.fields.items()) or bad.detail)[:500]
    return f"could not be understood ({type(bad).__name__})"


def _meta(request: web.Request, hook: HookRequest) -> dict[str, str]:
    kept = {
        name: value[:500]
        for name, value in request.headers.items()
        if not any(word in name.lower() for word in SECRET_HEADERS)
    }
    # The query may carry the secret of a source that has no signature: it is not kept.
    query = urlencode([(name, value) for name, value in hook.query if name != "token"])
    return {"method": hook.method, "path": request.path, "query": query, **kept}


async def retake(ctx: Context, source_name: str, meta: Mapping[str, str], raw: bytes) -> None:
    """Take a quarantined webhook in again; its signature was good when it came."""
    source = call_source(ctx, source_name)
    hook = HookRequest(
        method=meta.get("method", "POST"),
        url=f"{ctx.public_url}{meta.get('path', '')}?{meta.get('query', '')}",
        headers=CIMultiDict(meta),
        body=raw,
    )
    for event in providers()[source.provider].parse(source, hook):
        now = datetime.now(UTC)
        await ctx.calls.submit(
            call_item(source.name, source.country, source.queue, source.ring == "group", event, raw, now)
        )
