"""What Amazon Connect alone has: the key's ways to come, tables of agents and queues, contacts in a chain."""

from __future__ import annotations

import base64
import itertools
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from multidict import CIMultiDict

from handlers.telephony.amazon_connect import PROVIDER
from handlers.telephony.provider import CallSource, HookRequest
from server.domain.call import Call, CallState, apply_event
from server.domain.errors import Malformed, NotAuthenticated
from server.domain.event import CallEvent, Direction, EventType

NOW = datetime(2026, 11, 16, 9, 15, tzinfo=UTC)
INSTANCE = "arn:aws:connect:eu-west-2:111122223333:instance/f47ef32a"
AGENT, QUEUE = f"{INSTANCE}/agent/ba8b0841", f"{INSTANCE}/queue/61d8be01"


def source(*secrets: str, **options: str) -> CallSource:
    return CallSource(
        name="connect", provider="amazon_connect", secrets=secrets or ("the-key",), country="GB", queue="support",
        ring="one", hook_url="https://cti.example.com/hooks/calls/connect",
        options={name.replace("__", "."): value for name, value in options.items()},
    )  # fmt: skip


def request(body: Any = None, **headers: str) -> HookRequest:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    raw = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
    return HookRequest("POST", "https://cti.example.com/x", CIMultiDict(named), raw, received_at=NOW)


def contact(kind: str, key: str = "e-1", **detail: Any) -> HookRequest:
    whole = {"eventType": kind, "contactId": "c-1", "channel": "VOICE", "initiationMethod": "INBOUND"}
    whole["initiationTimestamp"] = "2026-11-16T09:15:00.000Z"
    return request({
        "version": "0", "id": key, "detail-type": "Amazon Connect Contact Event", "source": "aws.connect",
        "time": "2026-11-16T09:15:59Z", "detail": whole | detail,
    })  # fmt: skip


def parse(asked: HookRequest, options: dict[str, str] | None = None) -> CallEvent | None:
    events = PROVIDER.parse(source(**(options or {})), asked)
    return events[0] if events else None


def parse_one(asked: HookRequest, options: dict[str, str] | None = None) -> CallEvent:
    event = parse(asked, options)
    assert event is not None
    return event


BASIC = "Basic " + base64.b64encode(b"hook:the-key").decode()


@pytest.mark.parametrize(
    ("headers", "secret", "options"),
    [
        ({"X_Api_Key": "the-key"}, "the-key", {}),
        ({"Authorization": "the-key"}, "the-key", {}),
        ({"Authorization": "Bearer the-key"}, "the-key", {}),
        ({"Authorization": BASIC}, "hook:the-key", {}),
        ({"X_Ringpost": "the-key"}, "the-key", {"header": "x-ringpost"}),
    ],
)
def test_the_ways_in_which_a_key_comes(headers: dict[str, str], secret: str, options: dict[str, str]) -> None:
    PROVIDER.verify(source("new-one", secret, **options), request(**headers))
    with pytest.raises(NotAuthenticated):
        PROVIDER.verify(source("another", **options), request(**headers))


def test_only_the_named_header_counts_and_a_wrong_key_is_not_made_good() -> None:
    for options, headers in (
        ({"header": "X-Ringpost"}, {"X_Api_Key": "the-key"}),
        ({}, {"Authorization": "wrong", "X_Api_Key": "the-key"}),
        ({}, {"Authorization": "Basic the-key"}),
        ({}, {"Authorization": "Basic " + "A" * 5000}),
        ({}, {}),
    ):
        with pytest.raises(NotAuthenticated):
            PROVIDER.verify(source(**options), request(**headers))


def test_tables_name_agents_and_queues_by_arn_or_id() -> None:
    asked = contact("CONNECTED_TO_AGENT", agentInfo={"agentArn": AGENT}, queueInfo={"queueArn": QUEUE})
    bare = parse_one(asked)
    assert (bare.agent_refs, bare.queue_ref) == ((AGENT, "ba8b0841"), QUEUE)
    for agent, queue in ((AGENT, QUEUE), ("ba8b0841", "61d8be01")):
        event = parse_one(asked, {f"agents.{agent}": "101", f"queues.{queue}": "sales"})
        assert (event.agent_refs, event.queue_ref) == (("101",), "sales")


def test_names_are_read_whatever_their_case() -> None:
    event = parse_one(
        contact("CONNECTED_TO_AGENT", channel="Voice",
                AgentInfo={"AgentArn": AGENT, "ConnectedToAgentTimestamp": "2026-11-16T09:15:31Z"})
    )  # fmt: skip
    assert event.agent_refs[0] == AGENT
    assert event.occurred_at == datetime(2026, 11, 16, 9, 15, 31, tzinfo=UTC)


def test_the_caller_is_where_the_settings_say() -> None:
    fields = {"caller_field": "customerEndpoint.address", "called_field": "systemEndpoint.address"}
    ends: dict[str, Any] = {
        "customerEndpoint": {"address": "+447700900123"},
        "systemEndpoint": {"address": "+442079460100"},
    }
    event = parse_one(contact("INITIATED", **ends), fields)
    assert (event.ani, event.dnis) == ("+447700900123", "+442079460100")
    outbound = parse_one(contact("INITIATED", initiationMethod="OUTBOUND", **ends), fields)
    assert (outbound.type, outbound.direction) == (EventType.DIALING, Direction.OUTBOUND)
    assert (outbound.ani, outbound.dnis) == ("+442079460100", "+447700900123")
    # Nothing is guessed: without the setting, and where the field is something else, nobody is named.
    assert parse_one(contact("INITIATED", **ends)).ani is None
    for odd in ("x", ["x"], {"address": 5}, {"address": {"a": "b"}}):
        assert parse_one(contact("INITIATED", customerEndpoint=odd), fields).ani is None


@pytest.mark.parametrize(
    "detail",
    [
        {"channel": "CHAT"},
        {"channel": "Task"},
        {"initiationMethod": "MONITOR"},
        {"initiationMethod": "DISCONNECT"},
        {"eventType": "CONTACT_DATA_UPDATED"},
        {"eventType": "AMD_DISABLED"},
        {"eventType": "COMPLETED"},
        {"eventType": "CONNECTED_TO_SYSTEM"},
        {"eventType": "INVENTED_LATER", "newField": {"x": [1]}},
    ],
)
def test_what_is_no_step_of_a_call_is_passed_over(detail: dict[str, Any]) -> None:
    assert parse(contact("INITIATED", **detail)) is None


def test_other_events_of_the_bus_are_passed_over() -> None:
    assert parse(request({"id": "x", "detail-type": "Amazon Connect Voice ID Event", "detail": {}})) is None


@pytest.mark.parametrize("body", [{}, [], None, b"\xff", b"[" * 100_000, {"detail": 5}, {"detail": {"contactId": "c"}},
    {"id": "x" * 500, "detail": {"contactId": "c", "eventType": "QUEUED"}},
    {"id": "x", "detail": {"contactId": ["c"], "eventType": "QUEUED"}}])  # fmt: skip
def test_what_is_no_contact_event_is_malformed(body: Any) -> None:
    with pytest.raises(Malformed):
        PROVIDER.parse(source(), request(body))


def test_a_transformer_may_send_the_detail_alone() -> None:
    detail = {"eventType": "QUEUED", "contactId": "c-1", "channel": "VOICE"}
    first, again = (
        parse_one(request(detail | {"queueInfo": {"queueArn": QUEUE, "enqueueTimestamp": stamp}}))
        for stamp in ("2026-11-16T09:15:06Z", "2026-11-16T09:16:06Z")
    )
    assert first.event_key != again.event_key
    assert first == parse_one(
        request(detail | {"queueInfo": {"queueArn": QUEUE, "enqueueTimestamp": "2026-11-16T09:15:06Z"}})
    )
    with pytest.raises(Malformed):
        parse(request(detail | {"initiationTimestamp": "x" * 500}))


def test_nobody_took_it() -> None:
    queued = parse_one(contact("DISCONNECTED", queueInfo={"queueArn": QUEUE}))
    assert (queued.type, queued.cause, queued.ends_call) == (EventType.MISSED, "abandoned", True)
    assert parse_one(contact("DISCONNECTED")).cause is None
    # A contact that a transfer made has been answered before, an outbound one was nobody's to take.
    for method in ("TRANSFER", "OUTBOUND", "API"):
        assert parse_one(contact("DISCONNECTED", initiationMethod=method)).type is EventType.HANGUP


def test_a_call_in_any_order_and_twice() -> None:
    agent = {"agentArn": AGENT, "connectedToAgentTimestamp": "2026-11-16T09:15:31Z"}
    events = [
        parse_one(asked)
        for asked in (
            contact("INITIATED", "e-1"),
            contact(
                "QUEUED", "e-2", queueInfo={"queueArn": QUEUE, "enqueueTimestamp": "2026-11-16T09:15:06Z"}
            ),
            contact("CONNECTED_TO_AGENT", "e-3", agentInfo=agent),
            contact("DISCONNECTED", "e-4", agentInfo=agent, disconnectTimestamp="2026-11-16T09:17:06Z"),
        )
    ]
    for order in itertools.permutations(events):
        call = Call("c-1")
        for event in (*order, order[0]):
            call = apply_event(call, event, NOW, event.agent_refs[:1])
        assert (call.state, call.agent_ref) == (CallState.ENDED, AGENT)
        assert call.started_at == NOW
        assert call.ended_at == datetime(2026, 11, 16, 9, 17, 6, tzinfo=UTC)


def test_a_transfer_joins_the_chain() -> None:
    for method in ("TRANSFER", "QUEUE_TRANSFER"):
        event = parse_one(
            contact("INITIATED", contactId="c-3", initialContactId="c-1", previousContactId="c-2",
                    initiationMethod=method)
        )  # fmt: skip
        assert event.type is EventType.TRANSFERRED
        assert (event.call_key, event.leg_key, event.parent_leg_key) == ("c-1", "c-3", "c-2")
