"""Calls as Twilio makes them: signed webhooks, and the TwiML of the answers is really followed.

What the server answers decides the call: ``<Dial>`` rings its nouns, each with its status callbacks;
without one the caller listens, follows ``<Redirect>``, and gives up after a while.
https://www.twilio.com/docs/usage/webhooks/webhooks-security, /docs/voice/twiml
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlencode
from xml.etree import ElementTree

from handlers.simulate.answers import CallLost, read_response
from handlers.simulate.plan import OUT, TALKS, Kind, Played
from handlers.simulate.script import Line
from handlers.simulate.twilio_wire import Call, Leg
from server.settings import CallSourceSettings

MOST_STEPS: Final = 8
HOLD_SECONDS: Final = 5.0
_VERBS: Final = frozenset({"Dial", "Enqueue", "Record"})
_UNTAKEN: Final = {Kind.BUSY: "busy", Kind.ABANDONED: "canceled"}
Form = dict[str, str]


class TwilioScript:
    name = "twilio"
    kinds = frozenset(Kind)
    led = True

    def lack(self, settings: CallSourceSettings) -> str:
        return ""

    async def play(self, line: Line) -> Sequence[Played]:
        call = Call(line)
        if line.plan.kind in OUT:
            return [line.played(call.sid, await _click_to_dial(call))]
        line.say(f"{line.who} rings {line.plan.dnis[-3:]}")
        kind = await _follow(call, await call.ask("", {"CallStatus": "ringing"}))
        talked = kind in TALKS or kind is Kind.VOICEMAIL
        seconds = line.since(call.begun) if talked else 0
        await call.ended("completed" if talked else "no-answer", seconds)
        if kind in TALKS:
            await call.tell_recording(seconds)
        line.say(f"{line.who} {'hangs up' if talked else 'gave up'}")
        return [line.played(call.sid, kind)]


async def _follow(call: Call, document: str) -> Kind:
    """Do what the TwiML says, until the caller has talked, left a message or given up."""
    for _ in range(MOST_STEPS):
        verb = next((one for one in read_response(document) if one.tag in _VERBS), None)
        if verb is None:
            break
        if verb.tag == "Dial":
            kind, action = await _ring(call, verb)
        elif verb.tag == "Enqueue":
            kind, action = None, await _wait(call, verb)
        else:
            kind, action = await _speak(call, verb)
        if not action:
            break
        document = await call.ask(verb.get("action", ""), action)
        if kind is not None:
            return kind
        if action["CallStatus"] == "completed":
            break
    return call.line.plan.kind if call.line.plan.kind in (Kind.MISSED, Kind.BUSY) else Kind.ABANDONED


async def _ring(call: Call, dial: ElementTree.Element) -> tuple[Kind | None, Form]:
    """How the call went on, when that is known, and what the Dial's action is told."""
    line, plan = call.line, call.line.plan
    legs = call.legs(dial)
    for leg in legs:
        await call.report(leg, "initiated", "initiated")
        await call.report(leg, "ringing", "ringing")
    await line.pause(plan.ring_seconds)
    # The server has chosen whom to ring; here is only whether somebody picks up.
    answered = line.stage.random.choice(legs) if legs and plan.kind in TALKS else None
    untaken = _UNTAKEN.get(plan.kind, "no-answer")
    for leg in legs:
        if leg is not answered:
            status = untaken if answered is None else "canceled"
            await call.report(leg, "completed", status, CallDuration="0", Duration="0")
    if answered is None:
        status = "completed" if plan.kind is Kind.ABANDONED else "in-progress"
        return None, {"CallStatus": status, "DialCallStatus": untaken if untaken == "busy" else "no-answer"}
    talked = await _talk(call, answered)
    if plan.kind is Kind.TRANSFERRED:
        answered, talked = await _transfer(call, answered, talked)
    await call.report(answered, "completed", "completed", CallDuration=str(talked), Duration="1")
    return plan.kind, {
        "CallStatus": "completed", "DialCallStatus": "completed", "DialCallSid": answered.sid,
        "DialCallDuration": str(talked), "DialBridged": "true",
    }  # fmt: skip


async def _talk(call: Call, leg: Leg) -> int:
    """How long they spoke, in seconds."""
    line, plan, begun = call.line, call.line.plan, call.line.now()
    await call.report(leg, "answered", "in-progress")
    line.say(f"{leg.to} answers {line.who}")
    if plan.kind is Kind.HELD:
        await line.pause(plan.talk_seconds / 3)
        for event in ("participant-hold", "participant-unhold"):
            await call.conference(event)
            await line.pause(plan.talk_seconds / 6)
    await line.pause(plan.talk_seconds / 3)
    return line.since(begun)


async def _transfer(call: Call, leg: Leg, talked: int) -> tuple[Leg, int]:
    """The agent hands over: the customer's leg fetches the document that rings the target."""
    line = call.line
    by = leg.to.removeprefix("client:")
    target = next((one.extension for one in line.plan.agents if one.extension != by), by)
    await call.report(leg, "completed", "completed", CallDuration=str(talked), Duration="1")
    query = urlencode({"target": target, "by": by})
    document = await call.ask(f"{line.hook_url}?{query}", {"CallStatus": "in-progress"})
    dial = next((one for one in read_response(document) if one.tag == "Dial"), None)
    legs = call.legs(dial) if dial is not None else []
    if [leg.to.removeprefix("client:") for leg in legs] != [target]:
        raise CallLost(f"the answer to a transfer to {target} rings {[leg.to for leg in legs]}")
    await call.report(legs[0], "initiated", "initiated")
    await call.report(legs[0], "ringing", "ringing")
    line.say(f"{by} hands {line.who} over to {target}")
    return legs[0], await _talk(call, legs[0])


async def _wait(call: Call, verb: ElementTree.Element) -> Form:
    """Listen in the queue until the wait document says ``<Leave>``, or patience is over."""
    line = call.line
    queue = {"QueueSid": call.new_sid("QU")}
    line.say(f"{line.who} waits in {verb.text or 'the queue'}")
    waited = 0.0
    while waited < line.plan.patience_seconds:
        asked = {"CallStatus": "in-progress", "QueuePosition": "1", "QueueTime": str(int(waited))}
        twiml = read_response(await call.ask(verb.get("waitUrl", ""), queue | asked))
        if twiml.find("Leave") is not None:
            left = {"CallStatus": "in-progress", "QueueResult": "leave", "QueueTime": str(int(waited))}
            return queue | left
        pause = twiml.find("Pause")
        seconds = float(pause.get("length", "1")) if pause is not None else HOLD_SECONDS
        await line.pause(seconds)
        waited += max(seconds, 1.0)
    return queue | {"CallStatus": "completed", "QueueResult": "hangup", "QueueTime": str(int(waited))}


async def _speak(call: Call, verb: ElementTree.Element) -> tuple[Kind | None, Form]:
    """A message after the tone, from those who would leave one."""
    line, seconds = call.line, call.line.plan.talk_seconds / 3
    if line.plan.kind is not Kind.VOICEMAIL:
        return None, {}
    await line.pause(seconds)
    line.say(f"{line.who} leaves a message")
    recording = call.recording(int(seconds / line.stage.speed))
    if verb.get("recordingStatusCallback"):
        await call.recorded(verb.get("recordingStatusCallback", ""), recording, "RecordVerb")
    return Kind.VOICEMAIL, recording | {"CallStatus": "completed", "Digits": "hangup"}


async def _click_to_dial(call: Call) -> Kind:
    """The agent's phone first; who picks it up fetches the document that rings the customer."""
    line, plan = call.line, call.line.plan
    call.to_agent(plan.agents[0])
    for sequence, status in enumerate(("initiated", "ringing")):
        await call.status(status, SequenceNumber=str(sequence))
    url = f"{line.hook_url}?{urlencode({'customer': plan.caller.number})}"
    document = await call.ask(url, {"CallStatus": "in-progress"})
    line.say(f"{plan.agents[0].name} calls {line.who}")
    dial = next((one for one in read_response(document) if one.tag == "Dial"), None)
    legs = call.legs(dial) if dial is not None else []
    if dial is None or not legs:
        raise CallLost("the answer to click to dial rings nobody")
    (leg, *_), taken = legs, plan.kind is Kind.OUTGOING
    await call.report(leg, "initiated", "initiated")
    await call.report(leg, "ringing", "ringing")
    await line.pause(plan.ring_seconds)
    result = {"CallStatus": "in-progress", "DialCallStatus": "busy", "DialCallSid": leg.sid}
    talked = "0"
    if taken:
        begun = line.now()
        await call.report(leg, "answered", "in-progress")
        line.say(f"{line.who} answers")
        await line.pause(plan.talk_seconds)
        talked = str(line.since(begun))
        result |= {"CallStatus": "completed", "DialCallStatus": "completed", "DialCallDuration": talked}
    await call.report(leg, "completed", "completed" if taken else "busy", CallDuration=talked, Duration="1")
    await call.ask(dial.get("action", ""), result)
    await call.ended("completed", line.since(call.begun), sequence=3)
    if taken:
        await call.tell_recording(int(talked))
    return plan.kind


SCRIPT = TwilioScript()
