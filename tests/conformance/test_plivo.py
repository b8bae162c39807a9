"""What Plivo alone has: XML for each step, legs that a Dial rings, recordings that look alike."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from handlers.telephony.plivo import PROVIDER
from server.domain.call import Call, apply_event
from server.domain.errors import Invalid, Malformed
from server.domain.event import CallEvent, Direction, EventType
from tests.conformance.plivo_requests import (
    DIALLED,
    HOOK,
    HUGO,
    INCOMING,
    NOBODY,
    NOW,
    PRIYA,
    TOMASZ,
    answer,
    parse_one,
    request,
    source,
)

# -- events ----------------------------------------------------------------------------------------


def test_who_calls() -> None:
    event = parse_one(
        INCOMING | {"SessionStart": "2026-11-16 09:15:00.000000", "CallerName": "+447700900123"}
    )
    assert (event.ani, event.dnis, event.display_name) == ("+447700900123", "+442079460100", None)
    assert (event.occurred_at, event.agent_refs) == (NOW, ())
    named = parse_one(INCOMING | {"CallerName": "José", "From": "anonymous", "SessionStart": "soon"})
    assert (named.ani, named.display_name, named.occurred_at) == ("anonymous", "José", None)


@pytest.mark.parametrize(
    ("level", "said", "stir"),
    [
        ("A", "Verified", "A"), ("", "Verified", "A"), ("B", "Not Verified", "B"), ("", "Not Verified", None),
        ("A", "Not Verified", None), ("C", "Not Applicable", None), ("", "", None), ("Z", "verified", "A"),
    ],
)  # fmt: skip
def test_what_the_carrier_signed(level: str, said: str, stir: str | None) -> None:
    assert parse_one(INCOMING | {"STIRAttestation": level, "stir_verification": said}).stir == stir


@pytest.mark.parametrize(
    ("to", "ref"),
    [
        ("sip:priya.raman@phone.plivo.com", "priya.raman"), ("sip:p%20r@phone.plivo.com;x=1", "p r"),
        ("sip:priya@pbx.example.com", "sip:priya@pbx.example.com"), ("447700900555", "447700900555"),
    ],
)  # fmt: skip
def test_whom_a_leg_rings(to: str, ref: str) -> None:
    event = parse_one(DIALLED | {"DialAction": "answer", "DialBLegTo": to})
    assert (event.type, event.agent_refs, event.parent_leg_key) == (EventType.ANSWERED, (ref,), "A1")
    mine = DIALLED | {"DialAction": "answer", "DialBLegTo": "sip:p@sip.example.com"}
    assert parse_one(mine, sip_domain="sip.example.com").agent_refs == ("p",)


def test_progress_of_a_dial() -> None:
    for action in ("answer", "connected"):
        assert parse_one(DIALLED | {"DialAction": action}).event_key == f"B1:{action}"
    hangup = parse_one(
        DIALLED | {"DialAction": "hangup", "DialBLegDuration": "95", "DialBLegHangupCause": "X"}
    )
    assert (hangup.type, hangup.duration_seconds, hangup.cause) == (EventType.HANGUP, 95, "X")
    for quiet in ({"DialAction": "digits"}, {"DialAction": "hangup", "DialBLegUUID": ""}):
        assert not PROVIDER.parse(source(), request(DIALLED | quiet))


def test_legs_of_click_to_dial() -> None:
    agent = INCOMING | {
        "Direction": "outbound", "From": "442079460100", "To": "sip:priya@phone.plivo.com", "RequestUUID": "A1",
    }  # fmt: skip
    query = "?customer=447700900456"
    ringing = parse_one(agent | {"Event": "Ring"}, query)
    assert (ringing.type, ringing.direction, ringing.event_key) == (
        EventType.RINGING,
        Direction.OUTBOUND,
        "A1:Ring",
    )
    assert (ringing.agent_refs, ringing.dnis) == (("priya",), "+447700900456")
    fetch = parse_one(agent | {"CallStatus": "in-progress"}, query)
    assert (fetch.type, fetch.dnis, fetch.event_key) == (EventType.ANSWERED, "+447700900456", "A1:StartApp")
    customer = parse_one(DIALLED | {"DialAction": "answer", "DialBLegTo": "447700900456"}, "?leg=customer")
    assert (customer.direction, customer.dnis, customer.agent_refs) == (
        Direction.OUTBOUND,
        "+447700900456",
        (),
    )
    gone = parse_one(agent | {"DialStatus": "busy", "CallStatus": "in-progress"}, query)
    assert (gone.type, gone.cause, gone.ends_call) == (EventType.HANGUP, "busy", True)
    never = parse_one(agent | {"Event": "Hangup", "CallStatus": "no-answer"}, query)
    assert (never.type, never.cause, never.dnis) == (EventType.HANGUP, "no-answer", "+447700900456")


def test_the_end_of_a_dial() -> None:
    action = INCOMING | {"Event": "Redirect", "CallStatus": "in-progress", "DialBLegUUID": ""}
    assert not PROVIDER.parse(
        source(), request(action | {"DialStatus": "completed"})
    )  # a transfer may follow
    over = parse_one(action | {"DialStatus": "completed", "CallStatus": "completed"})
    assert (over.type, over.ends_call) == (EventType.HANGUP, True)
    missed = parse_one(action | {"DialStatus": "timeout"})
    assert (missed.type, missed.ends_call, missed.event_key) == (EventType.MISSED, False, "A1:dial-action")
    assert parse_one(action | {"DialStatus": "no-answer", "CallStatus": "cancel"}).ends_call
    back = parse_one(action | {"DialStatus": "busy"}, "?dial=3&poll=3", voicemail="off")
    assert (back.type, back.event_key) == (EventType.QUEUED, "A1:dial-action:3")


def test_every_poll_is_an_event_of_its_own() -> None:
    waiting = INCOMING | {"Event": "Redirect", "CallStatus": "in-progress"}
    keys = [parse_one(waiting, f"?step=wait&poll={poll}").event_key for poll in (1, 2, 2)]
    assert keys == ["A1:wait:1", "A1:wait:2", "A1:wait:2"]


def test_what_a_recording_is_of() -> None:
    recording = {
        "CallUUID": "A1",
        "RecordUrl": "https://x/1.mp3",
        "RecordingID": "R1",
        "RecordingDuration": "14",
    }
    assert parse_one(recording).type is EventType.RECORDING_READY
    assert parse_one(recording | {"RecordingEndReason": "FinishedOnKey"}).type is EventType.VOICEMAIL
    assert parse_one(recording, "?step=voicemail").type is EventType.VOICEMAIL
    assert (
        parse_one(recording | {"CallStatus": "in-progress"}, "?step=recording").type
        is EventType.RECORDING_READY
    )
    assert parse_one(recording | {"RecordingEndMs": "1794820500000"}).occurred_at == NOW


@pytest.mark.parametrize(
    ("fields", "error", "named"),
    [
        ({}, Malformed, "CallUUID"),
        ({"CallStatus": "ringing"}, Malformed, "CallUUID"),
        (INCOMING | {"CallUUID": "A\x001"}, Malformed, "CallUUID"),
        (INCOMING | {"CallStatus": "sleeping"}, Invalid, "CallStatus"),
        (INCOMING | {"Direction": "up"}, Invalid, "Direction"),
        (INCOMING | {"DialStatus": "sleeping"}, Invalid, "DialStatus"),
        (DIALLED | {"DialAction": "sleeping"}, Invalid, "DialAction"),
        (DIALLED | {"DialAction": "answer", "DialBLegUUID": ""}, Malformed, "DialBLegUUID"),
        ({"CallUUID": "A1", "RecordUrl": "https://x/1.mp3"}, Malformed, "RecordingID"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, str], error: type[Invalid], named: str) -> None:
    with pytest.raises(error) as refusal:
        PROVIDER.parse(source(), request(fields))
    assert list(refusal.value.fields) == [named]
    assert not PROVIDER.parse(
        source(), request({"CallUUID": "A1", "Event": "MachineDetection", "Machine": "true"})
    )


@pytest.mark.parametrize(
    ("first", "last", "state", "answered"),
    [
        ("01", "08", "ended", True),
        ("11", "15", "voicemail", False),
        ("16", "16", "missed", False),
        ("21", "26", "ended", True),
    ],
)
def test_recorded_calls_end_as_they_did_in_any_order(
    samples_of: Callable[[str], dict[str, Any]], first: str, last: str, state: str, answered: bool
) -> None:
    events: list[CallEvent] = []
    for name, sample in samples_of("plivo").items():
        if sample.valid and first <= name[:2] <= last:
            events.extend(PROVIDER.parse(sample.source, sample.request))
    assert len({event.call_key for event in events}) == 1
    for seed in range(20):
        shuffled = events * 2 if seed == 0 else random.Random(seed).sample(events, len(events))
        call = Call(events[0].call_key)
        for event in shuffled:
            call = apply_event(call, event, NOW)
        assert (call.state.value, call.answered_at is not None) == (state, answered)


# -- documents -------------------------------------------------------------------------------------


def test_incoming_rings_the_chosen_agents_at_once() -> None:
    (dial,) = answer(INCOMING, "/answer", PRIYA, TOMASZ, HUGO, NOBODY)
    assert (dial.get("action"), dial.get("callbackUrl"), dial.get("timeout")) == (HOOK, HOOK, "20")
    assert (dial.get("method"), dial.get("callbackMethod")) == ("POST", "POST")
    assert [(noun.tag, noun.text) for noun in dial] == [
        ("User", "sip:priya.raman@phone.plivo.com"), ("User", "sip:tomasz@pbx.example.com"),
        ("Number", "447700900555"),
    ]  # fmt: skip
    (dial,) = answer(INCOMING, "", PRIYA, sip_domain="sip.example.com", ring_seconds="30")
    assert (dial[0].text, dial.get("timeout")) == ("sip:priya.raman@sip.example.com", "30")


def test_recording_is_off_unless_asked_for() -> None:
    recording, dial = answer(INCOMING, "", PRIYA, record="dual")
    assert (recording.tag, recording.get("recordChannelType"), dial.tag) == ("Record", "stereo", "Dial")
    assert (recording.get("startOnDialAnswer"), recording.get("redirect")) == ("true", "false")
    assert recording.get("callbackUrl") == HOOK + "?step=recording"
    assert answer(INCOMING, "", PRIYA, record="mono")[0].get("recordChannelType") == "mono"


def test_nobody_free_waits_and_is_asked_again() -> None:
    (redirect,) = answer(INCOMING)
    assert (redirect.tag, redirect.text) == ("Redirect", HOOK + "?step=wait&poll=1")
    for agents in ((), (NOBODY,)):
        (redirect,) = answer(INCOMING, "", *agents)
        waiting, query = INCOMING | {"Event": "Redirect", "CallStatus": "in-progress"}, "?step=wait&poll=1"
        speak, pause, again = answer(waiting, query, *agents)
        assert (speak.tag, speak.get("language"), pause.get("length")) == ("Speak", "en-GB", "5")
        assert again.text == HOOK + "?step=wait&poll=2"
    chinese = answer(waiting, query, language="zh-CN")[0]
    assert ("请稍候" in chinese.text, chinese.get("voice"), chinese.get("language")) == (
        True,
        "Polly.Zhiyu",
        None,
    )
    assert answer(waiting, query, language="en-US", voice="MAN")[0].attrib == {
        "voice": "MAN",
        "language": "en-US",
    }
    assert answer(waiting, query, music="https://x.example/a.mp3")[0].tag == "Play"
    (dial,) = answer(waiting, query, PRIYA)
    assert dial.get("action") == HOOK + "?dial=1&poll=1"


def test_nobody_is_held_in_a_closed_queue() -> None:
    later = INCOMING | {"Event": "Redirect", "CallStatus": "in-progress"}
    for asked, query in ((INCOMING, ""), (later, "?step=wait&poll=3")):
        speak, recording, _ = answer(asked, query, is_closed=True)
        assert (speak.tag, recording.get("action")) == ("Speak", HOOK + "?step=voicemail")
        speak, hangup = answer(asked, query, is_closed=True, voicemail="off", language="zh-CN")
        assert ("无人" in speak.text, hangup.tag) == (True, "Hangup")
    untaken = answer(later | {"DialStatus": "timeout"}, "?poll=4", is_closed=True, voicemail="off")
    assert [verb.tag for verb in untaken] == ["Speak", "Hangup"]


def test_after_the_dial() -> None:
    action = INCOMING | {"Event": "Redirect", "CallStatus": "in-progress"}
    for result in ("no-answer", "busy", "failed", "timeout"):
        speak, recording, hangup = answer(action | {"DialStatus": result})
        assert (speak.tag, recording.get("action"), hangup.tag) == (
            "Speak",
            HOOK + "?step=voicemail",
            "Hangup",
        )
        back = answer(action | {"DialStatus": result}, "?poll=4", voicemail="off")
        assert back[0].text == HOOK + "?step=wait&poll=5"
        assert answer(action | {"DialStatus": result, "Direction": "outbound"})[0].tag == "Hangup"
    assert answer(action | {"DialStatus": "completed"})[0].tag == "Hangup"


def test_the_customer_is_rung_when_the_agent_is_there() -> None:
    agent = INCOMING | {"Direction": "outbound", "From": "442079460100", "CallStatus": "in-progress"}
    (dial,) = answer(agent, "?customer=447700900456")
    assert (dial.get("callerId"), dial[0].tag, dial[0].text) == ("+442079460100", "Number", "447700900456")
    assert dial.get("callbackUrl") == HOOK + "?leg=customer"
    assert answer(agent, "?customer=somebody")[0].tag == "Hangup"
    assert answer(agent)[0].tag == "Hangup"


def test_a_transfer_rings_its_target() -> None:
    moved = INCOMING | {"Event": "Redirect", "CallStatus": "in-progress"}
    (dial,) = answer(moved, "?target=tomasz.nowak&call=A1", PRIYA)
    assert dial[0].text == "sip:tomasz.nowak@phone.plivo.com"
    assert dial.get("action") == HOOK + "?dial=to-tomasz.nowak&call=A1"
    assert answer(moved, "?target=%2B447700900555")[0][0].text == "447700900555"
    assert answer(moved, "?target=sip:%3Cx%3E")[0].tag == "Hangup"
