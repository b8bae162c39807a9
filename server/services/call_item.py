"""One call event on its way into a batch, and the rules that the settings give."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from server.domain.event import CallEvent, Direction
from server.domain.identity import CallerIdentity, CallerKind, format_phone, normalise_caller


@dataclass(frozen=True, slots=True)
class IntakeRules:
    """What the settings say about tickets of new contacts."""

    continue_window: timedelta
    first_response: timedelta
    resolve: timedelta
    language: str = "en"


@dataclass(frozen=True, slots=True)
class CallItem:
    """One event with what its source says. ``peer`` is the customer's side of the call."""

    source: str
    country: str
    fallback_queue: str | None
    ring_group: bool
    event: CallEvent
    raw: bytes
    received_at: datetime
    ani: CallerIdentity
    dnis: CallerIdentity
    routed: bool = True  # Ringpost chooses who is offered the call; False: the PBX does, and is followed

    @property
    def direction(self) -> Direction:
        return self.event.direction or Direction.INBOUND

    @property
    def inbound(self) -> bool:
        return self.direction is Direction.INBOUND

    @property
    def peer(self) -> CallerIdentity:
        return self.dnis if self.direction is Direction.OUTBOUND else self.ani


def call_item(
    source: str,
    country: str,
    queue: str | None,
    ring_group: bool,
    event: CallEvent,
    raw: bytes,
    now: datetime,
    *,
    routed: bool = True,
) -> CallItem:
    """Normalise once, at the door, so that the transaction does not pay for it."""
    ani, dnis = normalise_caller(event.ani, country), normalise_caller(event.dnis, country)
    return CallItem(source, country, queue, ring_group, event, raw, now, ani, dnis, routed)


def caller_words(item: CallItem, language: str) -> str:
    """How a caller without a record is named in a subject."""
    peer = item.peer
    if peer.e164:
        return format_phone(peer.e164, item.country)
    if peer.kind is CallerKind.WITHHELD:
        return "隐藏号码" if language == "zh_CN" else "a withheld number"
    return (
        peer.display_name
        or peer.sip_address
        or peer.raw
        or ("未知号码" if language == "zh_CN" else "an unknown number")
    )
