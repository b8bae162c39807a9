"""A call that goes on, as much as its control needs to know."""

from __future__ import annotations

import json
from dataclasses import dataclass

from server.domain.call import Call, CallState, call_of
from server.domain.errors import NotFound
from server.domain.permission import Actor, Permission, allowed
from server.store import dialling as store
from server.store.pool import Pool, transaction_errors


@dataclass(frozen=True, slots=True)
class GoingCall:
    """``consulting``: with whom the agent speaks while the customer waits (a transfer that was not completed)."""

    contact_id: int
    source: str
    call: Call
    state: CallState
    direction: str
    ani: str | None
    dnis: str | None
    agent_id: int | None
    rung: tuple[int, ...]
    goes_on: bool
    consulting: str | None = None

    def is_at(self, actor: Actor) -> bool:
        """Whether it is this agent's call, or rings there."""
        return self.agent_id == actor.agent_id or (
            self.state is CallState.RINGING and self.agent_id is None and actor.agent_id in self.rung
        )

    def may_be_commanded_by(self, actor: Actor) -> bool:
        """The agent on the call, or a supervisor."""
        return self.is_at(actor) or allowed(actor, Permission.PRESENCE_OTHERS)


async def fetch_going_call(pool: Pool, contact_id: int) -> GoingCall | None:
    """None for a contact that is no call. Raises NotFound."""
    async with transaction_errors():
        row = await store.fetch_going_call(pool, contact_id)
    if row is None:
        raise NotFound("there is no such contact")
    if row["channel"] != "call":
        return None
    last = row["last_command"] or {}
    return GoingCall(
        contact_id,
        row["source"],
        call_of(row["call_key"], json.loads(row["legs"])),
        CallState(row["state"]),
        row["direction"],
        row["ani"],
        row["dnis"],
        row["agent_id"],
        tuple(row["rung_agent_ids"]),
        row["ended_at"] is None,
        consulting=last.get("target") if last.get("do") == "attended" else None,
    )
