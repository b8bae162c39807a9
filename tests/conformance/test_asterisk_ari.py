"""ARI: recordings of real PBXs, samples, and calls put together, however they are repeated or interrupted."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from handlers.telephony.ari_calls import AriCalls
from handlers.telephony.ari_channel import Channel, Side, Sides, number_of, read_channel
from server.domain.call import CallState
from server.domain.event import CallEvent, Direction, EventType
from server.domain.identity import CallerKind, normalise_caller
from tests.conformance.ari_peer import Event, Picture
from tests.conformance.ari_stage import Line, calls_of, rang

VERSIONS = ("asterisk16", "asterisk22")
RECORDINGS = (
    "anonymous", "anonymous_with_pai", "answered", "answered_agent_hangs", "blind_transfer", "busy", "click_to_call",
    "declined", "forward_302", "local_only", "missed_no_answer", "queue_abandoned", "queue_answered",
    "sip_uri_caller", "wrong_number",
)  # fmt: skip
DIRECTIONS = {"in": Direction.INBOUND, "out": Direction.OUTBOUND}

each_version = pytest.mark.parametrize("version", VERSIONS)
each_recording = pytest.mark.parametrize("name", RECORDINGS)
Recording = Callable[[str, str], tuple[list[Event], dict[str, Any]]]


@pytest.fixture
def recording(real_bytes: Callable[..., bytes], real_case: Callable[..., Any]) -> Recording:
    def read(version: str, name: str) -> tuple[list[Event], dict[str, Any]]:
        lines = real_bytes("cases", "pbx", version, f"{name}.ari.jsonl").splitlines()
        expect = real_case("cases", "pbx", version, f"{name}.meta.json")["expect"]
        return [json.loads(line)["event"] for line in lines], expect

    return read


def translate(events: list[Event], calls: AriCalls | None = None) -> list[CallEvent]:
    calls = calls or AriCalls("ringpost", Sides())
    return [found for event in events for found in calls.take(event)]


def judge(events: list[CallEvent], expect: dict[str, Any], name: str) -> None:
    """Everything that the recording's ``expect`` states about the call."""
    if name == "wrong_number":
        assert events == []
        return
    calls = calls_of(events)
    assert len(calls) == expect.get("logical_calls", 1)
    (call,) = calls.values()
    assert call.ended_at is not None
    assert (call.answered_at is not None) is expect["answered"]
    if name == "local_only":
        assert call.direction is Direction.INTERNAL
        return
    assert call.direction is DIRECTIONS[expect["direction"]]
    assert {event.direction for event in events} == {call.direction}
    judge_people(events, expect)
    answered = [leg.talker or "" for leg in call.legs.values() if leg.answered_at is not None]
    agents = expect.get("agents") or ([expect["agent"]] if expect.get("agent") and expect["answered"] else [])
    assert sorted(answered) == [f"PJSIP/{agent}" for agent in agents]
    assert call.agent_ref == (f"PJSIP/{agents[-1]}" if agents else None)
    assert call.state is (CallState.MISSED if expect.get("missed") else CallState.ENDED)
    assert call.transferred_to == expect.get("transferred_to")
    assert {event.queue_ref for event in events} == {expect.get("queue")}
    if "talk_s" in expect:
        talked = (call.ended_at - call.answered_at).total_seconds() if call.answered_at else None
        assert talked == pytest.approx(float(expect["talk_s"].lstrip("~")), abs=0.3)


def judge_people(events: list[CallEvent], expect: dict[str, Any]) -> None:
    wanted = set(expect.get("rang") or expect.get("agents") or [expect.get("agent") or "101"])
    assert wanted <= rang(events)
    for event in events:
        caller, called = normalise_caller(event.ani, "US"), normalise_caller(event.dnis, "DE")
        if expect["direction"] == "out":
            assert called.e164 == expect["customer"]
        elif expect.get("withheld") and expect["caller"] is None:
            assert caller.kind is CallerKind.WITHHELD
        elif str(expect["caller"]).startswith("+"):
            assert caller.e164 == expect["caller"]
        if "caller_name" in expect:
            assert event.display_name == expect["caller_name"]


# -- recordings ------------------------------------------------------------------------------------


@each_version
@each_recording
def test_a_recording_as_it_was(version: str, name: str, recording: Recording) -> None:
    events, expect = recording(version, name)
    calls = AriCalls("ringpost", Sides())
    judge(translate(events, calls), expect, name)
    assert calls.legs == {}  # nothing is left behind


@each_version
@each_recording
def test_each_event_twice(version: str, name: str, recording: Recording) -> None:
    events, expect = recording(version, name)
    found = translate([event for event in events for _ in range(2)])
    judge(found, expect, name)
    once = {event.event_key: event for event in found}
    assert set(once) == {event.event_key for event in translate(events)}


@each_version
@each_recording
def test_different_things_have_different_keys(version: str, name: str, recording: Recording) -> None:
    found = translate(recording(version, name)[0])
    assert len({event.event_key for event in found}) == len(found)


@each_version
def test_every_recording_at_once(version: str, recording: Recording) -> None:
    """Calls that go on at the same time stay apart."""
    streams = {name: recording(version, name) for name in RECORDINGS}
    order = [name for name, (events, _) in streams.items() for _ in events]
    random.Random(7).shuffle(order)
    following = {name: iter(events) for name, (events, _) in streams.items()}
    found = translate([next(following[name]) for name in order])
    for name, (events, expect) in streams.items():
        keys = {event.event_key for event in translate(events)}
        judge([event for event in found if event.event_key in keys], expect, name)


def seen_in(picture: Picture, name: str) -> bool:
    """The end of a call may fall into the gap so that who answered cannot be known any more."""
    agent = "PJSIP/102" if name in ("blind_transfer", "forward_302") else "PJSIP/101"
    names = [channel["name"] for channel in picture.channels.values()]
    return all(any(one.startswith(end) for one in names) for end in (agent, "PJSIP/trunk"))


@each_version
@pytest.mark.parametrize("gap", [0, 1, 5, 12, 30, 70])
@each_recording
def test_cut_in_mid_call(version: str, name: str, gap: int, recording: Recording) -> None:
    """Whatever happened while nobody listened: one call with the same key, closed at the end, and right."""
    events, expect = recording(version, name)
    whole = calls_of(translate(events))
    for cut in range(gap % 3, len(events) + 1 - gap, 3 if gap else 1):
        calls = AriCalls("ringpost", Sides())
        found = translate(events[:cut], calls)
        picture = Picture(events[: cut + gap])
        found += calls.resync(picture.channels.values(), picture.bridges.values())
        found += translate(events[cut + gap :], calls)
        assert calls.legs == {}
        got = calls_of(found)
        for key, call in got.items():
            assert call.ended_at is not None and call.direction is whole[key].direction, cut
            known = any(event.type is EventType.ANSWERED for event in found)
            if name != "local_only" and (known or seen_in(picture, name)):
                assert call.agent_ref in (whole[key].agent_ref, "PJSIP/101"), cut
                assert call.state is whole[key].state, cut
        if gap == 0:
            judge(found, expect, name)


@each_version
@pytest.mark.parametrize("name", ["answered", "queue_answered", "click_to_call", "forward_302"])
def test_a_new_process_finds_the_call_again(version: str, name: str, recording: Recording) -> None:
    """Out of nothing but GET /channels and /bridges, during the talk: the same keys, so nothing is new."""
    events, _ = recording(version, name)
    start = max(i for i, event in enumerate(events) if event["type"] == "ChannelEnteredBridge")
    before = translate(events[: start + 1])
    picture = Picture(events[: start + 1])
    calls = AriCalls("ringpost", Sides())
    found = calls.resync(picture.channels.values(), picture.bridges.values())
    found += translate(events[start + 1 :], calls)
    (old,), (new,) = calls_of(before), calls_of(found)
    assert old == new
    answers = {event.event_key for event in before if event.type is EventType.ANSWERED}
    assert answers == {event.event_key for event in found if event.type is EventType.ANSWERED}
    taken = {event.event_key: event for event in reversed(before + found)}  # as the ledger: the first counts
    judge([*taken.values()], recording(version, name)[1], name)


# -- samples ---------------------------------------------------------------------------------------


def samples(real_bytes: Callable[..., bytes], real_case: Callable[..., Any], *names: str) -> list[Any]:
    where = ("providers", "samples", "asterisk-ari")
    return [
        (
            json.loads(real_bytes(*where, f"{name}.json")),
            real_case(*where, f"{name}.meta.json").get("neutral"),
        )
        for name in names
    ]


@pytest.mark.parametrize(
    "names",
    [
        ("01-stasisstart-customer", "03-channelcreated-agent", "05-dial-start", "06-dial-ringing", "07-dial-answer",
         "09-bridge-enter-customer", "10-bridge-enter-agent", "11-hold", "12-unhold", "13-hangup-request",
         "14-bridge-leave-customer", "15-stasisend-customer", "16-destroyed-customer", "17-destroyed-agent",
         "18-recording-finished"),
        ("21-stasisstart-customer", "22-dial-ringing", "23-dial-noanswer", "24-destroyed-agent",
         "25-recording-finished-voicemail", "26-destroyed-customer"),
        ("31-bridge-blind-transfer",),
        ("32-bridge-attended-transfer",),
        ("41-application-replaced",),
    ],
    ids=["lifecycle", "missed", "blind", "attended", "replaced"],
)  # fmt: skip
def test_samples(
    names: tuple[str, ...], real_bytes: Callable[..., bytes], real_case: Callable[..., Any]
) -> None:
    calls = AriCalls("contact-server", Sides())
    for event, neutral in samples(real_bytes, real_case, *names):
        found = calls.take(event)
        if neutral is None:
            # A channel that rings agents ends with its own event, of which the sample says nothing.
            assert [one.type for one in found] in ([], [EventType.HANGUP])
            continue
        (one,) = found
        assert one.type == neutral["type"]
        assert neutral["call_key"] == f"asterisk:ari:{one.call_key}"
        assert neutral["dedupe_key"] == f"ari:{one.event_key}"
        assert one.leg_key == neutral["leg_key"]
        assert one.parent_leg_key == neutral.get("parent_leg_key")
        for said, value in (
            ("direction", one.direction),
            ("from", one.ani),
            ("to", one.dnis),
            ("agent_ref", one.agent_refs[0] if one.agent_refs else None),
            ("cause", one.cause),
            ("duration_s", one.duration_seconds),
            ("recording_ref", one.recording_url),
        ):
            assert value == neutral[said] if said in neutral else True, said


# -- whose channel ---------------------------------------------------------------------------------


def channel(name: str, *, number: str = "", context: str = "default", state: str = "Ring") -> Channel:
    line = Line("1.1", name, number=number)
    line.json |= {"state": state}
    line.json["dialplan"]["context"] = context
    found = read_channel(line.now())
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("one", "dialled", "side"),
    [
        (channel("PJSIP/101", context="from-internal"), "", Side.AGENT),
        (channel("PJSIP/101", context="macro-dialout-trunk"), "", Side.AGENT),
        (channel("PJSIP/alice", number="alice"), "", Side.AGENT),
        (channel("PJSIP/alice", state="Down"), "alice/sip:alice@192.0.2.7:5060", Side.AGENT),
        (channel("PJSIP/acme", number="+4930123456"), "", Side.CUSTOMER),
        (channel("PJSIP/acme", state="Down"), "+4930123456@acme", Side.CUSTOMER),
        (channel("SIP/my-provider", number="anonymous"), "", Side.CUSTOMER),
        (channel("PJSIP/4930600100", number="03012345678"), "", Side.CUSTOMER),
        (channel("DAHDI/i1/4930123456", context="from-pstn", number="030123"), "", Side.CUSTOMER),
        (channel("Local/102@from-internal-00000001;2"), "", Side.WIRE),
    ],
)
def test_without_settings_the_sides_show(one: Channel, dialled: str, side: Side) -> None:
    assert Sides().of(one, dialled) is side


def test_the_setting_counts_alone() -> None:
    sides = Sides(("PJSIP/out*", "berlin"))
    assert sides.of(channel("PJSIP/outside-1")) is Side.CUSTOMER
    assert sides.of(channel("SIP/berlin")) is Side.CUSTOMER
    assert sides.of(channel("PJSIP/trunk", number="+4930123456")) is Side.AGENT


@pytest.mark.parametrize(
    ("dialled", "number"),
    [("101", ""), ("PJSIP/101", ""), ("+4930123456@101", "+4930123456"), ("101/sip:101@192.0.2.1:5060", ""),
     ("101/030123456", "030123456"), ("SIP/101/tel:030123", "030123"), ("", ""), ("@", ""), ("a/b/c", "")],
)  # fmt: skip
def test_the_number_in_a_dial_string(dialled: str, number: str) -> None:
    assert number_of(dialled, "101") == number
