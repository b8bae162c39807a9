"""ARI: calls put together event by event, whose channel it is, and whatever else may come."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.telephony import ari_book
from server.domain.call import CallState
from server.domain.event import Direction, EventType
from server.domain.identity import normalise_caller
from tests.conformance.ari_peer import Picture
from tests.conformance.ari_stage import BOB, LINE, Line, Stage, rang

# -- calls put together ----------------------------------------------------------------------------


def test_an_agent_asks_a_colleague_and_hands_over() -> None:
    """The second call of the agent is part of the customer's; the colleague has answered once they speak."""
    stage = Stage()
    bob = stage.customer()
    alice = stage.talk(bob)
    stage.say("ChannelHold", channel=alice.now(), musicclass="default")
    asking = stage.new("200.1", "PJSIP/101", "Ring", number="101", exten="102")
    bruno = stage.ring(asking, "200.2", "PJSIP/102")
    stage.dial(asking, bruno, "ANSWER")
    stage.enter("b2", bruno, asking)
    assert rang(stage.events) == {"101", "102"}
    assert [one.agent_refs for one in stage.events if one.type is EventType.ANSWERED] == [("PJSIP/101",)]
    stage.leave("b2", asking)
    stage.leave("b1", bob)
    stage.enter("b2", bob)
    stage.say(
        "BridgeAttendedTransfer", result="Success", transferer_first_leg=alice.now(), transferee=bob.now(),
        transferer_second_leg=asking.now(), transfer_target=bruno.now(), destination_type="bridge",
    )  # fmt: skip
    stage.end(alice, asking)
    (call,) = stage.calls_made.values()
    assert (call.state, call.agent_ref, call.transferred_to) == (
        CallState.ANSWERED,
        "PJSIP/102",
        "PJSIP/102",
    )
    stage.end(bob, bruno)
    (call,) = stage.calls_made.values()
    assert call.key == bob.id and call.ended_at is not None


def test_an_agent_asks_a_colleague_and_comes_back() -> None:
    stage = Stage()
    bob = stage.customer()
    stage.talk(bob)
    asking = stage.new("200.1", "PJSIP/101", "Ring", number="101", exten="102")
    bruno = stage.ring(asking, "200.2", "PJSIP/102")
    stage.dial(asking, bruno, "ANSWER")
    stage.enter("b2", bruno, asking)
    stage.leave("b2", asking, bruno)
    stage.end(asking, bruno)
    (call,) = stage.calls_made.values()
    assert call.agent_ref == "PJSIP/101" and call.ended_at is None


def test_attended_transfer_by_the_pbxs_feature_code() -> None:
    """Asterisk itself makes a Local channel for the question; nobody dials it."""
    stage = Stage()
    bob = stage.customer()
    alice = stage.talk(bob)
    stage.leave("b1", alice)
    one = stage.new("300.1", "Local/102@from-internal-00000007;1", exten="102")
    two = stage.new("300.2", "Local/102@from-internal-00000007;2", "Ring", exten="102")
    bruno = stage.ring(two, "300.3", "PJSIP/102")
    stage.dial(two, bruno, "ANSWER")
    stage.enter("b3", bruno, two)
    stage.enter("b2", alice, one)
    assert [ref for one in stage.events if one.type is EventType.ANSWERED for ref in one.agent_refs] == [
        "PJSIP/101"
    ]
    stage.leave("b2", alice)
    stage.leave("b1", bob)
    stage.enter("b2", bob)
    stage.end(alice)
    (call,) = stage.calls_made.values()
    assert call.agent_ref == "PJSIP/102" and call.state is CallState.ANSWERED


def test_an_agent_calls_out_and_hands_over_before_leaving() -> None:
    """The call does not end with the agent who began it."""
    stage = Stage()
    alice = stage.new("400.1", "PJSIP/101", "Ring", number="101", exten="0" + BOB[1:])
    bob = stage.ring(alice, "400.2", "PJSIP/trunk", f"{BOB}@trunk")
    assert (stage.events[0].type, stage.events[0].agent_refs) == (EventType.DIALING, ("PJSIP/101",))
    stage.dial(alice, bob, "ANSWER")
    stage.enter("b1", bob, alice)
    (call,) = stage.calls_made.values()
    assert (call.direction, call.state, call.agent_ref) == (
        Direction.OUTBOUND,
        CallState.ANSWERED,
        "PJSIP/101",
    )
    assert {one.dnis for one in stage.events} == {BOB}
    stage.say("BridgeBlindTransfer", channel=alice.now(), transferee=bob.now(), exten="102", result="Success")
    stage.leave("b1", bob, alice)
    stage.end(alice)
    bruno = stage.ring(bob, "400.3", "PJSIP/102")
    stage.dial(bob, bruno, "ANSWER")
    stage.enter("b2", bruno, bob)
    (call,) = stage.calls_made.values()
    assert call.ended_at is None and call.agent_ref == "PJSIP/102"
    stage.end(bob, bruno)
    assert next(iter(stage.calls_made.values())).ended_at is not None


def test_nobody_at_the_number_that_an_agent_calls() -> None:
    stage = Stage()
    alice = stage.new("400.1", "PJSIP/101", "Ring", number="101", exten=BOB)
    bob = stage.ring(alice, "400.2", "PJSIP/trunk", f"trunk/sip:{BOB}@sip.example.com:5060")
    stage.dial(alice, bob, "NOANSWER")
    stage.end(bob, alice, cause=19)
    (call,) = stage.calls_made.values()
    assert call.answered_at is None and call.state is CallState.ENDED
    assert stage.events[0].dnis == BOB


def test_a_program_calls_an_agent_through_the_dialplan_and_then_the_customer() -> None:
    """Originate of a Local channel: its one half rings the agent, its other half the customer."""
    stage = Stage()
    one = stage.new("410.1", "Local/101@from-internal-00000001;1", exten="101")
    two = stage.new("410.2", "Local/101@from-internal-00000001;2", "Ring", exten="101")
    stage.dial(None, one)
    alice = stage.ring(two, "410.3", "PJSIP/101")
    stage.dial(two, alice, "ANSWER")
    stage.dial(None, one, "ANSWER")
    bob = stage.ring(one, "410.4", "PJSIP/trunk", f"{BOB}@trunk")
    assert "answered" not in stage.types()
    stage.dial(one, bob, "ANSWER")
    stage.enter("b1", alice, two)
    stage.enter("b2", bob, one)
    stage.end(bob, one, two, alice)
    (call,) = stage.calls_made.values()
    assert (call.direction, call.agent_ref) == (Direction.OUTBOUND, "PJSIP/101")
    assert {one.dnis for one in stage.events} == {BOB} and [*call.legs] == [alice.id, bob.id]


def test_a_dialler_calls_customers_for_a_queue() -> None:
    stage = Stage()
    bob = stage.new("420.1", "PJSIP/trunk")
    stage.dial(None, bob, string=f"{BOB}@trunk")
    stage.dial(None, bob, "ANSWER", string=f"{BOB}@trunk")
    stage.app(bob, "Queue", "sales,t")
    assert "answered" not in stage.types()
    alice = stage.ring(bob, "420.2", "PJSIP/101", "PJSIP/101")
    stage.dial(bob, alice, "ANSWER")
    stage.enter("b1", alice, bob)
    stage.end(bob, alice)
    (call,) = stage.calls_made.values()
    assert (call.direction, call.agent_ref) == (Direction.OUTBOUND, "PJSIP/101")
    assert {one.queue_ref for one in stage.events if one.leg_key == alice.id} == {"sales"}
    assert stage.events[0].dnis == BOB


def test_colleagues_among_themselves() -> None:
    stage = Stage()
    alice = stage.new("500.1", "PJSIP/101", "Ring", number="101", exten="102")
    bruno = stage.ring(alice, "500.2", "PJSIP/102")
    stage.dial(alice, bruno, "ANSWER")
    stage.enter("b1", bruno, alice)
    stage.end(alice, bruno)
    (call,) = stage.calls_made.values()
    assert (call.direction, call.agent_ref) == (Direction.INTERNAL, "PJSIP/102")
    assert rang(stage.events) == {"102"}
    assert (stage.events[0].ani, stage.events[0].dnis) == ("101", "102")


def test_a_group_and_then_another_one_rings() -> None:
    """A hunt: phones that gave up are no missed call, and who lost the race has not answered."""
    stage = Stage()
    bob = stage.customer()
    stage.app(bob, "Dial", "PJSIP/101&PJSIP/102")
    first = [stage.ring(bob, f"600.{n}", f"PJSIP/10{n}") for n in (1, 2)]
    for line in first:
        stage.dial(bob, line, "NOANSWER")
        stage.dial(bob, line, "CANCEL")
    stage.end(*first, cause=0)
    assert "missed" not in stage.types()
    second = [stage.ring(bob, f"600.{n}", f"PJSIP/10{n}") for n in (3, 4)]
    stage.dial(bob, second[1], "ANSWER")
    stage.dial(bob, second[0], "CANCEL")
    stage.end(second[0], cause=26)
    stage.enter("b1", second[1], bob)
    stage.end(bob, second[1])
    (call,) = stage.calls_made.values()
    assert (call.agent_ref, call.state) == ("PJSIP/104", CallState.ENDED)
    assert rang(stage.events) == {"101", "102", "103", "104"}


def test_a_caller_gives_up_while_it_rings() -> None:
    stage = Stage()
    bob = stage.customer()
    alice = stage.ring(bob, "100.2", "PJSIP/101")
    stage.dial(bob, alice, "CANCEL")
    stage.end(bob, alice, cause=127)
    (call,) = stage.calls_made.values()
    assert (call.state, call.hangup_cause) == (CallState.MISSED, "127")


def test_a_caller_gives_up_in_the_menu() -> None:
    """Nobody was dialled: it is a call all the same, and it was missed."""
    stage = Stage()
    bob = stage.customer()
    stage.app(bob, "Answer")
    stage.app(bob, "Background", "welcome")
    assert stage.events == []
    stage.end(bob)
    (call,) = stage.calls_made.values()
    assert call.state is CallState.MISSED and stage.events[0].dnis == LINE


@pytest.mark.parametrize("rung", [True, False])
def test_a_message_is_left(rung: bool) -> None:
    stage = Stage()
    bob = stage.customer()
    if rung:
        alice = stage.ring(bob, "100.2", "PJSIP/101")
        stage.dial(bob, alice, "NOANSWER")
        stage.end(alice, cause=0)
    stage.app(bob, "VoiceMail", "101@default,u")
    stage.say("ChannelVarset", channel=bob.now(), variable="VMSTATUS", value="SUCCESS")
    stage.end(bob)
    (call,) = stage.calls_made.values()
    assert call.state is CallState.VOICEMAIL


def test_a_call_is_picked_up_from_another_phone() -> None:
    stage = Stage()
    bob = stage.customer()
    stage.ring(bob, "100.2", "PJSIP/101")
    bruno = stage.new("100.3", "PJSIP/102", "Ring", number="102", exten="*8")
    stage.enter("b1", bruno, bob)
    (call,) = stage.calls_made.values()
    assert (call.agent_ref, call.state) == ("PJSIP/102", CallState.ANSWERED)


def test_an_agent_who_stays_on_the_line_between_calls() -> None:
    """AgentLogin: one channel of the agent meets one customer after the other."""
    stage = Stage()
    alice = stage.new("700.1", "PJSIP/101", "Ring", number="101", exten="*70")
    for number in (1, 2):
        bob = stage.customer(f"700.{number + 1}", number=f"+1202555012{number}")
        stage.app(bob, "AgentRequest", "101")
        stage.enter(f"b{number}", alice, bob)
        stage.leave(f"b{number}", bob, alice)
        stage.end(bob)
    stage.end(alice)
    calls = stage.calls_made
    assert [*calls] == ["700.2", "700.3"]
    assert {(call.agent_ref, call.state) for call in calls.values()} == {("PJSIP/101", CallState.ENDED)}


def test_who_waits_in_a_holding_bridge_waits_alone() -> None:
    """Parked callers, and agents between two calls."""
    stage = Stage()
    agents = [stage.new(f"710.{n}", f"PJSIP/10{n}", "Ring", number=f"10{n}", exten="*70") for n in (1, 2, 3)]
    callers = [stage.customer(f"720.{n}", number=f"+1202555012{n}") for n in (1, 2)]
    for name, lines in (("pool", agents), ("parking", callers)):
        for line in lines:
            bridge = {"id": name, "bridge_type": "holding", "channels": [one.id for one in lines]}
            stage.say("ChannelEnteredBridge", bridge=bridge, channel=line.now())
    assert stage.events == []
    stage.enter("b1", agents[0], callers[1])
    (call,) = stage.calls_made.values()
    assert (call.key, call.agent_ref) == ("720.2", "PJSIP/101")


def test_the_pbxs_own_helpers_are_nobody() -> None:
    stage = Stage()
    bob = stage.customer()
    stage.app(bob, "Queue", "support")
    for key, name in (
        ("1", "Recorder/ARI-0000001;2"),
        ("2", "Announcer/ARI-0000002;2"),
        ("3", "CBAnn/9-00;1"),
    ):
        stage.enter("b1", bob, stage.new(f"730.{key}", name, "Up"))
    (call,) = stage.calls_made.values()
    assert call.answered_at is None and [*call.legs] == [bob.id]


def test_an_agent_puts_the_customer_through_to_somebody_outside() -> None:
    """Two calls, each with its own customer; the transfer names the number."""
    stage = Stage()
    bob = stage.customer()
    alice = stage.talk(bob)
    asking = stage.new("200.1", "PJSIP/101", "Ring", number="101", exten="0301234567")
    other = stage.ring(asking, "200.2", "PJSIP/trunk", "+49301234567@trunk")
    stage.dial(asking, other, "ANSWER")
    stage.enter("b2", other, asking)
    stage.say(
        "BridgeAttendedTransfer", result="Success", transferer_first_leg=alice.now(), transferee=bob.now(),
        transferer_second_leg=asking.now(), transfer_target=other.now(), destination_type="bridge",
    )  # fmt: skip
    stage.enter("b2", bob)
    stage.end(alice, asking)
    calls = stage.calls_made
    assert {key: call.direction for key, call in calls.items()} == {
        bob.id: Direction.INBOUND,
        asking.id: Direction.OUTBOUND,
    }
    assert calls[bob.id].transferred_to == "+49301234567"
    assert all(call.ended_at is None for call in calls.values())


def test_two_customers_in_one_conference_stay_two() -> None:
    stage = Stage()
    first, second = stage.customer("800.1"), stage.customer("800.2", number="+12025550199")
    stage.talk(first, "800.3", bridge="b1")
    stage.talk(second, "800.4", "PJSIP/102", bridge="b2")
    stage.leave("b2", second)
    stage.enter("b1", second)
    assert [*stage.calls_made] == ["800.1", "800.2"]


def test_a_call_is_passed_on_to_a_mobile_phone() -> None:
    stage = Stage()
    bob = stage.customer()
    mobile = stage.ring(bob, "100.2", "PJSIP/trunk", "+4915123456789@trunk")
    stage.dial(bob, mobile, "ANSWER")
    stage.enter("b1", mobile, bob)
    (call,) = stage.calls_made.values()
    assert (call.direction, call.agent_ref) == (Direction.INBOUND, "+4915123456789")


def test_names_and_numbers_come_as_they_are() -> None:
    stage = Stage()
    line = Line("100.1", "PJSIP/trunk", number="004917012345678", exten=LINE)
    line.json |= {"state": "Ring", "caller": {"name": 'Jörg "Joe" O\\Neil 张伟', "number": "004917012345678"}}
    stage.say("ChannelCreated", channel=line.now())
    stage.ring(line, "100.2", "PJSIP/101")
    assert {one.display_name for one in stage.events} == {'Jörg "Joe" O\\Neil 张伟'}
    assert normalise_caller(stage.events[0].ani, "DE").e164 == "+4917012345678"


def test_linkedid_joins_what_nothing_else_shows() -> None:
    stage = Stage()
    bob = stage.customer()
    stage.app(bob, "Queue", "support,t")
    alice = stage.new("900.1", "PJSIP/101", number="101", channelvars={"CHANNEL(linkedid)": bob.id})
    alice.json["state"] = "Up"
    picture = Picture()
    picture.channels = {bob.id: bob.now(), alice.id: alice.now()}
    found = stage.calls.resync(picture.channels.values(), [])
    assert [(one.type, one.call_key) for one in found] == [(EventType.ANSWERED, bob.id)]


# -- hostile ---------------------------------------------------------------------------------------

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_known_events_with_any_values(data: st.DataObject) -> None:
    """No field's value is an error, and what comes out fits the database."""
    stage = Stage()
    bob = stage.customer()
    alice = stage.talk(bob)
    event: dict[str, Any] = {
        "timestamp": "2026-11-16T09:15:00.709+0000", "channel": bob.now(), "peer": alice.now(), "caller": bob.now(),
        "bridge": {"id": "b1", "channels": [bob.id]}, "recording": {"name": "x", "target_uri": f"channel:{bob.id}"},
        "args": ["inbound", "x"], "dialstatus": "RINGING", "result": "Success", "transferee": bob.now(), "cause": 16,
    }  # fmt: skip
    kinds = st.sampled_from([*stage.calls._handlers, "ChannelCallerId"])
    place = data.draw(st.sampled_from([event, event["channel"], event["bridge"], event["recording"]]))
    for name in data.draw(st.sets(st.sampled_from(sorted(place)), min_size=1, max_size=3)):
        place[name] = data.draw(anything)
    for kind in data.draw(st.lists(kinds, min_size=1, max_size=3)):
        for found in stage.calls.take({**event, "type": kind}):
            for text in (found.call_key, found.leg_key, found.event_key, found.ani, found.display_name):
                assert len(text or "") <= 400 and "\x00" not in (text or "")
                (text or "").encode()
    stage.calls.resync([event["channel"], data.draw(anything)], [event["bridge"], data.draw(anything)])


def test_channels_that_never_end_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ari_book, "MOST_LEGS", 50)
    monkeypatch.setattr(ari_book, "MOST_REMEMBERED", 20)
    stage = Stage()
    for number in range(500):
        stage.customer(f"{number}.1")
    assert len(stage.calls.legs) == 50 and len(stage.calls._lines) == 50
    assert len(stage.calls._past) == 20
