"""The screen pop's frame (docs/contract.md section 4), from rows that are at hand or are read now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from server.domain.directory import Directory
from server.domain.errors import NotFound
from server.domain.view import (
    contact_view,
    customer_view,
    text_id,
    ticket_brief,
    time_text,
    warning,
    warnings_of,
)
from server.store import pops as store
from server.store.pool import Connection

Row = Mapping[str, Any]


def customer_of_found(found: Sequence[dict[str, Any]], customer_id: int | None) -> dict[str, Any] | None:
    if customer_id is None:
        return None
    return next((row for row in found if row["id"] == customer_id), None)


def recent_of(holder: Row, directory: Directory) -> list[dict[str, Any]]:
    """The customer's last touches, with the agent's name."""
    touches = []
    for row in holder.get("recent") or ():
        agent = directory.agents.get(row["agent_id"] or 0)
        touches.append(
            {
                "id": str(row["id"]),
                "channel": row["channel"],
                "direction": row["direction"],
                "state": row["state"],
                "agent": agent.name if agent is not None else None,
                "ticket_id": text_id(row["ticket_id"]),
                "started_at": time_text(row["started_at"]),
            }
        )
    return touches


def pop_payload(
    *,
    reason: str,
    contact: dict[str, Any],
    match: str,
    customer: Row | None,
    candidates: Sequence[Row],
    ticket: Row | None,
    tickets: Sequence[Row],
    recent: Sequence[Row],
    continued: bool,
    warnings: Sequence[Row],
    directory: Directory,
    now: datetime,
) -> str:
    """The frame as JSON text, without its id: that is known once the row is written."""
    contact["candidates"] = list(candidates)
    briefs = {row["id"]: ticket_brief(row, directory.queue_name(row["queue_id"])) for row in tickets}
    shown = briefs[ticket["id"]] | {"continued": continued} if ticket is not None else None
    return orjson.dumps(
        {
            "reason": reason,
            "contact": contact,
            "match": match,
            "customer": customer_view(customer) if customer is not None else None,
            "candidates": list(candidates),
            "ticket": shown,
            "open_tickets": [briefs[row["id"]] for row in tickets if row["status"] in ("open", "waiting")],
            "recent": list(recent),
            "warnings": list(warnings),
            "created_at": time_text(now),
        }
    ).decode()


async def payload_of_contact(
    connection: Connection, contact_id: int, reason: str, directory: Directory, now: datetime
) -> str:
    """The frame of a contact as it stands in the database, this transaction's changes included."""
    row = await store.fetch_contact_for_pop(connection, contact_id)
    if row is None:
        raise NotFound(f"contact {contact_id} does not exist")
    customer = orjson.loads(row["customer"]) if row["customer"] else None
    tickets = orjson.loads(row["tickets"]) if row["tickets"] else []
    candidates = orjson.loads(row["candidates"] or "[]")
    holder = {"recent": orjson.loads(row["recent"]) if row["recent"] else []}
    warnings = warnings_of(customer, tickets, withheld=row["withheld"], now=now)
    if row["trust"] == "unproven":
        warnings.append(warning("unverified_sender"))
    contact = contact_view(dict(row), directory.queue_name(row["queue_id"]), candidates)
    contact["ani_raw"] = row["ani_raw"]
    contact["subject"], contact["from"], contact["body"] = row["subject"], row["from_address"], row["body"]
    return pop_payload(
        reason=reason,
        contact=contact,
        match=row["match"],
        customer=customer,
        candidates=candidates,
        ticket=next((ticket for ticket in tickets if ticket["id"] == row["ticket_id"]), None),
        tickets=tickets,
        recent=recent_of(holder, directory),
        continued=row["continued"],
        warnings=warnings,
        directory=directory,
        now=now,
    )
