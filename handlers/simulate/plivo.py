"""Calls as Plivo makes them: signed requests, and the XML of the answers is really followed.

https://www.plivo.com/docs/voice/xml. ``<Dial>`` rings its phones at once and tells its callback of each;
``<Redirect>`` is how one who waits is asked about again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlencode
from xml.etree import ElementTree

from handlers.simulate.answers import CallLost
from handlers.simulate.plan import OUT, TALKS, Kind, Played
from handlers.simulate.plivo_wire import Call, Leg
from handlers.simulate.script import Line
from server.settings import CallSourceSettings

MOST_STEPS: Final = 40
_SPEAK_SECONDS: Final = 3.0
Element = ElementTree.Element


class PlivoScript:
    name = "plivo"
    kinds = frozenset(Kind) - {Kind.HELD}
    led = True

    def lack(self, settings: CallSourceSettings) -> str:
        return ""

    async def play(self, line: Line) -> Sequence[Played]:
        call = Call(line)
        kind = await (_click_to_dial(call) if line.plan.kind in OUT else _Incoming(call).play())
        return [line.played(call.id, kind)]


class _Incoming:
    def __init__(self, call: Call) -> None:
        self.call, self.line, self.plan = call, call.line, call.line.plan
        self.waited = 0.0
        self.talked: Leg | None = None
        self.recorded_by = ""  # where the recording of the talk is to be told
        self.cancelled = False

    async def play(self) -> Kind:
        call, line = self.call, self.line
        document: Element | None = await call.ask(f"{line.hook_url}/answer", "StartApp", "ringing")
        line.say(f"{line.who} rings {self.plan.dnis[-3:]}")
        kind: Kind | None = None
        for _ in range(MOST_STEPS):
            if kind is not None or document is None:
                break
            kind, document = await self.follow(document)
        kind = kind or (self.plan.kind if self.plan.kind in (Kind.MISSED, Kind.BUSY) else Kind.ABANDONED)
        await call.end(f"{line.hook_url}/hangup", cancelled=self.cancelled)
        if self.recorded_by and self.talked is not None:
            await call.recorded(self.recorded_by, self.talked)
        line.say(f"{line.who} {'hangs up' if kind in TALKS or kind is Kind.VOICEMAIL else 'gave up'}")
        return kind

    async def follow(self, document: Element) -> tuple[Kind | None, Element | None]:
        """One document: how the call ended, or the one by which it goes on; neither: the caller is gone."""
        for verb in document:
            if verb.tag == "Record" and verb.get("startOnDialAnswer") == "true":
                self.recorded_by = verb.get("callbackUrl", "")
            elif verb.tag == "Record":
                return await self.leave_message(verb), None
            elif verb.tag == "Dial":
                return await self.dial(verb)
            elif verb.tag == "Redirect":
                return None, await self.wait((verb.text or "").strip())
            elif verb.tag in ("Speak", "Play"):
                await self.line.pause(_SPEAK_SECONDS)
                self.waited += _SPEAK_SECONDS
            elif verb.tag == "Wait":
                await self.line.pause(float(verb.get("length", "1")))
                self.waited += float(verb.get("length", "1"))
            elif verb.tag == "Hangup":
                break
        return None, None

    async def wait(self, url: str) -> Element | None:
        if self.waited >= self.plan.patience_seconds:
            return None
        if not self.waited:
            self.line.say(f"{self.line.who} waits in the queue")
        return await self.call.ask(url, "Redirect", "in-progress")

    async def dial(self, dial: Element) -> tuple[Kind | None, Element | None]:
        call, line, kind = self.call, self.line, self.plan.kind
        legs = call.legs(dial)
        await line.pause(self.plan.ring_seconds)
        if kind is Kind.ABANDONED:
            self.cancelled = not self.waited
            return None, None
        if kind not in TALKS:
            return None, await call.after_dial(dial, "busy" if kind is Kind.BUSY else "no-answer", None)
        self.talked = await self.talk(line.stage.random.choice(legs))
        await call.after_dial(dial, "completed", self.talked)
        return kind, None

    async def talk(self, leg: Leg) -> Leg:
        call, line, plan = self.call, self.line, self.plan
        await call.answered(leg)
        line.say(f"{leg.to} answers {line.who}")
        await line.pause(plan.talk_seconds / 2)
        if plan.kind is Kind.TRANSFERRED:
            leg = await self.transfer(leg)
        await line.pause(plan.talk_seconds / 2)
        await call.hung_up(leg)
        return leg

    async def transfer(self, leg: Leg) -> Leg:
        """The A leg fetches XML of ours that rings the target."""
        call, line = self.call, self.line
        by = leg.to.removeprefix("sip:").partition("@")[0]
        target = next((one.extension for one in self.plan.agents if one.extension != by), by)
        url = f"{line.hook_url}?{urlencode({'target': target, 'call': call.id})}"
        document = await call.ask(url, "Redirect", "in-progress")
        await call.hung_up(leg)
        dial = document.find("Dial")
        legs = call.legs(dial) if dial is not None else []
        if len(legs) != 1 or target.removeprefix("+") not in legs[0].to:
            raise CallLost(f"the answer to a transfer to {target} rings {[leg.to for leg in legs]}")
        second = legs[0]
        await line.pause(self.plan.ring_seconds)
        await call.answered(second)
        line.say(f"{by} hands {line.who} over to {second.to}")
        return second

    async def leave_message(self, record: Element) -> Kind | None:
        if self.plan.kind is not Kind.VOICEMAIL:
            return None
        begun = self.line.now()
        await self.line.pause(self.plan.talk_seconds / 4)
        more = {**self.call.recording(begun), "RecordingEndReason": "Hangup", "Digits": ""}
        await self.call.ask(record.get("action", ""), "RecordStop", "in-progress", **more)
        self.line.say(f"{self.line.who} leaves a message")
        return Kind.VOICEMAIL


async def _click_to_dial(call: Call) -> Kind:
    """The agent's phone first; what answers it connects the customer."""
    line, plan = call.line, call.line.plan
    agent = plan.agents[0].extension
    domain = plan.option("sip_domain") or "phone.plivo.com"
    to = agent if agent.startswith(("sip:", "+")) else f"sip:{agent}@{domain}"
    call.base |= {"Direction": "outbound", "RequestUUID": call.id, "ALegRequestUUID": call.id}
    call.base |= {"From": plan.dnis.removeprefix("+"), "To": to.removeprefix("+")}
    url = f"{line.hook_url}?{urlencode({'customer': plan.caller.number.removeprefix('+')})}"
    await call.tell(url, "Ring", "ringing")
    document = await call.ask(url, "StartApp", "in-progress")
    line.say(f"{plan.agents[0].name} calls {line.who}")
    dial, record = document.find("Dial"), document.find("Record")
    if dial is None:
        raise CallLost("the answer to click to dial rings nobody")
    (customer, *_) = call.legs(dial)
    await line.pause(plan.ring_seconds)
    if plan.kind is Kind.OUTGOING:
        await call.answered(customer)
        line.say(f"{line.who} answers")
        await line.pause(plan.talk_seconds)
        await call.hung_up(customer)
        await call.after_dial(dial, "completed", customer)
    else:
        await call.after_dial(dial, "busy", None)
    await call.end(url)
    if record is not None and plan.kind is Kind.OUTGOING:
        await call.recorded(record.get("callbackUrl", ""), customer)
    return plan.kind


SCRIPT = PlivoScript()
