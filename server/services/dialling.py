"""Click to dial: whether a number may be called, and the contact that the call becomes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from server.domain.errors import Forbidden, Invalid
from server.domain.fields import Checks
from server.domain.identity import normalise_phone
from server.domain.permission import Actor
from server.push.hub import Hub
from server.services.transaction import transaction
from server.store import audit
from server.store import dialling as store
from server.store import intake as intake_store
from server.store.pool import Pool, transaction_errors

TARGETS = 8
NO_NUMBER = "not a phone number (write it as +44 20 7946 0123)"
NO_EXTENSION = "you have no extension: an administrator enters it on your page under Administration"
BLOCKED = "this customer is blocked: take the block away first"
UNWANTED = "the customer does not want to be called: send confirm to call all the same"


class Unwanted(Invalid):
    """Somebody of this number does not want to be called: ``names``. Whoever insists confirms it."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(UNWANTED, fields={"confirm": UNWANTED})
        self.names = list(names)


@dataclass(frozen=True, slots=True)
class Dialling:
    """A call that may be made. ``extension`` is the agent's phone; "" when the agent's own phone dials.

    ``needs_telling``: intake would not find out by the number alone whom and what it is about.
    """

    number: str
    extension: str
    customer_id: int | None
    ticket_id: int | None
    needs_telling: bool


async def prepare_call(
    pool: Pool,
    actor: Actor,
    number: str,
    *,
    country: str,
    customer_id: int | None = None,
    ticket_id: int | None = None,
    is_confirmed: bool = False,
    has_phone: bool = False,
) -> Dialling:
    """The number in any spelling. ``has_phone``: the agent's browser dials, no extension is needed.

    Raises Invalid naming each field, Unwanted when somebody has to confirm first.
    """
    check = Checks()
    e164 = normalise_phone(check.text("number", number, 200, least=1), country)
    if e164 is None:
        check.fault("number", NO_NUMBER)
    async with transaction_errors():
        row = await store.fetch_dialling(pool, actor.agent_id, customer_id, ticket_id, e164 or "")
    if row is None:
        raise Forbidden("only an agent can call")
    customer: dict[str, Any] | None = _read(row["customer"])
    if customer_id is not None and customer is None:
        check.fault("customer_id", "there is no such customer")
    if ticket_id is not None and row["ticket_id"] is None:
        check.fault("ticket_id", "there is no such ticket")
    if not row["extension"] and not has_phone:
        check.fault("extension", NO_EXTENSION)
    check.done()
    assert e164 is not None
    known: list[dict[str, Any]] = _read(row["known"]) or []
    _refuse_unwanted(customer, known, is_confirmed)
    about = customer["id"] if customer is not None else None
    is_plain = about is None or [one["id"] for one in known] == [about]
    return Dialling(
        e164,
        row["extension"] or "",
        about,
        row["ticket_id"],
        needs_telling=row["ticket_id"] is not None or not is_plain,
    )


def _read(text: str | None) -> Any:
    return json.loads(text) if text else None


def _refuse_unwanted(
    customer: dict[str, Any] | None, known: Sequence[dict[str, Any]], is_confirmed: bool
) -> None:
    """Of a number that several share nobody is wronged by the block of another, but by a call unasked for."""
    meant = [customer] if customer is not None else known
    if meant and all(one["blocked"] for one in meant):
        raise Invalid(BLOCKED, fields={"number" if customer is None else "customer_id": BLOCKED})
    everybody = [*([customer] if customer is not None else []), *known]
    names = dict.fromkeys(one["name"] for one in everybody if "call" in one["do_not_contact"])
    if names and not is_confirmed:
        raise Unwanted(list(names))


async def expect_call(
    pool: Pool, hub: Hub, actor: Actor, dialling: Dialling, source: str, call_key: str
) -> int | None:
    """Keep whom and what the call is about, before or after its first event. Gives the contact, if it was told."""
    if not dialling.needs_telling or not call_key:
        return None
    async with transaction(pool) as connection:
        # As intake does, so that neither overwrites what the other has just written.
        await intake_store.lock(connection, [intake_store.lock_key(source, call_key)])
        contact_id = await store.expect_call(
            connection, source, call_key, dialling.number, dialling.customer_id, dialling.ticket_id,
            actor.agent_id, datetime.now(UTC),
        )  # fmt: skip
    hub.hint("contact_changed", contact_id, [actor.agent_id])
    return contact_id


async def note_own_call(pool: Pool, actor: Actor, dialling: Dialling) -> None:
    """The agent's browser dials by itself: that is written down like any other call that was asked for."""
    data = {"number": dialling.number, "source": "softphone", "outcome": "done"}
    async with transaction_errors():
        await audit.insert_audit(pool, actor.agent_id, "call.dial", "agent", actor.agent_id, data)


async def find_targets(pool: Pool, without: int | None, text: str) -> list[dict[str, Any]]:
    """Agents with an extension and queues with a number whom a call may be handed to, the free ones first.

    ``without`` is the agent who has it. Gives ``kind`` (agent, queue), ``name``, ``title_zh``, ``target`` (what is
    dialled), ``state`` of an agent.
    """
    async with transaction_errors():
        return [dict(row) for row in await store.find_targets(pool, without, text, TARGETS)]
