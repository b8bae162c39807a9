"""Keeps one live call source connected on one node: lock, session, back-off, and the state that people see."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import structlog

from handlers.telephony.control import Command, CommandFailed
from handlers.telephony.fields import optional_text
from handlers.telephony.follow_up import FollowUps
from handlers.telephony.live import LinkBroken, LiveProvider, Session
from handlers.telephony.live_link import LiveLink
from handlers.telephony.sources import call_source
from server.context import Connection, Context, LinkState
from server.domain.errors import Unavailable
from server.settings import SettingsError
from server.store.source_lock import SourceLock, open_source_lock

log = structlog.get_logger("telephony")

NO_DATABASE = "the database is away"
ENDED = "the connection ended"
OWN_FAULT = "what came could not be handled: this is our fault, see the log"


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds. Between sessions ``first``, doubled each time up to ``most``; ``first`` again after one that
    was up for ``steady``. ``look``: how often a node that stands by asks for the lock. ``beat``: how often
    the one that has it makes sure. ``give_way``: how long one that lost it leaves it to others.
    """

    first: float = 0.5
    most: float = 30.0
    steady: float = 60.0
    look: float = 3.0
    beat: float = 2.0
    give_way: float = 4.0


class LiveKeeper:
    """One call source; ``run`` is its task."""

    def __init__(
        self,
        name: str,
        provider: LiveProvider,
        ctx: Context,
        dsn: str,
        node: str,
        follow_ups: FollowUps,
        pace: Pace,
    ) -> None:
        self.provider = provider
        self.connection = Connection(name, provider.name, LinkState.CONNECTING, datetime.now(UTC))
        self._ctx = ctx
        self._dsn = dsn
        self._node = node
        self._follow_ups = follow_ups
        self._pace = pace
        self._session: Session | None = None
        self._was_up = False

    async def act(self, command: Command) -> str:
        """As ``Session.act``. Raises CommandFailed."""
        session, seen = self._session, self.connection
        if session is None or seen.state is not LinkState.UP:
            raise CommandFailed(
                "the telephone system is connected on another node"
                if seen.state is LinkState.STANDBY
                else "the telephone system is not connected"
            )
        return await session.act(command)

    # -- the lock --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled."""
        name, pace = self.connection.name, self._pace
        while True:
            try:
                async with open_source_lock(self._dsn, name, node=self._node, beat_seconds=pace.beat) as lock:
                    await self._stand_by(lock)
                    await self._hold(lock)
            except Unavailable:
                pass
            self._note(LinkState.WAITING, NO_DATABASE)
            log.warning("connection_without_lock", source=name, again_in_seconds=pace.give_way)
            await asyncio.sleep(pace.give_way)

    async def _stand_by(self, lock: SourceLock) -> None:
        """Returns when the lock is ours."""
        while not await lock.try_take():
            self._note(LinkState.STANDBY, await lock.holder())
            await asyncio.sleep(self._pace.look * random.uniform(0.8, 1.2))

    async def _hold(self, lock: SourceLock) -> None:
        """Sessions one after the other, for as long as the lock is ours."""
        sessions = asyncio.create_task(self._keep_connected(), name=f"sessions {self.connection.name}")
        lost = asyncio.create_task(lock.lost(), name=f"lock {self.connection.name}")
        try:
            await asyncio.wait({sessions, lost}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sessions.cancel()
            lost.cancel()
            await asyncio.gather(sessions, lost, return_exceptions=True)
        if not sessions.cancelled():
            sessions.result()

    # -- sessions --------------------------------------------------------------------------------

    async def _keep_connected(self) -> None:
        pause = self._pace.first
        while True:
            self._note(LinkState.CONNECTING, self.connection.detail if self.connection.is_down else "")
            was_up_for, state, why = await self._one_session()
            if was_up_for >= self._pace.steady:
                pause = self._pace.first
            wait = pause * random.uniform(0.75, 1.25)
            pause = min(pause * 2, self._pace.most)
            self._note(state, why)
            log.warning(
                "connection_down", source=self.connection.name, why=why, again_in_seconds=round(wait, 1)
            )
            await asyncio.sleep(wait)

    async def _one_session(self) -> tuple[float, LinkState, str]:
        """How long it was up, and why it is no more."""
        try:
            source = call_source(self._ctx, self.connection.name)
            session = self.provider.session(source)
        except SettingsError as wrong:
            return 0.0, LinkState.REFUSED, str(wrong)
        except Exception as bad:
            return 0.0, LinkState.WAITING, self._why(bad)
        link = LiveLink(self._ctx, source, session, self._follow_ups, self._came_up, self._heard)
        # A task of its own: a session that cancels itself by mistake must not end its keeper.
        task = asyncio.create_task(session.run(link), name=f"session {source.name}")
        self._session = session
        try:
            await asyncio.wait({task})
        finally:
            self._session = None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        broken = None if task.cancelled() else task.exception()
        refused = link.up_at is None and isinstance(broken, LinkBroken) and not _is_out_of_reach(broken)
        was_up_for = 0.0 if link.up_at is None else asyncio.get_running_loop().time() - link.up_at
        return was_up_for, LinkState.REFUSED if refused else LinkState.WAITING, self._why(broken)

    def _why(self, broken: BaseException | None) -> str:
        if broken is None:
            return ENDED
        if isinstance(broken, LinkBroken):
            return optional_text(str(broken)) or ENDED
        if isinstance(broken, TimeoutError):
            return "no answer in time"
        if isinstance(broken, OSError):
            return f"no connection: {optional_text(broken.strerror) or type(broken).__name__}"
        log.error("session_failed", source=self.connection.name, exc_info=broken)
        return OWN_FAULT

    # -- what people see -------------------------------------------------------------------------

    def _came_up(self, detail: str) -> None:
        seen = self.connection
        if seen.state is not LinkState.UP:
            log.info("connection_up", source=seen.name, detail=detail)
            self.connection = replace(seen, reconnects=seen.reconnects + self._was_up)
            self._was_up = True
        self._note(LinkState.UP, detail)

    def _heard(self, at: datetime) -> None:
        self.connection = replace(self.connection, last_event_at=at)

    def _note(self, state: LinkState, detail: str) -> None:
        """``since`` stays while it only goes from one way of being down to another."""
        before, after = self.connection, replace(self.connection, state=state, detail=detail)
        same = (before.is_down and after.is_down) or before.state is state
        self.connection = after if same else replace(after, since=datetime.now(UTC))


def _is_out_of_reach(broken: BaseException) -> bool:
    """Whether the network lies beneath: then nobody answered who could have said no."""
    beneath: BaseException | None = broken
    while beneath is not None:
        if isinstance(beneath, OSError):
            return True
        beneath = beneath.__cause__ or beneath.__context__
    return False
