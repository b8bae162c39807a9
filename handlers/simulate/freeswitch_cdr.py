"""Calls as FreeSWITCH's mod_json_cdr records them: a document for each leg, posted when the leg is over.

In all three encodings that the module knows. An agent's leg is over before the caller's, as a rule.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from handlers.simulate.answers import is_empty
from handlers.simulate.plan import OUT, TALKS, Kind, Played
from handlers.simulate.script import Line
from handlers.simulate.stage import Request
from server.settings import CallSourceSettings

_CAUSES = {
    Kind.MISSED: "NO_ANSWER",
    Kind.ABANDONED: "ORIGINATOR_CANCEL",
    Kind.BUSY: "USER_BUSY",
    Kind.UNTAKEN: "NO_ANSWER",
}
_OFF = ("off", "false", "no", "0")


@dataclass(frozen=True, slots=True)
class _Part:
    """A phone that was rung: a leg of its own, and a part of the caller's call flow."""

    id: str
    number: str
    begun: datetime
    answered: datetime | None
    ended: datetime


class _Call:
    """Everything of one call, once it is over."""

    def __init__(self, line: Line, kind: Kind) -> None:
        self.line, self.plan, self.kind = line, line.plan, kind
        self.id = line.stage.new_id()
        plan = line.plan
        talked = plan.talk_seconds if kind in TALKS or kind in (Kind.OUTGOING, Kind.VOICEMAIL) else 0.0
        self.ended = line.now()
        self.answered = self.ended - timedelta(seconds=talked)
        self.begun = self.answered - timedelta(seconds=plan.ring_seconds)
        self.out = kind in OUT
        self.agent = plan.agents[0].extension if plan.agents else ""
        self.caller = self.agent if self.out else plan.caller.number or "anonymous"
        self.called = plan.caller.number if self.out else plan.dnis
        self.parts = self._parts(talked)

    def _parts(self, talked: float) -> list[_Part]:
        plan, new_id = self.plan, self.line.stage.new_id
        if self.kind in (Kind.VOICEMAIL, Kind.ABANDONED) or not self.agent:
            return []
        number = self.called if self.out else self.agent
        taken = self.kind in TALKS or self.kind is Kind.OUTGOING
        if self.kind is not Kind.TRANSFERRED:
            return [_Part(new_id(), number, self.begun, self.answered if taken else None, self.ended)]
        to = plan.agents[1 if len(plan.agents) > 1 else 0].extension
        middle = self.ended - timedelta(seconds=talked / 2)
        return [
            _Part(new_id(), number, self.begun, self.answered, middle),
            _Part(new_id(), to, middle, middle, self.ended),
        ]

    def callers_leg(self) -> dict[str, Any]:
        taken = any(part.answered for part in self.parts)
        spoke = taken or self.kind is Kind.VOICEMAIL
        voicemail = [{"app_name": "voicemail", "app_data": "default x 100"}]
        bridge = [{"app_name": "bridge", "app_data": f"user/{self.agent}"}]
        # Times that a module gives are the epoch's; 0: never.
        variables = {
            "uuid": self.id,
            "direction": "inbound",  # as the switch sees whoever calls it
            "call_uuid": self.id,
            "start_epoch": _epoch(self.begun),
            "answer_epoch": _epoch(self.answered) if spoke else "0",
            "bridge_epoch": _epoch(self.answered) if taken else "0",
            "end_epoch": _epoch(self.ended),
            "duration": str(int((self.ended - self.begun).total_seconds())),
            "billsec": str(int((self.ended - self.answered).total_seconds())) if spoke else "0",
            "hangup_cause": _CAUSES.get(self.kind, "NORMAL_CLEARING"),
            "sip_from_user": self.caller,
            "sip_to_user": self.called,
        }
        if self.out:
            variables["user_name"] = self.agent
        flow = [self._flow(part) for part in reversed(self.parts)] or [self._flow(None)]
        return _document(variables, flow, voicemail if self.kind is Kind.VOICEMAIL else bridge)

    def _flow(self, part: _Part | None) -> dict[str, Any]:
        profile: dict[str, Any] = {
            "username": self.agent if self.out else "",
            "caller_id_name": "" if self.out else self.caller,
            "caller_id_number": self.caller,
            "ani": self.caller,
            "destination_number": self.called,
            "uuid": self.id,
            "context": "default" if self.out else "public",
            "chan_name": f"sofia/{'internal' if self.out else 'external'}/{self.caller}@pbx.example.com",
        }
        if part is not None:
            reached = {"uuid": part.id, "destination_number": part.number}
            profile["originatee"] = {"originatee_caller_profiles": [reached]}
        answered = part.answered if part is not None else None
        if part is None and self.kind is Kind.VOICEMAIL:
            answered = self.answered
        begun = part.begun if part is not None else self.begun
        times = _times(begun, answered, answered if part is not None else None, self.ended)
        return {"profile_index": "1", "caller_profile": profile, "times": times}

    def phones_leg(self, part: _Part) -> dict[str, Any]:
        """A leg that the switch made: to an agent, or out to the customer."""
        talked = int((part.ended - part.answered).total_seconds()) if part.answered is not None else 0
        variables = {
            "uuid": part.id,
            "direction": "outbound",
            "call_uuid": self.id,
            "originator": self.id,
            "start_epoch": _epoch(part.begun),
            "answer_epoch": _epoch(part.answered) if part.answered is not None else "0",
            "end_epoch": _epoch(part.ended),
            "billsec": str(talked),
            "hangup_cause": _CAUSES.get(self.kind, "NORMAL_CLEARING"),
        }
        if not self.out:
            variables["dialed_user"] = part.number
        originator = self._flow(None)["caller_profile"]
        profile = {
            "caller_id_number": self.caller,
            "destination_number": part.number,
            "uuid": part.id,
            "chan_name": f"sofia/{'external' if self.out else 'internal'}/{part.number}@pbx.example.com",
            "originator": {"originator_caller_profiles": [originator]},
        }
        times = _times(part.begun, part.answered, part.answered, part.ended)
        return _document(variables, [{"profile_index": "1", "caller_profile": profile, "times": times}], [])

    def request(self, leg: dict[str, Any]) -> Request:
        encode = self.line.stage.random.choice(("false", "true", "base64"))
        document = json.dumps(leg)
        if encode == "false":
            kind, body = "application/json", document
        elif encode == "true":
            kind, body = "application/x-www-form-urlencoded", f"cdr={quote(document, safe='')}"
        else:
            kind = "application/x-www-form-base64-encoded"
            body = f"cdr={base64.b64encode(document.encode()).decode()}"
        headers = {
            "Content-Type": kind,
            "User-Agent": "freeswitch-json/1.0",
            "Authorization": f"Basic {base64.b64encode(self.plan.secret.encode()).decode()}",
        }
        url = f"{self.line.hook_url}?uuid={leg['variables']['uuid']}"
        return Request(url, body.encode(), headers, is_empty)


def _document(
    variables: dict[str, str], flow: list[dict[str, Any]], applications: list[dict[str, str]]
) -> dict[str, Any]:
    """Variables are percent-encoded (``encode-values``), the rest is not."""
    encoded = {name: quote(value, safe="") for name, value in variables.items()}
    flow[-1]["extension"] = {"applications": applications}
    return {"switchname": "fs1", "variables": encoded, "callflow": flow}


def _epoch(time: datetime) -> str:
    return str(int(time.timestamp()))


def _times(
    begun: datetime, answered: datetime | None, bridged: datetime | None, ended: datetime
) -> dict[str, str]:
    stamps = {
        "created_time": begun,
        "profile_created_time": begun,
        "answered_time": answered,
        "bridged_time": bridged,
        "hangup_time": ended,
    }
    return {name: str(int(at.timestamp() * 1_000_000)) if at else "0" for name, at in stamps.items()}


class FreeswitchCdrScript:
    name = "freeswitch_cdr"
    kinds = frozenset(Kind) - {Kind.HELD}
    led = False

    def lack(self, settings: CallSourceSettings) -> str:
        return ""

    async def play(self, line: Line) -> Sequence[Played]:
        plan = line.plan
        needs_agent = plan.kind in OUT or plan.kind in TALKS
        kind = plan.kind if plan.agents or not needs_agent else Kind.ABANDONED
        await line.pause(plan.ring_seconds + (plan.talk_seconds if kind in TALKS else 0.0))
        call = _Call(line, kind)
        legs = [call.phones_leg(part) for part in call.parts]
        if plan.option("log_b_leg").lower() in _OFF:
            legs = []
        for leg in (*legs, call.callers_leg()):
            await line.tell(call.request(leg))
        line.say_record(kind)
        return [line.played(call.id, kind)]


SCRIPT = FreeswitchCdrScript()
