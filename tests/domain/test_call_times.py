"""Ring, talk and hold seconds, also of calls of which something was never told."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from server.domain.call import Call, CallState
from server.domain.call_times import times_of, transitions_of
from tests.domain.test_call import ANSWERED, T0, TRANSFER, E, any_event, event, play

HELD = [
    *ANSWERED[:4],
    event(E.HELD, 20, leg="a", parent="c", agent="priya"),
    event(E.UNHELD, 35, leg="a", parent="c", agent="priya"),
    event(E.HELD, 60, leg="a", parent="c", agent="priya"),
    *ANSWERED[4:],
]


def test_an_answered_call() -> None:
    assert times_of(play(ANSWERED)) == (9, 86, 0)


def test_while_it_rings_and_while_it_is_talked() -> None:
    assert times_of(play(ANSWERED[:3])) == (None, None, None)
    assert times_of(play(ANSWERED[:4])) == (9, None, None)


def test_holds_are_no_talk_and_one_that_is_not_taken_back_ends_with_its_leg() -> None:
    assert times_of(play(HELD)) == (9, 86 - 15 - 35, 15 + 35)


def test_two_agents_one_after_the_other_are_counted_once() -> None:
    call = play([*TRANSFER, event(E.HANGUP, 100, leg="b", parent="c", agent="tomasz"), event(E.HANGUP, 100)])
    assert times_of(call) == (5, (53 - 5) + (100 - 60), 0)


def test_a_missed_call_rang_to_its_end() -> None:
    assert times_of(play([event(E.RINGING, 0), event(E.HANGUP, 31, cause="cancel")])) == (31, 0, 0)


def test_a_pick_up_that_was_never_told_is_worked_out_from_the_count() -> None:
    from dataclasses import replace

    over = replace(
        event(E.HANGUP, 95, leg="a", parent="c", agent="priya", cause="completed"), duration_seconds=80
    )
    call = play([event(E.RINGING, 0), over, event(E.HANGUP, 96)])
    assert (call.state, call.agent_ref) == (CallState.ENDED, "priya")
    assert times_of(call) == (15, 80, 0)


def test_a_leg_whose_end_was_never_told_ends_with_the_call() -> None:
    call = play(
        [event(E.RINGING, 0), event(E.ANSWERED, 10, leg="a", parent="c", agent="x"), event(E.HANGUP, 70)]
    )
    assert times_of(call) == (10, 60, 0)


def test_transitions_come_in_order_with_their_times() -> None:
    found = [(one.state, int((one.at - T0).total_seconds()), one.agent) for one in transitions_of(play(HELD))]
    assert found == [
        ("ringing", 0, None),
        ("answered", 9, "priya"),
        ("held", 20, "priya"),
        ("answered", 35, "priya"),
        ("held", 60, "priya"),
        ("ended", 104, "priya"),
    ]


@given(st.lists(any_event(), max_size=12), st.randoms())
def test_times_are_sane_and_do_not_depend_on_the_order(events: list[object], random: object) -> None:
    once = play(events)  # type: ignore[arg-type]
    shuffled = list(events)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert times_of(play(shuffled)) == times_of(once)  # type: ignore[arg-type]
    ring, talk, hold = times_of(once)
    whole = once.ended_at - once.started_at if once.ended_at and once.started_at else timedelta(days=1)
    for part in (ring, talk, hold):
        assert part is None or 0 <= part <= whole.total_seconds() + 1
    assert all(a.at <= b.at for a, b in zip(transitions_of(once), transitions_of(once)[1:], strict=False))


def test_a_call_without_facts_has_no_times() -> None:
    assert times_of(Call("c")) == (None, None, None)
    assert transitions_of(Call("c")) == []
