"""What Twilio alone has: signature variants, TwiML for each step, callbacks without a sample."""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from handlers.telephony.fields import read_form, rfc2822_time
from handlers.telephony.provider import CallSource, HookRequest
from handlers.telephony.twilio import PROVIDER
from server.domain.call import Call, apply_event
from server.domain.errors import Forbidden, Invalid, Malformed
from server.domain.event import CallEvent, Direction, EventType
from server.domain.outcome import CallOutcome, RungAgent

SECRET = "an-invented-token"
HOOK = "https://cti.example.com/hooks/calls/main"
FORM = "application/x-www-form-urlencoded"
PRIYA = RungAgent(agent_id=1, name="Priya Raman", email="priya.raman@example.com", extension=None)
TOMASZ = RungAgent(
    agent_id=2, name="Tomasz Nowak", email="t@example.com", extension="sip:tomasz@pbx.example.com"
)
HUGO = RungAgent(agent_id=3, name="Hugo", email="h@example.com", extension="+447700900555")
INCOMING = {
    "CallSid": "CA1", "AccountSid": "AC1", "CallStatus": "ringing", "Direction": "inbound",
    "From": "+447700900123", "To": "+442079460100",
}  # fmt: skip


def source(**options: str) -> CallSource:
    return CallSource(
        name="main", provider="twilio", secrets=(SECRET,), country="GB", queue="support", ring="one",
        hook_url=HOOK, options=options,
    )  # fmt: skip


def sign(text: str, algorithm: Any = hashlib.sha1) -> str:
    return base64.b64encode(hmac.new(SECRET.encode(), text.encode(), algorithm).digest()).decode()


def request(
    fields: dict[str, str] | None = None,
    query: str = "",
    *,
    body: bytes = b"",
    method: str = "POST",
    **headers: str,
) -> HookRequest:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if fields is not None:
        body = urlencode(fields).encode()
    return HookRequest(
        method=method, url=HOOK + query, headers=CIMultiDict({"Content-Type": FORM} | named), body=body
    )


def parse_one(fields: dict[str, str], query: str = "", **options: str) -> CallEvent:
    (event,) = PROVIDER.parse(source(**options), request(fields, query))
    return event


def answer(
    fields: dict[str, str], query: str = "", *agents: RungAgent, is_closed: bool = False, **options: str
) -> Any:
    asked = request(fields, query)
    events = PROVIDER.parse(source(**options), asked)
    outcomes = [CallOutcome(1, "ringing", "support", agents, closed=is_closed) for _ in events]
    reply = PROVIDER.reply(source(**options), asked, events, outcomes)
    assert (reply.status, reply.content_type) == (200, "text/xml")
    return ElementTree.fromstring(reply.body)


# -- signature -------------------------------------------------------------------------------------


def test_published_vectors(real_case: Callable[..., Any]) -> None:
    cases = [
        case for case in real_case("cases", "signatures", "vectors.json") if case["provider"] == "twilio"
    ]
    assert cases
    for case in cases:
        has_body = "body" in case
        asked = HookRequest(
            method="POST",
            url=case["url"],
            headers=CIMultiDict(
                {"Content-Type": "application/json" if has_body else FORM}
                | ({"X-Twilio-Signature": case["signature"]} if case["signature"] else {})
            ),
            body=case["body"].encode() if has_body else urlencode(case["params"]).encode(),
        )
        guarded = CallSource("main", "twilio", (case["secret"],), "GB", None, "one", HOOK)
        try:
            PROVIDER.verify(guarded, asked)
            accepted = True
        except Forbidden:
            accepted = False
        assert accepted is case["valid"], case["id"]


@pytest.mark.parametrize(
    ("seen", "signed"),
    [
        ("https://x.example/h", "https://x.example:443/h"),
        ("https://x.example:443/h?a=1", "https://x.example/h?a=1"),
        ("http://x.example/h", "http://x.example:80/h"),
        ("http://x.example:8080/h", "http://x.example/h"),
        ("https://x.example:8443/h", "https://x.example:8443/h"),
        ("https://[::1]/h", "https://[::1]:443/h"),
        ("https://[::1]:8443/h", "https://[::1]/h"),
        ("https://x.example?a=1", "https://x.example:443?a=1"),
    ],
)
def test_with_and_without_the_port(seen: str, signed: str) -> None:
    good = HookRequest("POST", seen, CIMultiDict({"X-Twilio-Signature": sign(signed + "a1")}), b"a=1")
    PROVIDER.verify(source(), good)
    other = sign(signed.replace("/h", "/other").replace("?a", "?b") + "a1")
    with pytest.raises(Forbidden):
        PROVIDER.verify(
            source(), HookRequest("POST", seen, CIMultiDict({"X-Twilio-Signature": other}), b"a=1")
        )


def test_several_values_of_one_name_and_blank_values() -> None:
    """Unique values, sorted, each after its name; a blank value counts as its name alone."""
    signature = sign(f"{HOOK}Blank" + "Media1Media2" + "Nameé")
    asked = request(body=b"Media=2&Name=%C3%A9&Media=1&Blank=&Media=2", X_Twilio_Signature=signature)
    PROVIDER.verify(source(), asked)


def test_shared_key_signs_with_sha256() -> None:
    settings = "key=KY1,algorithm=HMAC_SHA256"
    text = HOOK + "".join(sum(sorted(INCOMING.items()), ()))
    signature = sign(text, hashlib.sha256)
    PROVIDER.verify(
        source(),
        request(INCOMING, X_Twilio_Signature=signature, X_Twilio_Webhooks_Signature_Settings=settings),
    )
    for signature, named in (
        (sign(text), settings),
        (sign(text, hashlib.sha256), ""),
        (sign(text), "key=KY1,algorithm=HMAC_MD5"),
    ):
        with pytest.raises(Forbidden):
            PROVIDER.verify(
                source(),
                request(INCOMING, X_Twilio_Signature=signature, X_Twilio_Webhooks_Signature_Settings=named),
            )


def test_a_form_cannot_pass_as_another_type() -> None:
    """The type is not signed: a body may not slip past the signature under another name."""
    url_only = sign(HOOK)
    for kind in ("application/json", "text/plain", "multipart/form-data; boundary=x"):
        with pytest.raises(Forbidden):
            PROVIDER.verify(source(), request(INCOMING, X_Twilio_Signature=url_only, Content_Type=kind))


def test_of_a_get_only_the_address_is_read() -> None:
    asked = request(INCOMING, "?step=wait", method="GET", X_Twilio_Signature=sign(HOOK + "?step=wait"))
    PROVIDER.verify(source(), asked)
    with pytest.raises(Malformed):  # what is in the body was not signed, so it is not there
        PROVIDER.parse(source(), asked)


# -- events ----------------------------------------------------------------------------------------


def test_the_first_leg_in_progress_is_not_an_answer() -> None:
    status = INCOMING | {"CallStatus": "in-progress", "CallbackSource": "call-progress-events"}
    assert not PROVIDER.parse(source(), request(status))


def test_legs_of_click_to_dial() -> None:
    agent_leg = INCOMING | {"Direction": "outbound-api", "From": "+442079460100", "To": "client:priya"}
    ringing = parse_one(agent_leg | {"CallbackSource": "call-progress-events"})
    assert (ringing.direction, ringing.agent_refs, ringing.dnis) == (Direction.OUTBOUND, ("priya",), None)
    fetch = parse_one(agent_leg | {"CallStatus": "in-progress"}, "?customer=%2B447700900456")
    assert (fetch.type, fetch.dnis, fetch.agent_refs) == (EventType.DIALING, "+447700900456", ("priya",))
    root = answer(agent_leg | {"CallStatus": "in-progress"}, "?customer=%2B447700900456")
    number = root.find("Dial/Number")
    assert root.find("Dial").get("callerId") == "+442079460100"
    assert number.text == "+447700900456"
    assert number.get("statusCallback") == HOOK + "?leg=customer"
    customer_leg = {
        "CallSid": "CA2", "ParentCallSid": "CA1", "CallStatus": "in-progress", "Direction": "outbound-dial",
        "From": "+442079460100", "To": "+447700900456", "CallbackSource": "call-progress-events",
    }  # fmt: skip
    answered = parse_one(customer_leg, "?leg=customer")
    assert (answered.type, answered.call_key, answered.agent_refs) == (EventType.ANSWERED, "CA1", ())
    assert (answered.direction, answered.dnis) == (Direction.OUTBOUND, "+447700900456")
    assert parse_one(customer_leg).agent_refs == ("+447700900456",)  # an agent at an outside number


@pytest.mark.parametrize(("to", "ref"), [("client:p", "p"), ("sip:p@x", "sip:p@x"), ("+4477", "+4477")])
def test_whom_a_leg_rings(to: str, ref: str) -> None:
    leg = {"CallSid": "CA2", "ParentCallSid": "CA1", "CallStatus": "ringing", "To": to}
    assert parse_one(leg).agent_refs == (ref,)


def test_every_poll_of_the_queue_is_an_event_of_its_own() -> None:
    waiting = INCOMING | {"CallStatus": "in-progress", "QueueSid": "QU1", "QueuePosition": "1"}
    first = parse_one(waiting | {"QueueTime": "0"}, "?step=wait")
    later = parse_one(waiting | {"QueueTime": "6"}, "?step=wait")
    assert first.type is later.type is EventType.QUEUED
    assert first.event_key != later.event_key
    retried = [
        PROVIDER.parse(source(), request(waiting, "?step=wait", I_Twilio_Idempotency_Token=token))[
            0
        ].event_key
        for token in ("t1", "t1", "t2")
    ]
    assert retried[0] == retried[1] != retried[2]


def test_leaving_the_queue() -> None:
    left = INCOMING | {"CallStatus": "in-progress", "QueueTime": "9", "QueueResult": "leave"}
    assert parse_one(left, "?step=dequeued").type is EventType.QUEUED
    for result in ("hangup", "error", "queue-full", "system-error"):
        gone = parse_one(left | {"QueueResult": result}, "?step=dequeued")
        assert (gone.type, gone.cause, gone.ends_call) == (EventType.HANGUP, result, True)
        assert answer(left | {"QueueResult": result}, "?step=dequeued")[0].tag == "Hangup"
    assert not PROVIDER.parse(source(), request(left | {"QueueResult": "redirected"}, "?step=dequeued"))


def test_a_caller_who_gave_up_while_it_rang_is_gone() -> None:
    action = INCOMING | {"DialCallStatus": "canceled", "DialCallSid": "CA2"}
    assert parse_one(action | {"CallStatus": "completed"}).ends_call
    assert not parse_one(action | {"CallStatus": "in-progress"}).ends_call
    back = parse_one(action | {"CallStatus": "in-progress"}, voicemail="off")
    assert (back.type, back.cause) == (EventType.QUEUED, "canceled")


def test_only_a_finished_recording_is_ready() -> None:
    recording = {"CallSid": "CA1", "RecordingSid": "RE1", "RecordingUrl": "https://api.example/RE1"}
    for status in ("in-progress", "absent", "failed"):
        assert not PROVIDER.parse(source(), request(recording | {"RecordingStatus": status}))
    assert parse_one(recording | {"RecordingStatus": "completed"}).type is EventType.RECORDING_READY


def test_a_status_callback_may_carry_a_recording() -> None:
    final = INCOMING | {
        "CallStatus": "completed",
        "CallDuration": "9",
        "RecordingUrl": "u",
        "RecordingSid": "RE1",
    }
    assert parse_one(final).type is EventType.HANGUP


def test_conference_events_without_a_participant_are_nobodys() -> None:
    start = {"ConferenceSid": "CF1", "StatusCallbackEvent": "conference-start", "SequenceNumber": "0"}
    assert not PROVIDER.parse(source(), request(start))
    hold = start | {"StatusCallbackEvent": "participant-hold", "ParticipantSid": "CA1", "SequenceNumber": "4"}
    event = parse_one(hold)
    assert (event.type, event.leg_key, event.event_key) == (EventType.HELD, "CA1", "CF1:conf:4")


@pytest.mark.parametrize(
    ("fields", "error", "named"),
    [
        ({"CallStatus": "ringing"}, Malformed, "CallSid"),
        ({"RecordingStatus": "completed", "RecordingSid": "RE1"}, Malformed, "CallSid"),
        ({"CallSid": "CA1", "RecordingStatus": "completed"}, Malformed, "RecordingSid"),
        ({"CallSid": "CA1", "ParentCallSid": "CA0"}, Malformed, "CallStatus"),
        ({"CallSid": "CA1", "CallStatus": "sleeping"}, Invalid, "CallStatus"),
        ({"CallSid": "CA1", "DialCallStatus": "sleeping"}, Invalid, "DialCallStatus"),
        ({"CallSid": "C\x00A", "CallStatus": "ringing"}, Malformed, "CallSid"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, str], error: type[Invalid], named: str) -> None:
    with pytest.raises(error) as refusal:
        PROVIDER.parse(source(), request(fields))
    assert list(refusal.value.fields) == [named]


# -- the whole call, in any order ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "last", "state", "answered"),
    [("01", "09", "ended", True), ("11", "19", "voicemail", False), ("31", "40", "ended", True)],
)
def test_recorded_calls_end_as_they_did_in_any_order(
    twilio_samples: list[Any], first: str, last: str, state: str, answered: bool
) -> None:
    events: list[CallEvent] = []
    for sample in twilio_samples:
        if sample.valid and first <= sample.id.removeprefix("twilio-")[:2] <= last:
            events.extend(PROVIDER.parse(sample.source, sample.request))
    assert len({event.call_key for event in events}) == 1
    received_at = datetime(2026, 11, 16, 10, tzinfo=UTC)
    for seed in range(20):
        shuffled = events * 2 if seed == 0 else random.Random(seed).sample(events, len(events))
        call = Call(events[0].call_key)
        for event in shuffled:
            call = apply_event(call, event, received_at)
        assert (call.state.value, call.answered_at is not None) == (state, answered)


# -- documents -------------------------------------------------------------------------------------


def test_incoming_rings_the_chosen_agents() -> None:
    root = answer(INCOMING, "", PRIYA, TOMASZ, HUGO)
    dial = root.find("Dial")
    assert (dial.get("action"), dial.get("method"), dial.get("timeout")) == (HOOK, "POST", "20")
    assert dial.get("record") is None
    nouns = [("Client", "priya.raman"), ("Sip", "sip:tomasz@pbx.example.com"), ("Number", "+447700900555")]
    assert [(noun.tag, noun.text) for noun in dial] == nouns
    for noun in dial:
        assert noun.get("statusCallback") == HOOK
        assert noun.get("statusCallbackEvent") == "initiated ringing answered completed"


def test_recording_is_off_unless_asked_for() -> None:
    dial = answer(INCOMING, "", PRIYA, record="dual").find("Dial")
    assert dial.get("record") == "record-from-answer-dual"
    assert dial.get("recordingStatusCallback") == HOOK
    assert answer(INCOMING, "", PRIYA, record="").find("Dial").get("record") is None


def test_nobody_free_waits_in_the_queue_and_leaves_it_for_an_agent() -> None:
    queue = answer(INCOMING).find("Enqueue")
    assert queue.text == "support"
    assert (queue.get("action"), queue.get("waitUrl")) == (f"{HOOK}?step=dequeued", f"{HOOK}?step=wait")
    assert (queue.get("method"), queue.get("waitUrlMethod")) == ("POST", "POST")
    waiting = INCOMING | {"CallStatus": "in-progress", "QueueTime": "0"}
    said = answer(waiting, "?step=wait")
    assert [verb.tag for verb in said] == ["Say", "Pause"]
    assert (said[0].get("language"), said[1].get("length")) == ("en-GB", "5")
    assert answer(waiting, "?step=wait", language="zh-CN")[0].get("language") == "zh-CN"
    assert "请稍候" in answer(waiting, "?step=wait", language="zh-CN")[0].text
    assert [verb.tag for verb in answer(waiting, "?step=wait", PRIYA)] == ["Leave"]
    left = waiting | {"QueueResult": "leave"}
    assert answer(left, "?step=dequeued", PRIYA).find("Dial/Client").text == "priya.raman"
    assert answer(left, "?step=dequeued").find("Enqueue") is not None


def test_nobody_is_held_in_a_closed_queue() -> None:
    verbs = answer(INCOMING, is_closed=True)
    assert [verb.tag for verb in verbs] == ["Say", "Record", "Hangup"]
    for query, more in (("", {}), ("?step=dequeued", {"QueueResult": "leave"})):
        said, end = answer(INCOMING | more, query, is_closed=True, voicemail="off", language="zh-CN")
        assert (said.tag, "无人" in said.text, end.tag) == ("Say", True, "Hangup")
    # Who waited when it closed: the queue's own document can do no more than let go.
    waiting = INCOMING | {"CallStatus": "in-progress", "QueueTime": "40"}
    assert [verb.tag for verb in answer(waiting, "?step=wait", is_closed=True)] == ["Leave"]
    untaken = INCOMING | {"CallStatus": "in-progress", "DialCallSid": "CA2", "DialCallStatus": "no-answer"}
    assert [verb.tag for verb in answer(untaken, is_closed=True, voicemail="off")] == ["Say", "Hangup"]


def test_after_the_dial() -> None:
    action = INCOMING | {"CallStatus": "in-progress", "DialCallSid": "CA2"}
    for result in ("no-answer", "busy", "failed"):
        verbs = answer(action | {"DialCallStatus": result})
        assert [verb.tag for verb in verbs] == ["Say", "Record", "Hangup"]
        assert verbs.find("Record").get("action") == HOOK
        assert answer(action | {"DialCallStatus": result}, voicemail="off")[0].tag == "Enqueue"
        assert answer(action | {"DialCallStatus": result, "Direction": "outbound-api"})[0].tag == "Hangup"
    assert answer(action | {"DialCallStatus": "completed"})[0].tag == "Hangup"
    assert "留言" in answer(action | {"DialCallStatus": "busy"}, language="zh-CN")[0].text


def test_a_transfer_rings_its_target() -> None:
    moved = INCOMING | {"CallStatus": "in-progress"}
    assert answer(moved, "?target=tomasz.nowak&by=priya").find("Dial/Client").text == "tomasz.nowak"
    assert answer(moved, "?target=%2B4477&by=priya").find("Dial/Number").text == "+4477"
    assert answer(moved, "?target=t&by=priya", TOMASZ).find("Dial/Sip").text == TOMASZ.extension
    # The contact's agent is still the one who hands over: that phone must not ring.
    assert answer(moved, "?target=priya&by=t", TOMASZ).find("Dial/Client").text == "priya"


# -- small readers ---------------------------------------------------------------------------------


@given(st.text(alphabet="ab=&%+ 0DE9Ff;é\x00", max_size=40))
def test_forms_are_read_as_the_standard_library_reads_them(text: str) -> None:
    assert read_form(text.encode()) == parse_qsl(text, keep_blank_values=True)


def test_times() -> None:
    at = datetime(2026, 11, 16, 9, 15, 1, tzinfo=UTC)
    assert rfc2822_time("Mon, 16 Nov 2026 09:15:01 +0000") == at
    assert rfc2822_time("Mon, 16 Nov 2026 10:15:01 +0100") == at
    assert rfc2822_time("Mon, 16 Nov 2026 09:15:01 -0000") == at
    for nonsense in ("", "soon", "Mon, 99 Nov 2026 09:15:01 +0000", "Mon, 16 Xxx 2026 09:15:01 +0000", None):
        assert rfc2822_time(nonsense) is None


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ("TN-Validation-Passed-A", "A"),
        ("TN-Validation-Passed-A-Diverted", "A"),
        ("TN-Validation-Passed-C", "C"),
        ("TN-Validation-Failed-A", "failed"),
        ("TN-Validation-Failed", "failed"),
        ("No-TN-Validation", None),
        ("", None),
        ("TN-Validation-Passed-X", None),
    ],
)
def test_the_carriers_verdict(said: str, verdict: str | None, twilio_samples: list[Any]) -> None:
    sample = next(one for one in twilio_samples if one.valid and "voice-incoming" in one.id)
    body = sample.request.body + b"&StirVerstat=" + said.encode()
    (event,) = sample.provider.parse(sample.source, sample.with_request(body=body).request)
    assert event.stir == verdict
