"""The recorded streams as neutral events: in order, shuffled, repeated, with gaps, with any values, cut."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.telephony.esl_calls import EslCalls
from handlers.telephony.esl_legs import Headers, read_channels
from handlers.telephony.provider import discover
from server.domain.call import CallState
from server.domain.errors import Malformed
from server.domain.event import CallEvent, Direction, EventType
from tests.conformance.conftest import load_samples
from tests.conformance.esl_streams import (
    FINAL,
    LINE,
    NOW,
    NUMBER,
    STREAMS,
    Switch,
    calls_of,
    channels,
    expected,
    headers_of,
    quick,
    row,
    stream,
    translate,
)

PLAIN = {
    "leg_key": "leg_key",
    "parent_leg_key": "parent_leg_key",
    "direction": "direction",
    "from": "ani",
    "to": "dnis",
    "duration_s": "duration_seconds",
    "cause": "cause",
    "recording_ref": "recording_url",
}
# Of the transfer only the end of its first half is recorded: who the first agent is, is told at the end.
UNTOLD = {("31-transfer-plain", 0, "agent_ref")}


@pytest.mark.parametrize("name", STREAMS)
def test_the_recorded_sequence(name: str) -> None:
    calls, told = EslCalls(), expected(name)
    recorded = headers_of(stream(name))
    assert len(recorded) == len(told)
    for number, (headers, wanted) in enumerate(zip(recorded, told, strict=True)):
        found = calls.take(headers, NOW)
        if wanted["type"] is None:
            assert found == [], headers["Event-Name"]
            continue
        (event,) = found
        assert event.type == wanted["type"]
        assert event.call_key == wanted["call_key"].partition(":")[2]
        assert event.event_key.startswith(f"{headers['Core-UUID']}:{headers['Event-Sequence']}")
        for said, attribute in PLAIN.items():
            if said in wanted:
                assert getattr(event, attribute) == wanted[said], said
        if "agent_ref" in wanted and (name, number, "agent_ref") not in UNTOLD:
            assert event.agent_refs == (wanted["agent_ref"],)
        assert event.occurred_at == datetime.fromtimestamp(
            int(headers["Event-Date-Timestamp"]) / 1_000_000, UTC
        )


def final(name: str, headers: Sequence[dict[str, str]]) -> tuple[CallState, str | None]:
    calls = calls_of(translate(headers))
    (call,) = calls.values()
    return call.state, call.agent_ref


@pytest.mark.parametrize("name", STREAMS)
def test_where_the_call_stands_at_the_end(name: str) -> None:
    assert final(name, headers_of(stream(name))) == FINAL[name]


@quick
@given(name=st.sampled_from(STREAMS), seed=st.integers(0, 2**32), twice=st.booleans())
def test_order_and_repetition_change_nothing(name: str, seed: int, twice: bool) -> None:
    headers = headers_of(stream(name)) * (2 if twice else 1)
    random.Random(seed).shuffle(headers)
    assert final(name, headers) == FINAL[name]


@quick
@given(name=st.sampled_from(STREAMS), lost=st.sets(st.integers(0, 15)))
def test_lost_events_change_nothing_that_a_hangup_still_tells(name: str, lost: set[int]) -> None:
    headers = [
        one
        for number, one in enumerate(headers_of(stream(name)))
        if number not in lost or one["Event-Name"] == "CHANNEL_HANGUP_COMPLETE"
    ]
    assert final(name, headers) == FINAL[name]


@quick
@given(
    name=st.sampled_from(STREAMS),
    number=st.integers(0, 11),
    changes=st.dictionaries(
        st.sampled_from([
            "Unique-ID", "Channel-Call-UUID", "Other-Leg-Unique-ID", "Other-Type", "Call-Direction",
            "Bridge-A-Unique-ID", "Bridge-B-Unique-ID", "Event-Date-Timestamp", "Event-Sequence", "Core-UUID",
            "variable_transfer_source", "variable_billsec", "Caller-Destination-Number", "variable_answer_epoch",
            "Caller-Caller-ID-Number", "Event-Subclass", "CC-Action", "Channel-Name", "Record-File-Path",
        ]),
        st.text(max_size=30) | st.sampled_from(
            ["x" * 5000, "9" * 5000, "9" * 17, "-1", "\x00", "\u0661", ":::", "1:2:bl_xfer:", "loopback/a-b",
             "callcenter::info", "member-queue-start", "originator", "originatee", "outbound", "inbound"]
        ),
        min_size=1,
    ),
)  # fmt: skip
def test_any_values_are_taken_or_malformed(name: str, number: int, changes: dict[str, str]) -> None:
    headers = headers_of(stream(name))
    headers[number % len(headers)] |= changes
    calls = EslCalls()
    for one in headers:
        try:
            events = calls.take(one, NOW)
        except Malformed:
            continue
        for event in events:
            for text in (event.call_key, event.leg_key, event.event_key, event.parent_leg_key, event.ani,
                         event.dnis, event.cause, event.recording_url, event.queue_ref, *event.agent_refs):  # fmt: skip
                assert len(text or "") <= 400
                assert "\x00" not in (text or "")
                (text or "").encode()
    calls_of(translate([]))


def test_what_is_remembered_is_bounded() -> None:
    calls = EslCalls(most=50)
    for number in range(500):
        calls.take({"Event-Name": "CHANNEL_CREATE", "Unique-ID": f"leg-{number}"}, NOW)
        calls.take({"Event-Name": "CHANNEL_HANGUP_COMPLETE", "Unique-ID": f"leg-{number}x"}, NOW)
    assert len(calls.book) <= 50
    assert len(calls.book._ended) <= 50
    assert len(calls.book._calls) <= 50


def test_call_and_leg_are_those_of_the_cdrs() -> None:
    """Both sources may be configured: a call must not become two."""
    if "freeswitch_cdr" not in discover():
        pytest.skip("the CDR provider is not here")
    legs = {
        (event.call_key, event.leg_key) for name in STREAMS for event in translate(headers_of(stream(name)))
    }
    samples = load_samples("freeswitch_cdr")
    assert samples
    for sample in samples:
        for event in sample.provider.parse(sample.source, sample.request):
            assert (event.call_key, event.leg_key) in legs, sample.id


# -- after a break ---------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", range(1, 12))
@pytest.mark.parametrize("gone", [True, False])
def test_cut_in_mid_call_and_resumed(cut: int, gone: bool) -> None:
    """Whatever was told before the break: what is not there any more is closed, what is goes on."""
    headers = headers_of(stream("11-lifecycle-plain"))
    a, b = "2b22e700-c04e-48f7-9f49-30ba3a003303", "338baa64-8a13-44b9-9a99-2fc39fa3cc13"
    calls = EslCalls()
    events = translate(headers[:cut], calls)
    later = NOW + timedelta(seconds=30)
    if gone:
        events += calls.resume([], later, later)
        assert calls_of(events)[a].ended_at is not None
        assert len(calls.book) == 0
        events += translate(headers[cut:], calls)  # late ones change nothing
    else:
        there = channels(row(a, a, NUMBER, LINE, "ACTIVE"), row(b, a, NUMBER, "101", "ACTIVE", "outbound"))
        before = len(events)
        events += calls.resume(there, later, later)
        call = calls_of(events)[a]
        if cut < 11:
            assert (call.state, call.agent_ref) == (CallState.ANSWERED, "101")
        again = calls.resume(there, later, later)
        assert {event.event_key for event in again} <= {event.event_key for event in events[before:]}
        events += translate(headers[cut:], calls)
        call = calls_of(events)[a]
        assert call.state is CallState.ENDED
    assert set(calls_of(events)) == {a}


def test_a_new_start_finds_the_calls_that_go_on() -> None:
    """Nothing is remembered: another node took over. The list alone tells who speaks with whom."""
    calls = EslCalls()
    events = calls.resume(
        channels(row("b", "a", NUMBER, "101", "HELD", "outbound"), row("a", "a", NUMBER, LINE, "ACTIVE")),
        NOW,
        NOW,
    )
    assert [event.type.value for event in events] == ["ringing", "dialing", "answered", "held"]
    call = calls_of(events)["a"]
    assert (call.state, call.agent_ref, call.direction) == (CallState.HELD, "101", Direction.INBOUND)
    assert events[0].ani == NUMBER
    events += calls.resume(
        channels(row("a", "a", NUMBER, LINE, "ACTIVE"), row("b", "a", NUMBER, "101", "ACTIVE", "outbound")),
        NOW + timedelta(seconds=60), NOW,
    )  # fmt: skip
    assert calls_of(events)["a"].state is CallState.ANSWERED


def test_a_fresh_leg_is_not_closed_because_the_list_is_behind() -> None:
    switch = Switch()
    switch.leg("a", NUMBER, LINE)
    assert switch.calls.resume([], NOW, NOW) == []
    assert len(switch.calls.book) == 1
    (gone,) = switch.calls.resume([], NOW + timedelta(seconds=30), NOW + timedelta(seconds=15))
    assert (gone.type, gone.leg_key) == (EventType.HANGUP, "a")
    assert switch.calls.resume(channels(row("a", "a", NUMBER, LINE, "ACTIVE")), NOW, NOW) == []


@pytest.mark.parametrize(
    "answer",
    [b"", b"x", b"[]", b'{"rows": {}}', b'{"rows": 1}', b"[" * 10_000, b'{"rows": [1, null, [], {"uuid": 5}]}',
     b'{"row_count": 0}', b'{"rows": [{"uuid": "\\u0000"}, {"uuid": ""}, {}]}'],
)  # fmt: skip
def test_a_garbled_list_is_malformed_or_empty(answer: bytes) -> None:
    try:
        listed = read_channels(answer)
    except Malformed:
        return
    EslCalls().resume(listed, NOW, NOW)


def there_at(headers: Sequence[dict[str, str]], position: int) -> list[Headers]:
    """The switch's list of channels after so many events of a recorded stream."""
    rows: dict[str, dict[str, Any]] = {}
    states = {"CHANNEL_PROGRESS": "RINGING", "CHANNEL_HOLD": "HELD"}
    for number, one in enumerate(headers):
        key, name = one["Unique-ID"], one["Event-Name"]
        # A stream that begins in mid-call has legs that were there before it.
        begins = name == "CHANNEL_CREATE" or key not in {other["Unique-ID"] for other in headers[:number]}
        if (begins and number < position) or (begins and name != "CHANNEL_CREATE"):
            rows[key] = row(
                key, one["Channel-Call-UUID"], one["Caller-Caller-ID-Number"], one["Caller-Destination-Number"],
                "RING_WAIT" if name == "CHANNEL_CREATE" else "ACTIVE", one["Call-Direction"],
            )  # fmt: skip
    for one in headers[:position]:
        key, name = one["Unique-ID"], one["Event-Name"]
        if name == "CHANNEL_HANGUP_COMPLETE":
            rows.pop(key, None)
        elif name in states or name in ("CHANNEL_ANSWER", "CHANNEL_UNHOLD"):
            rows[key]["callstate"] = states.get(name, "ACTIVE")
    return channels(*rows.values())


@quick
@given(
    name=st.sampled_from(STREAMS),
    breaks=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=3),
)
def test_whatever_is_missed_while_nobody_listens_is_made_up_for(
    name: str, breaks: list[tuple[int, int]]
) -> None:
    """Between the events of each break nobody listens; then the list is read and listening goes on."""
    headers = headers_of(stream(name))
    calls, events, now = EslCalls(), list[CallEvent](), NOW
    missed = {number for begin, end in breaks for number in range(begin, min(end, len(headers)))}
    for number, one in enumerate(headers):
        now += timedelta(seconds=20)
        if number in missed:
            continue
        if number - 1 in missed:
            events += calls.resume(there_at(headers, number), now, now)
        events += calls.take(one, now)
    if len(headers) - 1 in missed:
        events += calls.resume([], now, now + timedelta(seconds=1))
    found = calls_of(events)
    if len(missed) == len(headers):
        assert found == {}
        return
    (call,) = found.values()
    assert call.ended_at is not None
    # Of a talk nobody may have heard anything; what was heard of it counts.
    assert call.state is (CallState.MISSED if call.answered_at is None else FINAL[name][0])
    assert len(calls.book) == 0
