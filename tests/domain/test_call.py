"""The call state machine: any order and repetition of a call's events ends in the same state."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from server.domain.call import Call, CallState, apply_event, call_of, facts_of, sweep
from server.domain.event import CallEvent, Direction, EventType

T0 = datetime(2026, 11, 16, 9, 15, tzinfo=UTC)


def event(
    kind: EventType,
    at: int,
    *,
    leg: str = "c",
    parent: str | None = None,
    agent: str | None = None,
    cause: str | None = None,
    direction: Direction = Direction.INBOUND,
    ends_call: bool = False,
) -> CallEvent:
    return CallEvent(
        type=kind,
        call_key="c",
        leg_key=leg,
        parent_leg_key=parent,
        event_key=f"{leg}:{kind}:{at}",
        direction=direction,
        agent_refs=(agent,) if agent else (),
        cause=cause,
        occurred_at=T0 + timedelta(seconds=at),
        ends_call=ends_call,
    )


def play(events: list[CallEvent]) -> Call:
    call = Call("c")
    for one in events:
        call = apply_event(call, one, T0)
    return call


E = EventType
ANSWERED = [
    event(E.RINGING, 0),
    event(E.DIALING, 1, leg="a", parent="c", agent="priya"),
    event(E.RINGING, 2, leg="a", parent="c", agent="priya"),
    event(E.ANSWERED, 9, leg="a", parent="c", agent="priya"),
    event(E.HANGUP, 95, leg="a", parent="c", agent="priya"),
    event(E.HANGUP, 104, cause="completed"),
]
TRANSFER = [
    event(E.RINGING, 0),
    event(E.ANSWERED, 5, leg="a", parent="c", agent="priya"),
    event(E.TRANSFERRED, 50, agent="tomasz"),
    event(E.HANGUP, 53, leg="a", parent="c", agent="priya"),
    event(E.RINGING, 55, leg="b", parent="c", agent="tomasz"),
    event(E.ANSWERED, 60, leg="b", parent="c", agent="tomasz"),
]
VOICEMAIL = [
    event(E.RINGING, 0),
    event(E.HANGUP, 20, leg="a", parent="c", agent="priya", cause="no-answer"),
    event(E.MISSED, 21, cause="no-answer"),
    event(E.VOICEMAIL, 40),
    event(E.HANGUP, 42),
]


@given(st.data())
def test_order_and_repetition_do_not_matter(data: st.DataObject) -> None:
    events = data.draw(st.sampled_from([ANSWERED, TRANSFER, VOICEMAIL]))
    shuffled = data.draw(st.permutations(events + data.draw(st.lists(st.sampled_from(events), max_size=6))))
    expected, got = play(events), play(list(shuffled))
    assert got == expected
    assert (got.state, got.agent_ref, got.answered_at, got.ended_at) == (
        expected.state,
        expected.agent_ref,
        expected.answered_at,
        expected.ended_at,
    )


KINDS = st.sampled_from([kind for kind in EventType if kind is not EventType.TRANSFERRED])


@st.composite
def any_event(draw: st.DrawFn) -> CallEvent:
    leg = draw(st.sampled_from(["c", "a", "b"]))
    return event(
        draw(KINDS),
        draw(st.integers(0, 50)),
        leg=leg,
        parent=None if leg == "c" else "c",
        agent=draw(st.sampled_from([None, "x", "y"])),
        cause=draw(st.sampled_from([None, "busy", "noAnswer"])),
        direction=draw(st.sampled_from(list(Direction))),
    )


@given(st.lists(any_event(), max_size=12), st.randoms())
def test_joining_any_events_commutes_and_is_idempotent(events: list[CallEvent], random: object) -> None:
    once = play(events)
    again = list(events + events)
    random.shuffle(again)  # type: ignore[attr-defined]
    assert play(again) == once


@given(st.lists(any_event(), max_size=12))
def test_a_finished_call_never_goes_back(events: list[CallEvent]) -> None:
    call = play([event(E.RINGING, 0), event(E.HANGUP, 9)])
    final = {CallState.ENDED, CallState.MISSED, CallState.VOICEMAIL, CallState.TRANSFERRED}
    for one in events:
        call = apply_event(call, one, T0)
        assert call.state in final and call.ended_at is not None


@given(st.lists(any_event(), max_size=8))
def test_facts_survive_the_row(events: list[CallEvent]) -> None:
    call = play(events)
    assert call_of("c", json.loads(json.dumps(facts_of(call)))) == call


def test_words_for_each_state() -> None:
    assert play(ANSWERED).state is CallState.ENDED
    assert play(ANSWERED[:4]).state is CallState.ANSWERED
    assert play(ANSWERED[:4]).agent_ref == "priya"
    assert play(TRANSFER[:4]).state is CallState.TRANSFERRED
    assert play(TRANSFER).state is CallState.ANSWERED
    assert play(TRANSFER).agent_ref == "tomasz"
    assert play(VOICEMAIL).state is CallState.VOICEMAIL
    assert play(VOICEMAIL[:2]).state is CallState.RINGING
    assert play(VOICEMAIL[:3]).state is CallState.MISSED
    assert play([event(E.RINGING, 0), event(E.HANGUP, 5)]).state is CallState.MISSED
    out = Direction.OUTBOUND
    assert (
        play([event(E.RINGING, 0, direction=out), event(E.HANGUP, 5, direction=out)]).state is CallState.ENDED
    )
    assert play([event(E.HANGUP, 5)]).state is CallState.MISSED
    missed = play([event(E.RINGING, 0), event(E.MISSED, 5, cause="noAnswer", ends_call=True)])
    assert missed.state is CallState.MISSED and missed.ended_at is not None


def test_hold_follows_the_order_of_the_provider() -> None:
    held = [*ANSWERED[:4], event(E.HELD, 20, leg="a", parent="c"), event(E.UNHELD, 30, leg="a", parent="c")]
    assert play(held[:5]).state is CallState.HELD
    assert play(held).state is CallState.ANSWERED
    assert play([held[5], held[4], *held[:4]]).state is CallState.ANSWERED


def test_forwarded_is_not_missed() -> None:
    call = play([event(E.RINGING, 0), event(E.TRANSFERRED, 5, cause="forwarded")])
    assert call.state is CallState.TRANSFERRED and call.ended_at is not None


def test_a_call_without_an_end_is_swept() -> None:
    call = sweep(play(ANSWERED[:4]), T0 + timedelta(hours=5))
    assert call.state is CallState.ENDED and call.ended_at == T0 + timedelta(hours=5)
    assert sweep(play(ANSWERED[:1]), T0).state is CallState.MISSED


WITH_COUNT = [
    replace(one, duration_seconds=86) if one.type is E.HANGUP and one.leg_key == "a" else one
    for one in ANSWERED
]


@given(st.data())
def test_what_is_lost_on_the_way_does_not_change_how_the_call_ended(data: st.DataObject) -> None:
    """As long as anything tells that it was talked; an end that never came is swept."""
    kept = data.draw(st.lists(st.sampled_from(WITH_COUNT), min_size=1, unique_by=lambda one: one.event_key))
    call = play(list(data.draw(st.permutations(kept + kept[:2]))))
    if call.ended_at is None:
        call = sweep(call, T0 + timedelta(hours=5))
    talked = any(one.type is E.ANSWERED or one.duration_seconds for one in kept)
    assert call.state is (CallState.ENDED if talked else CallState.MISSED)
    assert (call.agent_ref == "priya") == talked
