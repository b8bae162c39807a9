"""A call's row while its batch is worked on: whom it matches, which ticket it continues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from server.domain.call import Call
from server.domain.matching import Match
from server.services.call_item import CallItem
from server.services.match_rows import candidates_of

Found = dict[str, Any]  # a candidate as ``read_batch`` gives it


@dataclass(slots=True)
class Contact:
    """A call's row while its batch is worked on."""

    id: int
    is_new: bool
    call: Call
    source: str
    item: CallItem
    agent_id: int | None = None
    rung: list[int] = field(default_factory=list)
    queue_id: int | None = None
    customer_id: int | None = None
    ticket_id: int | None = None
    continued: bool = False
    match: str = "unknown"
    candidates: list[dict[str, Any]] = field(default_factory=list)
    found: list[dict[str, Any]] = field(default_factory=list)
    state: str = ""
    changed: bool = False
    ended_before: bool = False
    answered_before: bool = False
    waited: bool = False  # rang at nobody
    stir: str | None = None
    routed: bool = False  # it came as something that Ringpost is to offer to somebody
    row: asyncpg.Record | None = None

    def settle(self, match: Match) -> None:
        """Keep the decision: the word, the candidates with score and reason, the customer if one was chosen."""
        self.match = match.word
        self.candidates = candidates_of(match, {row["id"]: row["name"] for row in self.found})
        chosen = match.chosen
        self.customer_id = chosen.customer_id if chosen is not None else None


def decide_continued(
    tickets: Sequence[dict[str, Any]], now: datetime, window: timedelta
) -> dict[str, Any] | None:
    """The customer's newest open ticket that was touched within the window."""
    for ticket in tickets:
        updated = ticket["updated_at"]
        if isinstance(updated, str):
            updated = datetime.fromisoformat(updated)
        if ticket["status"] in ("open", "waiting") and now - updated <= window:
            return ticket
    return None


def provisional(new_id: int, name: str, e164: str, now: datetime) -> dict[str, Any]:
    return {
        "id": new_id, "number": f"C-{new_id:06d}", "kind": "person", "name": name, "company": "", "language": "",
        "time_zone": "", "tier": "standard", "blocked": False, "provisional": True, "owner_agent_id": None,
        "do_not_contact": [], "tags": [], "fields": {}, "notes": "", "created_at": now, "updated_at": now,
        "verified": False, "label": "", "verdict": None,
        "phones": [{"number": e164, "label": "", "extension": "", "verified": False}], "emails": [],
        "tickets": [], "recent": [],
    }  # fmt: skip


@dataclass(slots=True)
class ContactPop:
    """A pop of this batch; ``id`` once it is written."""

    agent_id: int
    contact: Contact
    item: CallItem
    reason: str
    id: int = 0
    payload: str = ""

    @property
    def row(self) -> tuple[int, int, str]:
        return self.agent_id, self.contact.id, self.reason
