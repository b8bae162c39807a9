"""Placetel: what a call comes to whichever messages got through, and where the XML sends it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import pytest
from multidict import CIMultiDict

from handlers.telephony.placetel import PROVIDER
from handlers.telephony.provider import CallSource, HookRequest
from server.domain.call import Call, apply_event
from server.domain.errors import Forbidden, Invalid, Malformed
from server.domain.event import CallEvent, Direction, EventType
from server.domain.outcome import CallOutcome, RungAgent

HOOK = "https://cti.example.com/hooks/calls/placetel"
SOURCE = CallSource("placetel", "placetel", ("new-one", "old-one"), "DE", "support", "one", HOOK)
BASE = datetime(2026, 11, 16, 9, 15, tzinfo=UTC)
KEY = "3ce36f4defc0096da2c2362982ddcc51a1e517c74e20224e83855dbf1989b15c"
CALL = {"call_id": KEY, "direction": "in", "from": "03023125123", "to": "02214710100"}
INCOMING = CALL | {"event": "IncomingCall"}
ACCEPTED = CALL | {"event": "CallAccepted", "peer": "777abc@fpbx.de"}
OUTGOING = CALL | {"event": "OutgoingCall", "direction": "out", "peer": "777abc@fpbx.de"}


def ended(how: str, **fields: str) -> dict[str, str]:
    return CALL | {"event": "HungUp", "type": how, "duration": "0"} | fields


def request(fields: dict[str, str], seconds: int = 0) -> HookRequest:
    headers = CIMultiDict({"Content-Type": "application/x-www-form-urlencoded"})
    body = urlencode(fields).encode()
    return HookRequest("POST", HOOK, headers, body, received_at=BASE + timedelta(seconds=seconds))


def parse(fields: dict[str, str]) -> CallEvent:
    return PROVIDER.parse(SOURCE, request(fields))[0]


def follow(*messages: dict[str, str]) -> Call:
    """The call after messages that came a minute apart."""
    call = Call(KEY)
    for number, fields in enumerate(messages):
        came = request(fields, 60 * number)
        for event in PROVIDER.parse(SOURCE, came):
            assert event.call_key == KEY
            call = apply_event(call, event, came.received_at)
    return call


# -- the signature -----------------------------------------------------------------------------------


def signed(secret: str, change: Callable[[str], str] = str) -> HookRequest:
    plain = request(INCOMING)
    signature = hmac.new(secret.encode(), plain.body, hashlib.sha256).hexdigest()
    return replace(plain, headers=CIMultiDict({"X-PLACETEL-SIGNATURE": change(signature)}))


def test_hexadecimal_digits_of_either_case() -> None:
    for secret in SOURCE.secrets:
        for change in (str, str.upper, lambda text: f" {text} "):
            PROVIDER.verify(SOURCE, signed(secret, change))
    for wrong in (lambda text: text[:-1], lambda text: "", lambda text: text[::-1]):
        with pytest.raises(Forbidden):
            PROVIDER.verify(SOURCE, signed("new-one", wrong))


# -- what a call comes to ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("messages", "state"),
    [
        ([INCOMING, ACCEPTED, ended("accepted", duration="60")], "ended"),
        ([INCOMING, ended("accepted", duration="60"), ACCEPTED], "ended"),
        ([INCOMING, ended("accepted", duration="60")], "ended"),  # CallAccepted was lost
        ([ended("accepted", duration="60")], "ended"),
        ([INCOMING, ended("missed")], "missed"),
        ([ended("missed"), INCOMING], "missed"),
        ([INCOMING, ended("voicemail", duration="14")], "voicemail"),
        ([INCOMING, ended("blocked")], "missed"),
        ([OUTGOING, ended("accepted", direction="out")], "ended"),
        ([OUTGOING, ended("busy", direction="out")], "ended"),
        ([INCOMING, ACCEPTED], "answered"),
    ],
)
def test_how_a_call_ends(messages: Sequence[dict[str, str]], state: str) -> None:
    assert follow(*messages).state == state


def test_who_answered_and_when() -> None:
    told = follow(INCOMING, ACCEPTED, ended("accepted", duration="60"))
    assert (told.agent_ref, told.answered_at) == ("777abc@fpbx.de", BASE + timedelta(seconds=60))
    lost = follow(INCOMING, ended("accepted", duration="45"))
    assert (lost.agent_ref, lost.answered_at) == (None, BASE + timedelta(seconds=60))


@pytest.mark.parametrize("cause", ["busy", "canceled", "unavailable", "congestion", "missed", "new-word", ""])
def test_an_outgoing_call_is_never_missed(cause: str) -> None:
    event = parse(ended(cause, direction="out"))
    assert (event.type, event.cause, event.ends_call) == (EventType.HANGUP, cause or None, True)


def test_who_makes_an_outgoing_call() -> None:
    assert parse(OUTGOING).agent_refs == ("777abc@fpbx.de",)
    # Older accounts name the phone as the caller, and have no peer.
    older = parse({"event": "OutgoingCall", "call_id": KEY, "from": "777abc@fpbx.de", "to": "08999998456"})
    assert (older.agent_refs, older.direction) == (("777abc@fpbx.de",), Direction.OUTBOUND)


def test_a_call_between_two_phones_is_internal() -> None:
    phones = {"from": "777abc@fpbx.de", "to": "777xyz@fpbx.de", "direction": "out"}
    assert parse(OUTGOING | phones).direction is Direction.INTERNAL
    assert parse(ended("canceled", **phones)).direction is Direction.INTERNAL


def test_without_a_direction_it_came_in(samples_of: Callable[..., Any]) -> None:
    sample = samples_of("placetel")["61-official-vector"]
    (event,) = PROVIDER.parse(sample.source, sample.request)
    assert (event.type, event.direction, event.agent_refs) == (EventType.ANSWERED, Direction.INBOUND, ())


@pytest.mark.parametrize(
    ("changes", "error", "named"),
    [
        ({"event": ""}, Malformed, "event"),
        ({"event": "Transfer"}, Invalid, "event"),
        ({"direction": "sideways"}, Invalid, "direction"),
        ({"call_id": ""}, Malformed, "call_id"),
        ({"call_id": "x" * 1000}, Malformed, "call_id"),
        ({"call_id": "a\x00b"}, Malformed, "call_id"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, str], error: type[Invalid], named: str) -> None:
    with pytest.raises(error) as refusal:
        parse(INCOMING | changes)
    assert type(refusal.value) is error
    assert list(refusal.value.fields) == [named]


# -- where the call goes -----------------------------------------------------------------------------


def agent(number: int, extension: str | None) -> RungAgent:
    return RungAgent(number, f"Agent {number}", f"agent{number}@example.com", extension)


def answer_to(fields: dict[str, str], *agents: RungAgent, is_closed: bool = False, **options: str) -> Any:
    """The verb of the answer as (name, attributes, children), None when there is none."""
    source = replace(SOURCE, options=options)
    events = PROVIDER.parse(source, request(fields))
    outcomes = [CallOutcome(1, "ringing", "support", agents, closed=is_closed) for _ in events]
    reply = PROVIDER.reply(source, request(fields), events, outcomes)
    assert (reply.status, reply.content_type) == (200, "application/xml")
    verbs = [shape(child) for child in ElementTree.fromstring(reply.body)]
    return verbs[0] if verbs else None


def shape(node: ElementTree.Element) -> Any:
    return (node.tag, node.attrib, node.text or [shape(child) for child in node])


def recorded(real_bytes: Callable[..., bytes], name: str) -> Any:
    return shape(ElementTree.fromstring(real_bytes("providers", "samples", "placetel", name))[0])


def test_chosen_agents_are_rung_when_asked_for(real_bytes: Callable[..., bytes]) -> None:
    agents = (agent(1, "777abc@fpbx.de"), agent(2, None), agent(3, "02214710111"), agent(4, "101"))
    options = {"dial": "agents", "music_on_hold": "True", "voicemail": "true"}
    name, attributes, targets = recorded(real_bytes, "31-reply-forward.txt")
    assert answer_to(INCOMING, *agents, **options) == (name, attributes, targets[:1])
    (target,) = answer_to(INCOMING, agent(1, "sip:777xyz@fpbx.de"), dial="agents", ringtime="45")[2]
    assert target == targets[1]
    # Not asked for, or nothing to decide: the number's own routing plan holds.
    assert answer_to(INCOMING, *agents) is None
    for fields in (ACCEPTED, OUTGOING, ended("accepted")):
        assert answer_to(fields, *agents, dial="agents") is None


@pytest.mark.parametrize(
    ("nobody", "verb"),
    [
        ("voicemail", ("Forward", {"voicemail": "true", "voicemail_announcement": "4"}, [])),
        ("busy", ("Reject", {"reason": "busy"}, [])),
        ("hangup", ("Hangup", {}, [])),
        ("group:7", ("Group", {"id": "7"}, [])),
        ("prompt:8", ("Prompt", {"id": "8"}, [])),
        ("plan:9", ("RoutingPlan", {"id": "9"}, [])),
        ("queue:", None),
        ("nowhere:1", None),
        ("", None),
    ],
)
def test_when_nobody_is_free(nobody: str, verb: Any) -> None:
    options = {"dial": "agents", "nobody": nobody, "voicemail_announcement": "4"}
    assert answer_to(INCOMING, **options) == verb
    assert answer_to(INCOMING, agent(1, None), **options) == verb


def test_nobody_is_held_in_a_closed_queue() -> None:
    voicemail = ("Forward", {"voicemail": "true"}, [])
    assert answer_to(INCOMING, is_closed=True, dial="agents", nobody="queue:7") == voicemail
    for closed, verb in (("prompt:8", "Prompt"), ("hangup", "Hangup"), ("busy", "Reject")):
        assert answer_to(INCOMING, is_closed=True, dial="agents", closed=closed)[0] == verb
    # Where the number's own routing plan rings, it is the plan that knows the hours.
    assert answer_to(INCOMING, is_closed=True) is None


def test_a_queue_of_the_contact_centre(real_bytes: Callable[..., bytes]) -> None:
    wanted = recorded(real_bytes, "33-reply-queue.txt")
    assert answer_to(INCOMING, dial="agents", nobody="queue:123") == wanted
