"""What a live session is given: its way to the intake, and how it says that it is up."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial

import structlog

from handlers.telephony.fields import optional_text
from handlers.telephony.follow_up import FollowsEvents, FollowUps, by_call
from handlers.telephony.live import Session
from handlers.telephony.provider import CallSource
from handlers.telephony.sources import item_of
from server.context import Context
from server.domain.errors import RingpostError, Unavailable
from server.domain.event import CallEvent
from server.domain.outcome import CallOutcome
from server.services import kept_event, quarantine

log = structlog.get_logger("telephony")
AT_ONCE = 100
"""Events of one emission that are given to the intake together."""
LEAST_PAUSE, MOST_PAUSE = 0.05, 2.0  # seconds, while the intake is full or the database away


class LiveLink:
    """The ``Link`` of one session. ``said_up`` and ``heard`` are called when it is up, and with each event."""

    def __init__(
        self,
        ctx: Context,
        source: CallSource,
        session: Session,
        follow_ups: FollowUps,
        said_up: Callable[[str], None],
        heard: Callable[[datetime], None],
    ) -> None:
        self._ctx = ctx
        self._source = source
        self._follower = session if isinstance(session, FollowsEvents) else None
        self._follow_ups = follow_ups
        self._said_up = said_up
        self._heard = heard
        self.up_at: float | None = None

    def up(self, detail: str = "") -> None:
        """As ``Link.up``; said again it changes the words."""
        if self.up_at is None:
            self.up_at = asyncio.get_running_loop().time()
        self._said_up(optional_text(detail) or "")

    async def emit(self, events: Sequence[CallEvent], raw: bytes) -> None:
        """As ``Link.emit``. What the intake cannot take is kept in quarantine; never raises for an event."""
        now = datetime.now(UTC)
        for start in range(0, len(events), AT_ONCE):
            part = events[start : start + AT_ONCE]
            self._heard(now)
            outcomes = await asyncio.gather(*(self._take(event, raw, now) for event in part))
            if self._follower is None:
                continue
            taken = [(event, done) for event, done in zip(part, outcomes, strict=True) if done is not None]
            calls = by_call([event for event, _ in taken], [done for _, done in taken])
            for call_key, (its_events, its_outcomes) in calls.items():
                work = partial(self._follower.follow_up, its_events, its_outcomes)
                self._follow_ups.add(self._source.name, call_key, work)

    async def _take(self, event: CallEvent, raw: bytes, now: datetime) -> CallOutcome | None:
        """The outcome after commit; None when the event is in quarantine."""
        try:
            item = item_of(self._source, event, raw, now)
        except Exception as bad:
            await self._keep(event, raw, bad)
            return None
        pause = LEAST_PAUSE
        while True:
            try:
                return await self._ctx.calls.submit(item)
            except Unavailable:
                pause = await _wait(pause)
            except RingpostError as bad:
                # The batcher leaves these to the sender; here is none who could be told.
                await self._keep(event, raw, bad)
                return None
            except Exception:
                return None  # the batcher has kept it

    async def _keep(self, event: CallEvent, raw: bytes, bad: Exception) -> None:
        said = bad.detail if isinstance(bad, RingpostError) else type(bad).__name__
        reason, name = f"could not be taken in ({said})", self._source.calls_of
        log.warning("event_kept", source=self._source.name, reason=reason)
        pause = LEAST_PAUSE
        while True:
            try:
                await quarantine.put(self._ctx.pool, "call", name, reason, kept_event.meta_of(event), raw)
                return
            except Unavailable:
                pause = await _wait(pause)


async def _wait(pause: float) -> float:
    """Wait so long or a little less; gives how long to wait the next time."""
    await asyncio.sleep(pause * random.uniform(0.5, 1))
    return min(pause * 2, MOST_PAUSE)
