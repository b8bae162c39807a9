"""Calls that were not recorded: outwards, within, hunted, parked, picked up, to voicemail."""

from __future__ import annotations

import pytest

from server.domain.call import CallState
from server.domain.event import Direction, EventType
from tests.conformance.ami_peer import calls_of, rang
from tests.conformance.ami_stage import BOB, Line, Pbx, types


@pytest.fixture
def pbx() -> Pbx:
    return Pbx()


# -- outwards --------------------------------------------------------------------------------------


def desk_phone_dials(pbx: Pbx, trunk_uid: str = "2") -> tuple[Line, Line]:
    phone = pbx.new(Line("PJSIP/101-1", "1", number="101", Exten="00491701234567"), "4")
    assert pbx.events == []
    trunk = pbx.new(Line(f"PJSIP/trunk-{trunk_uid}", trunk_uid, "1"))
    pbx.dial(phone, trunk, DialString="00491701234567@trunk", DestCallerIDNum="00491701234567")
    return phone, trunk


def test_a_call_from_a_desk_phone(pbx: Pbx) -> None:
    phone, trunk = desk_phone_dials(pbx)
    assert types(pbx.events) == [EventType.DIALING, EventType.DIALING]
    assert {event.dnis for event in pbx.events} == {"00491701234567"}
    assert [event.agent_refs for event in pbx.events] == [("PJSIP/101",), ()]
    (call,) = calls_of(pbx.events).values()
    assert (call.direction, call.answered_at) == (Direction.OUTBOUND, None)
    pbx.dialled(phone, trunk, "ANSWER")
    (call,) = calls_of(pbx.events).values()
    assert (call.state, call.agent_ref) == (CallState.ANSWERED, "101")
    pbx.bridge("b", phone, trunk)
    pbx.hang_up(trunk, phone)
    assert types(pbx.events)[2:] == [EventType.ANSWERED, EventType.HANGUP, EventType.HANGUP]
    assert calls_of(pbx.events)["1"].state is CallState.ENDED


def test_a_customer_who_is_busy_has_not_answered(pbx: Pbx) -> None:
    phone, trunk = desk_phone_dials(pbx)
    pbx.dialled(phone, trunk, "BUSY")
    pbx.hang_up(trunk, phone, cause="17")
    (call,) = calls_of(pbx.events).values()
    assert (call.state, call.answered_at) == (CallState.ENDED, None)
    assert [event.cause for event in pbx.events if event.type is EventType.HANGUP] == ["BUSY", "17"]


def test_another_line_is_tried(pbx: Pbx) -> None:
    phone, first = desk_phone_dials(pbx)
    pbx.dialled(phone, first, "CONGESTION")
    pbx.hang_up(first, cause="34")
    second = pbx.new(Line("PJSIP/trunk-3", "3", "1"))
    pbx.dial(phone, second, DialString="00491701234567@trunk")
    pbx.dialled(phone, second, "ANSWER")
    (call,) = calls_of(pbx.events).values()
    assert (call.state, call.agent_ref, len(call.legs)) == (CallState.ANSWERED, "101", 3)


def test_a_call_out_goes_on_with_whom_it_was_transferred_to(pbx: Pbx) -> None:
    phone, trunk = desk_phone_dials(pbx)
    pbx.dialled(phone, trunk, "ANSWER")
    pbx.bridge("b", phone, trunk)
    pbx.say(
        "BlindTransfer",
        phone.under("Transferer"),
        trunk.under("Transferee"),
        Result="Success",
        Extension="102",
    )
    pbx.unbridge("b", phone, trunk)
    pbx.hang_up(phone)
    assert calls_of(pbx.events)["1"].state is CallState.TRANSFERRED
    other = pbx.answered(trunk, "102", "3")
    (call,) = calls_of(pbx.events).values()
    assert (call.state, call.agent_ref) == (CallState.ANSWERED, "102")
    pbx.hang_up(other, trunk)
    assert calls_of(pbx.events)["1"].state is CallState.ENDED


def test_our_own_call_is_known_from_the_first_ring(pbx: Pbx) -> None:
    pbx.calls.expect("ringpost-1", BOB)
    phone = pbx.new(Line("PJSIP/101-1", "ringpost-1", number="101"))
    pbx.dial(None, phone, DialString="101")
    pbx.state(phone, "5")
    (event,) = pbx.events
    assert (event.type, event.call_key, event.dnis) == (EventType.RINGING, "ringpost-1", BOB)
    assert (event.direction, event.agent_refs) == (Direction.OUTBOUND, ("PJSIP/101",))
    pbx.dialled(None, phone, "NOANSWER")
    pbx.hang_up(phone, cause="0")
    (call,) = calls_of(pbx.events).values()
    assert (call.state, call.answered_at) == (CallState.ENDED, None)


def test_our_own_call_through_a_local_channel(pbx: Pbx) -> None:
    """``channel = "Local/{extension}@from-internal"``: the first channel is no phone."""
    pbx.calls.expect("own", BOB)
    near = pbx.new(Line("Local/101@from-internal-1;1", "own"))
    far = pbx.new(Line("Local/101@from-internal-1;2", "own2", "own"), "4")
    pbx.dial(None, near)
    phone = pbx.ring(far, "101", "3", "own")
    pbx.dialled(far, phone, "ANSWER")
    pbx.dialled(None, near, "ANSWER")
    pbx.bridge("b1", phone, far)
    trunk = pbx.new(Line("PJSIP/trunk-4", "4", "own"))
    pbx.dial(near, trunk, DialString=f"{BOB}@trunk")
    assert calls_of(pbx.events)["own"].answered_at is None
    pbx.dialled(near, trunk, "ANSWER")
    pbx.bridge("b2", trunk, near)
    (call,) = calls_of(pbx.events).values()
    assert (call.state, call.agent_ref, call.direction) == (CallState.ANSWERED, "101", Direction.OUTBOUND)
    pbx.hang_up(near, far, phone, trunk)
    assert calls_of(pbx.events)["own"].state is CallState.ENDED


# -- within ----------------------------------------------------------------------------------------


def test_agents_among_themselves(pbx: Pbx) -> None:
    caller = pbx.new(Line("PJSIP/101-1", "1", number="101", Exten="102"), "4")
    phone = pbx.answered(caller, "102", "2")
    pbx.hang_up(caller, phone)
    assert {event.direction for event in pbx.events} == {Direction.INTERNAL}
    (call,) = calls_of(pbx.events).values()
    assert (call.state, call.agent_ref) == (CallState.ENDED, "102")
    assert {(event.ani, event.dnis) for event in pbx.events} == {("101", "102")}


def test_what_never_reaches_anybody_is_not_told(pbx: Pbx) -> None:
    """An agent listens to the voicemail."""
    phone = pbx.new(Line("PJSIP/101-1", "1", number="101", Exten="*97"), "4")
    pbx.state(phone, "6")
    pbx.hang_up(phone)
    assert pbx.events == []


# -- inwards ---------------------------------------------------------------------------------------


def test_a_hunt_rings_one_after_the_other(pbx: Pbx) -> None:
    customer = pbx.inbound()
    first = pbx.ring(customer, "101", "2")
    pbx.dialled(customer, first, "NOANSWER")
    pbx.hang_up(first, cause="0")
    (call,) = calls_of(pbx.events).values()
    assert call.state is CallState.RINGING
    second = pbx.answered(customer, "102", "3")
    pbx.hang_up(second, customer)
    (call,) = calls_of(pbx.events).values()
    assert (call.state, call.agent_ref, rang(pbx.events)) == (CallState.ENDED, "102", {"101", "102"})


def test_a_caller_who_gives_up(pbx: Pbx) -> None:
    customer = pbx.inbound()
    phone = pbx.ring(customer, "101", "2")
    pbx.dialled(customer, phone, "CANCEL")
    pbx.hang_up(customer, cause="127")
    pbx.hang_up(phone, cause="0")
    (missed,) = (event for event in pbx.events if event.type is EventType.MISSED)
    assert (missed.cause, missed.leg_key, missed.ends_call) == ("CANCEL", "1", True)
    assert calls_of(pbx.events)["1"].state is CallState.MISSED


def test_a_queue_that_rings_through_local_channels(pbx: Pbx) -> None:
    """Members such as ``Local/101@from-queue/n``; a call confirmation stands between pick-up and answer."""
    customer = pbx.inbound()
    pbx.state(customer, "6")
    pbx.say("QueueCallerJoin", customer.fields, Queue="support")
    near = pbx.new(Line("Local/101@from-queue-1;1", "2", "1"))
    far = pbx.new(Line("Local/101@from-queue-1;2", "3", "1"), "4")
    pbx.dial(customer, near)
    phone = pbx.ring(far, "101", "4")
    pbx.dialled(far, phone, "ANSWER")
    assert calls_of(pbx.events)["1"].answered_at is None
    pbx.bridge("b1", phone, far)
    pbx.dialled(customer, near, "ANSWER")
    pbx.say(
        "AgentConnect",
        customer.fields,
        near.under("Dest"),
        Queue="support",
        Interface="Local/101@from-queue/n",
    )
    pbx.bridge("b2", near, customer)
    (call,) = calls_of(pbx.events).values()
    assert (call.state, call.agent_ref) == (CallState.ANSWERED, "101")
    pbx.hang_up(customer, near, far, phone)
    assert set(calls_of(pbx.events)["1"].legs) == {"1", "4"}


def test_an_agent_who_is_elsewhere(pbx: Pbx) -> None:
    customer = pbx.inbound()
    mobile = pbx.new(Line("PJSIP/trunk-2", "2", "1"))
    pbx.dial(customer, mobile, DialString="+447700900555@trunk")
    pbx.state(mobile, "5")
    pbx.dialled(customer, mobile, "ANSWER")
    assert [event.agent_refs for event in pbx.events[1:]] == [("+447700900555",)] * 2
    assert calls_of(pbx.events)["1"].direction is Direction.INBOUND


def test_a_parked_call_that_another_agent_takes(pbx: Pbx) -> None:
    customer, stranger = pbx.inbound(), pbx.inbound("9")
    first = pbx.answered(customer)
    pbx.unbridge("b2", first, customer)
    pbx.hang_up(first)
    pbx.bridge("park", customer, stranger, BridgeTechnology="holding_bridge")
    other = pbx.new(Line("PJSIP/102-3", "3", number="102", Exten="701"), "4")
    pbx.unbridge("park", customer)
    pbx.bridge("b3", other, customer)
    pbx.hang_up(customer, other)
    calls = calls_of(pbx.events)
    assert set(calls) == {"1", "9"}
    assert (calls["1"].state, calls["1"].agent_ref) == (CallState.ENDED, "102")
    assert calls["9"].answered_at is None


def test_a_call_picked_up_for_a_colleague(pbx: Pbx) -> None:
    """The channel that rang at 101 becomes that of 102: it keeps its id and changes its name."""
    customer = pbx.inbound()
    phone = pbx.ring(customer, "101", "2")
    phone.fields["Channel"] = "PJSIP/102-3"
    pbx.dialled(customer, phone, "ANSWER")
    (call,) = calls_of(pbx.events).values()
    assert (call.state, call.agent_ref) == (CallState.ANSWERED, "102")


def test_voicemail_is_a_message_not_the_invitation_to_leave_one(pbx: Pbx) -> None:
    for message in (True, False):
        pbx.events = []
        uid = "1" if message else "8"
        customer = pbx.inbound(uid)
        phone = pbx.ring(customer, "101", f"{uid}2", uid)
        pbx.dialled(customer, phone, "NOANSWER")
        pbx.hang_up(phone, cause="0")
        pbx.say("Newexten", customer.fields, Application="VoiceMail", AppData="101@default&102@sales,u")
        if message:
            pbx.say("MessageWaiting", Mailbox="102@sales", Waiting="1", New="1", Old="0")
        pbx.say("MessageWaiting", Mailbox="999@default", Waiting="1", New="1", Old="0")
        pbx.hang_up(customer)
        (call,) = calls_of(pbx.events).values()
        assert call.state is (CallState.VOICEMAIL if message else CallState.MISSED)


def test_two_queues_and_back(pbx: Pbx) -> None:
    customer = pbx.inbound()
    for queue in ("support", "sales", "support"):
        pbx.say("QueueCallerJoin", customer.fields, Queue=queue)
        pbx.say("QueueCallerJoin", customer.fields, Queue=queue)
        pbx.say("QueueCallerLeave", customer.fields, Queue=queue)
    queued = [event for event in pbx.events if event.type is EventType.QUEUED]
    assert [event.queue_ref for event in queued] == ["support", "sales", "support"]
    assert len({event.event_key for event in queued}) == 3


def test_hold_and_unhold_each_time(pbx: Pbx) -> None:
    customer = pbx.inbound()
    phone = pbx.answered(customer)
    pbx.say("Unhold", phone.fields)
    for _ in range(2):
        pbx.say("Hold", phone.fields)
        pbx.say("Hold", phone.fields)
        assert calls_of(pbx.events)["1"].state is CallState.HELD
        pbx.say("Unhold", phone.fields)
        assert calls_of(pbx.events)["1"].state is CallState.ANSWERED
    held = [event for event in pbx.events if event.type in (EventType.HELD, EventType.UNHELD)]
    assert len({event.event_key for event in held}) == len(held) == 4
