"""The words of a ticket, and what a change of its status means for its clock."""

from __future__ import annotations

from datetime import datetime

KINDS = ("inquiry", "service_request", "complaint", "work_order", "callback", "return", "fault_report")
STATUSES = ("open", "waiting", "resolved", "closed")
PRIORITIES = ("low", "normal", "high", "urgent")
CHANNELS = ("api", "call", "email", "form", "sms", "console", "chat")
DONE = ("resolved", "closed")


def decide_resolved_at(status: str, resolved_at: datetime | None, now: datetime) -> datetime | None:
    """When it was resolved: kept while it stays done, forgotten when it is opened again."""
    if status not in DONE:
        return None
    return resolved_at or now
