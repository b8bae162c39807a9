"""A call of a batch as rows of the database, and as the part of a pop that it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from server.domain.call import Call, facts_of
from server.domain.call_times import times_of
from server.domain.directory import Directory
from server.domain.identity import CallerKind
from server.domain.view import text_id, time_text, warnings_of
from server.services.call_contact import Contact, ContactPop
from server.services.call_item import CallItem
from server.services.pop_payload import customer_of_found, pop_payload, recent_of


def contact_frame(contact: Contact, item: CallItem, directory: Directory) -> dict[str, Any]:
    """The contact as a pop shows it."""
    call, stands = contact.call, contact.call.standing
    return {
        "id": str(contact.id),
        "channel": "call",
        "direction": stands.direction.value,
        "source": contact.source,
        "state": contact.state,
        "ani": item.ani.e164,
        "ani_raw": item.ani.raw,
        "dnis": item.dnis.e164,
        "withheld": item.peer.kind is CallerKind.WITHHELD,
        "display_name": item.event.display_name or item.ani.display_name or "",
        "linkedid": call.key,
        "customer_id": text_id(contact.customer_id),
        "ticket_id": text_id(contact.ticket_id),
        "continued": contact.continued,
        "agent_id": text_id(contact.agent_id),
        "queue": directory.queue_name(contact.queue_id),
        "started_at": time_text(stands.started_at or item.received_at),
        "answered_at": time_text(stands.answered_at),
    }


def call_payload(pop: ContactPop, directory: Directory) -> str:
    """The frame of a pop of this batch, from what the batch has at hand."""
    contact, item = pop.contact, pop.item
    customer = customer_of_found(contact.found, contact.customer_id)
    holder: dict[str, Any] = customer or next((row for row in contact.found if row["id"] is None), {})
    tickets = holder.get("tickets") or []
    return pop_payload(
        reason=pop.reason,
        contact=contact_frame(contact, item, directory),
        match=contact.match,
        customer=customer,
        candidates=contact.candidates,
        ticket=next((row for row in tickets if row["id"] == contact.ticket_id), None),
        tickets=tickets,
        recent=recent_of(holder, directory),
        continued=contact.continued,
        warnings=warnings_of(
            customer, tickets, withheld=item.peer.kind is CallerKind.WITHHELD, now=item.received_at
        ),
        directory=directory,
        now=item.received_at,
    )


def new_row(contact: Contact) -> tuple[Any, ...]:
    """The columns of ``write_new``, in its order."""
    item, call = contact.item, contact.call
    stands = call.standing
    return (
        contact.id, stands.direction.value, contact.source, call.key, contact.state,
        item.ani.e164, item.ani.raw, item.dnis.e164, item.event.display_name or item.ani.display_name or "",
        item.peer.kind is CallerKind.WITHHELD, contact.customer_id, contact.ticket_id, contact.continued,
        contact.agent_id, _array(contact.rung), contact.queue_id, contact.match,
        orjson.dumps(contact.candidates).decode() if contact.candidates else "[]", _facts(call),
        stands.started_at or item.received_at,
        stands.answered_at, stands.ended_at, stands.hangup_cause, call.recording_url,
        contact.routed, contact.stir, *times_of(call),
    )  # fmt: skip


def changed_row(contact: Contact) -> tuple[Any, ...]:
    """The columns of ``update_contacts``, in its order."""
    item, call, row = contact.item, contact.call, contact.row
    assert row is not None
    stands = call.standing
    return (
        contact.id, contact.state, contact.agent_id, _array(contact.rung), contact.queue_id, _facts(call),
        stands.direction.value, item.ani.e164, item.dnis.e164, stands.started_at or row["started_at"],
        stands.answered_at, stands.ended_at, stands.hangup_cause, call.recording_url,
        contact.routed, contact.stir, *times_of(call),
    )  # fmt: skip


def identity_row(contact: Contact) -> tuple[Any, ...]:
    """The columns of ``identify_contacts``, in its order."""
    return (
        contact.id,
        contact.customer_id,
        contact.match,
        orjson.dumps(contact.candidates).decode(),
        contact.item.ani.raw,
        contact.ticket_id,
    )


def _array(ids: Sequence[int]) -> str:
    return "{" + ",".join(map(str, ids)) + "}"


def _facts(call: Call) -> str:
    return orjson.dumps(facts_of(call)).decode()
