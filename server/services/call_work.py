"""What is asked of a call event more than once in its batch: looked up once."""

from __future__ import annotations

from dataclasses import dataclass, field

import asyncpg

from server.domain.directory import Agent, Directory, Queue
from server.domain.event import EventType
from server.services.call_contact import Found
from server.services.call_item import CallItem

ROUTED = (EventType.RINGING, EventType.QUEUED)


@dataclass(slots=True)
class Work:
    """An item with what is asked of it more than once."""

    item: CallItem
    e164: str | None
    named: list[Agent]
    queue: Queue | None
    needs_routing: bool
    row: asyncpg.Record | None = None
    found: list[Found] = field(default_factory=list)


def work_of(item: CallItem, directory: Directory) -> Work:
    """The queue, and the agents that the event names: several names of one agent are one agent.

    Routing is needed for an inbound call that rings or waits and whose event names no known agent.
    """
    event = item.event
    named: list[Agent] = []
    for ref in event.agent_refs:
        agent = directory.find_agent(ref)
        if agent is not None and agent not in named:
            named.append(agent)
    dnis = [number for number in (item.dnis.e164, item.dnis.raw) if number]
    queue = directory.find_queue(ref=event.queue_ref, dnis=dnis, fallback=item.fallback_queue)
    needs_routing = (
        item.routed and not named and item.inbound and event.type in ROUTED and event.parent_leg_key is None
    )
    return Work(item, item.peer.e164, named, queue, needs_routing)
