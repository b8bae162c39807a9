"""A session of a live connection against the Asterisk of ``ari_peer``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from handlers.telephony.asterisk_ari import AriSession, AsteriskAri
from handlers.telephony.live import LinkBroken
from tests.conformance.ari_peer import AriPeer, Event, Notes, source_of


@asynccontextmanager
async def connected(
    peer: AriPeer, live: AsteriskAri | None = None, **options: str
) -> AsyncIterator[tuple[AriSession, Notes]]:
    """A session that listens; how it ends is the test's affair."""
    session = (live or AsteriskAri()).session(source_of(peer.url, **options))
    notes = Notes()
    task = asyncio.create_task(session.run(notes))
    try:
        await notes.until(lambda: bool(notes.details) or task.done())
        if task.done():
            await task
        yield session, notes
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, LinkBroken):
            await task


def event(kind: str, second: int = 0, **fields: Any) -> Event:
    stamp = f"2026-11-16T09:15:{second:02d}.000+0000"
    return {"type": kind, "timestamp": stamp, "application": "ringpost", **fields}
