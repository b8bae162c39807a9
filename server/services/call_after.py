"""What follows from a call besides its own row: a phone that rang out, after-call work, calling back."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from server.domain.call import CallState
from server.domain.event import Direction, EventType
from server.domain.identity import format_phone
from server.services.call_contact import Contact
from server.services.call_item import CallItem, caller_words
from server.services.callbacks import MissedCall
from server.services.pop_payload import customer_of_found

if TYPE_CHECKING:
    from server.services.call_batch import CallBatch

# Why a ringing phone stopped that says nothing of its agent: the caller gave up, another one was faster.
GIVEN_UP = frozenset(("cancel", "canceled", "cancelled", "originatorcancel", "loserace", "answeredelsewhere"))


def take_back(batch: CallBatch, contact: Contact, item: CallItem) -> None:
    """The phone of the agent whom we chose rang out: the caller waits again, the agent is not ready."""
    event, agent_id = item.event, contact.agent_id
    if event.type is not EventType.HANGUP or not item.routed or agent_id is None:
        return
    leg = contact.call.legs[event.leg_key]
    if contact.state != CallState.RINGING or leg.agent != f"agent:{agent_id}" or leg.picked_up_at is not None:
        return
    if (event.cause or "").casefold().replace("_", "") in GIVEN_UP:
        return
    batch.not_answering.add(agent_id)
    batch.waiting_again.add(contact.queue_id or 0)
    contact.agent_id = None
    contact.rung = []


def wrap_up(batch: CallBatch, contact: Contact, agent_id: int, now: datetime) -> None:
    """After-call work for an agent who has talked, where the queue asks for it."""
    queue = batch.directory.queues.get(contact.queue_id or 0)
    if queue is None or not queue.wraps_up:
        return
    who = f"agent:{agent_id}"
    if any(leg.talker == who and leg.picked_up_at is not None for leg in contact.call.legs.values()):
        until = now + timedelta(seconds=queue.wrap_up_seconds) if queue.wrap_up_seconds else None
        batch.wraps[agent_id] = (contact.id, until)


def follow_callbacks(batch: CallBatch, contact: Contact, item: CallItem, ended: bool) -> None:
    stands = contact.call.standing
    if stands.answered_at is not None and not contact.answered_before and contact.customer_id is not None:
        batch.spoken[contact.customer_id] = contact.agent_id
    if not ended or contact.ended_before or stands.direction is not Direction.INBOUND:
        return
    if stands.state not in (CallState.MISSED, CallState.VOICEMAIL):
        return
    customer = customer_of_found(contact.found, contact.customer_id)
    name = customer["name"] if customer is not None else contact.row["customer_name"] if contact.row else None
    number = contact.row["ani"] if contact.row else contact.item.peer.e164
    if contact.customer_id is None and number is None:
        return  # nobody to call back
    batch.missed[contact.id] = MissedCall(
        contact.id,
        stands.state.value,
        name or (format_phone(number, item.country) if number else caller_words(item, batch.rules.language)),
        contact.customer_id,
        contact.queue_id,
        stands.ended_at or item.received_at,
    )
