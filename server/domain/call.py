"""The call: a small state machine that takes events in any order, any number of times.

Facts of each leg are joined (earliest time wins, a raised flag stays raised), and the state is
derived from the facts. Joining is commutative, associative and idempotent, so order and repetition
cannot matter; "a finished call never goes back" follows because a raised end is never lowered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from typing import Any, NamedTuple

from server.domain.event import CallEvent, Direction, EventType


class CallState(StrEnum):
    RINGING = "ringing"
    ANSWERED = "answered"
    HELD = "held"
    TRANSFERRED = "transferred"
    ENDED = "ended"
    MISSED = "missed"
    VOICEMAIL = "voicemail"


Hold = tuple[float, float, bool]
HOLDS_KEPT = 200  # of a leg, the last ones: a phone that toggles for ever must not fill the row


@dataclass(frozen=True, slots=True)
class Leg:
    """Facts of one leg. Times are epoch seconds; ``holds`` are the hold changes: order, time, held or not."""

    parent: str | None = None
    agent: str | None = None  # who it rang
    answerer: str | None = None  # who picked it up
    direction: str | None = None
    seen_at: float | None = None
    answered_at: float | None = None
    ended_at: float | None = None
    cause: str | None = None
    holds: tuple[Hold, ...] = ()
    talked: int | None = None  # seconds, as the provider counted them

    @property
    def talker(self) -> str | None:
        return self.answerer or self.agent

    @property
    def picked_up_at(self) -> float | None:
        """When it was picked up; from the provider's count where the pick-up itself was never told."""
        if self.answered_at is None and self.talked and self.ended_at is not None and self.talker:
            return self.ended_at - self.talked
        return self.answered_at

    @property
    def held(self) -> bool:
        return bool(self.holds) and self.holds[-1][2] and self.ended_at is None


@dataclass(frozen=True)
class Call:
    """Facts of the whole call, by leg, and what was said of the call itself.

    What is derived from them is derived once: a batch asks for it several times.
    """

    key: str
    legs: Mapping[str, Leg] = field(default_factory=dict)
    missed_at: float | None = None
    missed_cause: str | None = None
    voicemail_at: float | None = None
    transferred_at: float | None = None
    transferred_to: str | None = None
    forwarded: bool = False
    recording_url: str | None = None
    swept_at: float | None = None

    @cached_property
    def standing(self) -> Standing:
        """What follows from the facts, worked out once."""
        return _stand(self)

    @property
    def state(self) -> CallState:
        return self.standing.state

    @property
    def started_at(self) -> datetime | None:
        return self.standing.started_at

    @property
    def answered_at(self) -> datetime | None:
        return self.standing.answered_at

    @property
    def ended_at(self) -> datetime | None:
        return self.standing.ended_at

    @property
    def hangup_cause(self) -> str | None:
        return self.standing.hangup_cause

    @property
    def agent_ref(self) -> str | None:
        return self.standing.agent_ref

    @property
    def direction(self) -> Direction:
        return self.standing.direction


class Standing(NamedTuple):
    """``ended_at``: when the customer's side ended; ``agent_ref``: of the latest answered leg."""

    state: CallState
    direction: Direction
    agent_ref: str | None
    started_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None
    hangup_cause: str | None


def _stand(call: Call) -> Standing:
    legs = list(call.legs.values())
    roots = [leg for leg in legs if leg.parent is None]
    answered = [leg for leg in legs if leg.picked_up_at is not None]
    # The customer's leg: named like the call, else the earliest without a parent.
    main = call.legs.get(call.key) or min(
        roots, key=lambda leg: (leg.seen_at or 0.0, leg.agent or ""), default=None
    )
    direction = (main.direction if main is not None else None) or min(
        (leg.direction for leg in legs if leg.direction), default=Direction.INBOUND
    )
    over = bool(roots) and all(leg.ended_at is not None for leg in roots)
    ended_at = max(leg.ended_at or 0.0 for leg in roots) if over else call.swept_at
    return Standing(
        state=_state(call, roots, answered, over=over, inbound=direction == "inbound"),
        direction=Direction(direction),
        agent_ref=_talker(answered) if answered else None,
        started_at=_time(_least(leg.seen_at for leg in legs)),
        answered_at=_time(_least(leg.picked_up_at for leg in answered)) if answered else None,
        ended_at=_time(ended_at),
        hangup_cause=(main.cause if main is not None else None) or call.missed_cause,
    )


def _state(call: Call, roots: list[Leg], answered: list[Leg], *, over: bool, inbound: bool) -> CallState:
    if over or call.swept_at is not None:
        if call.voicemail_at is not None and not answered:
            return CallState.VOICEMAIL
        if answered or not inbound:
            return CallState.ENDED
        if (
            call.forwarded and len(roots) == 1
        ):  # what followed is another call; a further leg speaks for itself
            return CallState.TRANSFERRED if call.swept_at is None else CallState.ENDED
        return CallState.MISSED
    if not answered:
        if call.voicemail_at is not None:
            return CallState.VOICEMAIL
        if call.missed_at is not None and inbound:
            return CallState.MISSED
    if call.transferred_at is not None and not _target_answered(call, answered):
        return CallState.TRANSFERRED
    if not answered:
        return CallState.RINGING
    return CallState.HELD if any(leg.held for leg in call.legs.values()) else CallState.ANSWERED


def _target_answered(call: Call, answered: list[Leg]) -> bool:
    if call.transferred_to is not None and any(leg.talker == call.transferred_to for leg in answered):
        return True
    # Whoever picks up at or after the transfer means that it arrived: the target may be a queue.
    return any((leg.picked_up_at or 0.0) >= (call.transferred_at or 0.0) for leg in answered)


def _talker(answered: list[Leg]) -> str | None:
    named = [leg for leg in answered if leg.talker]
    talking = [leg for leg in named if leg.ended_at is None] or named
    latest = max(talking, key=lambda leg: (leg.picked_up_at or 0.0, leg.talker or ""), default=None)
    return latest.talker if latest is not None else None


def apply_event(
    call: Call, event: CallEvent, received_at: datetime, agent_refs: tuple[str, ...] | None = None
) -> Call:
    """Join one event into the call. ``received_at`` stands in where the provider gives no time.

    ``agent_refs`` stand in for the event's own: one name for each agent, where they were looked up.
    """
    refs = event.agent_refs if agent_refs is None else agent_refs
    at = (event.occurred_at or received_at).timestamp()
    kind = event.type
    forwarded = kind is EventType.TRANSFERRED and event.cause == "forwarded"
    leg = _join_leg(call.legs.get(event.leg_key), event, refs, at)
    said: dict[str, Any] = {"legs": {**call.legs, event.leg_key: leg}}
    if kind is EventType.MISSED:
        said["missed_at"] = _least((call.missed_at, at))
        said["missed_cause"] = _greatest_text(call.missed_cause, event.cause)
    elif kind is EventType.VOICEMAIL:
        said["voicemail_at"] = _least((call.voicemail_at, at))
    elif forwarded:
        said["forwarded"] = True
    elif kind is EventType.TRANSFERRED:
        target = refs[0] if refs else ""
        latest = max((call.transferred_at or 0.0, call.transferred_to or ""), (at, target))
        said["transferred_at"], said["transferred_to"] = latest[0], latest[1] or None
    if event.recording_url:
        said["recording_url"] = _greatest_text(call.recording_url, event.recording_url)
    return Call(call.key, **said) if not call.legs else replace(call, **said)


def _join_leg(old: Leg | None, event: CallEvent, refs: tuple[str, ...], at: float) -> Leg:
    kind = event.type
    agent = refs[0] if len(refs) == 1 and kind is not EventType.TRANSFERRED else None
    answered = kind is EventType.ANSWERED
    # A provider that ends this call and goes on with another one ("forwarded") ends it, but nobody missed it.
    ended = (
        kind is EventType.HANGUP
        or event.ends_call
        or (kind is EventType.TRANSFERRED and event.cause == "forwarded")
    )
    holds: tuple[Hold, ...] = ()
    if kind in (EventType.HELD, EventType.UNHELD):
        order = float(event.sequence) if event.sequence is not None else -1.0
        holds = ((order, at, kind is EventType.HELD),)
    new = Leg(
        # What a call was transferred to is no child: the customer is at its end.
        None if kind is EventType.TRANSFERRED else event.parent_leg_key,
        None if answered else agent,
        agent if answered else None,
        event.direction.value if event.direction is not None else None,
        at,
        at if answered else None,
        at if ended else None,
        event.cause if ended else None,
        holds,
        event.duration_seconds if kind is EventType.HANGUP and _was_normal(event.cause) else None,
    )
    if old is None:
        return new
    return Leg(
        _greatest_text(old.parent, new.parent),
        _greatest_text(old.agent, new.agent),
        _greatest_text(old.answerer, new.answerer),
        _greatest_text(old.direction, new.direction),
        _least((old.seen_at, at)),
        _least((old.answered_at, new.answered_at)),
        _least((old.ended_at, new.ended_at)),
        _greatest_text(old.cause, new.cause),
        tuple(sorted({*old.holds, *holds})[-HOLDS_KEPT:]) if holds else old.holds,
        max((one for one in (old.talked, new.talked) if one is not None), default=None),
    )


def _was_normal(cause: str | None) -> bool:
    """Whether a call that ended so was talked: what a provider counts of others may be their ringing."""
    said = (cause or "").casefold().replace("_", "").replace(" ", "")
    return said in ("", "completed", "normalclearing")


def sweep(call: Call, now: datetime) -> Call:
    """Close a call whose end never came."""
    return replace(call, swept_at=_least((call.swept_at, now.timestamp())))


_SAID = (
    *("missed_at", "missed_cause", "voicemail_at", "transferred_at"),
    *("transferred_to", "forwarded", "recording_url", "swept_at"),
)


def facts_of(call: Call) -> dict[str, Any]:
    """The facts as plain values, for the row."""
    facts: dict[str, Any] = {
        "legs": {
            key: (
                *(leg.parent, leg.agent, leg.answerer, leg.direction),
                *(leg.seen_at, leg.answered_at, leg.ended_at, leg.cause, leg.holds or None, leg.talked),
            )
            for key, leg in call.legs.items()
        }
    }
    for name in _SAID:
        if value := getattr(call, name):
            facts[name] = value
    return facts


def call_of(key: str, facts: dict[str, Any]) -> Call:
    """The inverse of ``facts_of``, over JSON as well."""
    facts = dict(facts)
    legs: dict[str, Leg] = {}
    for name, row in facts.pop("legs", {}).items():
        legs[name] = Leg(*row[:8], *(_holds(row[8]), *row[9:10]))
    return Call(key=key, legs=legs, **facts)


def _holds(said: list[Any] | None) -> tuple[Hold, ...]:
    if not said:
        return ()
    if not isinstance(said[0], (list, tuple)):
        said = [said]  # rows of the first schema keep the last change alone
    return tuple((one[0], one[1], one[2]) for one in said)


def _least(values: Any) -> float | None:
    return min((value for value in values if value is not None), default=None)


def _greatest_text(old: str | None, new: str | None) -> str | None:
    """Of two claims the greater, so that the order of arrival decides nothing."""
    if old is None or new is None:
        return new if old is None else old
    return max(str(old), str(new))


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
