"""Generic CTI: the request sequences of two dialects, and what hand-written dial plans send."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from multidict import CIMultiDict

from handlers.telephony.cti import PROVIDER
from handlers.telephony.provider import CallSource, HookRequest
from server.domain.errors import Invalid, Malformed, NotAuthenticated, WrongType
from server.domain.event import CallEvent, Direction, EventType

HOOK = "https://cti.example.com/hooks/calls/pbx"
SOURCE = CallSource("pbx", "cti", ("new-one", "old+one/ü"), "DE", "support", "group", HOOK)
CALL = {"event": "newCall", "direction": "in", "from": "49178000000", "to": "49203000000", "callId": "A1"}
FORM = "application/x-www-form-urlencoded"


def form_request(fields: Any, query: str = "", kind: str = FORM) -> HookRequest:
    pairs: list[tuple[str, str]] = []
    for name, value in fields.items() if isinstance(fields, dict) else fields:
        if isinstance(value, list):
            pairs.extend((f"{name}[]", item) for item in value)
        else:
            pairs.append((name, str(value)))
    return HookRequest("POST", HOOK + query, CIMultiDict({"Content-Type": kind}), urlencode(pairs).encode())


def json_request(fields: Any, kind: str = "application/json; charset=utf-8") -> HookRequest:
    body = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    return HookRequest("POST", HOOK, CIMultiDict({"Content-Type": kind}), body)


def parse(request: HookRequest) -> CallEvent:
    (event,) = PROVIDER.parse(SOURCE, request)
    return event


def both_ways(fields: dict[str, Any]) -> CallEvent:
    """A form and JSON of the same fields are the same event."""
    by_form, by_json = parse(form_request(fields)), parse(json_request(fields))
    assert by_form == by_json
    return by_form


# -- who may -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"Authorization": "Bearer new-one"}, ""),
        ({"authorization": "bearer  old+one/ü "}, ""),
        ({}, "?token=new-one"),
        ({}, "?a=1&token=old%2Bone%2F%C3%BC"),
        ({"Authorization": "Basic eDp5"}, "?token=new-one"),  # a proxy's own
    ],
)
def test_the_secret_in_either_place(headers: dict[str, str], query: str) -> None:
    PROVIDER.verify(SOURCE, HookRequest("POST", HOOK + query, CIMultiDict(headers), b""))


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({}, ""),
        ({}, "?token="),
        ({}, "?token=wrong"),
        ({}, "?xtoken=new-one"),
        ({"Authorization": "new-one"}, ""),
        ({"Authorization": "Basic new-one"}, ""),
        ({"Authorization": "Bearer new-on"}, ""),
    ],
)
def test_without_it_nobody_knows_you(headers: dict[str, str], query: str) -> None:
    with pytest.raises(NotAuthenticated):
        PROVIDER.verify(SOURCE, HookRequest("POST", HOOK + query, CIMultiDict(headers), b""))


# -- flows -------------------------------------------------------------------------------------------


def test_request_sequences_of_the_caller_log(real_case: Callable[..., Any]) -> None:
    """At this level: each request that was taken is one event of the call that it names."""
    taken = 0
    for case in real_case("cases", "cti", "caller_log_cases.json"):
        for step in case["steps"]:
            request = step.get("request")
            if not request or not isinstance(request.get("body"), dict):
                continue
            body = request["body"]
            event = parse((json_request if request["encoding"] == "json" else form_request)(body))
            key = body.get("call_id") or body["callId"]
            taken += 1
            assert (event.call_key, event.leg_key) == (key, key)
            assert event.event_key == f"{key}:{body['event']}"
            assert event.direction is (Direction.INBOUND if body["direction"] == "in" else Direction.OUTBOUND)
            assert (event.ani, event.dnis) == (body.get("from"), body.get("to"))
            assert event.queue_ref == body.get("queue")
            if body["event"] == "newCall":
                assert event.type is EventType.RINGING
                assert event.agent_refs
            elif body["event"] == "hangup":
                assert event.type is EventType.HANGUP
                assert event.cause == body["cause"]
            else:
                assert event.type in (EventType.ANSWERED, EventType.VOICEMAIL)
    assert taken > 20


def flow(real_case: Callable[..., Any], name: str) -> list[CallEvent]:
    (case,) = (
        case for case in real_case("cases", "cti", "sipgate_io_issue_flows.json") if case["id"] == name
    )
    return [both_ways(fields) for fields in case["events"]]


def test_an_answer_by_nobody_is_the_queue(real_case: Callable[..., Any]) -> None:
    events = flow(real_case, "sgio-70-queue-answer-empty-user")
    assert [event.type for event in events] == [EventType.RINGING, EventType.QUEUED, EventType.HANGUP]
    assert not any(event.agent_refs for event in events)


def test_an_extra_incoming_leg_belongs_to_the_outgoing_call(real_case: Callable[..., Any]) -> None:
    first, second = flow(real_case, "sgio-130-extra-in")
    assert first.call_key == second.call_key == "C1"
    assert (first.leg_key, second.leg_key) == ("C1", "C2")
    assert first.direction is Direction.OUTBOUND


def test_own_number_empty_or_withheld(real_case: Callable[..., Any]) -> None:
    empty, withheld = flow(real_case, "sgio-56-empty-from-outgoing")
    assert (empty.ani, withheld.ani) == (None, "anonymous")
    assert empty.dnis == withheld.dnis == "4930998877"


def test_a_withheld_caller(real_case: Callable[..., Any]) -> None:
    (event,) = flow(real_case, "sgio-102-anonymous-in")
    assert (event.ani, event.agent_refs) == ("anonymous", ("Bob",))


# -- fields ------------------------------------------------------------------------------------------


def test_agents_of_a_ring_group_each_once_in_order() -> None:
    event = both_ways(CALL | {"user": ["Bob", "Alice", "Bob"], "userId": ["w1"], "fullUserId": ["123w1"]})
    assert event.agent_refs == ("Bob", "Alice", "w1", "123w1")
    assert both_ways(CALL | {"user": "user 1,user 2"}).agent_refs == ("user 1", "user 2")
    assert both_ways(CALL | {"user": "Raman, Priya"}).agent_refs == ("Raman, Priya",)
    indexed = parse(
        form_request([*CALL.items(), ("user[0]", "Bob"), ("user[1]", "Alice"), ("extension", "201")])
    )
    assert indexed.agent_refs == ("Bob", "Alice", "201")


def test_who_answered() -> None:
    answer = CALL | {"event": "answer", "user": "Bob", "userId": "w1", "answeringNumber": "492214710111"}
    assert both_ways(answer).agent_refs == ("492214710111", "Bob", "w1")
    # On the way out the number that answers is the customer's.
    outbound = both_ways(answer | {"direction": "out"})
    assert (outbound.type, outbound.agent_refs) == (EventType.ANSWERED, ("Bob", "w1"))
    silent = both_ways({name: answer[name] for name in ("event", "direction", "from", "to", "callId")})
    assert (silent.type, silent.agent_refs) == (EventType.ANSWERED, ())
    mailbox = both_ways(answer | {"user": "voicemail", "userId": "", "answeringNumber": ""})
    assert (mailbox.type, mailbox.agent_refs) == (EventType.VOICEMAIL, ())


@pytest.mark.parametrize(
    ("direction", "cause", "type_"),
    [
        ("in", "normalClearing", EventType.HANGUP),
        ("in", "noAnswer", EventType.MISSED),
        ("out", "noAnswer", EventType.HANGUP),
        ("in", "cancel", EventType.HANGUP),
        ("in", "busy", EventType.HANGUP),
        ("in", "congestion", EventType.HANGUP),
        ("in", "notFound", EventType.HANGUP),
        ("in", "forwarded", EventType.TRANSFERRED),
        ("in", "", EventType.HANGUP),
    ],
)
def test_how_it_ended(direction: str, cause: str, type_: EventType) -> None:
    event = both_ways(CALL | {"event": "hangup", "direction": direction, "cause": cause})
    assert (event.type, event.cause, event.ends_call) == (type_, cause or None, True)


def test_a_plus_that_was_not_escaped() -> None:
    body = b"event=newCall&direction=in&callId=A1&from=+4917800000&to=%2B49203000000"
    event = parse(HookRequest("POST", HOOK, CIMultiDict({"Content-Type": FORM}), body))
    assert (event.ani, event.dnis) == ("+4917800000", "+49203000000")


def test_numbers_of_json_lose_no_digit() -> None:
    body = b'{"event":"newCall","direction":"in","callId":1731488100.20,"from":4917800000,"to":"0203"}'
    event = parse(json_request(body))
    assert (event.call_key, event.ani) == ("1731488100.20", "4917800000")


def test_dtmf_is_no_event() -> None:
    assert not PROVIDER.parse(SOURCE, form_request({"event": "dtmf", "dtmf": "1", "callId": "A1"}))


def test_a_pbx_that_can_only_fetch_an_address() -> None:
    url = f"{HOOK}?{urlencode(CALL | {'token': 'new-one'})}"
    assert parse(HookRequest("GET", url, CIMultiDict(), b"")) == both_ways(CALL)


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x", "text/xml"])
def test_another_type_is_refused(kind: str) -> None:
    with pytest.raises(WrongType):
        parse(form_request(CALL, kind=kind))


@pytest.mark.parametrize(
    ("changes", "error", "named"),
    [
        ({"direction": "sideways"}, Invalid, "direction"),
        ({"direction": ""}, Invalid, "direction"),
        ({"event": ""}, Malformed, "event"),
        ({"event": "explode"}, Invalid, "event"),
        ({"callId": ""}, Malformed, "callId"),
        ({"callId": "x" * 1000}, Malformed, "callId"),
        ({"callId": "a\x00b"}, Malformed, "callId"),
        ({"origCallId": "x" * 1000}, Malformed, "origCallId"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, str], error: type[Invalid], named: str) -> None:
    for request in (form_request(CALL | changes), json_request(CALL | changes)):
        with pytest.raises(error) as refusal:
            parse(request)
        assert type(refusal.value) is error
        assert list(refusal.value.fields) == [named]


@pytest.mark.parametrize(
    "body",
    [b"[]", b"null", b"{", b'{"event": {}}', b'{"event": true}', b"[" * 100_000, b'{"a":' * 5000, b"\xff"],
)
def test_json_that_cannot_be_read(body: bytes) -> None:
    with pytest.raises(Malformed):
        parse(json_request(body))


def test_json_with_oddities_is_read() -> None:
    body = b'\xef\xbb\xbf{"event":"hangup","event":"newCall","direction":"in","callId":"A1","x":NaN,"y":[[1]],"z":null}'
    assert parse(json_request(body)).type is EventType.RINGING
