"""The hub: agent -> the one live session of that agent, sans I/O.

Pops are rows and come again until acknowledged; hints carry ids only and may be merged or dropped.
Cost is O(recipients). A session's queue is bounded: when it overflows the session is marked too
slow, its socket is closed with 4408, and what it missed comes from the stored pops on reconnect.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

REPLACED = 4409
TOO_SLOW = 4408
GOING_AWAY = 1001
SHOWN_KEPT = 2000

HINTS = frozenset(
    {
        "contact_changed",
        "ticket_changed",
        "customer_changed",
        "queue_changed",
        "presence_changed",
        "announcement",
    }
)


@dataclass(frozen=True, slots=True)
class Pop:
    """A stored pop: ``payload`` is its frame without the id."""

    id: int
    agent_id: int
    payload: str

    @property
    def frame(self) -> str:
        return f'{{"type":"screen_pop","id":"{self.id}",{self.payload[1:]}'


@dataclass(eq=False, slots=True)
class Session:
    """One socket. ``wake`` is called when there is something to take, ``over`` when it is closed."""

    agent_id: int
    role: str
    wake: Callable[[], None]
    over: Callable[[], None]
    limit: int = 256
    closed: tuple[int, str] | None = None
    resuming: bool = True
    _frames: deque[str] = field(default_factory=deque)
    _hints: dict[tuple[str, str], None] = field(default_factory=dict)
    _shown: dict[int, None] = field(default_factory=dict)
    _held: list[Pop] = field(default_factory=list)
    _resumed: int = 0

    def take(self) -> list[str]:
        """All that waits, pops first; empties the queue."""
        frames = list(self._frames)
        self._frames.clear()
        self._resumed = 0
        frames.extend(json.dumps({"type": kind, "id": about}) for kind, about in self._hints)
        self._hints.clear()
        return frames

    def send(self, frame: str) -> None:
        if self.closed is not None:
            return
        if len(self._frames) - self._resumed >= self.limit:
            self.close(TOO_SLOW, "too slow: reconnect, nothing is lost")
            return
        self._frames.append(frame)
        self.wake()

    def pop(self, pop: Pop) -> None:
        """Queue a pop once; while stored pops are still being read it is held back, to keep the order."""
        if self.resuming:
            self._held.append(pop)
        elif pop.id not in self._shown:
            self._shown[pop.id] = None
            if len(self._shown) > SHOWN_KEPT:
                del self._shown[next(iter(self._shown))]
            self.send(pop.frame)

    def resume(self, stored: Iterable[Pop]) -> None:
        """The unacknowledged pops, oldest first, then those that were committed meanwhile."""
        held, self._held, self.resuming = self._held, [], False
        for pop in [*stored, *held]:
            # A long absence must not count as slowness.
            self._resumed += 1
            self.pop(pop)

    def hint(self, kind: str, about: str) -> None:
        """The same hint twice before it is sent is one hint."""
        if self.closed is None and len(self._hints) < self.limit:
            self._hints[(kind, about)] = None
            self.wake()

    def close(self, code: int, reason: str) -> None:
        if self.closed is None:
            self.closed = (code, reason)
            self.over()


class Hub:
    """Who is connected here, and addressed delivery to them."""

    def __init__(self) -> None:
        self._sessions: dict[int, Session] = {}
        self._supervisors: dict[int, Session] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def agent_ids(self) -> list[int]:
        return list(self._sessions)

    def is_connected(self, agent_id: int) -> bool:
        return agent_id in self._sessions

    def add(self, session: Session) -> None:
        """An agent has one session: a newer one replaces the older."""
        older = self._sessions.get(session.agent_id)
        self._sessions[session.agent_id] = session
        if session.role != "agent":
            self._supervisors[session.agent_id] = session
        else:
            self._supervisors.pop(session.agent_id, None)
        if older is not None:
            older.close(REPLACED, "replaced by a newer connection")

    def remove(self, session: Session) -> bool:
        """True when the agent has no session left."""
        if self._sessions.get(session.agent_id) is session:
            del self._sessions[session.agent_id]
            self._supervisors.pop(session.agent_id, None)
            return True
        return False

    def pop(self, pops: Iterable[Pop]) -> None:
        for pop in pops:
            session = self._sessions.get(pop.agent_id)
            if session is not None:
                session.pop(pop)

    def hint(self, kind: str, about: int | str, agent_ids: Iterable[int]) -> None:
        assert kind in HINTS, kind
        for agent_id in agent_ids:
            session = self._sessions.get(agent_id)
            if session is not None:
                session.hint(kind, str(about))

    def hint_supervisors(self, kind: str, about: int | str) -> None:
        for session in self._supervisors.values():
            session.hint(kind, str(about))

    def hint_all(self, kind: str, about: int | str) -> None:
        for session in self._sessions.values():
            session.hint(kind, str(about))

    def close_all(self) -> None:
        for session in list(self._sessions.values()):
            session.close(GOING_AWAY, "going away: reconnect")
