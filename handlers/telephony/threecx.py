"""3CX call journaling: the ReportCall scenario of a CRM template posts one message when a call is over.

3CX fills the variables of our template (``type``, ``number``, ``agent``, ``duration``, ``started_utc``,
...; its own names are understood too), as JSON, with or without a ``call`` object around them, or as a
form. No id of the call is among them, so it is made of what cannot be the same for two calls. One
message says when the call rang, whether somebody picked it up, and how it ended: one event for each,
the end first, so that nobody is popped for a call that is over.

The secret comes as ``X-Api-Key`` (a header of the template), as ``Authorization: Bearer`` or as
``?token=``. Commands are in ``threecx_control``, the caller look-up in ``threecx_lookup``, live calls
in ``threecx_live``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp

from handlers.telephony import threecx_control
from handlers.telephony.control import Command
from handlers.telephony.fields import MAX_KEY, optional_text, read_form, required_key
from handlers.telephony.provider import CallSource, HookReply, HookRequest
from handlers.telephony.signing import is_one_of, presented_tokens
from handlers.telephony.threecx_lookup import lookup_reply
from server.domain.errors import Invalid, Malformed, NotAuthenticated
from server.domain.event import CallEvent, Direction, EventType
from server.domain.outcome import CallOutcome

__all__ = ["PROVIDER", "lookup_reply"]

# Ours -> the variable of the PBX, both without case and underscores.
_VARIABLES = {
    "type": "calltype",
    "startedutc": "callstarttimeutc",
    "answeredutc": "callestablishedtimeutc",
    "endedutc": "callendtimeutc",
    "queue": "queueextension",
    "recordingurl": "recordingurl",
    "number": "number",
    "agent": "agent",
    "name": "name",
    "duration": "duration",
}
_DURATION = re.compile(r"(?:([0-9]{1,2})[.:])?([0-9]{1,2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]{1,9})?")
_SECONDS = re.compile(r"[0-9]{1,6}")
_YEARS = range(2000, 2100)  # what lies outside is no time of a call, and overflows when added to


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What a call type means: how the call ended, whose call it was, whether somebody had picked up."""

    end: EventType
    direction: Direction
    answered: bool
    cause: str | None = None


_TYPES = {
    "inbound": _Outcome(EventType.HANGUP, Direction.INBOUND, True),
    "missed": _Outcome(EventType.MISSED, Direction.INBOUND, False, "missed"),
    "outbound": _Outcome(EventType.HANGUP, Direction.OUTBOUND, True),
    "notanswered": _Outcome(EventType.HANGUP, Direction.OUTBOUND, False, "notanswered"),
}


class ThreecxProvider:
    """The ``Provider`` of sources with ``provider = "threecx"``."""

    name = "threecx"
    ring = "pbx"  # the agent was chosen before we hear of the call
    deeds = threecx_control.DEEDS
    needs = ("api_url", "client_id", "client_key")
    needs_to_dial: tuple[str, ...] = ()
    lookup_reply = staticmethod(lookup_reply)

    def verify(self, source: CallSource, request: HookRequest) -> None:
        keys = [*presented_tokens(request)]
        if request.headers.get("X-Api-Key"):
            keys.append(request.headers["X-Api-Key"])
        if not keys:
            raise NotAuthenticated("send the secret as 'X-Api-Key: SECRET', as Bearer or as '?token=SECRET'")
        if not any(is_one_of(key, source.secrets) for key in keys):
            raise NotAuthenticated("the secret is not one of this source")

    def parse(self, source: CallSource, request: HookRequest) -> Sequence[CallEvent]:
        fields = _read(request)
        said = fields.get("type", "")
        outcome = _TYPES.get(said.lower())
        if outcome is None:
            wrong = Invalid if said else Malformed
            raise wrong("type is unknown", fields={"type": f"must be one of {', '.join(_TYPES)}"})
        return tuple(_events(fields, outcome))

    def reply(
        self,
        source: CallSource,
        request: HookRequest,
        events: Sequence[CallEvent],
        outcomes: Sequence[CallOutcome],
    ) -> HookReply:
        return HookReply(200, "{}", "application/json")

    async def act(self, source: CallSource, command: Command, http: aiohttp.ClientSession) -> str:
        return await threecx_control.act(source, command, http)


def _events(fields: Mapping[str, str], outcome: _Outcome) -> Iterator[CallEvent]:
    started = _time("started_utc", fields.get("startedutc"))
    seconds = _seconds(fields.get("duration"))
    ended = _later(fields.get("endedutc"), started + timedelta(seconds=seconds or 0))
    key = _key(fields)
    agent = optional_text(fields.get("agent"))
    number = optional_text(fields.get("number"))
    inbound = outcome.direction is Direction.INBOUND
    end = CallEvent(
        type=outcome.end,
        call_key=key,
        leg_key=key,
        event_key=key,
        direction=outcome.direction,
        ani=number if inbound else None,
        dnis=None if inbound else number,
        display_name=optional_text(fields.get("name")),
        agent_refs=(agent,) if agent else (),
        queue_ref=optional_text(fields.get("queue")),
        occurred_at=ended,
        duration_seconds=seconds,
        cause=outcome.cause,
        recording_url=optional_text(fields.get("recordingurl")),
        ends_call=True,
    )
    yield end
    part = replace(end, duration_seconds=None, cause=None, recording_url=None, ends_call=False)
    yield replace(part, type=EventType.RINGING, event_key=f"{key}:ringing", occurred_at=started)
    if outcome.answered:
        # Without the time of the answer the talk is taken to fill the end of the call.
        answered = _later(fields.get("answeredutc"), ended - timedelta(seconds=seconds or 0))
        yield replace(part, type=EventType.ANSWERED, event_key=f"{key}:answered", occurred_at=answered)


def _key(fields: Mapping[str, str]) -> str:
    """The same for the same call and for no other: an agent starts one call with one number at a time."""
    said = "|".join(fields.get(name, "")[:MAX_KEY] for name in ("startedutc", "agent", "number", "type"))
    return hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:24]


# -- reading -----------------------------------------------------------------------------------------


def _read(request: HookRequest) -> dict[str, str]:
    """The variables by the names of ours without underscores. Raises Malformed."""
    said: Mapping[str, Any]
    if request.method == "GET":
        said = dict(request.query)
    elif request.body[:1] in (b"{", b"[") or "json" in request.headers.get("Content-Type", "").lower():
        said = _read_json(request.body)
    else:
        said = dict(read_form(request.body))
    plain = {name.replace("_", "").lower(): value for name, value in said.items()}
    found = {}
    for ours, theirs in _VARIABLES.items():
        value = plain.get(ours, plain.get(theirs))
        if isinstance(value, str):
            found[ours] = value
        elif value is not None:
            raise Malformed(f"{ours} must be a text", fields={ours: "must be a text"})
    return found


def _read_json(body: bytes) -> Mapping[str, Any]:
    try:
        # Extensions and numbers that were sent as numbers lose no digit.
        message = json.loads(body, parse_int=str, parse_float=str)
    except (ValueError, RecursionError) as bad:
        raise Malformed(f"the JSON body cannot be read: {bad}") from None
    call = message.get("call", message) if isinstance(message, dict) else None
    if not isinstance(call, dict):
        raise Malformed("the JSON body must be an object with the call's fields")
    return call


def _time(name: str, stamp: str | None) -> datetime:
    """ISO 8601, UTC unless it says otherwise. Raises Malformed: without it calls cannot be told apart."""
    try:
        found = datetime.fromisoformat(required_key(name, stamp))
        if found.year in _YEARS:
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except ValueError:
        pass
    raise Malformed(f"{name} cannot be read", fields={name: "must be a time such as 2026-11-16T09:15:00Z"})


def _later(stamp: str | None, otherwise: datetime) -> datetime:
    """A time that need not be there: templates leave it out, and an unanswered call has an empty one."""
    try:
        return _time("time", stamp)
    except Malformed:
        return otherwise


def _seconds(duration: str | None) -> int | None:
    """``hh:mm:ss``, with days before it, or seconds; None when it cannot be read."""
    found = _DURATION.fullmatch(duration or "")
    if found is None:
        return int(duration) if duration and _SECONDS.fullmatch(duration) else None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


PROVIDER = ThreecxProvider()
