"""Transfers over AMI that were not recorded: attended in every way, to the outside, through Local channels."""

from __future__ import annotations

import pytest

from server.domain.call import CallState
from server.domain.event import Direction, EventType
from tests.conformance.ami_peer import calls_of, rang
from tests.conformance.ami_stage import Line, Pbx, types


@pytest.fixture
def pbx() -> Pbx:
    return Pbx()


def consult(pbx: Pbx) -> tuple[Line, Line]:
    """101 holds the customer and asks 102 on a second line."""
    second = pbx.new(Line("PJSIP/101-3", "3", number="101", Exten="102"), "4")
    target = pbx.ring(second, "102", "4", "3")
    pbx.dialled(second, target, "ANSWER")
    pbx.bridge("c", target, second)
    return second, target


def test_an_attended_transfer_from_the_phone_is_one_call(pbx: Pbx) -> None:
    customer = pbx.inbound()
    first = pbx.answered(customer)
    pbx.say("Hold", first.fields, MusicClass="default")
    second, target = consult(pbx)
    (call,) = calls_of(pbx.events).values()
    assert (call.state, call.agent_ref, rang(pbx.events)) == (CallState.HELD, "101", {"101", "102"})
    pbx.say(
        "AttendedTransfer",
        first.under("OrigTransferer"), second.under("SecondTransferer"),
        customer.under("Transferee"), target.under("TransferTarget"), Result="Success", DestType="Bridge",
    )  # fmt: skip
    pbx.unbridge("b2", first)
    pbx.bridge("c", customer, SwapUniqueid="3")
    target.fields["Linkedid"] = "1"
    pbx.hang_up(second, first)
    (call,) = calls_of(pbx.events).values()
    assert (call.state, call.agent_ref, call.transferred_to) == (CallState.ANSWERED, "102", "102")
    assert len(call.legs) == 3
    pbx.hang_up(target, customer)
    assert calls_of(pbx.events)["1"].state is CallState.ENDED


def test_a_consultation_that_leads_to_nothing(pbx: Pbx) -> None:
    customer = pbx.inbound()
    first = pbx.answered(customer)
    second, target = consult(pbx)
    pbx.hang_up(second, target)
    (call,) = calls_of(pbx.events).values()
    assert (call.state, call.agent_ref, call.transferred_at) == (CallState.ANSWERED, "101", None)
    pbx.hang_up(customer, first)
    assert calls_of(pbx.events)["1"].state is CallState.ENDED


def test_an_attended_transfer_by_feature_code(pbx: Pbx) -> None:
    """Atxfer: the PBX dials the target through a Local channel of the same linkedid."""
    customer = pbx.inbound()
    first = pbx.answered(customer)
    near = pbx.new(Line("Local/102@from-internal-1;1", "3", "1"))
    far = pbx.new(Line("Local/102@from-internal-1;2", "4", "1"), "4")
    target = pbx.ring(far, "102", "5")
    pbx.dialled(far, target, "ANSWER")
    pbx.bridge("b3", target, far)
    pbx.unbridge("b2", first)
    pbx.bridge("b4", near, first)
    (call,) = calls_of(pbx.events).values()
    assert call.agent_ref == "101"
    pbx.state(near, "6")
    pbx.say(
        "AttendedTransfer",
        first.under("OrigTransferer"), first.under("SecondTransferer"),
        customer.under("Transferee"), near.under("TransferTarget"), Result="Success", DestType="Bridge",
    )  # fmt: skip
    pbx.unbridge("b4", near, first)
    pbx.bridge("b2", near)
    pbx.hang_up(first)
    (call,) = calls_of(pbx.events).values()
    assert (call.state, call.agent_ref, call.transferred_to) == (CallState.ANSWERED, "102", "102")
    # The Local channel takes itself out of the way.
    pbx.bridge("b2", target, SwapUniqueid="3")
    pbx.hang_up(near, far)
    pbx.hang_up(customer, target)
    (call,) = calls_of(pbx.events).values()
    assert (call.state, len(call.legs)) == (CallState.ENDED, 3)
    assert types(pbx.events).count(EventType.ANSWERED) == 2


def test_a_customer_is_given_to_a_colleague_who_was_called_first(pbx: Pbx) -> None:
    """102's leg was answered in an internal call; in the customer's it is answered as well."""
    asking = pbx.new(Line("PJSIP/101-8", "8", number="101", Exten="102"), "4")
    target = pbx.answered(asking, "102", "9")
    customer = pbx.inbound()
    first = pbx.answered(customer)
    pbx.say(
        "AttendedTransfer",
        asking.under("OrigTransferer"), first.under("SecondTransferer"),
        target.under("Transferee"), customer.under("TransferTarget"), Result="Success", DestType="Bridge",
    )  # fmt: skip
    pbx.unbridge("b9", asking)
    pbx.bridge("b2", target, SwapUniqueid="2")
    pbx.hang_up(asking, first)
    calls = calls_of(pbx.events)
    assert set(calls) == {"1", "8"}
    assert (calls["8"].state, calls["1"].state) == (CallState.ENDED, CallState.ANSWERED)
    assert (calls["1"].agent_ref, calls["1"].transferred_to) == ("102", "102")
    pbx.hang_up(customer, target)
    assert calls_of(pbx.events)["1"].state is CallState.ENDED


def test_a_customer_is_given_to_somebody_outside(pbx: Pbx) -> None:
    """The consultation was a call out of its own: it ends without anybody having missed it."""
    customer = pbx.inbound()
    first = pbx.answered(customer)
    asking = pbx.new(Line("PJSIP/101-3", "3", number="101", Exten="+447700900555"), "4")
    trunk = pbx.new(Line("PJSIP/trunk-4", "4", "3"))
    pbx.dial(asking, trunk, DialString="+447700900555@trunk")
    pbx.dialled(asking, trunk, "ANSWER")
    pbx.bridge("c", asking, trunk)
    pbx.say(
        "AttendedTransfer",
        first.under("OrigTransferer"), asking.under("SecondTransferer"),
        customer.under("Transferee"), trunk.under("TransferTarget"), Result="Success", DestType="Bridge",
    )  # fmt: skip
    pbx.unbridge("b2", first)
    pbx.bridge("c", customer, SwapUniqueid="3")
    pbx.hang_up(asking, first)
    calls = calls_of(pbx.events)
    assert (calls["3"].direction, calls["3"].state) == (Direction.OUTBOUND, CallState.ENDED)
    assert (calls["1"].state, calls["1"].agent_ref) == (CallState.ANSWERED, "+447700900555")
    pbx.hang_up(customer, trunk)
    assert {call.state for call in calls_of(pbx.events).values()} == {CallState.ENDED}


def test_a_transfer_through_a_local_channel_is_the_customers(pbx: Pbx) -> None:
    customer = pbx.inbound()
    near = pbx.new(Line("Local/101@from-queue-1;1", "2", "1"))
    far = pbx.new(Line("Local/101@from-queue-1;2", "3", "1"), "4")
    pbx.dial(customer, near)
    phone = pbx.answered(far, "101", "4")
    pbx.bridge("b", near, customer)
    pbx.say(
        "BlindTransfer", phone.under("Transferer"), far.under("Transferee"), Result="Success", Extension="102"
    )
    pbx.unbridge("b4", phone, far)
    pbx.hang_up(phone)
    (moved,) = (event for event in pbx.events if event.type is EventType.TRANSFERRED)
    assert (moved.leg_key, moved.agent_refs) == ("1", ("102",))
    pbx.answered(far, "102", "5")
    (call,) = calls_of(pbx.events).values()
    assert (call.state, call.agent_ref) == (CallState.ANSWERED, "102")


def test_a_transfer_that_failed_is_none(pbx: Pbx) -> None:
    customer = pbx.inbound()
    phone = pbx.answered(customer)
    ends = (phone.under("Transferer"), customer.under("Transferee"))
    pbx.say("BlindTransfer", *ends, Result="Invalid", Extension="999")
    assert EventType.TRANSFERRED not in types(pbx.events)
