"""``/api/v1/quarantine``: what was authentic but could not be taken in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from handlers import forms
from handlers.api.shapes import Quarantined, QuarantinedRaw
from handlers.mail.door import take_mail
from handlers.resource import Call, Paged, resource
from handlers.telephony import webhook
from server.context import Context
from server.domain.errors import Conflict
from server.domain.permission import Permission
from server.services import quarantine

READ, WRITE = Permission.QUARANTINE_READ, Permission.QUARANTINE_WRITE


class QuarantineQuery(Paged):
    state: Literal["open", "retried", "discarded"] | None = None
    door: Literal["call", "email", "form"] | None = None


async def retake(ctx: Context, door: str, source: str, meta: Mapping[str, Any], raw: bytes) -> None:
    """Send it through its door again."""
    if door == "call":
        await webhook.retake(ctx, source, meta, raw)
    elif door == "form":
        await forms.retake(ctx, source, meta, raw)
    else:
        box = ctx.mailboxes.get(source)
        if box is None:
            raise Conflict(
                f"there is no mailbox {source[:64]!r} any more: configure [mailboxes.{source[:64]}]"
            )
        await take_mail(ctx, raw, str(meta.get("from", "")), [box.address])


@resource("GET", "/quarantine", READ, answer=Quarantined, listed=True)
async def list_quarantine(call: Call, query: QuarantineQuery) -> dict[str, Any]:
    """What could not be taken in, newest first"""
    return await quarantine.list_quarantine(
        call.ctx.pool, state=query.state, door=query.door, cursor=query.cursor, limit=query.limit
    )


@resource("GET", "/quarantine/{id}", READ, answer=QuarantinedRaw)
async def fetch_quarantine(call: Call) -> dict[str, Any]:
    """One of them, with its raw payload"""
    return await quarantine.fetch_quarantine(call.ctx.pool, call.id())


@resource("POST", "/quarantine/{id}/retry", WRITE, answer=QuarantinedRaw)
async def retry(call: Call) -> dict[str, Any]:
    """Take it in again"""

    async def again(door: str, source: str, meta: Mapping[str, Any], raw: bytes) -> None:
        await retake(call.ctx, door, source, meta, raw)

    return await quarantine.retry(call.ctx.pool, call.who, call.id(), again)


@resource("POST", "/quarantine/{id}/discard", WRITE, answer=QuarantinedRaw)
async def discard(call: Call) -> dict[str, Any]:
    """Settle it without taking it in"""
    return await quarantine.discard(call.ctx.pool, call.who, call.id())
