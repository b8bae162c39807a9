"""A session of ours against the event socket of a test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from handlers.telephony.esl_calls import EslCalls
from handlers.telephony.esl_socket import Patience
from handlers.telephony.freeswitch import FreeswitchSession
from handlers.telephony.live import LinkBroken
from handlers.telephony.provider import CallSource
from server.domain.event import CallEvent
from tests.conformance.esl_peer import EslPeer

PASSWORD = "fictitious-esl-password"
BRIEF = Patience(login=0.5, silence=0.4, reply=0.3, settle=0.2, recount=0.0)


class Recorder:
    """The ``Link`` of a test."""

    def __init__(self) -> None:
        self.ups: list[str] = []
        self.events: list[CallEvent] = []
        self.raws: list[bytes] = []
        self.ready = asyncio.Event()
        self.slow = 0.0

    def up(self, detail: str = "") -> None:
        self.ups.append(detail)
        self.ready.set()

    async def emit(self, events: Sequence[CallEvent], raw: bytes) -> None:
        if self.slow:
            await asyncio.sleep(self.slow)
        self.events += events
        self.raws.append(raw)

    async def until(self, enough: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not enough():
                await asyncio.sleep(0.005)


def source(peer: EslPeer | None = None, *secrets: str, **options: str) -> CallSource:
    return CallSource(
        name="pbx", provider="freeswitch", secrets=secrets or (PASSWORD,), country="GB", queue="support",
        ring="one", hook_url="https://cti.example.com/hooks/calls/pbx",
        options={"host": "127.0.0.1", "port": str(peer.port if peer else 8021)} | options,
    )  # fmt: skip


@asynccontextmanager
async def running(
    peer: EslPeer, calls: EslCalls | None = None, patience: Patience = BRIEF, **options: str
) -> AsyncIterator[tuple[FreeswitchSession, Recorder]]:
    session, link = FreeswitchSession(source(peer, **options), calls or EslCalls(), patience), Recorder()
    task = asyncio.ensure_future(session.run(link))
    try:
        async with asyncio.timeout(5):
            await asyncio.wait(
                {task, ready := asyncio.ensure_future(link.ready.wait())}, return_when="FIRST_COMPLETED"
            )
            ready.cancel()
        if task.done():
            await task
        yield session, link
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def broken(peer: EslPeer, *secrets: str, **options: str) -> str:
    """Run a session until the link breaks; nothing else may come out of it."""
    session = FreeswitchSession(source(peer, *secrets, **options), EslCalls(), BRIEF)
    async with asyncio.timeout(5):
        with pytest.raises(LinkBroken) as why:
            await session.run(Recorder())
    return str(why.value)
