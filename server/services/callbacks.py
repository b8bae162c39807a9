"""A missed call is a matter until somebody has spoken with the customer: a ticket of kind callback."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from server.domain.directory import Directory
from server.store import audit
from server.store import callbacks as store
from server.store.pool import Connection

WORDS = {
    ("missed", "en"): "Missed call from {who}",
    ("missed", "zh_CN"): "未接来电：{who}",
    ("voicemail", "en"): "Voicemail from {who}",
    ("voicemail", "zh_CN"): "语音留言：{who}",
}


@dataclass(frozen=True, slots=True)
class MissedCall:
    """``state`` is missed or voicemail; ``who`` as a subject names the caller; ``at`` when the call ended."""

    contact_id: int
    state: str
    who: str
    customer_id: int | None
    queue_id: int | None
    at: datetime


async def open_callbacks(
    connection: Connection, missed: Iterable[MissedCall], directory: Directory, language: str
) -> set[int]:
    """In the transaction that ends the calls. Gives the tickets concerned.

    The ticket that the call itself has opened becomes the callback; a further missed call of the customer
    goes to the callback that is open; a call that continued another matter gets a callback of its own.
    """
    tickets: set[int] = set()
    for call in sorted(missed, key=lambda one: one.contact_id):
        tickets.add(await _open(connection, call, directory, language))
    return tickets


async def _open(connection: Connection, call: MissedCall, directory: Directory, language: str) -> int:
    queue = directory.queues.get(call.queue_id or 0)
    due = queue.callback_due(call.at) if queue is not None else call.at
    subject = WORDS[(call.state, language if language == "zh_CN" else "en")].format(who=call.who)
    own = await store.lock_ticket_of(connection, call.contact_id)
    going_on = (
        await store.lock_open_callback(connection, call.customer_id) if call.customer_id is not None else None
    )
    if going_on is not None:
        if own is None or own["id"] != going_on:
            await store.attach(connection, call.contact_id, going_on)
            if own is not None and own["own"]:
                await store.fold(connection, own["id"], going_on, call.at)
        await store.touch_callback(connection, going_on, call.at)
        ticket_id = going_on
    elif own is not None and own["own"]:
        ticket_id = int(own["id"])
        await store.make_callback(
            connection, ticket_id, subject, call.queue_id, due, call.customer_id, call.at
        )
    else:
        ticket_id = await store.insert_callback(
            connection, subject, call.queue_id, call.customer_id, due, call.at
        )
        await store.attach(connection, call.contact_id, ticket_id)
    data = {"contact_id": call.contact_id, "state": call.state}
    await audit.insert_audit(connection, None, "ticket.callback", "ticket", ticket_id, data)
    return ticket_id


async def close_callbacks(connection: Connection, spoken: Mapping[int, int | None], at: datetime) -> set[int]:
    """Customers whom an agent has spoken with need not be called back. Gives the tickets resolved."""
    rows = await store.close_callbacks(connection, spoken, at)
    for row in rows:
        data = {"status": ["open", "resolved"], "why": "spoken with"}
        await audit.insert_audit(connection, row["agent_id"], "ticket.update", "ticket", row["id"], data)
    return {row["id"] for row in rows}
