"""A call as a row of a spreadsheet, in the reader's words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from handlers.console.words import Words, mark
from server.domain.view import ticket_number

COLUMNS = (
    mark("column", "Started"),
    mark("column", "Direction"),
    mark("column", "State"),
    mark("column", "Phone number"),
    mark("column", "Customer"),
    mark("column", "Dialled"),
    mark("column", "Queue"),
    mark("column", "Agent"),
    mark("column", "Call source"),
    mark("column", "Rang (s)"),
    mark("column", "Talked (s)"),
    mark("column", "On hold (s)"),
    mark("column", "Outcome"),
    mark("column", "Note"),
    mark("column", "Why it ended"),
    mark("column", "Ticket"),
    mark("column", "Recording"),
    mark("column", "Call id"),
)


def head_of(words: Words) -> list[str]:
    """The titles; that of the times names their zone."""
    titles = [words.texts.pgettext(*one) for one in COLUMNS]
    return [f"{titles[0]} ({words.zone.key})", *titles[1:]]


def columns_of(call: Mapping[str, Any], words: Words) -> list[str | int | None]:
    """Numbers as E.164, spans in seconds, times so that a spreadsheet can sort them."""
    peer = call["dnis"] if call["direction"] == "outbound" else call["ani"]
    withheld = words.texts.gettext("Number withheld") if call["withheld"] else ""
    recording = call.get("recording") or {}
    return [
        _clock(call["started_at"], words),
        words.label(call["direction"], "direction"),
        words.label(call["state"], "call_state"),
        peer or withheld or call["ani_raw"],
        call["customer_name"],
        call["dnis"] if call["direction"] != "outbound" else None,
        call["queue"],
        call["agent_name"],
        call["source"],
        call["ring_seconds"],
        call["talk_seconds"],
        call["hold_seconds"],
        call["disposition"],
        call["note"],
        call["hangup_cause"],
        ticket_number(int(call["ticket_id"])) if call["ticket_id"] else None,
        recording.get("url"),
        call["linkedid"],
    ]


def _clock(stamp: str, words: Words) -> str:
    return datetime.fromisoformat(stamp).astimezone(words.zone).strftime("%Y-%m-%d %H:%M:%S")
