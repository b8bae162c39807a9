"""How long a call rang, was talked and was held, and what happened when: from its facts.

Right also when events are missing: an end that never came is the call's, a pick-up that never came is
worked out from the provider's count, a hold that was never taken back ends with its leg.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from server.domain.call import Call, CallState, Leg

Span = tuple[float, float]


class CallTimes(NamedTuple):
    """Whole seconds; None while it is not known. ``talk`` is picked up by an agent and not on hold."""

    ring: int | None
    talk: int | None
    hold: int | None


class Transition(NamedTuple):
    """``state`` as in ``CallState``; ``agent`` is the provider's name of who is concerned."""

    state: str
    at: datetime
    agent: str | None = None


def times_of(call: Call) -> CallTimes:
    """Ring: to the first pick-up, else to the end. Talk and hold are counted once the call is over."""
    stands = call.standing
    if stands.started_at is None:
        return CallTimes(None, None, None)
    rang_until = min((at for at in (stands.answered_at, stands.ended_at) if at is not None), default=None)
    ring = _seconds((rang_until - stands.started_at).total_seconds()) if rang_until is not None else None
    if stands.ended_at is None:
        return CallTimes(ring, None, None)
    end = stands.ended_at.timestamp()
    talks = _merged(
        (leg.picked_up_at, min(leg.ended_at or end, end))
        for leg in call.legs.values()
        if leg.picked_up_at is not None
    )
    holds = _merged(span for leg in call.legs.values() for span in _held_spans(leg, end))
    held = sum(_overlap(talk, hold) for talk in talks for hold in holds)
    talk = sum(until - since for since, until in talks)
    return CallTimes(ring, _seconds(talk - held), _seconds(held))


def transitions_of(call: Call) -> list[Transition]:
    """What happened, in the order of time."""
    stands = call.standing
    found: list[Transition] = []
    if stands.started_at is not None:
        found.append(Transition(CallState.RINGING, stands.started_at))
    for leg in call.legs.values():
        who = leg.talker
        if leg.picked_up_at is not None:
            found.append(Transition(CallState.ANSWERED, _time(leg.picked_up_at), who))
        for _, at, held in leg.holds:
            found.append(Transition(CallState.HELD if held else CallState.ANSWERED, _time(at), who))
    if call.transferred_at is not None:
        found.append(Transition(CallState.TRANSFERRED, _time(call.transferred_at), call.transferred_to))
    if call.voicemail_at is not None:
        found.append(Transition(CallState.VOICEMAIL, _time(call.voicemail_at)))
    if stands.ended_at is not None:
        found.append(Transition(stands.state, stands.ended_at, stands.agent_ref))
    return sorted(found, key=lambda one: one.at)


def _held_spans(leg: Leg, end: float) -> Iterable[Span]:
    since: float | None = None
    for _, at, held in leg.holds:
        if held:
            since = at if since is None else since
        elif since is not None:
            yield since, at
            since = None
    if since is not None:
        yield since, leg.ended_at or end


def _merged(spans: Iterable[Span]) -> list[Span]:
    """Spans that overlap become one; what ends before it began is nothing."""
    merged: list[Span] = []
    for since, until in sorted(span for span in spans if span[1] > span[0]):
        if merged and since <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], until))
        else:
            merged.append((since, until))
    return merged


def _overlap(one: Span, other: Span) -> float:
    return max(0.0, min(one[1], other[1]) - max(one[0], other[0]))


def _seconds(value: float) -> int:
    return max(0, round(value))


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
