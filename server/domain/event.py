"""The neutral call event: what every telephony provider's message is turned into.

Field meanings follow the field's usual terms: ``ani`` who called, ``dnis`` the number dialled,
``leg`` one channel, ``call_key`` the provider's id of the whole call (linkedid).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class EventType(StrEnum):
    DIALING = "dialing"
    QUEUED = "queued"
    RINGING = "ringing"
    ANSWERED = "answered"  # an agent's leg was picked up; a platform's own pick-up is QUEUED
    HELD = "held"
    UNHELD = "unheld"
    TRANSFERRED = "transferred"
    HANGUP = "hangup"
    MISSED = "missed"
    VOICEMAIL = "voicemail"
    RECORDING_READY = "recording_ready"


class Direction(StrEnum):
    INBOUND = "inbound"
    OUTBOUND = "outbound"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEvent:
    """One thing that happened to one leg of a call, in any provider's words made neutral.

    ``event_key`` identifies the delivery: the same key twice is the same event. ``ani`` and
    ``dnis`` are raw here; the country of the source makes them E.164. ``agent_refs`` are the
    provider's names for agents (extension, client id, SIP URI, e-mail, number). ``occurred_at``
    is the provider's clock and None where it gives none.
    """

    type: EventType
    call_key: str
    leg_key: str
    event_key: str
    direction: Direction | None = None
    parent_leg_key: str | None = None
    ani: str | None = None
    dnis: str | None = None
    display_name: str | None = None
    agent_refs: tuple[str, ...] = ()
    queue_ref: str | None = None
    occurred_at: datetime | None = None
    duration_seconds: int | None = None
    cause: str | None = None
    recording_url: str | None = None
    sequence: int | None = None
    stir: str | None = None  # the carrier's STIR/SHAKEN verdict: "A", "B", "C" (verified), "failed"
    ends_call: bool = False  # this event also ended the leg (a hang-up that says "missed" itself)
