"""Whom a contact is offered to, when the event itself names nobody."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class FreeAgent:
    """An agent of a queue who may be offered a contact.

    ``idle_since``: the end of the last call, for a call; the last one given, for a mail or a form.
    """

    agent_id: int
    idle_since: datetime


def decide_agent(
    free: Iterable[FreeAgent],
    *,
    voice: bool,
    last_agent_id: int | None = None,
    owner_agent_id: int | None = None,
    taken: frozenset[int] | set[int] = frozenset(),
) -> int | None:
    """The customer's last agent, else the owner, else the longest idle; None when nobody is free.

    ``free`` are those who are not on a call, for a voice contact.
    ``taken`` are those already chosen in this batch.
    """
    usable = [agent for agent in free if not (voice and agent.agent_id in taken)]
    by_id = {agent.agent_id for agent in usable}
    for wanted in (last_agent_id, owner_agent_id):
        if wanted is not None and wanted in by_id:
            return wanted
    best = min(usable, key=lambda agent: (agent.idle_since, agent.agent_id), default=None)
    return best.agent_id if best is not None else None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A contact that waits for somebody to become free. ``queued_at``: since when in its present queue."""

    contact_id: int
    voice: bool
    queued_at: datetime
    tier: str = "standard"
    priority: str = "normal"
    owner_agent_id: int | None = None


# What a tier or priority is worth, in seconds of waiting: enough to go first, not enough to let anybody starve.
TIER_SECONDS: Mapping[str, float] = {"standard": 0.0}
OTHER_TIER_SECONDS = 300.0
PRIORITY_SECONDS: Mapping[str, float] = {"low": -120.0, "normal": 0.0, "high": 120.0, "urgent": 600.0}
OWNER_SECONDS = 120.0  # the customer's own agent became free


def decide_waiting(waiting: Iterable[Waiting], agent_id: int, now: datetime) -> int | None:
    """Which contact the agent who became free gets; None when nothing waits.

    A caller on the line goes before a mail. Else whoever has waited longest, where tier, priority and
    being the agent's own customer count as waiting of their own. Since waiting has no bound and they
    have, everybody is the first at last.
    """

    def rank(one: Waiting) -> tuple[bool, float, int]:
        waited = (now - one.queued_at).total_seconds()
        waited += TIER_SECONDS.get(one.tier, OTHER_TIER_SECONDS) + PRIORITY_SECONDS.get(one.priority, 0.0)
        if one.owner_agent_id == agent_id:
            waited += OWNER_SECONDS
        return not one.voice, -waited, one.contact_id

    best = min(waiting, key=rank, default=None)
    return best.contact_id if best is not None else None


def decide_group(free: Sequence[FreeAgent], taken: frozenset[int] | set[int] = frozenset()) -> list[int]:
    """Everybody of the queue who can answer: the PBX rings the whole group."""
    return [agent.agent_id for agent in free if agent.agent_id not in taken]
