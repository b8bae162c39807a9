"""What intake tells a door about a call event after commit, so that the door can answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RungAgent:
    """An agent chosen for a call, with what a provider needs to ring the phone."""

    agent_id: int
    name: str
    email: str
    extension: str | None


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """Where the call stands after the event.

    ``agents`` are those who are to be rung (empty: nobody is free, hold the caller in ``queue``);
    ``duplicate`` is True when the event had been taken before; ``closed`` when the queue is not open.
    """

    contact_id: int
    state: str
    queue: str | None
    agents: tuple[RungAgent, ...] = ()
    duplicate: bool = False
    closed: bool = False
