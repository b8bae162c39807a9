"""``/api/v1/contacts/{id}/recording``: the sound of a call, who listened, and having it fetched again."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from handlers.api.shapes import Play, Recording
from handlers.resource import Call, Query, resource
from server.domain.errors import NotFound
from server.domain.permission import Permission
from server.services import recordings

READ, WRITE = Permission.CONTACTS_READ, Permission.CONTACTS_WRITE


@resource("GET", "/contacts/{id}/recording", READ, media_type="audio/*")
async def play_recording(call: Call) -> web.StreamResponse:
    """The recording of a call, whole or in ranges (RFC 9110 14); that it was asked for is written down"""
    sound = await recordings.open_recording(call.ctx.pool, call.who, call.id(), _start(call.request))
    file = call.ctx.settings.recordings_dir / sound.path
    if not await asyncio.to_thread(file.is_file):
        raise NotFound("the recording's file is not on this server")
    return web.FileResponse(
        file,
        headers={
            "Content-Type": sound.content_type,
            "Content-Disposition": f'attachment; filename="{sound.name}"',
            "Content-Security-Policy": "sandbox; default-src 'none'",
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": "private, no-store",
        },
    )


def _start(request: web.Request) -> int | None:
    """The first byte that is asked for (below 0: counted from the end), None without a range."""
    try:
        start: int | None = request.http_range.start
    except ValueError:  # no range that could be given, which FileResponse says
        return None
    return start


@resource("GET", "/contacts/{id}/recording/plays", READ, answer=Play, listed=True)
async def list_plays(call: Call, query: Query) -> dict[str, Any]:
    """Who listened to a recording, newest first"""
    return {"items": await recordings.list_plays(call.ctx.pool, call.who, call.id()), "next": None}


@resource("POST", "/contacts/{id}/recording/retry", WRITE, answer=Recording)
async def retry_recording(call: Call) -> dict[str, Any]:
    """Fetch a recording again that could not be fetched"""
    return await recordings.retry_recording(call.ctx.pool, call.ctx.hub, call.who, call.id())
