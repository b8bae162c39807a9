"""Calls that are not recorded: groups, transfers of each kind, calls of agents, queues, voicemail."""

from __future__ import annotations

from handlers.telephony.esl_calls import EslCalls
from server.domain.call import CallState
from server.domain.event import Direction, EventType
from tests.conformance.esl_streams import (
    LINE,
    NOW,
    NUMBER,
    Switch,
    calls_of,
    headers_of,
    stream,
    talking,
)


def test_busy_is_missed_when_nobody_else_takes_it() -> None:
    switch = Switch()
    switch.leg("a", NUMBER, LINE)
    switch.leg("b", NUMBER, "101", by="a")
    switch.hang_up("b", "USER_BUSY")
    assert switch.call("a").state is CallState.RINGING
    (ended,) = switch.hang_up("a", "USER_BUSY")
    assert (ended.type, ended.cause, ended.ends_call) == (EventType.MISSED, "USER_BUSY", True)
    assert switch.call("a").state is CallState.MISSED


def test_who_lost_the_race_missed_nothing() -> None:
    switch = Switch()
    switch.leg("a", NUMBER, LINE)
    for key, agent in (("b", "101"), ("c", "102"), ("d", "103")):
        switch.leg(key, NUMBER, agent, by="a")
        switch.say("CHANNEL_PROGRESS", key)
    switch.say("CHANNEL_ANSWER", "c")
    for key in ("b", "d"):
        (lost,) = switch.hang_up(key, "LOSE_RACE")
        assert (lost.type, lost.cause) == (EventType.HANGUP, "LOSE_RACE")
    switch.bridge("a", "c")
    assert (switch.call("a").state, switch.call("a").agent_ref) == (CallState.ANSWERED, "102")
    switch.hang_up("c", billsec=10)
    switch.hang_up("a", billsec=12)
    assert switch.call("a").state is CallState.ENDED
    assert "missed" not in switch.types


def test_hold_and_unhold() -> None:
    switch = talking()
    switch.say("CHANNEL_HOLD", "b")
    assert switch.call("a").state is CallState.HELD
    switch.say("CHANNEL_UNHOLD", "b")
    assert switch.call("a").state is CallState.ANSWERED


def test_a_blind_transfer_keeps_the_call() -> None:
    switch = talking()
    source = f"{switch.at + 1}:u:bl_xfer:102/default/XML"
    (moved,) = switch.bridge("a", "b", "CHANNEL_UNBRIDGE", variable_transfer_source=source)
    assert (moved.type, moved.agent_refs) == (EventType.TRANSFERRED, ("102",))
    switch.hang_up("b", "BLIND_TRANSFER", 10)
    assert switch.call("a").state is CallState.TRANSFERRED
    switch.leg("c", NUMBER, "102", by="a")
    switch.say("CHANNEL_ANSWER", "c")
    assert switch.bridge("a", "c", variable_transfer_source=source) == []
    assert (switch.call("a").state, switch.call("a").agent_ref) == (CallState.ANSWERED, "102")
    assert set(calls_of(switch.events)) == {"a"}


def test_a_transfer_is_told_by_the_second_bridge_when_its_first_sign_got_lost() -> None:
    switch = talking()
    source = f"{switch.at + 1}:u:bl_xfer:102/default/XML"
    switch.leg("c", NUMBER, "102", by="a")
    switch.say("CHANNEL_ANSWER", "c")
    (moved,) = switch.bridge("a", "c", variable_transfer_source=source)
    assert (moved.type, moved.agent_refs) == (EventType.TRANSFERRED, ("102",))
    assert (switch.call("a").state, switch.call("a").agent_ref) == (CallState.ANSWERED, "102")


def test_a_transfer_to_a_queue_arrives_at_whoever_takes_it() -> None:
    switch = talking()
    source = f"{switch.at + 1}:u:bl_xfer:5000/default/XML"
    switch.bridge("a", "b", "CHANNEL_UNBRIDGE", variable_transfer_source=source)
    switch.hang_up("b", billsec=5)
    switch.leg("c", NUMBER, "103", by="a")
    switch.say("CHANNEL_ANSWER", "c")
    assert switch.call("a").state is CallState.ANSWERED  # whoever picks up, the transfer arrived
    switch.bridge("a", "c", variable_transfer_source=source)
    assert (switch.call("a").state, switch.call("a").agent_ref) == (CallState.ANSWERED, "103")


def test_routing_within_the_dial_plan_is_no_transfer() -> None:
    switch = Switch()
    switch.leg("a", NUMBER, LINE)
    routed = {"variable_transfer_source": f"{switch.at}:u:bl_xfer:1000/default/XML"}
    switch.say("CHANNEL_ANSWER", "a", **routed)
    switch.leg("b", NUMBER, "101", by="a")
    switch.say("CHANNEL_ANSWER", "b")
    switch.bridge("a", "b", **routed)
    switch.bridge("a", "b", "CHANNEL_UNBRIDGE", **routed)
    assert "transferred" not in switch.types
    # The same when the bridge was told by the other leg, or not at all.
    other = Switch()
    other.leg("a", NUMBER, LINE)
    source = f"{other.at}:u:bl_xfer:1000/default/XML"
    other.say("CHANNEL_UNBRIDGE", "a", 60, variable_transfer_source=source, Bridge__B__Unique__ID="b")
    assert "transferred" not in other.types


def test_an_attended_transfer_brings_the_colleague_into_the_call() -> None:
    """The agent's phone calls a colleague in a call of its own, then puts the two together."""
    switch = talking()
    switch.leg("x", "101", "102")
    switch.leg("y", "101", "102", by="x")
    switch.say("CHANNEL_ANSWER", "y")
    switch.bridge("x", "y")
    assert switch.call("x").direction is Direction.INTERNAL
    source = f"{switch.at}:u:uuid_br:y"
    switch.bridge("a", "y", variable_transfer_source=source)
    switch.hang_up("b", "ATTENDED_TRANSFER", 50)
    switch.hang_up("x", "ATTENDED_TRANSFER", 20)
    assert (switch.call("a").state, switch.call("a").agent_ref) == (CallState.ANSWERED, "102")
    assert switch.call("x").state is CallState.ENDED
    assert "transferred" in switch.types
    switch.hang_up("y", billsec=30)
    switch.hang_up("a", billsec=90)
    assert switch.call("a").state is CallState.ENDED
    assert all(call.ended_at for call in calls_of(switch.events).values())


def test_early_media_is_no_pick_up() -> None:
    """The switch bridges a leg whose ringing tone it passes on, before anybody picks up."""
    switch = Switch()
    switch.leg("a", NUMBER, LINE)
    switch.leg("b", NUMBER, "101", by="a")
    switch.say("CHANNEL_PROGRESS_MEDIA", "b")
    assert switch.bridge("a", "b") == []
    switch.hang_up("b", "ORIGINATOR_CANCEL")
    switch.hang_up("a", "ORIGINATOR_CANCEL")
    assert switch.call("a").state is CallState.MISSED


def test_an_agent_dials_from_the_phone() -> None:
    switch = Switch()
    switch.leg("a", "101", NUMBER, variable_user_name="101")
    switch.leg("b", LINE, NUMBER, by="a", Channel__Name="sofia/external/x")
    switch.say("CHANNEL_PROGRESS", "b")
    (picked_up,) = switch.say("CHANNEL_ANSWER", "b")
    call = switch.call("a")
    assert (call.direction, call.state) == (Direction.OUTBOUND, CallState.ANSWERED)
    assert (picked_up.agent_refs, picked_up.dnis, picked_up.parent_leg_key) == ((), NUMBER, None)
    assert switch.events[0].agent_refs == ("101",)
    switch.bridge("a", "b")
    # The customer is put through to a colleague: the call goes on without the agent who made it.
    switch.hang_up("a", "BLIND_TRANSFER", 9)
    switch.leg("c", NUMBER, "102", by="b", variable_dialed_user="102")
    switch.say("CHANNEL_ANSWER", "c")
    switch.bridge("b", "c", variable_transfer_source=f"{switch.at}:u:bl_xfer:102/default/XML")
    call = switch.call("a")
    assert (call.state, call.agent_ref) == (CallState.ANSWERED, "102")
    switch.hang_up("c", billsec=8)
    switch.hang_up("b", billsec=30)
    assert switch.call("a").state is CallState.ENDED
    assert set(calls_of(switch.events)) == {"a"}


def test_a_short_number_from_outside_is_a_customers() -> None:
    """Where strangers come in, a number of few digits is a local one, not an extension."""
    for context, direction in (("public", Direction.INBOUND), ("default", Direction.INTERNAL)):
        switch = Switch()
        switch.leg("a", "47100", "101", **{"Caller-Context": context})
        assert switch.events[0].direction is direction


def test_click_to_dial_is_the_agents_call_to_the_customer() -> None:
    switch = Switch()
    switch.leg(
        "k", LINE, "101", outbound="yes", variable_ringpost_agent="101", variable_ringpost_customer=NUMBER
    )
    switch.say("CHANNEL_PROGRESS", "k")
    assert switch.say("CHANNEL_ANSWER", "k") == []
    switch.leg("c", LINE, NUMBER, by="k")
    switch.say("CHANNEL_ANSWER", "c")
    first = switch.events[0]
    assert (first.type, first.agent_refs, first.dnis) == (EventType.DIALING, ("101",), NUMBER)
    assert {event.direction for event in switch.events} == {Direction.OUTBOUND}
    assert switch.call("k").state is CallState.ANSWERED


def test_a_queue_rings_the_agent_in_a_call_of_its_own() -> None:
    """mod_callcenter: the agent's leg names the member's; a bridge joins one that does not."""
    switch = Switch()
    switch.leg("a", NUMBER, LINE)
    (waits,) = switch.calls.take(
        {"Event-Name": "CUSTOM", "Event-Subclass": "callcenter::info", "CC-Action": "member-queue-start",
         "CC-Queue": "support@default", "CC-Member-Session-UUID": "a", "Core-UUID": "core",
         "Event-Sequence": "77"}, NOW)  # fmt: skip
    assert (waits.type, waits.queue_ref, waits.call_key) == (EventType.QUEUED, "support", "a")
    switch.leg(
        "b", NUMBER, "101", outbound="yes", variable_cc_side="agent", variable_cc_member_session_uuid="a"
    )
    switch.say("CHANNEL_ANSWER", "b")
    assert (switch.call("a").state, switch.call("a").agent_ref) == (CallState.ANSWERED, "101")
    other = Switch()
    other.leg("a", NUMBER, LINE)
    other.leg("b", NUMBER, "101", outbound="yes")
    other.say("CHANNEL_ANSWER", "b")
    other.bridge("a", "b")
    assert (other.call("a").state, other.call("a").agent_ref) == (CallState.ANSWERED, "101")
    assert other.call("b").ended_at is not None


def test_a_queue_tells_of_a_caller_whose_beginning_got_lost() -> None:
    calls = EslCalls()
    (event,) = calls.take(
        {"Event-Name": "CUSTOM", "Event-Subclass": "callcenter::info", "CC-Action": "member-queue-start",
         "CC-Queue": "support@default", "CC-Member-Session-UUID": "a",
         "CC-Member-CID-Number": NUMBER}, NOW)  # fmt: skip
    assert (event.type, event.ani, event.direction) == (EventType.QUEUED, NUMBER, Direction.INBOUND)


def test_a_lost_beginning_is_made_up_for() -> None:
    calls = EslCalls()
    headers = headers_of(stream("11-lifecycle-plain"))[1]
    (event,) = calls.take(headers, NOW)
    assert (event.type, event.ani, event.dnis) == (EventType.RINGING, NUMBER, LINE)


def test_voicemail() -> None:
    switch = Switch()
    switch.leg("a", NUMBER, LINE)
    (left,) = switch.say(
        "RECORD_STOP", "a", Record__File__Path="/var/storage/voicemail/default/101/msg_1.wav",
        variable_record_seconds="12",
    )  # fmt: skip
    assert (left.type, left.duration_seconds) == (EventType.VOICEMAIL, 12)
    switch.hang_up("a", billsec=20)
    assert switch.call("a").state is CallState.VOICEMAIL


def test_a_hidden_number_is_nobodys() -> None:
    switch = Switch()
    switch.leg(
        "a", NUMBER, LINE, **{"Caller-Privacy-Hide-Number": "true", "Caller-Privacy-Hide-Name": "true"}
    )
    assert switch.events[0].ani == "anonymous"


def test_loopback_legs_are_nobodys() -> None:
    switch = Switch()
    switch.leg("a", NUMBER, LINE)
    switch.leg("la", NUMBER, "101", by="a", Channel__Name="loopback/101-a")
    switch.leg("lb", NUMBER, "101", Channel__Name="loopback/101-b")
    switch.say("CHANNEL_ANSWER", "la")
    switch.leg("c", NUMBER, "101", by="lb")
    assert switch.types == ["ringing"]
    switch.say("CHANNEL_ANSWER", "c")
    switch.bridge("a", "c")
    assert (switch.call("a").state, switch.call("a").agent_ref) == (CallState.ANSWERED, "101")
    switch.hang_up("la")
    switch.hang_up("lb")
    switch.hang_up("c", billsec=5)
    switch.hang_up("a", billsec=5)
    assert set(calls_of(switch.events)) == {"a"}
    assert len(switch.calls.book) == 0
