"""STARFACE: requests as people set them up, and calls without an id told apart."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from multidict import CIMultiDict

from handlers.telephony.provider import CallSource, HookRequest
from handlers.telephony.starface import PROVIDER, StarfaceProvider
from handlers.telephony.starface_calls import CallBook, Step
from server.domain.call import Call, apply_event
from server.domain.errors import Invalid, Malformed, NotAuthenticated, WrongType
from server.domain.event import CallEvent, Direction, EventType

HOOK = "https://cti.example.com/hooks/calls/starface"
SOURCE = CallSource("starface", "starface", ("new-one", "old-one"), "DE", "support", "one", HOOK)
BASE = datetime(2026, 11, 16, 9, 15, tzinfo=UTC)
RINGS = {"callto": "137", "callfrom": "030 23125123", "displayname": "Ada Larkin", "direction": 1}


def request(fields: Any, query: str = "", seconds: float = 0) -> HookRequest:
    body = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    headers = CIMultiDict({"Content-Type": "application/json"})
    return HookRequest("POST", HOOK + query, headers, body, received_at=BASE + timedelta(seconds=seconds))


def parse(
    fields: Any,
    query: str = "",
    seconds: float = 0,
    provider: StarfaceProvider = PROVIDER,
    **options: str,
) -> CallEvent:
    source = replace(SOURCE, options=options)
    (event,) = provider.parse(source, request(fields, query, seconds))
    return event


# -- who may -----------------------------------------------------------------------------------------


def test_the_secret_is_asked_for_as_of_any_generic_push() -> None:
    PROVIDER.verify(SOURCE, request(RINGS, "?token=old-one"))
    for query in ("", "?token=x"):
        with pytest.raises(NotAuthenticated):
            PROVIDER.verify(SOURCE, request(RINGS, query))
    reply = PROVIDER.reply(SOURCE, request(RINGS), (), ())
    assert (reply.status, reply.body, reply.content_type) == (200, "{}", "application/json")


# -- as a client sends it ----------------------------------------------------------------------------


def test_the_recorded_request(samples_of: Callable[[str], dict[str, Any]]) -> None:
    """A template whose placeholders the client had nothing for: a withheld caller, not one called "{...}"."""
    sample = samples_of("starface")["01-ucc-client-http-request"]
    (event,) = PROVIDER.parse(sample.source, sample.request)
    assert (event.type, event.direction) == (EventType.RINGING, Direction.INBOUND)
    assert (event.ani, event.dnis, event.display_name, event.agent_refs) == (None, None, None, ("137",))


def test_the_other_side_is_the_customer_in_both_directions() -> None:
    inbound = parse(RINGS)
    assert (inbound.ani, inbound.dnis, inbound.agent_refs) == ("030 23125123", None, ("137",))
    assert inbound.display_name == "Ada Larkin"
    outbound = parse(RINGS | {"direction": 0})
    assert (outbound.type, outbound.direction) == (EventType.RINGING, Direction.OUTBOUND)
    assert (outbound.ani, outbound.dnis, outbound.agent_refs) == (None, "030 23125123", ("137",))


def test_what_the_body_does_not_say_may_stand_in_the_address() -> None:
    silent = {"callto": "137", "callfrom": "030 23125123"}
    assert parse(silent).direction is Direction.INBOUND
    assert parse(silent, "?token=x&direction=out").direction is Direction.OUTBOUND
    ended = parse(silent, "?event=hangup")
    assert (ended.type, ended.direction, ended.ends_call) == (EventType.HANGUP, None, True)
    # The body's own word counts before the address's.
    assert parse(silent | {"event": "answer"}, "?event=hangup").type is EventType.ANSWERED


def test_one_call_from_ringing_to_its_end() -> None:
    provider = StarfaceProvider()
    steps = (("", 0), ("?event=answer", 5), ("?event=hangup", 300))
    events = [parse(RINGS, query, seconds, provider) for query, seconds in steps]
    assert len({event.call_key for event in events}) == 1
    assert len({event.event_key for event in events}) == 3
    call = Call(events[0].call_key)
    for event, state in zip(events, ("ringing", "answered", "ended"), strict=True):
        call = apply_event(call, event, BASE)
        assert call.state == state
    assert call.agent_ref == "137"


# -- other fields and words --------------------------------------------------------------------------


def test_fields_and_words_of_the_settings() -> None:
    options = {
        "fields.event": "Status",
        "fields.callId": "uuid",
        "fields.direction": "way",
        "fields.from": "caller",
        "fields.to": "called",
        "fields.user": "login",
        "fields.queue": "group",
        "fields.cause": "reason",
        "fields.customer": "",
        "values.event.CONNECTED": "answer",
        "values.event.HANGUP": "hangup",
        "values.direction.incoming": "in",
        "values.cause.16": "normalClearing",
    }
    body = {"uuid": "U-1", "way": "incoming", "caller": "03023125123", "called": "02214710100", "login": "priya",
            "group": "sales"}  # fmt: skip
    event = parse(body | {"Status": "CONNECTED"}, **options)
    assert (event.type, event.call_key, event.event_key) == (EventType.ANSWERED, "U-1", "U-1:answer")
    assert (event.ani, event.dnis, event.agent_refs) == ("03023125123", "02214710100", ("priya",))
    assert (event.queue_ref, event.direction) == ("sales", Direction.INBOUND)
    event = parse(body | {"Status": "HANGUP", "reason": 16}, **options)
    assert (event.type, event.cause) == (EventType.HANGUP, "normalClearing")


@pytest.mark.parametrize("name", ["call_id", "callId", "id[]", "id"])
def test_however_the_field_of_the_id_is_spelt(name: str) -> None:
    assert parse(RINGS | {name: "U-1"}, **{"fields.callId": name}).call_key == "U-1"


def test_a_form_and_an_address_do_as_well() -> None:
    wanted = parse(RINGS, provider=StarfaceProvider())
    form = HookRequest(
        "POST",
        HOOK,
        CIMultiDict({"Content-Type": "application/x-www-form-urlencoded"}),
        urlencode(RINGS).encode(),
        received_at=BASE,
    )
    get = HookRequest("GET", f"{HOOK}?{urlencode(RINGS)}", CIMultiDict(), b"", received_at=BASE)
    for asked in (form, get):
        assert StarfaceProvider().parse(SOURCE, asked) == (wanted,)


@pytest.mark.parametrize(
    ("fields", "options", "error"),
    [
        (RINGS | {"direction": 7}, {}, Invalid),
        (RINGS | {"event": "explode"}, {}, Invalid),
        (RINGS | {"id": "x" * 1000}, {"fields.callId": "id"}, Malformed),
        (RINGS | {"id": "a\x00b"}, {"fields.callId": "id"}, Malformed),
        (b"[]", {}, Malformed),
        (b"[" * 100_000, {}, Malformed),
        (b"\xff", {}, Malformed),
    ],
)
def test_what_is_wrong_is_refused(fields: Any, options: dict[str, str], error: type[Invalid]) -> None:
    with pytest.raises(error):
        parse(fields, **options)


def test_another_type_is_refused() -> None:
    with pytest.raises(WrongType):
        PROVIDER.parse(SOURCE, HookRequest("POST", HOOK, CIMultiDict({"Content-Type": "text/xml"}), b"<a/>"))


# -- calls without an id -----------------------------------------------------------------------------


def step(event: str = "newcall", agent: str = "137", customer: str = "030 1", direction: str = "in") -> Step:
    return Step(agent, customer, direction, event)


def key_of(book: CallBook, said: Step, seconds: float = 0, source: str = "starface") -> str:
    return book.key(source, said, BASE + timedelta(seconds=seconds))


def test_what_belongs_to_one_call() -> None:
    book = CallBook()
    first = key_of(book, step())
    assert key_of(book, step(), 3) == first  # sent again
    assert key_of(book, step("answer"), 20) == first
    assert key_of(book, step("hangup", direction=""), 1000) == first
    assert key_of(book, step("hangup"), 1003) == first  # sent again


@pytest.mark.parametrize(
    ("said", "seconds", "source"),
    [
        (step(agent="138"), 0, "starface"),
        (step(customer="030 2"), 0, "starface"),
        (step(), 0, "another"),
        (step(direction="out"), 2, "starface"),
        (step(), 60, "starface"),  # rang again: the end of the first was lost
        (step("answer"), 60 * 60 * 13, "starface"),
    ],
)
def test_what_is_another_call(said: Step, seconds: float, source: str) -> None:
    book = CallBook()
    first = key_of(book, step())
    assert key_of(book, said, seconds, source) != first


def test_after_its_end_the_next_is_another_call() -> None:
    book = CallBook()
    first = key_of(book, step())
    key_of(book, step("hangup"), 30)
    second = key_of(book, step(), 31)
    assert second != first
    assert key_of(book, step("hangup"), 90) == second
    assert key_of(book, step("hangup"), 200) not in (first, second)


def test_how_many_are_remembered() -> None:
    book = CallBook(most=3)
    keys = [key_of(book, step(customer=str(number))) for number in range(5)]
    again = [key_of(book, step("hangup", customer=str(number)), 60) for number in (4, 3, 2, 1, 0)]
    assert [one in keys for one in again] == [True, True, True, False, False]
