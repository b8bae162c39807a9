"""Whom a contact is offered to, when the event itself names nobody."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class FreeAgent:
    """An available agent of a queue. ``busy``: on a call or being rung; ``load``: open tickets held."""

    agent_id: int
    idle_since: datetime
    busy: bool = False
    load: int = 0


def decide_agent(
    free: Iterable[FreeAgent],
    *,
    voice: bool,
    last_agent_id: int | None = None,
    owner_agent_id: int | None = None,
    taken: frozenset[int] | set[int] = frozenset(),
) -> int | None:
    """The customer's last agent, else the owner, else the longest idle; None when nobody is free.

    A voice contact goes only to one who is not on a call; a mail to the one who holds fewest.
    ``taken`` are those already chosen in this batch.
    """
    usable = [agent for agent in free if not (voice and (agent.busy or agent.agent_id in taken))]
    by_id = {agent.agent_id for agent in usable}
    for wanted in (last_agent_id, owner_agent_id):
        if wanted is not None and wanted in by_id:
            return wanted
    if voice:
        best = min(usable, key=lambda agent: (agent.idle_since, agent.agent_id), default=None)
    else:
        best = min(usable, key=lambda agent: (agent.load, agent.idle_since, agent.agent_id), default=None)
    return best.agent_id if best is not None else None


def decide_group(free: Sequence[FreeAgent], taken: frozenset[int] | set[int] = frozenset()) -> list[int]:
    """Everybody of the queue who can answer: the PBX rings the whole group."""
    return [agent.agent_id for agent in free if not agent.busy and agent.agent_id not in taken]
