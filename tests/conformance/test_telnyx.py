"""What Telnyx alone has: ed25519 and its window, the state that comes back, events without a sample."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from handlers.telephony.provider import HookRequest
from handlers.telephony.telnyx import PROVIDER
from handlers.telephony.telnyx_message import ClientState, Step, read_state
from server.domain.call import Call, CallState, apply_event
from server.domain.errors import Forbidden, Malformed
from server.domain.event import Direction, EventType
from tests.conformance.telnyx_requests import (
    CALL,
    CONTROL,
    LEG,
    NOW,
    PUBLIC,
    RINGING,
    agents_leg,
    hook,
    parse,
    parse_one,
    signed,
    source,
)

# -- the signature ---------------------------------------------------------------------------------


def test_vectors(real_case: Callable[..., Any]) -> None:
    vectors = [one for one in real_case("cases", "signatures", "vectors.json") if one["provider"] == "telnyx"]
    assert vectors
    for vector in vectors:
        headers = {"telnyx-signature-ed25519": vector["signature"] or ""}
        headers["telnyx-timestamp"] = str(vector["timestamp"])
        old = "older than" in vector["name"]
        at = datetime.fromtimestamp(vector["timestamp"] + (301 if old else 0), UTC)
        request = HookRequest("POST", "", CIMultiDict(headers), vector["body"].encode(), received_at=at)
        signer = replace(source(), secrets=(vector["public_key"],))
        assert vector["valid"] is False, vector["id"]
        with pytest.raises(Forbidden):
            PROVIDER.verify(signer, request)
        if old:
            # Nothing else is wrong with this one.
            PROVIDER.verify(signer, replace_time(request, at - timedelta(seconds=1)))


def replace_time(request: HookRequest, at: datetime) -> HookRequest:
    return HookRequest("POST", "", request.headers, request.body, received_at=at)


@pytest.mark.parametrize(("seconds", "good"), [(-301, False), (-300, True), (300, True), (301, False)])
def test_the_window_is_five_minutes_both_ways(seconds: int, good: bool) -> None:
    request = signed(b"{}", NOW + timedelta(seconds=seconds))
    if good:
        PROVIDER.verify(source(), request)
        return
    with pytest.raises(Forbidden, match="clock"):
        PROVIDER.verify(source(), request)


@pytest.mark.parametrize("stamp", ["", "1e9", "-5", " 17", "٣", "9" * 5000, "1794820500.5"])
def test_odd_timestamps_are_refused(stamp: str) -> None:
    with pytest.raises(Forbidden):
        PROVIDER.verify(source(), signed(b"{}", telnyx_timestamp=stamp))


def test_keys_that_are_none_stand_in_nobodys_way() -> None:
    request = signed(b"{}")
    odd = ("", "not base64!", "c2hvcnQ=", "é", f" {PUBLIC}\n")
    PROVIDER.verify(replace(source(), secrets=odd), request)
    with pytest.raises(Forbidden):
        PROVIDER.verify(replace(source(), secrets=odd[:-1]), request)


# -- what comes back -------------------------------------------------------------------------------


@given(st.builds(
    ClientState, step=st.none() | st.sampled_from(Step), agent=st.none() | st.text("aä&=+%:. @", min_size=1),
    control=st.just("v3:x_-y"), round=st.none() | st.uuids().map(str), group=st.booleans(), voicemail=st.booleans(),
))  # fmt: skip
def test_a_state_comes_back_as_it_went(state: ClientState) -> None:
    assert read_state(state.pack()) == state


@given(st.text() | st.binary().map(lambda raw: base64.b64encode(raw).decode()))
def test_any_other_state_is_none(packed: str) -> None:
    state = read_state(packed)
    assert state.step is None or state.step in set(Step)


def test_a_state_of_hostile_values_is_cut_down() -> None:
    packed = base64.b64encode(b"step=fly&agent=" + b"x" * 3000 + b"&leg=a%00b&control=%ED%A0%80").decode()
    state = read_state(packed)
    assert (state.step, state.agent, state.leg) == (None, None, None)
    assert read_state("x" * 5000) == ClientState()


@pytest.mark.parametrize("body", [b"{}", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"data":{"payload":{}}}',
    b'{"data":{"id":1,"event_type":"call.hangup","payload":{}}}',
    b'{"data":{"id":"a","event_type":"call.hangup","payload":{}}}',
    b'{"data":{"id":"a","event_type":"call.hold","payload":{"call_leg_id":{},"call_session_id":["x"]}}}'])  # fmt: skip
def test_what_is_no_webhook_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        PROVIDER.parse(source(), signed(body))


# -- neutral events --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["bridged", "dtmf.received", "playback.ended", "cost", "refer.started", "new"]
)
def test_other_events_are_passed_over(kind: str) -> None:
    assert parse(hook(kind)) is None


@pytest.mark.parametrize(
    ("attested", "checked", "verdict"),
    [("A", True, "A"), ("C", False, "failed"), ("A", None, None), ("D", True, None), (None, True, None)],
)
def test_the_carriers_verdict(attested: Any, checked: Any, verdict: Any) -> None:
    request = hook(
        "initiated", direction="incoming", shaken_stir_attestation=attested, shaken_stir_validated=checked
    )
    assert parse_one(request).stir == verdict


def test_a_sip_address_of_an_incoming_call_is_no_agent() -> None:
    event = parse_one(hook("initiated", direction="incoming", to="sip:line@sip.telnyx.com"))
    assert (event.agent_refs, event.direction) == ((), Direction.INBOUND)


def test_a_leg_of_another_program_is_read_by_its_address() -> None:
    event = parse_one(hook("answered", to="sip:priya@sip.telnyx.com"))
    assert (event.type, event.agent_refs, event.parent_leg_key) == (EventType.ANSWERED, ("priya",), None)
    outgoing = parse_one(hook("initiated", direction="outgoing", to="+15550100"))
    assert (outgoing.direction, outgoing.dnis, outgoing.agent_refs) == (Direction.OUTBOUND, "+15550100", ())


@pytest.mark.parametrize("cause", ["timeout", "no_answer", "user_busy", "call_rejected", "not_found"])
def test_the_only_phone_was_not_picked_up(cause: str) -> None:
    event = parse_one(agents_leg("hangup", RINGING, hangup_cause=cause))
    assert (event.type, event.cause, event.ends_call) == (EventType.MISSED, cause, True)
    assert event.parent_leg_key == LEG
    # Without a voicemail the caller waits on, and of a group others still ring.
    for state, options in ((RINGING, {"voicemail": "off"}), (replace(RINGING, group=True), {})):
        assert parse_one(agents_leg("hangup", state, hangup_cause=cause), **options).type == EventType.HANGUP


def test_the_end_of_a_transfer_or_a_dialled_call_is_no_missed_call() -> None:
    for step in (Step.TRANSFER, Step.DIAL, Step.CUSTOMER):
        event = parse_one(agents_leg("hangup", ClientState(step, agent="101"), hangup_cause="timeout"))
        assert event.type is EventType.HANGUP


def test_an_end_without_end_time_is_measured_by_when_it_occurred() -> None:
    event = parse_one(hook("hangup", hangup_cause="normal_clearing"))
    assert (event.type, event.duration_seconds) == (EventType.HANGUP, 30)
    assert parse_one(hook("hangup", start_time="2027-01-01T00:00:00Z")).duration_seconds is None
    assert parse_one(hook("hangup", start_time="0001-01-01T00:00:00+23:59")).duration_seconds is None


def test_recording_addresses_are_whole_or_none() -> None:
    long = "https://recordings.example.com/" + "x" * 1500
    assert parse_one(hook("recording.saved", recording_urls={"wav": long})).recording_url == long
    for urls in ({"mp3": "javascript:alert(1)"}, {"mp3": long * 2}, {"mp3": ["x"]}, "https://x", None):
        assert parse_one(hook("recording.saved", recording_urls=urls)).recording_url is None
    public = {"mp3": "https://recordings.example.com/public.mp3"}
    event = parse_one(hook("recording.saved", recording_urls={}, public_recording_urls=public))
    assert event.recording_url == public["mp3"]


def test_our_own_steps_are_events_that_let_routing_look_again() -> None:
    for request in (
        hook("answered", ClientState(Step.ANSWER)),
        hook(
            "dequeued", ClientState(Step.WAIT, caller="+447700900123"), reason="timeout", from_=None, to=None
        ),
        hook("speak.ended", ClientState(Step.GREET, caller="+447700900123"), from_=None, to=None),
    ):
        event = parse_one(request)
        assert (event.type, event.direction, event.parent_leg_key) == (
            EventType.QUEUED,
            Direction.INBOUND,
            None,
        )
        assert event.ani == "+447700900123"
    assert parse(hook("dequeued", ClientState(Step.WAIT), reason="bridged")) is None
    assert parse(hook("dequeued", reason="timeout")) is None
    assert parse(hook("speak.ended", ClientState(Step.WAIT))) is None


def joined(*requests: HookRequest, **options: str) -> Call:
    call = Call(CALL)
    for number, request in enumerate(requests):
        event = parse(request, **options)
        if event is not None:
            call = apply_event(call, event, NOW + timedelta(seconds=number))
    return call


def test_click_to_dial_as_a_call() -> None:
    dial = ClientState(Step.DIAL, agent="101", customer="+15550100")
    customer = ClientState(Step.CUSTOMER, customer="+15550100", leg=LEG, control=CONTROL)
    own: dict[str, Any] = {"from_": "+442079460100", "to": "sip:101@sip.telnyx.com"}
    requests = [
        hook("initiated", dial, direction="outgoing", **own),
        hook("answered", dial, **own),
        agents_leg("initiated", customer, direction="outgoing", to="+15550100"),
        agents_leg("answered", customer, to="+15550100"),
    ]
    first = parse_one(requests[0])
    assert (first.type, first.agent_refs, first.direction) == (
        EventType.RINGING,
        ("101",),
        Direction.OUTBOUND,
    )
    assert (first.ani, first.dnis) == ("+442079460100", "+15550100")
    assert parse_one(requests[1]).type is EventType.DIALING
    answered = parse_one(requests[3])
    assert (answered.type, answered.agent_refs, answered.parent_leg_key) == (EventType.ANSWERED, (), LEG)
    assert joined(*requests[:2]).state is CallState.RINGING
    call = joined(*requests)
    assert (call.state, call.direction) == (CallState.ANSWERED, Direction.OUTBOUND)


def test_an_answered_call_as_a_call_in_any_order() -> None:
    requests = [
        hook("initiated", direction="incoming"),
        hook("answered", ClientState(Step.ANSWER)),
        agents_leg("initiated", RINGING, direction="outgoing"),
        agents_leg("answered", RINGING),
        agents_leg("hangup", RINGING, hangup_cause="normal_clearing"),
        hook("hangup", ClientState(Step.ANSWER), hangup_cause="normal_clearing"),
    ]
    for order in (requests, requests[::-1]):
        call = joined(*order)
        assert (call.state, call.direction) == (CallState.ENDED, Direction.INBOUND)
        assert call.agent_ref == "priya.raman"
    assert joined(*requests[:4]).state is CallState.ANSWERED
    # The caller's end ends it, even when the agent leg's is lost.
    assert joined(*requests[:4], requests[5]).state is CallState.ENDED


def test_an_agent_of_a_group_is_known_by_the_address() -> None:
    group = replace(RINGING, agent=None, group=True)
    for to, agent in (("sip:102@sip.telnyx.com", "102"), ("+447700900555", "+447700900555")):
        event = parse_one(agents_leg("answered", group, to=to))
        assert (event.type, event.agent_refs, event.dnis) == (EventType.ANSWERED, (agent,), None)


def test_a_transfer_of_ours_says_that_it_is_one() -> None:
    state = ClientState(Step.TRANSFER, agent="102", leg=LEG, control=CONTROL)
    event = parse_one(agents_leg("initiated", state, direction="outgoing", to="sip:102@sip.telnyx.com"))
    assert (event.type, event.agent_refs, event.parent_leg_key) == (EventType.TRANSFERRED, ("102",), LEG)
