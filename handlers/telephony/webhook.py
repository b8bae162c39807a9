"""``/hooks/calls/{source}``: any provider's webhook in, the provider's own language out, after commit."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlencode

import structlog
from aiohttp import web
from multidict import CIMultiDict

from handlers.http import route
from handlers.telephony.provider import CallSource, HookRequest, Provider
from handlers.telephony.sources import call_source, item_of, providers
from server.context import Context
from server.domain.errors import Conflict, NotFound, RingpostError, TooLarge
from server.domain.outcome import CallOutcome
from server.domain.permission import Actor, Permission
from server.services import kept_event, quarantine

log = structlog.get_logger("hooks")
# Made once: while the intake is full, a refusal must cost next to nothing.
FULL = b"""{"type": "about:blank", "title": "Service Unavailable", "status": 503, "code": "unavailable", \
"detail": "the server takes no more for the moment: nothing was taken, send it again"}"""
COME_AGAIN = {"Retry-After": "1", "Cache-Control": "no-store"}
SECRET_HEADERS = ("authorization", "cookie", "signature", "secret")


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
    provider = _provider_of(source)
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
        outcomes.append(await ctx.calls.submit(item_of(source, event, body, now)))
    reply = provider.reply(source, hook, events, outcomes)
    ctx.telephony.follow_up(source.name, events, outcomes)
    return web.Response(status=reply.status, text=reply.body, content_type=reply.content_type)


def _provider_of(source: CallSource) -> Provider:
    provider = providers().get(source.provider)
    if provider is None:
        raise NotFound(f"the call source {source.name!r} is a live connection: it takes no webhooks")
    return provider


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
    """Take in again what is in quarantine: the event, or the webhook, whose signature was good when it came."""
    source, now = call_source(ctx, source_name), datetime.now(UTC)
    kept = kept_event.event_of(meta)
    if kept is not None:
        await ctx.calls.submit(item_of(source, kept, raw, now))
        return
    if source.provider not in providers():
        raise Conflict("what came over a live connection can be taken in again as an event only")
    hook = HookRequest(
        method=meta.get("method", "POST"),
        url=f"{ctx.public_url}{meta.get('path', '')}?{meta.get('query', '')}",
        headers=CIMultiDict(meta),
        body=raw,
    )
    for event in _provider_of(source).parse(source, hook):
        await ctx.calls.submit(item_of(source, event, raw, now))
