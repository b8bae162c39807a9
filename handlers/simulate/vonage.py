"""Calls as Vonage makes them: signed webhooks, and the NCCOs of the answers are really followed.

https://developer.vonage.com/voice/voice-api/ncco-reference. A ``connect`` rings its endpoint and posts what
becomes of it to its own ``eventUrl``; the caller's events go to the application's event URL.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from handlers.simulate.answers import CallLost, is_empty
from handlers.simulate.plan import OUT, TALKS, Kind, Played
from handlers.simulate.script import Line
from handlers.simulate.vonage_wire import Action, Call, Leg, url_of
from server.settings import CallSourceSettings

MOST_STEPS: Final = 40
_WAIT_SECONDS: Final = 8.0  # a word and an input's time out


class VonageScript:
    name = "vonage"
    kinds = frozenset(Kind) - {Kind.HELD}
    led = True

    def lack(self, settings: CallSourceSettings) -> str:
        return ""

    async def play(self, line: Line) -> Sequence[Played]:
        call = Call(line)
        kind = await (_Outgoing(call) if line.plan.kind in OUT else _Incoming(call)).play()
        return [line.played(call.key, kind)]


class _Flow:
    """What both ways have: a leg for which NCCOs are followed."""

    def __init__(self, call: Call, leg: Leg) -> None:
        self.call, self.line, self.plan, self.leg = call, call.line, call.line.plan, leg
        self.recorded_by = ""  # where the recording of the talk is to be told
        self.talking_since: datetime | None = None

    def phone(self, connect: Action) -> Leg:
        endpoint = connect.get("endpoint")
        first = endpoint[0] if isinstance(endpoint, list) and endpoint else {}
        to = first.get("number") or first.get("user") or first.get("uri") or ""
        if not to:
            raise CallLost("a connect of the NCCO has no endpoint")
        from_ = str(connect.get("from") or self.call.our_number)
        return self.call.leg(url_of(connect), from_, str(to), "outbound")

    async def ring(self, connect: Action) -> Leg:
        leg = self.phone(connect)
        await self.call.tell(leg, "started")
        await self.call.tell(leg, "ringing")
        await self.line.pause(self.plan.ring_seconds)
        return leg

    async def tell_recording(self) -> None:
        if self.recorded_by and self.talking_since is not None:
            await self.call.recorded(self.recorded_by, self.talking_since)


class _Incoming(_Flow):
    def __init__(self, call: Call) -> None:
        super().__init__(
            call, call.leg(f"{call.line.hook_url}/event", call.number, call.our_number, "inbound")
        )
        self.waited = 0.0

    async def play(self) -> Kind:
        call, line, leg = self.call, self.line, self.leg
        method = "GET" if line.stage.random.random() < 0.3 else "POST"
        actions: Sequence[Action] = await call.answer(f"{line.hook_url}/answer", leg, method)
        await call.tell(leg, "ringing")  # as they come: before started
        await call.tell(leg, "started")
        await call.answered(leg)
        line.say(f"{line.who} rings {call.our_number[-3:]}")
        kind: Kind | None = None
        for _ in range(MOST_STEPS):
            if kind is not None or not actions:
                break
            kind, actions = await self.follow(actions)
        kind = kind or (self.plan.kind if self.plan.kind in (Kind.MISSED, Kind.BUSY) else Kind.ABANDONED)
        await call.ended(leg)
        await self.tell_recording()
        line.say(f"{line.who} {'hangs up' if kind in TALKS or kind is Kind.VOICEMAIL else 'gave up'}")
        return kind

    async def follow(self, actions: Sequence[Action]) -> tuple[Kind | None, Sequence[Action]]:
        """One NCCO: how the call ended, or the NCCO by which it goes on; neither when the caller is gone."""
        for action in actions:
            name = action.get("action")
            if name == "record" and action.get("beepStart"):
                return await self.leave_message(url_of(action)), ()
            if name == "record":
                self.recorded_by = url_of(action)
            elif name == "input":
                return None, await self.wait(url_of(action))
            elif name == "connect":
                return await self.connect(action)
        return None, ()

    async def wait(self, url: str) -> Sequence[Action]:
        if not self.waited:
            self.line.say(f"{self.line.who} waits in the queue")
        if self.waited >= self.plan.patience_seconds:
            return ()
        await self.line.pause(_WAIT_SECONDS)
        self.waited += _WAIT_SECONDS
        return await self.call.keys(url, self.leg)

    async def connect(self, action: Action) -> tuple[Kind | None, Sequence[Action]]:
        leg = await self.ring(action)
        if self.plan.kind is Kind.ABANDONED:
            await self.call.tell(leg, "cancelled")
            return None, ()
        if self.plan.kind in TALKS:
            await self.talk(leg)
            return self.plan.kind, ()
        busy = self.plan.kind is Kind.BUSY
        more = {} if busy else {"detail": "timeout"}
        return None, await self.call.ask(leg, "busy" if busy else "unanswered", **more)

    async def talk(self, leg: Leg) -> None:
        call, line, plan = self.call, self.line, self.plan
        self.talking_since = line.now()
        await call.answered(leg)
        line.say(f"{leg.to} answers {line.who}")
        await line.pause(plan.talk_seconds / 2)
        if plan.kind is Kind.TRANSFERRED:
            leg = await self.transfer(leg)
        await line.pause(plan.talk_seconds / 2)
        await call.ended(leg)

    async def transfer(self, leg: Leg) -> Leg:
        """The customer's leg moves into a new conversation, and an NCCO of ours rings the target."""
        call, line = self.call, self.line
        target = next((one.extension for one in self.plan.agents if one.extension != leg.to), leg.to)
        left, call.conversation = call.conversation, f"CON-{line.stage.new_id()}"
        self.leg.conversation = call.conversation
        moved = {"conversation_uuid_from": left, "conversation_uuid_to": call.conversation}
        more = {"uuid": self.leg.id, "timestamp": call.stamp()}
        await line.tell(call.request(self.leg.url, moved | more, is_empty))
        own = {"target": target, "call": call.key, "first": self.leg.id, "line": call.our_number}
        actions = await call.answer(f"{line.hook_url}/answer?{urlencode(own)}", self.leg)
        await call.ended(leg)
        connect = next((action for action in actions if action.get("action") == "connect"), None)
        if connect is None:
            raise CallLost("the answer to a transfer rings nobody")
        second = await self.ring(connect)
        if second.to != target.removeprefix("+"):
            raise CallLost(f"the answer to a transfer to {target} rings {second.to}")
        await call.answered(second)
        line.say(f"{leg.to} hands {line.who} over to {second.to}")
        return second

    async def leave_message(self, url: str) -> Kind | None:
        if self.plan.kind is not Kind.VOICEMAIL:
            return None
        begun = self.line.now()
        await self.line.pause(self.plan.talk_seconds / 4)
        await self.call.recorded(url, begun)
        self.line.say(f"{self.line.who} leaves a message")
        return Kind.VOICEMAIL


class _Outgoing(_Flow):
    """Click to dial: the agent's phone first, whose answer URL connects the customer."""

    def __init__(self, call: Call) -> None:
        plan = call.line.plan
        self.query = urlencode({"customer": call.number})
        url = f"{call.line.hook_url}/event?{self.query}"
        super().__init__(call, call.leg(url, call.our_number, plan.agents[0].extension, "outbound"))

    async def play(self) -> Kind:
        call, line, plan = self.call, self.line, self.plan
        await call.tell(self.leg, "started")
        await call.tell(self.leg, "ringing")
        actions = await call.answer(f"{line.hook_url}/answer?{self.query}", self.leg, "GET")
        await call.answered(self.leg)
        line.say(f"{plan.agents[0].name} calls {line.who}")
        connect = next((action for action in actions if action.get("action") == "connect"), None)
        if connect is None:
            raise CallLost("the answer to click to dial rings nobody")
        self.recorded_by = next((url_of(one) for one in actions if one.get("action") == "record"), "")
        customer = await self.ring(connect)
        if plan.kind is Kind.OUTGOING:
            self.talking_since = line.now()
            await call.answered(customer)
            line.say(f"{line.who} answers")
            await line.pause(plan.talk_seconds)
            await call.ended(customer)
        else:
            await call.tell(customer, "busy")
        await call.ended(self.leg)
        await self.tell_recording()
        return plan.kind


SCRIPT = VonageScript()
