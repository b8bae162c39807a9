"""What Vonage alone has: NCCOs for each step, context in our own URLs, calls that a transfer carries on."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from handlers.telephony.vonage import PROVIDER
from server.domain.call import Call, apply_event
from server.domain.errors import Invalid, Malformed
from server.domain.event import CallEvent, Direction, EventType
from tests.conformance.vonage_requests import (
    CALL,
    HUGO,
    INCOMING,
    LEG,
    NOW,
    PHONE,
    PRIYA,
    TOMASZ,
    answer,
    own_of,
    parse_one,
    phone_event,
    request,
    source,
)

# -- events ----------------------------------------------------------------------------------------


def test_an_agents_phone_says_what_our_url_says() -> None:
    query = f"?call={CALL}&first={LEG}&line=442079460100&leg=agent"
    ringing = parse_one(*phone_event("ringing", query))
    assert (ringing.type, ringing.direction) == (EventType.RINGING, Direction.INBOUND)
    assert (ringing.parent_leg_key, ringing.agent_refs) == (LEG, ("priya.raman",))
    assert (ringing.ani, ringing.dnis) == (None, None)  # the line's number is nobody's
    assert ringing.occurred_at == NOW + timedelta(seconds=2, milliseconds=120)
    answered = parse_one(*phone_event("answered", query + "&agent=%2B442079460111", to="442079460111"))
    assert (answered.type, answered.agent_refs) == (EventType.ANSWERED, ("+442079460111",))
    for status, detail in (
        ("busy", ""),
        ("rejected", "declined"),
        ("failed", "cannot_route"),
        ("timeout", ""),
    ):
        gone = parse_one(*phone_event(status, query, detail=detail))
        assert (gone.type, gone.ends_call) == (EventType.MISSED, True)
        assert gone.cause == (f"{status}:{detail}" if detail else status)
        assert parse_one(*phone_event(status, query), voicemail="off").type is EventType.HANGUP
        assert parse_one(*phone_event(status, query + "&next=tomasz")).type is EventType.HANGUP
    assert parse_one(*phone_event("cancelled", query)).type is EventType.HANGUP  # the caller gave up


def test_legs_of_click_to_dial() -> None:
    agent = {"from": "442079460100", "to": "442079460111"}
    ringing = parse_one(*phone_event("ringing", "?customer=447700900456", **agent))
    assert (ringing.direction, ringing.dnis) == (Direction.OUTBOUND, "+447700900456")
    assert (ringing.ani, ringing.agent_refs) == ("+442079460100", ("442079460111",))
    unanswered = parse_one(*phone_event("unanswered", "?customer=447700900456", **agent))
    assert (unanswered.type, unanswered.direction) == (EventType.HANGUP, Direction.OUTBOUND)
    query = "?" + urlencode(INCOMING | agent | {"customer": "447700900456"})
    (fetch,) = PROVIDER.parse(source(), request(None, query, method="GET"))
    assert (fetch.type, fetch.direction, fetch.dnis) == (
        EventType.ANSWERED,
        Direction.OUTBOUND,
        "+447700900456",
    )
    customer = parse_one(
        *phone_event("answered", f"?call={CALL}&first={PHONE}&leg=customer", to="447700900456", uuid="leg-2")
    )
    assert (customer.agent_refs, customer.dnis, customer.parent_leg_key) == ((), "+447700900456", None)


def test_a_transferred_leg_stays_in_its_call() -> None:
    moved = {"conversation_uuid_from": "CON-a", "conversation_uuid_to": "CON-b", "uuid": LEG}
    assert parse_one(moved).call_key == "CON-a"
    again = parse_one({"conversation_uuid_from": "CON-b", "conversation_uuid_to": "CON-c", "uuid": LEG})
    assert (again.type, again.call_key, again.event_key) == (
        EventType.TRANSFERRED,
        "CON-a",
        f"{LEG}:transfer:CON-c",
    )
    back = {
        "conversation_uuid_from": "CON-c",
        "conversation_uuid_to": "CON-a",
        "uuid": LEG,
        "type": "transfer",
    }
    assert parse_one(back).call_key == "CON-a"
    for conversation in ("CON-a", "CON-b", "CON-c"):
        over = INCOMING | {"status": "completed", "direction": "inbound", "conversation_uuid": conversation}
        assert parse_one(over).call_key == "CON-a"
    # Our own transfer says it itself, before anything else does.
    fetch = parse_one(INCOMING | {"conversation_uuid": "CON-y"}, "?target=tomasz&call=CON-x&first=" + LEG)
    assert (fetch.type, fetch.call_key, fetch.agent_refs) == (EventType.TRANSFERRED, "CON-x", ("tomasz",))
    over = INCOMING | {"status": "completed", "direction": "inbound", "conversation_uuid": "CON-y"}
    assert parse_one(over).call_key == "CON-x"


def test_every_poll_is_an_event_of_its_own() -> None:
    keyed = {"uuid": LEG, "conversation_uuid": CALL, "dtmf": {"digits": "", "timed_out": True}}
    keys = [parse_one(keyed, f"?step=wait&poll={poll}&call={CALL}").event_key for poll in (1, 2, 2)]
    assert keys == [f"{LEG}:wait:1", f"{LEG}:wait:2", f"{LEG}:wait:2"]
    assert not PROVIDER.parse(source(), request(keyed))  # keys of somebody else's NCCO


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "human", "call_uuid": LEG, "conversation_uuid": CALL},
        {"status": "machine", "call_uuid": LEG, "conversation_uuid": CALL},
        {"reason": "Syntax error in NCCO", "conversation_uuid": CALL},
        {"payload": {"a": 1}, "conversation_uuid": CALL},
    ],
)
def test_what_is_no_call_event(fields: dict[str, Any]) -> None:
    assert not PROVIDER.parse(source(), request(fields))
    assert answer(fields) is None


@pytest.mark.parametrize(
    ("fields", "error", "named"),
    [
        ({}, Malformed, "uuid"),
        ({"status": "ringing", "direction": "inbound", "conversation_uuid": CALL}, Malformed, "uuid"),
        ({"uuid": LEG, "to": "1"}, Malformed, "conversation_uuid"),
        (INCOMING | {"status": "sleeping"}, Invalid, "status"),
        (INCOMING | {"status": None}, Invalid, "status"),
        (INCOMING | {"status": "ringing", "direction": "up"}, Invalid, "direction"),
        ({"recording_url": "u", "conversation_uuid": CALL}, Malformed, "recording_uuid"),
        ({"conversation_uuid_to": CALL, "uuid": LEG}, Malformed, "conversation_uuid_from"),
        (INCOMING | {"uuid": "l\x00eg"}, Malformed, "uuid"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, Any], error: type[Invalid], named: str) -> None:
    with pytest.raises(error) as refusal:
        PROVIDER.parse(source(), request(fields))
    assert list(refusal.value.fields) == [named]


def test_numbers_as_json_numbers_keep_their_digits() -> None:
    assert parse_one(INCOMING | {"from": 447700900123}).ani == "+447700900123"
    assert parse_one(INCOMING | {"from": "anonymous"}).ani == "anonymous"
    user = {name: value for name, value in INCOMING.items() if name != "from"} | {"from_user": "priya"}
    assert parse_one(user).ani == "priya"


@pytest.mark.parametrize(
    ("first", "last", "state", "answered"),
    [("01", "11", "ended", True), ("21", "27", "voicemail", False), ("31", "38", "ended", True)],
)
def test_recorded_calls_end_as_they_did_in_any_order(
    samples_of: Callable[[str], dict[str, Any]], first: str, last: str, state: str, answered: bool
) -> None:
    events: list[CallEvent] = []
    for name, sample in samples_of("vonage").items():
        if sample.valid and first <= name[:2] <= last:
            events.extend(PROVIDER.parse(sample.source, sample.request))
    assert len({event.call_key for event in events}) == 1
    for seed in range(20):
        shuffled = events * 2 if seed == 0 else random.Random(seed).sample(events, len(events))
        call = Call(events[0].call_key)
        for event in shuffled:
            call = apply_event(call, event, NOW)
        assert (call.state.value, call.answered_at is not None) == (state, answered)


# -- NCCOs -----------------------------------------------------------------------------------------


def test_incoming_rings_one_phone_after_the_other() -> None:
    (ring,) = answer(INCOMING, "/answer", PRIYA, TOMASZ, HUGO)
    assert ring["endpoint"] == [{"type": "app", "user": "priya.raman"}]
    assert (ring["from"], ring["timeout"], ring["eventType"]) == ("442079460100", 20, "synchronous")
    own = own_of(ring)
    assert own == [
        ("call", CALL), ("first", LEG), ("line", "442079460100"), ("leg", "agent"), ("agent", "priya.raman"),
        ("next", "sip:tomasz@pbx.example.com"), ("next", "+447700900555"),
    ]  # fmt: skip
    (ring,) = answer(*phone_event("busy", "?" + urlencode(own)))
    assert ring["endpoint"] == [{"type": "sip", "uri": "sip:tomasz@pbx.example.com"}]
    assert own_of(ring) == [*own[:4], ("agent", "sip:tomasz@pbx.example.com"), ("next", "+447700900555")]
    (ring,) = answer(*phone_event("unanswered", "?" + urlencode(own_of(ring))))
    assert ring["endpoint"] == [{"type": "phone", "number": "447700900555"}]
    assert own_of(ring) == [*own[:4], ("agent", "+447700900555")]
    greeting, recording = answer(*phone_event("rejected", "?" + urlencode(own_of(ring))))
    assert (greeting["action"], recording["action"]) == ("talk", "record")
    assert dict(own_of(recording)) == {
        "call": CALL,
        "first": LEG,
        "line": "442079460100",
        "step": "voicemail",
    }


def test_the_voicemail_is_one_of_the_callers_leg() -> None:
    left = {
        "start_time": "2026-11-16T09:15:27.000Z", "end_time": "2026-11-16T09:15:41.000Z",
        "recording_url": "https://api.example/1", "recording_uuid": "R1", "conversation_uuid": CALL,
    }  # fmt: skip
    event = parse_one(left, f"?call={CALL}&first={LEG}&step=voicemail")
    assert (event.type, event.leg_key, event.duration_seconds) == (EventType.VOICEMAIL, LEG, 14)
    talk = parse_one(left, f"?call={CALL}&first={LEG}&step=recording")
    assert (talk.type, talk.leg_key, talk.ends_call) == (EventType.RECORDING_READY, LEG, False)


def test_after_an_agents_phone() -> None:
    query = f"?call={CALL}&first={LEG}&line=442079460100&leg=agent&poll=3"
    for status in ("started", "ringing", "answered", "cancelled", "completed", "disconnected"):
        assert answer(*phone_event(status, query)) is None
    said, pause = answer(*phone_event("unanswered", query), voicemail="off")
    assert (said["action"], dict(own_of(pause))["poll"]) == ("talk", "4")
    assert "留言" in answer(*phone_event("busy", query), language="zh-CN")[0]["text"]
    assert answer(*phone_event("unanswered", "?customer=447700900456")) is None


def test_nobody_free_waits_and_is_asked_again() -> None:
    said, pause = answer(INCOMING)
    assert (said["action"], said["language"]) == ("talk", "en-GB")
    assert (pause["action"], pause["type"], pause["dtmf"]["timeOut"]) == ("input", ["dtmf"], 5)
    own = dict(own_of(pause))
    assert own == {"call": CALL, "first": LEG, "line": "442079460100", "step": "wait", "poll": "1"}
    keyed = {"uuid": LEG, "conversation_uuid": CALL, "dtmf": {"digits": None, "timed_out": True}}
    said, pause = answer(keyed, "?" + urlencode(own), language="zh-CN")
    assert ("请稍候" in said["text"], said["language"]) == (True, "cmn-CN")
    assert dict(own_of(pause))["poll"] == "2"
    (ring,) = answer(keyed, "?" + urlencode(own), PRIYA)
    assert (ring["from"], dict(own_of(ring))["first"]) == ("442079460100", LEG)
    music = answer(keyed, "?" + urlencode(own), music="https://x.example/a.mp3")
    assert music[0] == {"action": "stream", "streamUrl": ["https://x.example/a.mp3"]}


def test_nobody_is_held_in_a_closed_queue() -> None:
    keyed = {"uuid": LEG, "conversation_uuid": CALL, "dtmf": {"digits": "", "timed_out": True}}
    waited = f"?step=wait&poll=3&call={CALL}&first={LEG}"
    for asked, query in ((INCOMING, ""), (keyed, waited)):
        greeting, recording = answer(asked, query, is_closed=True)
        assert (greeting["action"], recording["action"]) == ("talk", "record")
        own = dict(own_of(recording))
        assert (own["step"], own["call"], own["first"]) == ("voicemail", CALL, LEG)
        (said,) = answer(asked, query, is_closed=True, voicemail="off", language="zh-CN")
        assert (said["action"], "无人" in said["text"]) == ("talk", True)
    untaken = phone_event("unanswered", f"?call={CALL}&first={LEG}&leg=agent")
    assert [one["action"] for one in answer(*untaken, is_closed=True, voicemail="off")] == ["talk"]


def test_recording_is_off_unless_asked_for() -> None:
    recording, ring = answer(INCOMING, "", PRIYA, record="dual")
    assert (recording["action"], recording["split"], recording["channels"]) == ("record", "conversation", 2)
    assert (dict(own_of(recording))["step"], ring["action"]) == ("recording", "connect")
    assert "split" not in answer(INCOMING, "", PRIYA, record="mono")[0]
    assert [action["action"] for action in answer(INCOMING, "", PRIYA)] == ["connect"]


def test_the_customer_is_rung_when_the_agent_is_there() -> None:
    agent = INCOMING | {"from": "442079460100", "to": "442079460111", "uuid": PHONE}
    (ring,) = answer(agent, "/answer?customer=447700900456", ring_seconds="5")
    assert ring["endpoint"] == [{"type": "phone", "number": "447700900456"}]
    assert (ring["from"], "eventType" in ring) == ("442079460100", False)
    assert dict(own_of(ring))["leg"] == "customer"


def test_a_transfer_rings_its_target() -> None:
    query = f"?target=%2B447700900555&call={CALL}&first={LEG}&line=442079460100"
    (ring,) = answer(INCOMING | {"conversation_uuid": "CON-z"}, query, PRIYA)
    assert ring["endpoint"] == [{"type": "phone", "number": "447700900555"}]
    assert dict(own_of(ring))["call"] == CALL
