"""Writing a batch of call events: new calls alone are one statement, and so their own transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import asyncpg

from server.services.call_contact import Contact
from server.services.call_rows import changed_row, identity_row, new_row
from server.services.callbacks import close_callbacks, open_callbacks
from server.services.pop_payload import payload_of_contact
from server.store import intake as store
from server.store.pool import Connection

if TYPE_CHECKING:
    from server.services.call_batch import CallBatch


async def write_batch(connection: Connection, batch: CallBatch) -> None:
    """New calls alone, as nearly always, are one statement and so their own transaction."""
    # A call that rang and ended within one batch has nothing to pop.
    batch.pops = [pop for pop in batch.pops if not pop.contact.ended_before]
    changed = sorted(
        (contact for contact in batch.contacts.values() if contact.changed), key=lambda one: one.id
    )
    new = [contact for contact in changed if contact.is_new]
    if not changed:
        return  # nothing but what was here before
    if len(new) == len(changed) and not (batch.freed or batch.missed or batch.spoken):
        await _write_new(connection, batch, new)
        return
    await connection.execute("BEGIN")
    try:
        if new:
            await _write_new(connection, batch, new)
        else:
            await store.insert_events(connection, list(batch.events.values()))
        await _write_old(connection, batch, [contact for contact in changed if not contact.is_new], bool(new))
        await connection.execute("COMMIT")
    except BaseException:
        if not connection.is_closed():
            await connection.execute("ROLLBACK")
        raise


async def _write_new(connection: Connection, batch: CallBatch, new: list[Contact]) -> None:
    rows = await store.write_new(
        connection,
        list(batch.events.values()),
        batch.customers,
        batch.tickets,
        [new_row(contact) for contact in new],
        batch.busy,
        batch.touched,
        batch.works[0].item.received_at,
        [pop.row for pop in batch.pops if pop.contact.is_new],
    )
    _number(batch, rows)


async def _write_old(connection: Connection, batch: CallBatch, old: list[Contact], with_new: bool) -> None:
    if old:
        await store.update_contacts(connection, [changed_row(contact) for contact in old])
    if batch.identified:
        await store.identify_contacts(connection, [identity_row(contact) for contact in batch.identified])
    if not with_new:
        if batch.busy:
            await store.mark_busy(connection, batch.busy)
        if batch.touched:
            await store.touch_tickets(connection, batch.touched, batch.works[0].item.received_at)
    now = datetime.now(UTC)
    if batch.freed:
        await store.release(connection, batch.freed, now, batch.wraps)
    if batch.not_answering:
        await store.set_not_answering(connection, batch.not_answering, now)
    if batch.missed:
        batch.tickets_changed |= await open_callbacks(
            connection, batch.missed.values(), batch.directory, batch.rules.language
        )
    if batch.spoken:
        batch.tickets_changed |= await close_callbacks(connection, batch.spoken, now)
    late = [pop for pop in batch.pops if not pop.contact.is_new]
    if late:
        _number(batch, await store.insert_pops(connection, [pop.row for pop in late]))
        for pop in late:
            if batch.is_connected(pop.agent_id):
                # The call was here before: what the agent sees is read as it stands now.
                pop.payload = await payload_of_contact(
                    connection, pop.contact.id, pop.reason, batch.directory, pop.item.received_at
                )


def _number(batch: CallBatch, rows: Sequence[asyncpg.Record]) -> None:
    ids = {(row["agent_id"], row["contact_id"]): row["id"] for row in rows}
    for pop in batch.pops:
        pop.id = ids.get((pop.agent_id, pop.contact.id), pop.id)
