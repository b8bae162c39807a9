"""Calls as Telnyx's Call Control reports them, led by some program through its API, recorded now and then.

Telnyx signs with a private key of its own, so a source for a simulation has a key pair of ours: the public
key as its secret, the private one (base64 of 32 bytes) as ``simulation_key``. It must have no ``api_key``:
to a call that only exists here, Telnyx would take no command.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from handlers.simulate.answers import is_empty
from handlers.simulate.pbx import PbxCall, lead
from handlers.simulate.plan import OUT, TALKS, Kind, Played
from handlers.simulate.script import Line
from handlers.simulate.stage import Request
from server.settings import CallSourceSettings
from server.store.simulation import SimAgent

CONNECTION = "1494404757140276705"
_CAUSES = {Kind.MISSED: "timeout", Kind.VOICEMAIL: "timeout", Kind.BUSY: "user_busy", Kind.UNTAKEN: "timeout"}


@lru_cache(maxsize=8)
def _key(simulation_key: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(base64.b64decode(simulation_key))


def sign(simulation_key: str, timestamp: str, body: bytes) -> str:
    """telnyx-signature-ed25519: over ``timestamp|body``."""
    return base64.b64encode(_key(simulation_key).sign(timestamp.encode() + b"|" + body)).decode()


@dataclass(slots=True)
class _Leg:
    id: str
    control: str
    from_: str
    to: str
    state: str | None  # client_state: what the leading program gave it
    begun: datetime


class TelnyxCall(PbxCall):
    def __init__(self, line: Line) -> None:
        super().__init__(line, line.stage.new_id())
        self.customer: _Leg | None = None
        self.agent: _Leg | None = None

    def leg(self, from_: str, to: str, **state: str) -> _Leg:
        packed = base64.b64encode(urlencode(state).encode()).decode() if state else None
        new_id = self.line.stage.new_id
        return _Leg(new_id(), f"v3:{new_id()}", from_, to, packed, self.line.now())

    async def event(self, kind: str, leg: _Leg, **more: Any) -> None:
        whole = {
            "call_control_id": leg.control,
            "call_leg_id": leg.id,
            "call_session_id": self.key,
            "client_state": leg.state,
            "connection_id": CONNECTION,
            "from": leg.from_,
            "to": leg.to,
            "start_time": self.stamp(leg.begun),
        }
        data = {
            "record_type": "event",
            "event_type": f"call.{kind}",
            "id": self.line.stage.new_id(),
            "occurred_at": self.stamp(self.line.now()),
            "payload": whole | more,
        }
        body = json.dumps({"data": data, "meta": {"attempt": 1, "delivered_to": self.line.hook_url}}).encode()
        stamp = str(int(self.line.now().timestamp()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "telnyx-webhooks",
            "telnyx-signature-ed25519": sign(self.plan.option("simulation_key"), stamp, body),
            "telnyx-timestamp": stamp,
        }
        await self.line.tell(Request(self.line.hook_url, body, headers, is_empty))

    @staticmethod
    def stamp(time: datetime) -> str:
        return f"{time:%Y-%m-%dT%H:%M:%S.%f}Z"

    async def ring(self, agent: SimAgent | None) -> None:
        self.customer = caller = self.leg(self.plan.caller.number or "anonymous", self.plan.dnis)
        await self.event("initiated", caller, direction="incoming", state="parked")
        if self.plan.kind is Kind.ABANDONED:
            queue = {"queue": self.plan.settings.queue or "support", "current_position": 1}
            await self.event("answered", caller, state="answered")
            await self.event("enqueued", caller, **queue)
        elif agent is not None:
            await self.event("answered", caller, state="answered")
            await self.ring_agent(agent)

    async def ring_agent(self, agent: SimAgent) -> None:
        address = agent.extension
        if not address.startswith(("sip:", "+")):
            address = f"sip:{address}@sip.telnyx.com"
        caller = self.plan.caller.number or "anonymous"
        self.agent = self.leg(caller, address, agent=agent.extension)
        await self.event("initiated", self.agent, direction="outgoing", state="bridging")

    async def pick_up(self, agent: SimAgent) -> None:
        if self.agent is None:
            await self.ring_agent(agent)
        assert self.agent is not None and self.customer is not None
        await self.event("answered", self.agent, state="answered")
        await self.event("bridged", self.agent)
        await self.event("bridged", self.customer)

    async def hold(self) -> None:
        assert self.customer is not None
        await self.event("hold", self.customer)

    async def unhold(self) -> None:
        assert self.customer is not None
        await self.event("unhold", self.customer)

    async def hand_over(self, agent: SimAgent, to: SimAgent) -> None:
        first = self.agent
        assert first is not None
        await self.ring_agent(to)
        await self.pick_up(to)
        await self.end(first, "normal_clearing")

    async def take_message(self) -> None:
        caller, agent = self.customer, self.agent
        assert caller is not None
        if agent is not None:
            await self.end(agent, "timeout")
        caller.state = base64.b64encode(b"voicemail=1").decode()
        await self.recorded(caller)

    async def recorded(self, leg: _Leg) -> None:
        url = self.line.stage.new_recording()
        now = self.stamp(self.line.now())
        times = {"recording_started_at": self.stamp(leg.begun), "recording_ended_at": now}
        await self.event("recording.saved", leg, channels="single", recording_urls={"wav": url}, **times)

    async def dial(self, agent: SimAgent) -> None:
        """The states are those of our own click to dial: of another program's leg nothing says which way
        the call goes."""
        customer, line = self.plan.caller.number, self.plan.dnis
        self.agent = self.leg(
            line,
            f"sip:{agent.extension}@sip.telnyx.com",
            step="dial",
            agent=agent.extension,
            customer=customer,
        )
        await self.event("initiated", self.agent, direction="outgoing", state="bridging")
        await self.event("answered", self.agent, state="answered")
        self.customer = self.leg(line, customer, step="customer", customer=customer, leg=self.agent.id)
        await self.event("initiated", self.customer, direction="outgoing", state="bridging")

    async def reach(self, agent: SimAgent) -> None:
        assert self.customer is not None and self.agent is not None
        await self.event("answered", self.customer, state="answered")
        await self.event("bridged", self.agent)
        await self.event("bridged", self.customer)

    async def end(self, leg: _Leg, cause: str, source: str = "unknown") -> None:
        ended = {"hangup_cause": cause, "hangup_source": source, "end_time": self.stamp(self.line.now())}
        await self.event("hangup", leg, state="hangup", **ended)

    async def hang_up(self, kind: Kind) -> None:
        assert self.customer is not None
        cause = _CAUSES.get(kind, "normal_clearing")
        if kind in OUT and self.agent is not None:
            await self.end(self.customer, cause)
            await self.end(self.agent, "normal_clearing")
            return
        if self.agent is not None and kind is not Kind.VOICEMAIL:
            await self.end(self.agent, cause)
        gave_up = self.agent is None and kind is not Kind.ABANDONED and kind not in TALKS
        await self.end(self.customer, "originator_cancel" if gave_up else "normal_clearing", "caller")
        if kind in TALKS and self.line.stage.random.random() < 0.5:
            await self.recorded(self.customer)


class TelnyxScript:
    name = "telnyx"
    kinds = frozenset(Kind)
    led = False

    def lack(self, settings: CallSourceSettings) -> str:
        known = settings.model_extra or {}
        if not known.get("simulation_key"):
            return 'simulation_key = "(the private key of its public one, base64)"'
        return "no api_key" if known.get("api_key") else ""

    async def play(self, line: Line) -> Sequence[Played]:
        return await lead(TelnyxCall(line))


SCRIPT = TelnyxScript()
