"""Twilio's side of the wire: signed forms, the legs that a Dial rings, and what is told of them."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import format_datetime
from typing import Final
from urllib.parse import urlencode, urljoin
from xml.etree import ElementTree

from handlers.simulate.answers import Check, is_empty, is_response
from handlers.simulate.script import Line
from handlers.simulate.stage import Request
from server.store.simulation import SimAgent

ACCOUNT: Final = "AC" + "0" * 32
ANONYMOUS: Final = "+266696687"  # stands for a withheld number there
PREFIXES: Final = {"Client": "client:", "Sip": "", "Number": ""}


def sign(secret: str, url: str, form: Mapping[str, str]) -> str:
    """X-Twilio-Signature: HMAC-SHA1 over the URL and every parameter, sorted by name."""
    text = url + "".join(name + form[name] for name in sorted(form))
    return base64.b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha1).digest()).decode()


@dataclass(slots=True)
class Leg:
    """One phone that is rung."""

    sid: str
    to: str
    callback: str
    events: frozenset[str]
    sequence: int = 0


class Call:
    """A call's first leg, and what is sent for it and its others."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.sid = self.new_sid("CA")
        self.conference_sid = self.new_sid("CF")
        self.begun = line.now()
        self.holds = 0
        self.recorded_by = ""  # where the Dial wants to hear of its recording
        number = line.plan.caller.number or ANONYMOUS
        self.base = {
            "AccountSid": ACCOUNT, "ApiVersion": "2010-04-01", "CallSid": self.sid, "Direction": "inbound",
            "From": number, "Caller": number, "To": line.plan.dnis, "Called": line.plan.dnis,
            "FromCity": "", "FromState": "", "FromZip": "",
        }  # fmt: skip

    def to_agent(self, agent: SimAgent) -> None:
        """The first leg is the agent's: a call that our own request made."""
        to = agent.extension if agent.extension.startswith(("sip:", "+")) else f"client:{agent.extension}"
        line = self.line.plan.dnis
        self.base |= {"Direction": "outbound-api", "From": line, "Caller": line, "To": to, "Called": to}

    def new_sid(self, prefix: str) -> str:
        return f"{prefix}{self.line.stage.ids.getrandbits(128):032x}"

    def request(self, url: str, form: Mapping[str, str], check: Check) -> Request:
        url = urljoin(self.line.hook_url, url).partition("#")[0]
        headers = {
            "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
            "User-Agent": "TwilioProxy/1.1",
            "X-Twilio-Signature": sign(self.line.plan.secret, url, form),
            "I-Twilio-Idempotency-Token": self.line.stage.new_id(),
        }
        return Request(url, urlencode(form).encode(), headers, check)

    async def ask(self, url: str, form: Mapping[str, str], check: Check = is_response) -> str:
        return await self.line.ask(self.request(url, {**self.base, **form}, check))

    async def tell(self, url: str, form: Mapping[str, str]) -> None:
        await self.line.tell(self.request(url, form, is_empty))

    def legs(self, dial: ElementTree.Element) -> list[Leg]:
        if dial.get("record") and dial.get("recordingStatusCallback"):
            self.recorded_by = dial.get("recordingStatusCallback", "")
        return [
            Leg(
                sid=self.new_sid("CA"),
                to=PREFIXES[noun.tag] + (noun.findtext("Identity") or noun.text or "").strip(),
                callback=noun.get("statusCallback", ""),
                events=frozenset((noun.get("statusCallbackEvent") or "completed").split()),
            )
            for noun in dial
            if noun.tag in PREFIXES
        ]

    async def report(self, leg: Leg, event: str, status: str, **more: str) -> None:
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
            "SequenceNumber": str(leg.sequence),
        }
        leg.sequence += 1
        await self.tell(leg.callback, form | self._progress() | more)

    async def status(self, status: str, **more: str) -> None:
        """A status callback of the first leg."""
        await self.tell("", self.base | {"CallStatus": status} | self._progress() | more)

    async def ended(self, status: str, seconds: int, *, sequence: int = 0) -> None:
        durations = {"CallDuration": str(seconds), "Duration": str(seconds // 60 + 1)}
        await self.status(status, SequenceNumber=str(sequence), **durations)

    def _progress(self) -> dict[str, str]:
        now = format_datetime(self.line.now().replace(microsecond=0))
        return {"CallbackSource": "call-progress-events", "Timestamp": now}

    async def conference(self, event: str) -> None:
        """What happens to the customer where everybody is in a conference."""
        self.holds += 1
        form = {
            "AccountSid": ACCOUNT, "CallSid": self.sid, "ConferenceSid": self.conference_sid,
            "FriendlyName": self.sid, "StatusCallbackEvent": event, "SequenceNumber": str(self.holds),
            "Timestamp": self._progress()["Timestamp"], "Hold": str(event == "participant-hold").lower(),
        }  # fmt: skip
        await self.tell("", form)

    def recording(self, seconds: int) -> dict[str, str]:
        sid = self.new_sid("RE")
        return {
            "RecordingSid": sid,
            "RecordingUrl": self.line.stage.new_recording(sid),
            "RecordingDuration": str(seconds),
        }

    async def tell_recording(self, seconds: int) -> None:
        """Of the talk, where the Dial asked for one."""
        if self.recorded_by:
            await self.recorded(self.recorded_by, self.recording(seconds), "DialVerb")

    async def recorded(self, url: str, recording: Mapping[str, str], source: str) -> None:
        """A recording can be fetched."""
        form = {"AccountSid": ACCOUNT, "CallSid": self.sid, "RecordingStatus": "completed", **recording}
        await self.tell(url, form | {"RecordingChannels": "1", "RecordingSource": source})
