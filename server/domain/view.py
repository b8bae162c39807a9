"""Records as the outside sees them (docs/contract.md section 3): plain JSON values, ids as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

Row = Mapping[str, Any]


def text_id(value: int | None) -> str | None:
    return None if value is None else str(value)


def time_text(value: datetime | str | None) -> str | None:
    """RFC 3339 in UTC. JSON built by the database (its connections speak UTC) carries text already."""
    if value is None:
        return None
    if isinstance(value, str):
        return value[:-6] + "Z" if value.endswith("+00:00") else value
    return _utc_text(value)


@lru_cache(maxsize=256)
def _utc_text(value: datetime) -> str:
    """Remembered for a moment: one event's time stands in its contact, its ticket and its pop."""
    if value.tzinfo is not UTC:
        value = value.astimezone(UTC)
    return value.isoformat(timespec="milliseconds")[:-6] + "Z"


def ticket_number(ticket_id: int) -> str:
    return f"RP-{ticket_id:06d}"


def customer_view(row: Row) -> dict[str, Any]:
    """A customer. ``phones`` and ``emails`` are lists of mappings, ``external_ids`` a mapping."""
    return {
        "id": str(row["id"]),
        "number": row["number"],
        "kind": row["kind"],
        "name": row["name"],
        "company": row["company"],
        "language": row["language"],
        "time_zone": row["time_zone"],
        "owner_agent_id": text_id(row["owner_agent_id"]),
        "tier": row["tier"],
        "blocked": row["blocked"],
        "provisional": row["provisional"],
        "do_not_contact": list(row["do_not_contact"] or ()),
        "phones": _in_order(row.get("phones")),
        "emails": _in_order(row.get("emails")),
        "external_ids": dict(row.get("external_ids") or {}),
        "tags": list(row["tags"] or ()),
        "fields": row["fields"] or {},
        "notes": row.get("notes") or "",
        "created_at": time_text(row["created_at"]),
        "updated_at": time_text(row["updated_at"]),
    }


def _in_order(rows: Sequence[Row] | None) -> list[Row]:
    """Phones or mails by their position, which is not shown."""
    if not rows:
        return []
    if "position" not in rows[0]:
        return list(rows)
    ordered = rows if len(rows) == 1 else sorted(rows, key=lambda row: int(row["position"]))
    return [{name: value for name, value in row.items() if name != "position"} for row in ordered]


def ticket_view(row: Row, queue: str | None) -> dict[str, Any]:
    return {
        "id": str(row["id"]),
        "number": ticket_number(row["id"]),
        "kind": row["kind"],
        "subject": row["subject"],
        "status": row["status"],
        "stage": row["stage"],
        "priority": row["priority"],
        "queue": queue,
        "assignee_agent_id": text_id(row["assignee_agent_id"]),
        "customer_id": text_id(row["customer_id"]),
        "channel": row["channel"],
        "fields": row["fields"] or {},
        "first_response_due_at": time_text(row["first_response_due_at"]),
        "first_responded_at": time_text(row["first_responded_at"]),
        "resolve_due_at": time_text(row["resolve_due_at"]),
        "created_at": time_text(row["created_at"]),
        "updated_at": time_text(row["updated_at"]),
        "resolved_at": time_text(row["resolved_at"]),
    }


def ticket_brief(row: Row, queue: str | None) -> dict[str, Any]:
    """The part of a ticket that a pop shows."""
    return {
        "id": str(row["id"]),
        "number": ticket_number(row["id"]),
        "kind": row["kind"],
        "subject": row["subject"],
        "status": row["status"],
        "priority": row["priority"],
        "queue": queue,
        "assignee_agent_id": text_id(row["assignee_agent_id"]),
        "channel": row["channel"],
        "created_at": time_text(row["created_at"]),
        "updated_at": time_text(row["updated_at"]),
        "resolve_due_at": time_text(row["resolve_due_at"]),
    }


def contact_view(row: Row, queue: str | None, candidates: Sequence[Row]) -> dict[str, Any]:
    return {
        "id": str(row["id"]),
        "channel": row["channel"],
        "direction": row["direction"],
        "source": row["source"],
        "state": row["state"],
        "ani": row["ani"],
        "dnis": row["dnis"],
        "withheld": row["withheld"],
        "display_name": row["display_name"],
        "linkedid": row["call_key"],
        "customer_id": text_id(row["customer_id"]),
        "ticket_id": text_id(row["ticket_id"]),
        "continued": row["continued"],
        "agent_id": text_id(row["agent_id"]),
        "queue": queue,
        "match": row["match"],
        "candidates": list(candidates),
        "started_at": time_text(row["started_at"]),
        "answered_at": time_text(row["answered_at"]),
        "ended_at": time_text(row["ended_at"]),
        "hangup_cause": row["hangup_cause"],
        "ring_seconds": row["ring_seconds"],
        "talk_seconds": row["talk_seconds"],
        "hold_seconds": row["hold_seconds"],
        "stir": row["stir"],
        "recording_url": row["recording_url"],
        "disposition": row["disposition"],
        "note": row["note"],
        "wrapped_up_at": time_text(row["wrapped_up_at"]),
    }


def agent_view(row: Row, queues: Sequence[str]) -> dict[str, Any]:
    return {
        "id": str(row["id"]),
        "email": row["email"],
        "name": row["name"],
        "role": row["role"],
        "extension": row["extension"],
        "queues": list(queues),
        "skills": list(row["skills"] or ()),
        "language": row["language"],
        "state": row["state"] or "offline",
        "reason": row["reason"] or "",
        "since": time_text(row["since"]),
        "disabled": row["disabled_at"] is not None,
    }


WARNINGS = {
    "blocked": {"en": "This customer is blocked", "zh_CN": "该客户已被列入黑名单"},
    "do_not_contact": {"en": "Do not contact by phone", "zh_CN": "请勿电话联系"},
    "vip": {"en": "VIP customer", "zh_CN": "贵宾客户"},
    "provisional": {"en": "Not confirmed yet: ask who is calling", "zh_CN": "身份尚未确认：请核实来电人"},
    "withheld": {"en": "Number withheld", "zh_CN": "来电号码被隐藏"},
    "overdue": {"en": "An open ticket is overdue", "zh_CN": "有未结工单已逾期"},
    "waiting": {"en": "Waited in the queue", "zh_CN": "已在队列中等待"},
    "unverified_sender": {"en": "The sender's address is not proven", "zh_CN": "发件人地址未经验证"},
}


def warnings_of(
    customer: Row | None, tickets: Sequence[Row], *, withheld: bool, now: datetime
) -> list[dict[str, str]]:
    """What the agent must know first, as ``{code, text, text_zh}``."""
    codes: list[str] = ["withheld"] if withheld else []
    if customer is not None:
        if customer["blocked"]:
            codes.append("blocked")
        if customer["provisional"]:
            codes.append("provisional")
        if customer["tier"] == "vip":
            codes.append("vip")
        if "call" in (customer["do_not_contact"] or ()):
            codes.append("do_not_contact")
    for ticket in tickets:
        due = ticket["resolve_due_at"]
        if isinstance(due, str):
            due = datetime.fromisoformat(due)
        if ticket["status"] in ("open", "waiting") and due is not None and due < now:
            codes.append("overdue")
            break
    return [warning(code) for code in codes]


def warning(code: str) -> dict[str, str]:
    return {"code": code, "text": WARNINGS[code]["en"], "text_zh": WARNINGS[code]["zh_CN"]}
