"""Who is available, and offering what waits to whoever becomes free."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, TypeGuard

import asyncpg
import orjson

from server.domain.call import call_of, facts_of, sweep
from server.domain.errors import Invalid
from server.domain.routing import Waiting, decide_waiting
from server.domain.view import time_text
from server.push.hub import Hub, Pop
from server.services.callbacks import MissedCall, open_callbacks
from server.services.directory import DirectoryKeeper
from server.services.pop_payload import payload_of_contact
from server.store import intake as intake_store
from server.store import pops as store
from server.store.pool import Pool, transaction_errors

Row = asyncpg.Record
ROUTES = (intake_store.ROUTING, intake_store.ROUTING_TOUCHES)
UNTOLD = timedelta(minutes=2)  # a call that was asked for, and of which the PBX never told anything
POP_STALE = timedelta(minutes=15)
MAX_OFFERS = 50  # of what waited without a caller on the line, to one who comes back


class Presence:
    """States of agents, and the hand-over of waiting contacts."""

    def __init__(self, pool: Pool, hub: Hub, directory: DirectoryKeeper, language: str = "en") -> None:
        """``language`` is that of the installation, for subjects."""
        self._pool, self._hub, self._directory, self._language = pool, hub, directory, language

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
            self.tell(agent_id)
        if state == "available":
            await self.offer_waiting(agent_id)
        return {"state": state, "reason": reason, "since": time_text(now)}

    async def connected(self, agent_id: int) -> None:
        """A connection makes an agent available who had not said otherwise."""
        if await store.connect_presence(self._pool, agent_id, datetime.now(UTC)):
            self.tell(agent_id)
        await self.offer_waiting(agent_id)

    async def gone(self, agent_id: int) -> None:
        """The grace after a lost connection is over: nothing more is offered."""
        row = await store.fetch_presence(self._pool, agent_id)
        if row is not None and row["state"] == "available" and not self._hub.is_connected(agent_id):
            await store.set_presence(self._pool, agent_id, "offline", "", datetime.now(UTC))
            self.tell(agent_id)

    def tell(self, agent_id: int) -> None:
        self._hub.hint_supervisors("presence_changed", agent_id)
        self._hub.hint("presence_changed", agent_id, [agent_id])

    def _tell_line(self, queue_id: int) -> None:
        """What waits in the queue has changed: for its agents and for supervisors."""
        self._hub.hint("queue_changed", queue_id, self._directory.snapshot.members.get(queue_id, ()))
        self._hub.hint_supervisors("queue_changed", queue_id)

    async def offer_waiting(self, agent_id: int) -> int:
        """Give the agent what waits: one call at the most, and mails and forms. Gives how many."""
        offered = 0
        async with transaction_errors(), self._pool.acquire() as connection:
            # A batch that found nobody free is under way with what will wait: see it once it is committed. One
            # that begins later sees that this agent is free.
            await intake_store.lock(connection, ROUTES)
        while offered < MAX_OFFERS and await self._offer_one(agent_id):
            offered += 1
        return offered

    async def _offer_one(self, agent_id: int) -> bool:
        now = datetime.now(UTC)
        async with transaction_errors(), self._pool.acquire() as connection:
            presence = await store.fetch_presence(connection, agent_id)
            if not _takes(presence):
                return False
            queues = self._directory.snapshot.queues.values()
            is_open = [queue.id for queue in queues if queue.hours.is_open(now)]
            rows = await store.fetch_waiting_for(connection, agent_id, is_open, not presence["busy"])
            chosen = decide_waiting(map(_waiting, rows), agent_id, now)
            if chosen is None:
                return False
            waiting = next(row for row in rows if row["id"] == chosen)
            async with connection.transaction():
                # The locks of intake: the call's own, and that of choosing, so that nobody else is chosen meanwhile.
                route = intake_store.ROUTING if waiting["channel"] == "call" else intake_store.ROUTING_TOUCHES
                own = intake_store.lock_key(waiting["source"], waiting["call_key"])
                await intake_store.lock(connection, (own, route))
                again = await store.fetch_presence(connection, agent_id)
                free = _takes(again) and (waiting["channel"] != "call" or not again["busy"])
                if not free or not await store.lock_waiting(connection, waiting["id"], waiting["queue_id"]):
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
        self._tell_line(waiting["queue_id"])
        return True

    async def route_queue(self, queue_id: int) -> int:
        """Somebody waits (again) in the queue: offer it to whoever is free there. Gives how many were offered."""
        offered = 0
        for agent_id in await store.fetch_free_in(self._pool, queue_id, MAX_OFFERS):
            if not await store.anything_waits(self._pool, queue_id):
                break
            offered += await self.offer_waiting(agent_id)
        return offered

    async def overflow(self) -> int:
        """Contacts that waited too long go on to the queue that helps out. Gives how many."""
        now = datetime.now(UTC)
        async with transaction_errors(), self._pool.acquire() as connection, connection.transaction():
            moved = await store.move_overflown(connection, now)
            tickets = {row["ticket_id"]: row["to_queue_id"] for row in moved if row["ticket_id"] is not None}
            if tickets:
                await store.move_tickets(connection, tickets)
        for queue_id in {row[side] for row in moved for side in ("from_queue_id", "to_queue_id")}:
            self._tell_line(queue_id)
        for queue_id in {row["to_queue_id"] for row in moved}:
            await self.route_queue(queue_id)
        return len(moved)

    async def end_wrap_ups(self) -> int:
        """After-call work whose time is over; the agents are offered what waits."""
        async with transaction_errors():
            rows = await store.end_wrap_ups(self._pool, datetime.now(UTC))
        for row in rows:
            self.tell(row["agent_id"])
            await self.offer_waiting(row["agent_id"])
        return len(rows)

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

    async def open_queues(self) -> None:
        """What waited for opening hours, or was missed by every other way: nothing is forgotten."""
        now = datetime.now(UTC)
        for queue in list(self._directory.snapshot.queues.values()):
            if queue.hours.is_open(now):
                await self.route_queue(queue.id)

    async def sweep_calls(self, older_than: timedelta, ringing: timedelta = timedelta(minutes=15)) -> int:
        """Close calls whose end never came, and those that ring at an agent for longer than any phone does.

        Their agents are free again.
        """
        now = datetime.now(UTC)
        rows = await store.fetch_live_calls(self._pool, now - older_than, now - UNTOLD, now - ringing)
        for row in rows:
            call = sweep(call_of(row["call_key"], orjson.loads(row["legs"])), now)
            async with self._pool.acquire() as connection, connection.transaction():
                legs = orjson.dumps(facts_of(call)).decode()
                state = call.state.value if row["direction"] == "inbound" else "ended"
                await store.close_swept(connection, row["id"], state, legs, now)
                if (missed := _missed(row, call.state.value, now)) is not None:
                    await open_callbacks(connection, [missed], self._directory.snapshot, self._language)
            if row["agent_id"] is not None:
                async with self._pool.acquire() as connection:
                    await intake_store.release(connection, [row["agent_id"]], now)
                await self.offer_waiting(row["agent_id"])
        return len(rows)


def _takes(presence: Row | None) -> TypeGuard[Row]:
    """Whether the agent may be offered anything: there, and not at after-call work."""
    return (
        presence is not None and presence["state"] == "available" and presence["wrap_up_contact_id"] is None
    )


def _missed(row: Row, state: str, now: datetime) -> MissedCall | None:
    """A swept call that nobody took, and whose caller can be called back."""
    who = row["customer_name"] or row["ani"]
    if state not in ("missed", "voicemail") or row["direction"] != "inbound" or who is None:
        return None
    return MissedCall(row["id"], state, who, row["customer_id"], row["queue_id"], now)


def _waiting(row: Row) -> Waiting:
    return Waiting(
        contact_id=row["id"],
        voice=row["channel"] == "call",
        queued_at=row["queued_at"],
        tier=row["tier"],
        priority=row["priority"],
        owner_agent_id=row["owner_agent_id"],
    )
