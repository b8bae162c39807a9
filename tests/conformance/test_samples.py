"""Every provider against its recorded messages: accepted or refused, the event, the answer."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from server.domain.errors import Forbidden, NotAuthenticated, RingpostError
from server.domain.event import CallEvent
from server.domain.outcome import CallOutcome, RungAgent

PLAIN = {
    "direction": "direction",
    "leg_key": "leg_key",
    "cause": "cause",
    "queue_ref": "queue_ref",
    "duration_s": "duration_seconds",
    "recording_ref": "recording_url",
}
# The parent of a leg is not told by every provider that the sample's author could deduce it from.
NO_PARENT = {"cti", "sipgate", "vonage", "telnyx"}
# Nor this, which the author knew from the call's earlier messages: one that differs in nothing else is another type.
NOT_TOLD = {
    "telnyx-10-call-hangup-agent": {"duration_s"},
    "telnyx-33-call-initiated-agent2": {"type"},
    "telnyx-36-call-hangup-agent1": {"duration_s"},
}


def take(sample: Any) -> list[CallEvent]:
    sample.provider.verify(sample.source, sample.request)
    return list(sample.provider.parse(sample.source, sample.request))


def outcomes(sample: Any, events: list[CallEvent], *agents: RungAgent) -> list[CallOutcome]:
    return [
        CallOutcome(contact_id=1, state="ringing", queue=sample.source.queue, agents=agents) for _ in events
    ]


def test_accepted_or_refused(sample: Any) -> None:
    if sample.valid:
        take(sample)
        return
    with pytest.raises(RingpostError) as refusal:
        take(sample)
    assert refusal.value.status == sample.expected_reply["status"]


def test_neutral_event(sample: Any) -> None:
    if not sample.neutral or not sample.valid:
        pytest.skip("the sample states no neutral event")
    not_told = NOT_TOLD.get(sample.id, set())
    expected = {name: value for name, value in sample.neutral.items() if name not in not_told}
    if "type" in expected and expected["type"] is None:
        assert take(sample) == []
        return
    event, *_ = take(sample)  # of several facts in one message the first is the one that the sample names
    assert event.type == expected.get("type", event.type)
    assert event.call_key == expected["call_key"].partition(":")[2]
    assert event.event_key == expected["dedupe_key"].partition(":")[2]
    for name, attribute in PLAIN.items():
        if name in expected:
            assert getattr(event, attribute) == expected[name], name
    if "agent_ref" in expected:
        assert event.agent_refs[0] == expected["agent_ref"]
    if sample.provider.name not in NO_PARENT:
        assert event.parent_leg_key == expected.get("parent_leg_key")


@pytest.mark.parametrize(("said", "attribute"), [("from", "ani"), ("to", "dnis")])
def test_numbers_become_what_was_said(sample: Any, said: str, attribute: str) -> None:
    if not sample.valid or said not in (sample.neutral or {}):
        pytest.skip("the sample states no such number")
    identity = importlib.import_module("server.domain.identity")
    event, *_ = take(sample)
    raw = getattr(event, attribute)
    assert identity.normalise_caller(raw, sample.source.country).e164 == sample.neutral[said]


def test_the_answer(sample: Any) -> None:
    if not sample.valid or not sample.expected_reply:
        pytest.skip("the sample states no answer")
    events = take(sample)
    reply = sample.provider.reply(sample.source, sample.request, events, outcomes(sample, events))
    assert reply.status == sample.expected_reply["status"]
    if sample.expected_reply["status"] == 204:
        assert reply.body == ""
    if "content_type" in sample.expected_reply:
        assert reply.content_type.partition(";")[0] == sample.expected_reply["content_type"]
    if sample.expected_reply.get("body") == "{}":
        assert reply.body == "{}"


def test_a_repeated_message_is_the_same_event_and_gets_the_same_answer(sample: Any) -> None:
    if not sample.valid:
        pytest.skip("refused")
    agent = RungAgent(agent_id=7, name="Priya Raman", email="priya.raman@example.com", extension=None)
    first, second = take(sample), take(sample.with_request())
    assert first == second
    replies = [
        sample.provider.reply(sample.source, sample.request, events, outcomes(sample, events, agent))
        for events in (first, second)
    ]
    assert replies[0] == replies[1]


def test_an_answer_without_outcomes_does_not_fail(sample: Any) -> None:
    """Nothing was made of the event (it is in quarantine): the call must go on all the same."""
    if sample.valid:
        assert sample.provider.reply(sample.source, sample.request, take(sample), []).status < 300


def test_nothing_is_accepted_without_a_secret(sample: Any) -> None:
    for secrets in ((), ("",), ("another",)):
        with pytest.raises((Forbidden, NotAuthenticated)):
            take(sample.with_secrets(*secrets))
