"""Telnyx's webhooks as a test writes them: signed with a key of its own."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from multidict import CIMultiDict

from handlers.telephony.provider import CallSource, HookRequest
from handlers.telephony.telnyx import PROVIDER
from handlers.telephony.telnyx_events import TelnyxEvent
from handlers.telephony.telnyx_message import ClientState, Step

NOW = datetime(2026, 11, 16, 9, 15, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
PUBLIC = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()
CALL, LEG, CONTROL = "session-1", "leg-a", "v3:aaa_AAA-1"
AGENT_LEG, AGENT_CONTROL = "leg-b", "v3:bbb"


def source(ring: str = "one", **options: str) -> CallSource:
    return CallSource(
        name="main", provider="telnyx", secrets=(PUBLIC,), country="GB", queue="support", ring=ring,
        hook_url="https://cti.example.com/hooks/calls/main", options=options,
    )  # fmt: skip


def hook(kind: str, state: ClientState | None = None, key: str = "event-1", **payload: Any) -> HookRequest:
    whole = {
        "call_control_id": CONTROL, "call_leg_id": LEG, "call_session_id": CALL, "connection_id": "77",
        "client_state": state.pack() if state is not None else None, "from": "+447700900123",
        "to": "+442079460100", "start_time": "2026-11-16T09:15:00.000000Z",
    }  # fmt: skip
    whole |= {name.rstrip("_"): value for name, value in payload.items()}
    data = {
        "record_type": "event", "event_type": f"call.{kind}", "id": key,
        "occurred_at": "2026-11-16T09:15:30.4Z",
        "payload": {name: value for name, value in whole.items() if value is not None},
    }  # fmt: skip
    return signed(json.dumps({"data": data, "meta": {"attempt": 1}}).encode())


def signed(body: bytes, at: datetime = NOW, **headers: str) -> HookRequest:
    stamp = str(int(at.timestamp()))
    signature = base64.b64encode(KEY.sign(stamp.encode() + b"|" + body)).decode()
    named = {"telnyx-signature-ed25519": signature, "telnyx-timestamp": stamp}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    return HookRequest("POST", "https://x.example", CIMultiDict(named), body, received_at=NOW)


def parse(request: HookRequest, **options: str) -> TelnyxEvent | None:
    events = PROVIDER.parse(source(**options), request)
    assert len(events) <= 1
    assert all(isinstance(event, TelnyxEvent) for event in events)
    return events[0] if events else None  # type: ignore[return-value]


def parse_one(request: HookRequest, **options: str) -> TelnyxEvent:
    event = parse(request, **options)
    assert event is not None
    return event


def agents_leg(kind: str, state: ClientState, **payload: Any) -> HookRequest:
    own = {"call_leg_id": AGENT_LEG, "call_control_id": AGENT_CONTROL, "to": "sip:priya@sip.telnyx.com"}
    return hook(kind, state, **(own | payload))


RINGING = ClientState(
    Step.RING, agent="priya.raman", caller="+447700900123", line="+442079460100", leg=LEG, control=CONTROL,
    round="event-0",
)  # fmt: skip
