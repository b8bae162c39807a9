"""What mod_json_cdr alone has: encodings that the content type does not tell, legs, times, directions."""

from __future__ import annotations

import base64
import itertools
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
from multidict import CIMultiDict

from handlers.telephony.freeswitch_cdr import PROVIDER
from handlers.telephony.provider import CallSource, HookRequest
from server.domain.call import Call, CallState, apply_event
from server.domain.errors import Malformed, NotAuthenticated
from server.domain.event import CallEvent, Direction, EventType

SECRET = "cdr:s3cret"
HOOK = "https://cti.example.com/hooks/calls/pbx"
NOW = datetime(2026, 11, 16, 9, 30, tzinfo=UTC)
A, B, C = "aaaa-1", "bbbb-2", "cccc-3"
CALLER, LINE = "+447700900123", "+442079460100"


def source(**options: str) -> CallSource:
    return CallSource(
        name="pbx", provider="freeswitch_cdr", secrets=("old", SECRET), country="GB", queue="support",
        ring="one", hook_url=HOOK, options=options,
    )  # fmt: skip


def request(body: Any, url: str = HOOK, **headers: str) -> HookRequest:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HookRequest("POST", url, CIMultiDict(named), raw, received_at=NOW)


def at(second: int) -> datetime:
    return datetime.fromtimestamp(1794820500 + second, UTC)


def stamp(second: int | None) -> str:
    return "0" if second is None else str((1794820500 + second) * 1_000_000)


def part(
    profile: dict[str, Any],
    *,
    created: int = 0,
    answered: int | None = None,
    bridged: int | None = None,
    over: int | None = None,
) -> dict[str, Any]:
    times = {"created_time": stamp(0), "profile_created_time": stamp(created), "answered_time": stamp(answered),
             "bridged_time": stamp(bridged), "hangup_time": stamp(over)}  # fmt: skip
    return {"caller_profile": profile, "times": times}


def profile(number: str = CALLER, to: str = LINE, context: str = "public", **more: Any) -> dict[str, Any]:
    return {
        "caller_id_number": number,
        "caller_id_name": "Ada",
        "destination_number": to,
        "context": context,
    } | more


def originatee(key: str, phone: str) -> dict[str, Any]:
    return {"originatee": {"originatee_caller_profiles": [{"uuid": key, "destination_number": phone}]}}


def document(key: str, *flow: dict[str, Any], **variables: str) -> dict[str, Any]:
    """Flow parts newest first, as the module writes them."""
    known = {"uuid": key, "direction": "inbound", "call_uuid": A, "hangup_cause": "NORMAL_CLEARING"}
    return {"variables": known | variables, "app_log": {"applications": []}, "callflow": list(flow)}


def agents_document(key: str = B, phone: str = "101", **times: Any) -> dict[str, Any]:
    own = profile(
        CALLER, phone, "default", originator={"originator_caller_profiles": [{"uuid": A} | profile()]}
    )
    return document(key, part(own, **times), direction="outbound", originator=A)


def parse(body: Any, **options: str) -> list[CallEvent]:
    return list(PROVIDER.parse(source(**options), request(body)))


def joined(*events: CallEvent) -> Call:
    call = Call(A)
    for event in events:
        call = apply_event(call, event, NOW)
    return call


# -- who sends, and how ----------------------------------------------------------------------------


def basic(secret: str) -> str:
    return "Basic " + base64.b64encode(secret.encode()).decode()


def test_basic_or_a_token_in_the_url() -> None:
    PROVIDER.verify(source(), request({}, Authorization=basic(SECRET)))
    PROVIDER.verify(source(), request({}, Authorization=basic("old")))
    PROVIDER.verify(source(), request({}, HOOK + "?uuid=a_1&token=" + quote(SECRET)))
    for url, headers in (
        (HOOK, {}),
        (HOOK + "?token=", {}),
        (HOOK + "?token=wrong", {}),
        (HOOK, {"Authorization": basic("cdr:")}),
        (HOOK, {"Authorization": "Basic cdr:s3cret"}),
        (HOOK, {"Authorization": 'Digest username="cdr"'}),
        (HOOK + "?token=" + quote(SECRET), {"Authorization": basic("wrong")}),
    ):
        with pytest.raises(NotAuthenticated):
            PROVIDER.verify(source(), request({}, url, **headers))


@pytest.mark.parametrize(
    "kind",
    ["application/json", "application/x-www-form-urlencoded", "application/x-www-form-base64-encoded", ""],
)
def test_the_body_tells_its_encoding_whatever_the_type_says(kind: str) -> None:
    plain = json.dumps(document(A, part(profile(), over=9), note="%2B+/ ü")).encode()
    bodies = [
        plain,
        b"\n" + plain + b"\n",
        b"cdr=" + quote(plain).encode(),
        b"cdr=" + base64.b64encode(plain),
    ]
    events = [list(PROVIDER.parse(source(), request(body, Content_Type=kind))) for body in bodies]
    assert events[0][0].ani == CALLER
    assert all(one == events[0] for one in events)


@pytest.mark.parametrize("body", [b"", b"cdr=", b"cdr=%7B", b"cdr=!!!!", b"cdr=%FF", b"a=1&cdr={}", b"[]", b"{}", b"5",
    b"{" * 100_000, b"\xff\xfe", b'{"variables": [], "callflow": {}}', b'{"variables": {"uuid": ""}}',
    b'{"variables": {"uuid": 5}}', b'{"variables": {"uuid": "a\\u0000b"}, "callflow": [5]}'])  # fmt: skip
def test_what_is_no_cdr_is_malformed(body: bytes) -> None:
    # A NUL is taken out of texts, but it is no reason to take a document for another leg's.
    if b"u0000" in body:
        assert parse(body)[0].leg_key == "ab"
        return
    with pytest.raises(Malformed):
        parse(body)


def test_odd_times_are_none() -> None:
    for odd in ("-1", "x", "9" * 30, "99999999999999999999", ["1"], None, 1.5, True):
        own = part(profile())
        own["times"]["hangup_time"] = odd
        assert parse(document(A, own))[0].occurred_at is None
    own["times"]["hangup_time"] = 1794820501000000
    assert parse(document(A, own))[0].occurred_at == at(1)


# -- the caller's leg ------------------------------------------------------------------------------


def test_variables_are_decoded_and_profiles_are_not() -> None:
    own = document(A, part(profile("+44%20")), sip_from_user="%2B44", hangup_cause="NORMAL%5FCLEARING")
    (event,) = parse(own)
    assert (event.ani, event.cause) == ("+44%20", "NORMAL_CLEARING")
    own["callflow"] = []
    assert parse(own)[0].ani == "+44"


def test_the_oldest_profile_says_who_rang_whom() -> None:
    newest = part(profile("102", "103", "default"), created=40, bridged=41, over=90)
    (event,) = parse(document(A, newest, part(profile(), answered=1, bridged=5), billsec="89"))
    assert (event.type, event.direction) == (EventType.HANGUP, Direction.INBOUND)
    assert (event.ani, event.dnis, event.occurred_at) == (CALLER, LINE, at(90))
    assert (event.duration_seconds, event.ends_call) == (89, True)


def test_put_through_to_nobody_it_was_missed_or_left_a_message() -> None:
    own = document(A, part(profile(), answered=1, over=30), billsec="29")
    (missed,) = parse(own)
    assert (missed.type, missed.duration_seconds, missed.ends_call) == (EventType.MISSED, None, True)
    own["app_log"]["applications"] = [{"app_name": "answer"}, {"app_name": "voicemail"}]
    assert parse(own)[0].type is EventType.VOICEMAIL
    own["callflow"][0]["times"]["bridged_time"] = stamp(5)
    assert parse(own)[0].type is EventType.HANGUP
    # A queue may bridge without the profile's knowledge.
    own = document(A, part(profile(), over=30), bridge_epoch="1794820510")
    assert parse(own)[0].type is EventType.HANGUP


def test_an_agents_phone_that_calls_out() -> None:
    own = part(profile("101", "02079460199", "default"), over=30)
    (out,) = parse(document(A, own, user_name="101"))
    assert (out.type, out.direction, out.agent_refs) == (EventType.HANGUP, Direction.OUTBOUND, ("101",))
    assert out.dnis == "02079460199"
    (inside,) = parse(document(A, part(profile("101", "102", "default"))))
    assert inside.direction is Direction.INTERNAL
    # A phone is known by its log-in or by its short number, not by where the dial plan sends it.
    (user,) = parse(document(A, part(profile("+442079460100", "02079460199", "public")), user_name="101"))
    assert (user.direction, user.agent_refs) == (Direction.OUTBOUND, ("101",))
    (other,) = parse(document(A, part(profile(context="default"))))
    assert other.direction is Direction.INBOUND
    (made,) = parse(document(A, part(profile("", "101", "default")), direction="outbound", dialed_user="101"))
    assert (made.direction, made.agent_refs) == (Direction.OUTBOUND, ("101",))


# -- the agent's leg -------------------------------------------------------------------------------


def test_an_agents_leg_rang_was_picked_up_and_ended() -> None:
    ringing, answered, ended = parse(agents_document(answered=8, over=60) | {})
    assert [one.type for one in (ringing, answered, ended)] == [
        EventType.RINGING,
        EventType.ANSWERED,
        EventType.HANGUP,
    ]
    for event in (ringing, answered, ended):
        assert (event.call_key, event.leg_key, event.parent_leg_key) == (A, B, A)
        assert (event.ani, event.dnis, event.direction) == (CALLER, LINE, Direction.INBOUND)
    assert [one.occurred_at for one in (ringing, answered, ended)] == [at(0), at(8), at(60)]
    assert (ringing.agent_refs, answered.agent_refs, ended.agent_refs) == ((), ("101",), ("101",))
    assert len({one.event_key for one in (ringing, answered, ended)}) == 3
    assert ended.event_key == B


def test_an_agents_leg_that_was_not_picked_up() -> None:
    lost = agents_document(over=20)
    lost["variables"]["hangup_cause"] = "LOSE_RACE"
    ringing, ended = parse(lost)
    assert (ringing.type, ended.type) == (EventType.RINGING, EventType.HANGUP)
    assert (ended.cause, ended.duration_seconds) == ("LOSE_RACE", None)


def test_a_leg_says_whose_it_is_by_any_of_three_names() -> None:
    for own in (
        document(B, part(profile(to="101")), direction="outbound", originator=A, call_uuid=""),
        document(B, part(profile(to="101")), direction="outbound"),
    ):
        event = parse(own)[-1]
        assert (event.call_key, event.parent_leg_key) == (A, A)


def test_a_queue_makes_an_agents_leg_as_a_call_of_its_own() -> None:
    own = document(B, part(profile(to="+15550100"), answered=8), direction="outbound", call_uuid=B,
                   cc_side="agent", cc_member_session_uuid=A, cc_agent="101%40pbx.example.com")  # fmt: skip
    for event in parse(own):
        assert (event.call_key, event.leg_key, event.parent_leg_key) == (A, B, A)
    assert event.agent_refs == ("+15550100", "101")


def test_a_leg_that_the_switch_has_with_itself_is_nobodys() -> None:
    assert parse(document(B, part(profile(chan_name="loopback/101-a")), direction="outbound")) == []


def test_the_customers_leg_of_an_agents_call() -> None:
    origin = {"originator_caller_profiles": [{"uuid": A} | profile("101", "+15550100", "default")]}
    own = part(profile("+442079460100", "+15550100", "default", originator=origin), answered=9, over=30)
    events = parse(document(B, own, direction="outbound"))
    for event in events:
        assert (event.direction, event.agent_refs, event.dnis) == (Direction.OUTBOUND, (), "+15550100")
    assert [one.type for one in events] == [EventType.RINGING, EventType.ANSWERED, EventType.HANGUP]


def test_both_legs_are_one_call_in_any_order() -> None:
    caller = parse(document(A, part(profile() | originatee(B, "101"), answered=1, bridged=8, over=60)))
    assert len(caller) == 1
    for order in itertools.permutations([*caller, *parse(agents_document(answered=8, over=60))]):
        call = joined(*order, order[0])
        assert (call.state, call.agent_ref, call.direction) == (CallState.ENDED, "101", Direction.INBOUND)
        assert (call.started_at, call.answered_at, call.ended_at) == (at(0), at(8), at(60))


def test_callers_legs_alone_speak_for_the_agents() -> None:
    newest = part(profile(to="102") | originatee(C, "102"), created=40, bridged=42, over=90)
    oldest = part(profile() | originatee(B, "101"), answered=1, bridged=8)
    events = parse(document(A, newest, oldest), log_b_leg="off")
    assert events[0].type is EventType.HANGUP and events[0].leg_key == A
    assert len({event.event_key for event in events}) == len(events) == 6
    call = joined(*events)
    assert (call.state, call.agent_ref) == (CallState.ENDED, "102")
    assert (call.started_at, call.answered_at, call.ended_at) == (at(0), at(8), at(90))
    assert (call.legs[B].ended_at, call.legs[C].ended_at) == (at(40).timestamp(), at(90).timestamp())
    # Nothing of the past may be offered to an agent: from the first event on the call is over.
    assert all(joined(*events[:count]).state in (CallState.ENDED, CallState.MISSED) for count in range(1, 7))


def test_a_call_that_was_followed_live_is_the_same_call() -> None:
    """The event socket's keys (Unique-ID, Channel-Call-UUID) and times are the CDR's."""
    live = [
        CallEvent(type=EventType.RINGING, call_key=A, leg_key=A, event_key="core:1", direction=Direction.INBOUND,
                  ani=CALLER, dnis=LINE, occurred_at=at(0)),
        CallEvent(type=EventType.ANSWERED, call_key=A, leg_key=B, parent_leg_key=A, event_key="core:2",
                  agent_refs=("101",), occurred_at=at(8)),
        CallEvent(type=EventType.HANGUP, call_key=A, leg_key=B, parent_leg_key=A, event_key="core:3",
                  agent_refs=("101",), occurred_at=at(60), cause="NORMAL_CLEARING"),
        CallEvent(type=EventType.HANGUP, call_key=A, leg_key=A, event_key="core:4", occurred_at=at(60),
                  cause="NORMAL_CLEARING"),
    ]  # fmt: skip
    cdr = parse(agents_document(answered=8, over=60))
    cdr += parse(document(A, part(profile(), answered=1, bridged=8, over=60)))
    before, after = joined(*live), joined(*live, *cdr)
    assert set(after.legs) == set(before.legs)
    for name in ("state", "agent_ref", "direction", "started_at", "answered_at", "ended_at", "hangup_cause"):
        assert getattr(after, name) == getattr(before, name), name
