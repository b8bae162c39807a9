"""A batch of call events in one transaction: record, match, ticket, whom to pop, pops.

The way of one event: its key goes into the ledger (seen before: answer as the first time, no second
effect); its call is joined with the event; a new call is matched to a customer, opens or continues a
ticket and is offered to the agents it names or to the one that routing picks; pops are rows of the
same transaction and leave for the sockets after COMMIT.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from server.domain.outcome import CallOutcome
from server.push.hub import Hub
from server.services.call_batch import CallBatch
from server.services.call_item import CallItem, IntakeRules, call_item
from server.services.directory import DirectoryKeeper
from server.store import intake as store
from server.store.pool import Pool, PoolConnection, transaction_errors

__all__ = ["CallIntake", "CallItem", "IntakeRules", "call_item"]


class CallIntake:
    """``commit`` is what the batcher calls."""

    def __init__(self, pool: Pool, directory: DirectoryKeeper, hub: Hub, rules: IntakeRules) -> None:
        self._pool = pool
        self._directory = directory
        self._hub = hub
        self._rules = rules
        self._unlocking: set[asyncio.Task[None]] = set()
        self.on_freed: Callable[[set[int]], None] | None = None  # after commit: agents whose call ended
        self.on_waiting: Callable[[set[int]], None] | None = (
            None  # after commit: queues where one waits again
        )

    async def commit(self, items: list[CallItem]) -> list[CallOutcome]:
        """One outcome per item, in order. Raises Unavailable when the database is away."""
        async with transaction_errors():
            connection = await self._pool.acquire()
            try:
                batch = CallBatch(items, self._directory.snapshot, self._rules, self._hub.is_connected)
                await batch.work(connection)
            finally:
                # Committed or not, the locks go back beside the answers, not before them.
                task = asyncio.create_task(self._unlock(connection), name="intake-unlock")
                self._unlocking.add(task)
                task.add_done_callback(self._unlocking.discard)
        self._publish(batch)
        return batch.outcomes()

    def _publish(self, batch: CallBatch) -> None:
        self._hub.pop(batch.frames())
        for contact in batch.changed():
            self._hub.hint("contact_changed", contact.id, {*contact.rung, *filter(None, (contact.agent_id,))})
        for queue_id in {contact.queue_id for contact in batch.contacts.values() if contact.queue_id}:
            self._hub.hint_supervisors("queue_changed", queue_id)
        for queue_id in batch.lines_changed:
            self._hub.hint("queue_changed", queue_id, batch.directory.members.get(queue_id, ()))
        for ticket_id in batch.tickets_changed:
            self._hub.hint_all("ticket_changed", ticket_id)
        for agent_id in batch.not_answering | batch.wraps.keys():
            self._hub.hint("presence_changed", agent_id, [agent_id])
            self._hub.hint_supervisors("presence_changed", agent_id)
        if batch.freed and self.on_freed is not None:
            self.on_freed(batch.freed)
        if batch.waiting_again and self.on_waiting is not None:
            self.on_waiting(batch.waiting_again)

    async def _unlock(self, connection: PoolConnection) -> None:
        """A connection that cannot give its locks back is closed, which does."""
        try:
            await store.unlock(connection)
        except Exception:
            connection.terminate()
        finally:
            await self._pool.release(connection)

    async def stop(self) -> None:
        await asyncio.gather(*self._unlocking)
