"""Who is available, and offering what waits to whoever becomes free."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from server.domain.call import call_of, facts_of, sweep
from server.domain.errors import Invalid
from server.domain.view import time_text
from server.push.hub import Hub, Pop
from server.services.directory import DirectoryKeeper
from server.services.pop_payload import payload_of_contact
from server.store import intake as intake_store
from server.store import pops as store
from server.store.pool import Pool, transaction_errors

POP_STALE = timedelta(minutes=15)
MAX_OFFERS = 50  # of what waited without a caller on the line, to one who comes back


class Presence:
    """States of agents, and the hand-over of waiting contacts."""

    def __init__(self, pool: Pool, hub: Hub, directory: DirectoryKeeper) -> None:
        self._pool, self._hub, self._directory = pool, hub, directory

    async def set_state(self, agent_id: int, state: str, reason: str = "") -> dict[str, Any]:
        """``available`` or ``not_ready``; one who becomes available gets what waits."""
        if state not in ("available", "not_ready"):
            raise Invalid(fields={"state": "must be available or not_ready"})
        if len(reason) > 200:
            raise Invalid(fields={"reason": "at most 200 characters"})
        now = datetime.now(UTC)
        async with transaction_errors():
            changed = await store.set_presence(self._pool, agent_id, state, reason, now)
        if changed:
            self._tell(agent_id)
        if state == "available":
            await self.offer_waiting(agent_id)
        return {"state": state, "reason": reason, "since": time_text(now)}

    async def connected(self, agent_id: int) -> None:
        """A connection makes an agent available who had not said otherwise."""
        if await store.connect_presence(self._pool, agent_id, datetime.now(UTC)):
            self._tell(agent_id)
        await self.offer_waiting(agent_id)

    async def gone(self, agent_id: int) -> None:
        """The grace after a lost connection is over: nothing more is offered."""
        row = await store.fetch_presence(self._pool, agent_id)
        if row is not None and row["state"] == "available" and not self._hub.is_connected(agent_id):
            await store.set_presence(self._pool, agent_id, "offline", "", datetime.now(UTC))
            self._tell(agent_id)

    def _tell(self, agent_id: int) -> None:
        self._hub.hint_supervisors("presence_changed", agent_id)
        self._hub.hint("presence_changed", agent_id, [agent_id])

    async def offer_waiting(self, agent_id: int) -> int:
        """Give the agent what waits: one call at the most, and mails and forms. Gives how many."""
        offered = 0
        while offered < MAX_OFFERS and await self._offer_one(agent_id):
            offered += 1
        return offered

    async def _offer_one(self, agent_id: int) -> bool:
        now = datetime.now(UTC)
        async with transaction_errors(), self._pool.acquire() as connection:
            presence = await store.fetch_presence(connection, agent_id)
            if presence is None or presence["state"] != "available":
                return False
            waiting = await store.fetch_oldest_waiting(connection, agent_id, not presence["busy"])
            if waiting is None:
                return False
            async with connection.transaction():
                # The locks of intake: the call's own, and the queue's, so that nobody else is chosen meanwhile.
                await intake_store.lock(
                    connection,
                    [
                        intake_store.lock_key(waiting["source"], waiting["call_key"]),
                        intake_store.lock_key("queue", str(waiting["queue_id"])),
                    ],
                )
                again = await store.fetch_presence(connection, agent_id)
                free = again is not None and (waiting["channel"] != "call" or not again["busy"])
                if not free or not await store.lock_waiting(connection, waiting["id"]):
                    return free  # somebody else took it: look for the next one
                ticket_id = await store.offer(connection, waiting["id"], agent_id)
                if ticket_id is not None and waiting["channel"] != "call":
                    await store.assign_if_free(connection, ticket_id, agent_id, now)
                reason = "ringing" if waiting["channel"] == "call" else "assigned"
                payload = await payload_of_contact(
                    connection, waiting["id"], reason, self._directory.snapshot, now
                )
                pop_id = await store.insert_pop(connection, agent_id, waiting["id"], reason)
        self._hub.pop([Pop(pop_id, agent_id, payload)])
        self._hub.hint_supervisors("queue_changed", waiting["queue_id"])
        return True

    async def unacked(self, agent_id: int) -> list[Pop]:
        """What a new connection gets again: not acknowledged, not stale, oldest first."""
        pops = []
        async with transaction_errors(), self._pool.acquire() as connection:
            for row in await store.fetch_unacked(connection, agent_id, datetime.now(UTC) - POP_STALE):
                payload = await payload_of_contact(
                    connection, row["contact_id"], row["reason"], self._directory.snapshot, row["created_at"]
                )
                pops.append(Pop(row["id"], agent_id, payload))
        return pops

    async def ack(self, agent_id: int, pop_id: int) -> bool:
        async with transaction_errors():
            return await store.ack(self._pool, pop_id, agent_id, datetime.now(UTC))

    async def sweep_calls(self, older_than: timedelta) -> int:
        """Close calls whose end never came; their agents are free again."""
        now = datetime.now(UTC)
        rows = await store.fetch_live_calls(self._pool, now - older_than)
        for row in rows:
            call = sweep(call_of(row["call_key"], orjson.loads(row["legs"])), now)
            await store.close_swept(
                self._pool, row["id"], call.state.value, orjson.dumps(facts_of(call)).decode(), now
            )
            if row["agent_id"] is not None:
                async with self._pool.acquire() as connection:
                    await intake_store.release(connection, [row["agent_id"]], now)
                await self.offer_waiting(row["agent_id"])
        return len(rows)
