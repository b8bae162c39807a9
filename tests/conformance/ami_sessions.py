"""AMI sessions against a peer, for the tests of what they do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from handlers.telephony.asterisk_ami import AmiLive, AmiSession
from handlers.telephony.live import LinkBroken
from handlers.telephony.provider import CallSource
from tests.conformance.ami_peer import AmiPeer, RecordingLink

SOON = {"ping_seconds": "0.15", "timeout_seconds": "0.3"}


@pytest.fixture
async def peer() -> AsyncIterator[AmiPeer]:
    async with AmiPeer().running() as running:
        yield running


def source(peer: AmiPeer, *secrets: str, **options: str) -> CallSource:
    given = {"host": "127.0.0.1", "port": str(peer.port), "username": "ringpost", **options}
    return CallSource("pbx", "asterisk_ami", secrets or ("secret",), "DE", None, "one", "", given)


@asynccontextmanager
async def session_of(
    peer: AmiPeer,
    *secrets: str,
    live: AmiLive | None = None,
    link: RecordingLink | None = None,
    **options: str,
) -> AsyncIterator[tuple[AmiSession, RecordingLink]]:
    link = link or RecordingLink()
    session = (live or AmiLive()).session(source(peer, *secrets, **options))
    running = asyncio.create_task(session.run(link))
    up = asyncio.create_task(link.up_once.wait())
    await asyncio.wait({running, up}, return_when=asyncio.FIRST_COMPLETED, timeout=5)
    up.cancel()
    try:
        if running.done():
            await running
        yield session, link
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError, LinkBroken, OSError):
            await running


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)
