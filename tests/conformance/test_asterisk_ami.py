"""AMI: recordings of real PBXs and streams put together, however they are cut, repeated or interrupted."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from handlers.telephony.ami_calls import AmiCalls
from handlers.telephony.ami_state import MAX_CHANNELS
from handlers.telephony.ami_wire import AmiFramer, peek_event, read_message
from server.domain.call import CallState
from server.domain.event import CallEvent, Direction, EventType
from server.domain.identity import CallerKind, normalise_caller
from tests.conformance.ami_peer import (
    NOW,
    Mirror,
    calls_of,
    frame,
    frames_of,
    odd_pieces,
    rang,
    translate,
)
from tests.conformance.ami_stage import Pbx, types

VERSIONS = ("asterisk16", "asterisk22")
RECORDINGS = (
    "anonymous", "anonymous_with_pai", "answered", "answered_agent_hangs", "blind_transfer", "busy", "click_to_call",
    "declined", "forward_302", "local_only", "missed_no_answer", "queue_abandoned", "queue_answered",
    "sip_uri_caller", "wrong_number",
)  # fmt: skip
each_recording = pytest.mark.parametrize("version", VERSIONS)
REASONS = {"busy": ("BUSY",), "declined / busy": ("REJECTED", "BUSY"), "no answer": ("NOANSWER",),
           "abandoned in queue": ("abandon",)}  # fmt: skip

Recording = Callable[[str, str], tuple[bytes, dict[str, Any]]]


@pytest.fixture
def recording(real_bytes: Callable[..., bytes], real_case: Callable[..., Any]) -> Recording:
    return lambda version, name: (
        real_bytes("cases", "pbx", version, f"{name}.ami.txt"),
        real_case("cases", "pbx", version, f"{name}.meta.json")["expect"],
    )


def resync(calls: AmiCalls, mirror: Mirror) -> list[CallEvent]:
    calls.begin_resync()
    return translate(frames_of(mirror.listing()), calls)


def judge(events: list[CallEvent], expect: dict[str, Any], name: str) -> None:
    """Everything that the recording's ``expect`` states about the call."""
    calls = calls_of(events)
    if name == "wrong_number":
        assert events == []
        return
    assert len(calls) == expect.get("logical_calls", 1)
    (call,) = calls.values()
    assert call.ended_at is not None
    assert (call.answered_at is not None) is expect["answered"]
    agents = expect.get("agents") or ([expect["agent"]] if expect.get("agent") else [])
    named = {leg.talker for leg in call.legs.values() if leg.talker}
    assert set(agents) <= named
    if name == "local_only":
        return
    answered = {leg.talker for leg in call.legs.values() if leg.answered_at is not None}
    assert answered == (set(agents) if expect["answered"] else set())
    assert call.agent_ref == (agents[-1] if expect["answered"] else None)
    outbound = expect["direction"] == "out"
    assert call.direction is (Direction.OUTBOUND if outbound else Direction.INBOUND)
    first = events[0]
    assert all((event.ani, event.dnis) == (first.ani, first.dnis) for event in events)
    peer = normalise_caller(first.dnis if outbound else first.ani, "DE")
    if outbound:
        assert peer.e164 == expect["customer"]
    elif expect.get("withheld"):
        assert name == "anonymous_with_pai" or peer.kind is CallerKind.WITHHELD
    elif name == "sip_uri_caller":
        assert (first.ani, peer.e164) == ("alice", None)
    else:
        assert peer.e164 == expect["caller"]
        assert first.display_name == expect["caller_name"]
    if "called" in expect and expect["called"] != "103":
        assert first.dnis == expect["called"]
    if "queue" in expect:
        assert {event.queue_ref for event in events} - {None} == {expect["queue"]}
        assert [event.type for event in events].count(EventType.QUEUED) == 1
    if "rang" in expect:
        assert rang(events) == set(expect["rang"])
    if expect.get("missed"):
        (missed,) = (event for event in events if event.type is EventType.MISSED)
        assert call.state is CallState.MISSED
        assert missed.leg_key == call.key
        assert missed.cause in REASONS[expect["reason"]]
    else:
        assert call.state is CallState.ENDED
    assert call.transferred_to == expect.get("transferred_to")
    if name == "forward_302":
        assert rang(events) == {expect["forwarded_to"]}


# -- recordings ------------------------------------------------------------------------------------


@each_recording
@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recorded_call_comes_out_as_it_was(recording: Recording, version: str, name: str) -> None:
    stream, expect = recording(version, name)
    events = translate(frames_of(stream))
    judge(events, expect, name)
    keys = [event.event_key for event in events]
    assert len(keys) == len(set(keys))
    if name == "answered":
        began, answer = (event.occurred_at for event in (events[0], events[2]))
        assert began and answer
        assert 1 <= (answer - began).total_seconds() <= 2
        assert events[-1].duration_seconds == 3
    for seed in range(3):
        framer = AmiFramer(banner=False)
        cut = [raw for piece in odd_pieces(stream + b"\r\n", seed) for raw in framer.feed(piece)]
        assert translate(cut) == events
    repeated = translate([raw for raw in frames_of(stream) for _ in range(2)])
    judge(repeated, expect, name)
    assert {event.event_key for event in repeated} == set(keys)


@each_recording
@pytest.mark.parametrize("name", ["busy", "blind_transfer"])
def test_byte_by_byte(recording: Recording, version: str, name: str) -> None:
    stream, _ = recording(version, name)
    framer = AmiFramer(banner=False)
    assert [raw for at in range(len(stream)) for raw in framer.feed(stream[at : at + 1])] == frames_of(stream)


@each_recording
@pytest.mark.parametrize("name", RECORDINGS)
def test_cut_in_mid_call_and_brought_in_step_again(recording: Recording, version: str, name: str) -> None:
    """Nothing was lost but the connection: with what is remembered, and after a restart."""
    stream, expect = recording(version, name)
    frames = frames_of(stream)
    for cut in range(0, len(frames), 7):
        mirror = Mirror(read_message(raw) for raw in frames[:cut])
        before, calls = translate(frames[:cut], known := AmiCalls()), known
        judge(before + resync(calls, mirror) + translate(frames[cut:], calls), expect, name)
        if name == "local_only":
            continue  # without any phone only what is seen from its beginning is known for a call
        fresh = AmiCalls()
        events = before + resync(fresh, mirror) + translate(frames[cut:], fresh)
        for call in calls_of(events).values():
            assert call.ended_at is not None
            assert (call.answered_at is not None) is expect["answered"]


@each_recording
@pytest.mark.parametrize("name", [name for name in RECORDINGS if name != "wrong_number"])
def test_what_ended_meanwhile_is_closed_and_what_goes_on_is_kept(
    recording: Recording, version: str, name: str
) -> None:
    stream, expect = recording(version, name)
    frames = frames_of(stream)
    whole = next(iter(calls_of(translate(frames)).values()))
    for seed in range(40):
        cut, back = sorted(random.Random(seed).sample(range(len(frames) + 1), 2))
        calls = AmiCalls()
        events = translate(frames[:cut], calls)
        events += resync(calls, Mirror(read_message(raw) for raw in frames[:back]))
        events += translate(frames[back:], calls)
        for call in calls_of(events).values():
            assert call.ended_at is not None
            assert call.key == whole.key
            assert name == "local_only" or call.direction is whole.direction
            assert expect["answered"] or call.answered_at is None


def test_a_missed_call_is_not_made_of_one_whose_middle_is_unknown(recording: Recording) -> None:
    stream, _ = recording("asterisk22", "answered")
    frames = frames_of(stream)
    ringing = next(at for at, raw in enumerate(frames) if peek_event(raw) == "DialState")
    calls = AmiCalls()
    translate(frames[: ringing + 1], calls)
    assert {event.type for event in resync(calls, Mirror())} == {EventType.HANGUP}


def test_many_calls_at_once_stay_apart(recording: Recording) -> None:
    streams = [
        recording("asterisk22", name) for name in RECORDINGS if name not in ("local_only", "wrong_number")
    ]
    queues = [frames_of(stream) for stream, _ in streams]
    mixed: list[bytes] = []
    chosen = random.Random(7)
    while any(queues):
        mixed.append(chosen.choice([queue for queue in queues if queue]).pop(0))
    calls = AmiCalls()
    together = calls_of(translate(mixed, calls))
    apart = [call for stream, _ in streams for call in calls_of(translate(frames_of(stream))).values()]
    assert together == {call.key: call for call in apart}
    assert calls.name_of(next(iter(together))) is None


# -- samples ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["11-lifecycle-queue", "21-missed-queue-abandon", "22-missed-direct-voicemail", "31-transfer-blind",
     "32-transfer-attended"],
)  # fmt: skip
def test_the_samples_neutral_events(
    real_bytes: Callable[..., bytes], real_case: Callable[..., Any], name: str
) -> None:
    """In this order, others may come between. ``asterisk:pbx1:`` of the samples' call keys is the source."""
    folder = ("providers", "samples", "asterisk-ami")
    events = translate(frames_of(real_bytes(*folder, f"{name}.txt")))
    found = iter(events)
    for expected in real_case(*folder, f"{name}.meta.json")["neutral"]["sequence"]:
        assert any(matches(event, expected) for event in found), expected
    call = calls_of(events)[events[0].call_key]
    assert call.state is {"21": CallState.MISSED, "22": CallState.VOICEMAIL}.get(name[:2], CallState.ENDED)
    assert len(calls_of(events)) == 1


def matches(event: CallEvent, expected: dict[str, Any]) -> bool:
    return (
        event.type == expected["type"]
        and event.call_key == expected.get("call_key", event.call_key).rpartition(":")[2]
        and event.leg_key == expected["leg_key"]
        and event.event_key == expected.get("dedupe_key", event.event_key)
        and event.parent_leg_key == expected.get("parent_leg_key", event.parent_leg_key)
        and event.direction == expected.get("direction", event.direction)
        and event.ani == expected.get("from", event.ani)
        and event.dnis == expected.get("to", event.dnis)
        and event.queue_ref == expected.get("queue_ref", event.queue_ref)
        and ("agent_ref" not in expected or event.agent_refs[0] == expected["agent_ref"])
        and event.cause == expected.get("cause", event.cause)
        and event.duration_seconds == expected.get("duration_s", event.duration_seconds)
    )


def test_a_name_cannot_write_an_event(real_bytes: Callable[..., bytes]) -> None:
    stream = real_bytes("providers", "samples", "asterisk-ami", "61-callerid-escaped.txt")
    (event,) = translate(frames_of(stream))
    assert (event.type, event.display_name) == (EventType.RINGING, "Eve  Event: Hangup")


# -- in step ---------------------------------------------------------------------------------------


@pytest.fixture
def pbx() -> Pbx:
    return Pbx()


def test_what_ends_while_it_is_listed_stays_ended(pbx: Pbx) -> None:
    customer = pbx.inbound()
    phone = pbx.answered(customer)
    before = len(pbx.events)
    pbx.calls.begin_resync()
    pbx.say("CoreShowChannel", customer.fields, BridgeId="b2")
    pbx.say("CoreShowChannel", phone.fields, BridgeId="b2")
    pbx.hang_up(phone, customer)
    new = pbx.inbound("7")
    pbx.say("CoreShowChannelsComplete")
    assert types(pbx.events[before:]) == [EventType.HANGUP, EventType.HANGUP, EventType.RINGING]
    assert pbx.calls.name_of("7") == new.fields["Channel"]


def test_what_happened_meanwhile_is_told(pbx: Pbx) -> None:
    """The agent picked up while the connection was away; an answer comes before the arrival of its call."""
    customer = pbx.inbound()
    phone = pbx.ring(customer, "101", "2")
    before = pbx.events
    for line in (customer, phone):
        line.fields["ChannelState"] = "6"
        pbx.mirror.channels[line.fields["Uniqueid"]] |= line.fields | {"BridgeId": "b"}
    again = pbx.resync()
    assert types(again) == [EventType.ANSWERED]
    pbx.calls, fresh = AmiCalls(), []
    fresh = pbx.resync()
    assert types(fresh) == [EventType.ANSWERED, EventType.RINGING]
    assert calls_of(before + fresh) == calls_of(before + again + fresh[1:])
    assert pbx.resync() == []


def test_memory_is_bounded(pbx: Pbx) -> None:
    for number in range(MAX_CHANNELS + 500):
        pbx.calls.take(
            read_message(frame(Event="Newchannel", Channel="PJSIP/trunk-1", Uniqueid=str(number))), NOW
        )
    assert pbx.calls.name_of("499") is None
    assert pbx.calls.name_of("500") is not None
