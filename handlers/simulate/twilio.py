"""Calls as Twilio makes them: signed webhooks, and the TwiML of the answers is really followed.

What the server answers decides the call: ``<Dial>`` rings its nouns, each with its status callbacks;
without one the caller listens, follows ``<Redirect>``, and gives up after a while.
https://www.twilio.com/docs/usage/webhooks/webhooks-security, /docs/voice/twiml
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final
from urllib.parse import urlencode, urljoin
from uuid import UUID
from xml.etree import ElementTree

from handlers.simulate.stage import CallPlan, Stage, shown

ACCOUNT: Final = "AC" + "0" * 32
PREFIXES: Final = {"Client": "client:", "Sip": "", "Number": ""}
MOST_STEPS: Final = 8
_VERBS: Final = frozenset({"Dial", "Enqueue", "Record"})
HOLD_SECONDS: Final = 5.0


def sign(secret: str, url: str, form: Mapping[str, str]) -> str:
    """X-Twilio-Signature: HMAC-SHA1 over the URL and every parameter, sorted by name."""
    text = url + "".join(name + form[name] for name in sorted(form))
    return base64.b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha1).digest()).decode()


@dataclass(slots=True)
class _Leg:
    """One agent that is rung."""

    sid: str
    to: str
    callback: str
    events: frozenset[str]
    sequence: int = 0


@dataclass(slots=True)
class _Call:
    stage: Stage
    plan: CallPlan
    sid: str
    base: dict[str, str] = field(default_factory=dict)

    async def send(self, url: str, form: Mapping[str, str]) -> tuple[int, str]:
        url = urljoin(self.stage.hook_url(self.plan.source), url).partition("#")[0]
        stage = self.stage
        headers = {
            "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
            "User-Agent": "TwilioProxy/1.1",
            "X-Twilio-Signature": sign(self.plan.settings.secrets[0].get_secret_value(), url, form),
            "I-Twilio-Idempotency-Token": str(UUID(int=stage.random.getrandbits(128), version=4)),
        }
        return await stage.post(url, urlencode(form).encode(), headers)

    async def report(self, leg: _Leg, event: str, status: str, **more: str) -> None:
        """A status callback of a child leg, when its noun asked for it."""
        if not leg.callback or event not in leg.events:
            return
        form = self.base | {
            "CallSid": leg.sid,
            "ParentCallSid": self.sid,
            "CallStatus": status,
            "Direction": "outbound-dial",
            "To": leg.to,
            "Called": leg.to,
            "CallbackSource": "call-progress-events",
            "SequenceNumber": str(leg.sequence),
            "Timestamp": format_datetime(datetime.now(UTC)),
        }
        leg.sequence += 1
        await self.send(leg.callback, form | more)


class TwilioScript:
    name = "twilio"

    async def play(self, stage: Stage, call: CallPlan) -> None:
        sid = _sid(stage, "CA")
        number = call.caller.number or "+266696687"  # what stands for "anonymous" there
        base = {
            "AccountSid": ACCOUNT, "ApiVersion": "2010-04-01", "CallSid": sid, "From": number, "Caller": number,
            "To": call.dnis, "Called": call.dnis, "FromCity": "", "FromState": "", "FromZip": "",
        }  # fmt: skip
        line = _Call(stage, call, sid, base)
        who = f"{call.caller.name} ({shown(call.caller.number)})"
        status, reply = await line.send(
            stage.hook_url(call.source), base | {"CallStatus": "ringing", "Direction": "inbound"}
        )
        stage.tell(f"call  {call.source}: {who} rings {call.dnis[-3:]} -> {status}")
        talked = await self._follow(line, reply, who) if status == 200 else 0.0
        form = base | {
            "CallStatus": "completed" if talked else "no-answer",
            "Direction": "inbound",
            "CallbackSource": "call-progress-events",
            "SequenceNumber": "0",
            "Timestamp": format_datetime(datetime.now(UTC)),
            "CallDuration": str(int(talked)),
            "Duration": str(int(talked // 60 + 1)),
        }
        await line.send(stage.hook_url(call.source), form)
        stage.tell(f"call  {call.source}: {who} {'hangs up' if talked else 'gave up'}")

    async def _follow(self, line: _Call, reply: str, who: str) -> float:
        """Do what the TwiML says, until the caller has talked (for so many seconds) or gives up (0)."""
        for _ in range(MOST_STEPS):
            twiml = _read(line, reply)
            verb = next((one for one in twiml if one.tag in _VERBS), None) if twiml is not None else None
            if verb is None:
                return 0.0
            if verb.tag == "Dial":
                talked, action = await self._ring(line, verb, who)
            elif verb.tag == "Enqueue":
                talked, action = 0.0, await self._wait(line, verb, who)
            else:
                talked, action = 0.0, await self._speak(line, verb, who)
            if not action:
                return talked
            status, reply = await line.send(verb.get("action", ""), line.base | action)
            if talked or status != 200:
                return talked
        return 0.0

    async def _wait(self, line: _Call, verb: ElementTree.Element, who: str) -> dict[str, str]:
        """Listen in the queue until the wait document says ``<Leave>``, or patience is over."""
        stage = line.stage
        queue = {"QueueSid": _sid(stage, "QU"), "Direction": "inbound"}
        stage.tell(f"call  {line.plan.source}: {who} waits in {verb.text or 'the queue'}")
        waited = 0.0
        while waited < line.plan.patience_seconds:
            asked = {"CallStatus": "in-progress", "QueuePosition": "1", "QueueTime": str(int(waited))}
            status, reply = await line.send(verb.get("waitUrl", ""), line.base | queue | asked)
            twiml = _read(line, reply) if status == 200 else None
            if twiml is None:
                break
            if twiml.find("Leave") is not None:
                return queue | {
                    "CallStatus": "in-progress",
                    "QueueResult": "leave",
                    "QueueTime": str(int(waited)),
                }
            pause = twiml.find("Pause")
            seconds = float(pause.get("length", "1")) if pause is not None else HOLD_SECONDS
            await stage.pause(seconds)
            waited += max(seconds, 1.0)
        return queue | {"CallStatus": "completed", "QueueResult": "hangup", "QueueTime": str(int(waited))}

    async def _speak(self, line: _Call, verb: ElementTree.Element, who: str) -> dict[str, str]:
        """A message after the tone."""
        await line.stage.pause(line.plan.talk_seconds / 3)
        sid = _sid(line.stage, "RE")
        line.stage.tell(f"call  {line.plan.source}: {who} leaves a message")
        recording = {
            "RecordingSid": sid,
            "RecordingUrl": f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Recordings/{sid}",
            "RecordingDuration": str(int(line.plan.talk_seconds / 3) + 1),
        }
        return recording | {"CallStatus": "completed", "Direction": "inbound", "Digits": "hangup"}

    async def _ring(self, line: _Call, dial: ElementTree.Element, who: str) -> tuple[float, dict[str, str]]:
        """Seconds talked, and what the Dial's action is told."""
        stage, plan = line.stage, line.plan
        legs = _legs(stage, dial)
        outcome = {"CallStatus": "in-progress", "Direction": "inbound", "DialCallStatus": "no-answer"}
        for leg in legs:
            await line.report(leg, "initiated", "initiated")
            await line.report(leg, "ringing", "ringing")
        await stage.pause(plan.ring_seconds)
        # The server has chosen whom to ring; here is only whether somebody picks up.
        answered = stage.random.choice(legs) if plan.agents else None
        for leg in legs:
            if leg is not answered:
                end = "no-answer" if answered is None else "canceled"
                await line.report(leg, "completed", end, CallDuration="0", Duration="0")
        if answered is None:
            return 0.0, outcome
        await line.report(answered, "answered", "in-progress")
        stage.tell(f"call  {plan.source}: {answered.to} answers {who}")
        await stage.pause(plan.talk_seconds)
        talked = max(1.0, plan.talk_seconds)
        await line.report(answered, "completed", "completed", CallDuration=str(int(talked)), Duration="1")
        outcome |= {
            "CallStatus": "completed", "DialCallStatus": "completed", "DialCallSid": answered.sid,
            "DialCallDuration": str(int(talked)), "DialBridged": "true",
        }  # fmt: skip
        return talked, outcome


def _read(line: _Call, reply: str) -> ElementTree.Element | None:
    """Our own server's answer: no entity is expanded, no file is read by this parser."""
    try:
        return ElementTree.fromstring(reply)
    except ElementTree.ParseError:
        line.stage.tell(f"call  {line.plan.source}: the answer is no TwiML")
        return None


def _legs(stage: Stage, dial: ElementTree.Element) -> list[_Leg]:
    return [
        _Leg(
            sid=_sid(stage, "CA"),
            to=PREFIXES[noun.tag] + (noun.findtext("Identity") or noun.text or "").strip(),
            callback=noun.get("statusCallback", ""),
            events=frozenset((noun.get("statusCallbackEvent") or "completed").split()),
        )
        for noun in dial
        if noun.tag in PREFIXES
    ]


def _sid(stage: Stage, prefix: str) -> str:
    return f"{prefix}{stage.random.getrandbits(128):032x}"


SCRIPT = TwilioScript()
