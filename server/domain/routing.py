"""Whom a contact is offered to, when the event itself names nobody."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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


def decide_group(free: Sequence[FreeAgent], taken: frozenset[int] | set[int] = frozenset()) -> list[int]:
    """Everybody of the queue who can answer: the PBX rings the whole group."""
    return [agent.agent_id for agent in free if agent.agent_id not in taken]
