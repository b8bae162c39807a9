"""What the console shows: read as a page needs it, one function for each part of a page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from server.domain.directory import Directory
from server.domain.errors import Conflict, Invalid, NotFound
from server.domain.hours import Hours
from server.domain.identity import email_match_key
from server.domain.permission import Actor
from server.domain.view import ticket_number
from server.push.hub import Hub
from server.services.call_result import result_of
from server.services.pop_payload import payload_of_contact
from server.services.queues import list_queues
from server.services.take_calls import IntakeRules
from server.services.tickets import open_ticket, update_ticket
from server.store import console as store
from server.store import pops
from server.store.pool import Connection, Pool, transaction_errors

LIVE = timedelta(hours=12)
RECENT = timedelta(hours=18)
OWN_TICKETS = 60
WAITING, BOARD_WAITING = 40, 8
WRAP_UP = ("wrap_up_contact_id", "wrap_up_until")
Row = Mapping[str, Any]


async def presence_of(pool: Pool, agent_id: int) -> dict[str, Any]:
    """``state`` as it is kept, and ``shown``: busy while a call is on, wrap_up at after-call work."""
    async with transaction_errors():
        row = await pops.fetch_presence(pool, agent_id)
    if row is None:
        return {"state": "offline", "reason": "", "since": None, "shown": "offline", **dict.fromkeys(WRAP_UP)}
    shown = "busy" if row["busy"] and row["state"] == "available" else row["state"]
    if row["wrap_up_contact_id"] is not None and shown == "available":
        shown = "wrap_up"
    return {
        "state": row["state"], "reason": row["reason"], "since": row["since"], "shown": shown,
        **{name: row[name] for name in WRAP_UP},
    }  # fmt: skip


async def my_queue(pool: Pool, directory: Directory, actor: Actor) -> dict[str, list[dict[str, Any]]]:
    """``calls`` that are on, ``waiting`` in the agent's queues, open ``tickets``, ``recent`` contacts."""
    now = datetime.now(UTC)
    async with transaction_errors(), pool.acquire() as connection:
        calls = await store.fetch_live_calls(connection, actor.agent_id, now - LIVE)
        queue_ids = await store.fetch_own_queues(connection, actor.agent_id)
        waiting = await store.fetch_waiting(connection, queue_ids, WAITING)
        tickets = await store.fetch_own_tickets(connection, actor.agent_id, OWN_TICKETS)
        recent = await store.fetch_recent_own(connection, actor.agent_id, now - RECENT)
    live = {row["id"] for row in calls}
    shown: dict[int, dict[str, Any]] = {}
    for row in recent:
        if row["id"] not in live:
            shown.setdefault(row["id"], dict(row))
    return {
        "calls": [_titled(row, directory) for row in calls],
        "waiting": [_titled(row, directory) for row in waiting],
        "tickets": [_ticket(row, now) for row in tickets],
        "recent": list(shown.values())[:8],
    }


def _titled(row: asyncpg.Record, directory: Directory) -> dict[str, Any]:
    return dict(row) | {"queue": queue_title(directory, row["queue_id"])}


def _ticket(row: asyncpg.Record, now: datetime) -> dict[str, Any]:
    ticket = dict(row)
    return ticket | {"number": ticket_number(row["id"]), **due_of(ticket, now)}


def due_of(row: Row, now: datetime) -> dict[str, Any]:
    """The next thing due: the first response until it was given, then the solution; and which of them is late."""
    if row["status"] not in ("open", "waiting"):
        return {
            "due_at": None,
            "due_kind": "",
            "overdue": False,
            "response_late": False,
            "solution_late": False,
        }
    first, solve = _moment(row["first_response_due_at"]), _moment(row["resolve_due_at"])
    late = {
        "response_late": row["first_responded_at"] is None and first is not None and first < now,
        "solution_late": solve is not None and solve < now,
    }
    if row["first_responded_at"] is None and first is not None and (solve is None or first <= solve):
        return {"due_at": first, "due_kind": "response", "overdue": first < now, **late}
    return {"due_at": solve, "due_kind": "solution", "overdue": late["solution_late"], **late}


def _moment(value: datetime | str | None) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def queue_title(directory: Directory, queue_id: int | None) -> dict[str, str] | None:
    queue = directory.queues.get(queue_id) if queue_id is not None else None
    if queue is None:
        return None
    return {"name": queue.name, "en": queue.title_en or queue.name, "zh_CN": queue.title_zh or queue.name}


async def current_contact_id(pool: Pool, actor: Actor) -> int | None:
    """The call that the agent is on, else the one that rings there."""
    async with transaction_errors():
        rows = await store.fetch_live_calls(pool, actor.agent_id, datetime.now(UTC) - LIVE)
    return rows[0]["id"] if rows else None


async def contact_card(pool: Pool, directory: Directory, contact_id: int) -> dict[str, Any]:
    """The pop of a contact as it stands now, with its candidates in full. Raises NotFound.

    ``is_confirmed``: an agent said that this is the customer, or the number is a verified one of theirs.
    """
    now = datetime.now(UTC)
    async with transaction_errors(), pool.acquire() as connection:
        text = await payload_of_contact(connection, contact_id, "ringing", directory, now)
        card: dict[str, Any] = json.loads(text)
        contact = card["contact"]
        said = {str(one["customer_id"]): one for one in card["candidates"]}
        wanted = [int(one) for one in said]
        rows = await store.fetch_candidates(connection, wanted) if wanted else []
        key = lesson_key(contact)
        refused = await store.fetch_refused(connection, key) if key else set()
        card["is_confirmed"] = await _is_confirmed(connection, card["customer"], contact, key)
        facts = await store.fetch_call_facts(connection, contact_id)
    known = {str(row["id"]): dict(row) for row in rows if row["id"] not in refused}
    card["candidates"] = [
        known[one] | {"score": what.get("score"), "reason": what.get("reason", "")}
        for one, what in said.items()
        if one in known
    ]
    queue_id = directory.by_queue_name.get((contact["queue"] or "").casefold())
    card["queue"] = queue_title(directory, queue_id)
    card["answered_by"] = directory.agents.get(int(contact["agent_id"] or 0))
    card["is_live"] = contact["channel"] == "call" and contact["ended_at"] is None
    card["result"] = (
        result_of(dict(facts), directory) if facts is not None and facts["channel"] == "call" else None
    )
    return card


async def _is_confirmed(connection: Connection, customer: Row | None, contact: Row, key: str | None) -> bool:
    if customer is None or customer["provisional"]:
        return False
    if key is None:
        return True  # without a number nothing but an agent's word finds a customer
    peer = contact["ani"] if contact["direction"] == "inbound" else contact["dnis"]
    if any(one["verified"] and one["number"] == peer for one in customer["phones"]):
        return True
    return await store.is_taught(connection, key, int(customer["id"]))


def lesson_key(contact: Row) -> str | None:
    """Under what agents' decisions about this number or address are kept."""
    if contact["channel"] == "call":
        number = contact["ani"] if contact["direction"] == "inbound" else contact["dnis"]
        return f"tel:{number}" if number and not contact["withheld"] else None
    address = contact.get("from") or ""
    return f"mail:{email_match_key(address)}" if "@" in address else None


async def take_contact(pool: Pool, hub: Hub, actor: Actor, contact_id: int) -> int:
    """Make a waiting mail or form the agent's own; gives the ticket. Raises Conflict when another has it."""
    async with transaction_errors():
        row = await store.fetch_contact_ticket(pool, contact_id)
    if row is None or row["ticket_id"] is None:
        raise NotFound("there is no such contact")
    if row["channel"] == "call":
        raise Invalid("a call is given to the agent who is free, by the queue")
    if row["assignee_agent_id"] == actor.agent_id:
        return int(row["ticket_id"])
    if row["assignee_agent_id"] is not None or row["agent_id"] is not None:
        raise Conflict("somebody else has it")
    changes = {"assignee_agent_id": str(actor.agent_id)}
    await update_ticket(pool, hub, actor, row["ticket_id"], changes, row["ticket_version"])
    return int(row["ticket_id"])


async def ticket_of_contact(
    pool: Pool, hub: Hub, actor: Actor, contact_id: int, subject: str, rules: IntakeRules
) -> int:
    """The contact's ticket; one without (an outgoing call) gets one. Gives its id."""
    async with transaction_errors():
        row = await store.fetch_contact_ticket(pool, contact_id)
    if row is None:
        raise NotFound("there is no such contact")
    if row["ticket_id"] is not None:
        return int(row["ticket_id"])
    data: dict[str, Any] = {
        "subject": subject,
        "channel": row["channel"],
        "assignee_agent_id": str(actor.agent_id),
    }
    if row["customer_id"] is not None:
        data["customer_id"] = str(row["customer_id"])
    opened = await open_ticket(pool, hub, actor, data, rules)
    return int(opened["id"])


async def ticket_course(
    pool: Pool, directory: Directory, ticket_id: int, messages: Sequence[Row]
) -> list[dict[str, Any]]:
    """Messages, calls and changes of a ticket as one course, oldest first; each has ``entry`` and ``at``."""
    async with transaction_errors(), pool.acquire() as connection:
        calls = await store.fetch_ticket_contacts(connection, ticket_id)
        changes = await store.fetch_audit(connection, "ticket", ticket_id)
    course = [dict(row) | {"entry": "message", "at": _moment(row["created_at"])} for row in messages]
    course += [
        dict(row) | {"entry": "call", "at": row["started_at"], "result": result_of(dict(row), directory)}
        for row in calls
    ]
    course += [
        dict(row) | {"entry": "change"}
        for row in changes
        if row["action"] not in ("ticket.note", "ticket.reply", "ticket.open")
    ]
    return sorted(course, key=lambda one: (one["at"], one["entry"] != "change"))


async def board(pool: Pool, directory: Directory) -> dict[str, Any]:
    """For the supervisor: each queue with who is free and who waits (the oldest few), and every agent."""
    figures = await list_queues(pool)
    async with transaction_errors(), pool.acquire() as connection:
        agents = [_board_agent(row) for row in await store.fetch_board(connection)]
        waiting = await store.fetch_waiting(connection, [int(one["id"]) for one in figures], BOARD_WAITING)
    now = datetime.now(UTC)
    queues = []
    for figure in figures:
        queue_id, oldest = int(figure["id"]), figure["oldest_wait_seconds"]
        members = [one for one in agents if queue_id in (one["queue_ids"] or ())]
        known = directory.queues.get(queue_id)
        hours = known.hours if known is not None else Hours()
        queues.append(
            {
                "id": queue_id,
                "title": queue_title(directory, queue_id) or {"en": figure["name"], "zh_CN": figure["name"]},
                "members": members,
                "waiting": [dict(row) for row in waiting if row["queue_id"] == queue_id][:BOARD_WAITING],
                "waiting_count": figure["waiting"],
                "oldest_at": now - timedelta(seconds=oldest) if oldest is not None else None,
                "is_open": hours.is_open(now),
                "opens_at": hours.next_open(now),
                **{state: sum(1 for one in members if one["shown"] == state) for state in SHOWN},
            }
        )
    return {"queues": queues}


SHOWN = ("available", "busy", "wrap_up", "not_ready", "offline")


def _board_agent(row: asyncpg.Record) -> dict[str, Any]:
    shown, since = row["state"], row["since"]
    if shown == "available" and row["contact_id"] is not None:
        shown, since = "busy", row["answered_at"] or row["started_at"]
    elif shown == "available" and row["wrap_up_contact_id"] is not None:
        shown, since = "wrap_up", row["idle_since"]  # the end of the call
    return dict(row) | {"shown": shown, "shown_since": since}


async def assignable(pool: Pool) -> list[dict[str, Any]]:
    """Agents whom a ticket may be given to: ``id, name, state``."""
    async with transaction_errors():
        return [dict(row) for row in await store.fetch_assignable(pool)]


async def message_html(pool: Pool, ticket_id: int, message_id: int) -> str:
    """The HTML of a mail as it came: not safe to show. Raises NotFound."""
    async with transaction_errors():
        row = await store.fetch_message_html(pool, ticket_id, message_id)
    if row is None or row["body_html"] is None:
        raise NotFound("this message has no HTML")
    return str(row["body_html"])
