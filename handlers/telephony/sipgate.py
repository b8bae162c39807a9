"""sipgate.io push: one signed form POST per event, answered with XML (sipgate docs, Push-API reference).

A newCall's answer must name the URLs that get the later events, else none come. A transferred or
forwarded call comes as a new call; ``origCallId`` of its newCall says of which, its later events do
not. So our answer puts that into their URLs (``?call=``); for URLs written by hand it is remembered.

``secrets`` are public keys: PEM text, or the path of a ``.pem`` file. Source options: ``dial``
("agents": the answer rings the agents that we chose, by the E.164 number in their extension; else
sipgate rings as its own routing says), ``nobody`` ("voicemail", "busy": what a caller meets then
when nobody is free), ``closed`` (the same when the queue is not open, "voicemail" unless said), and
those of ``sipgate_control``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from urllib.parse import urlencode

import aiohttp

from handlers.telephony import cti, markup, sipgate_control
from handlers.telephony.control import Command
from handlers.telephony.fields import optional_text, required_key
from handlers.telephony.provider import CallSource, HookReply, HookRequest
from handlers.telephony.sipgate_signature import check_signature
from server.domain.event import CallEvent, Direction, EventType
from server.domain.outcome import CallOutcome, RungAgent

MAX_DIALLED = 5
"""So many numbers one Dial may have."""
_MAX_REMEMBERED = 10_000
_NEW_CALL = ":newCall"

# An id that sipgate gives for good comes before numbers and names, which people change.
_AGENT_FIELDS = ("userId", "fullUserId", cti.ANSWERING, "user")
_E164 = re.compile(r"\+?([1-9][0-9]{6,14})")
_NOBODY = {
    "voicemail": markup.element("Dial", content=markup.element("Voicemail")),
    "busy": markup.element("Reject", {"reason": "busy"}),
}


class SipgateProvider:
    """The ``Provider`` of sources with ``provider = "sipgate"``."""

    name = "sipgate"
    public_secrets = True  # they check signatures, and open no door
    deeds = sipgate_control.DEEDS
    needs = ("token_id", "token")
    needs_to_dial: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._continued: dict[tuple[str, str], str] = {}  # (source, call id) -> the call that it continues

    def verify(self, source: CallSource, request: HookRequest) -> None:
        check_signature(request, source.secrets)

    def parse(self, source: CallSource, request: HookRequest) -> Sequence[CallEvent]:
        # Only what is signed counts, and that is the body.
        values = cti.collect(request.form)
        event = cti.call_event(values, _AGENT_FIELDS)
        if event is None:
            return ()
        event = replace(event, call_key=self._call_key(source, request, event))
        if event.call_key != event.leg_key and event.event_key.endswith(_NEW_CALL):
            return (_continuation(event, optional_text(cti.first(values, "diversion"))),)
        return (event,)

    def reply(
        self,
        source: CallSource,
        request: HookRequest,
        events: Sequence[CallEvent],
        outcomes: Sequence[CallOutcome],
    ) -> HookReply:
        attributes: dict[str, str] = {}
        verbs = ""
        if events and events[0].event_key.endswith(_NEW_CALL):
            url = _later_url(source, events[0])
            attributes = {"onAnswer": url, "onHangup": url}
            verbs = _verbs(source, events[0], outcomes[0] if outcomes else None)
        body = markup.DECLARATION + markup.element("Response", attributes, verbs)
        return HookReply(200, body, "application/xml")

    async def act(self, source: CallSource, command: Command, http: aiohttp.ClientSession) -> str:
        return await sipgate_control.act(source, command, http)

    def _call_key(self, source: CallSource, request: HookRequest, event: CallEvent) -> str:
        """The first call id of what the customer knows as one call."""
        if event.call_key != event.leg_key:
            # The call that was handed on may itself be one that continues another.
            original = self._continued.get((source.name, event.call_key), event.call_key)
            self._remember((source.name, event.leg_key), original)
            return original
        told = next((value for name, value in request.query if name == "call"), None)
        if told:
            return required_key("call", told)
        return self._continued.get((source.name, event.leg_key), event.call_key)

    def _remember(self, call: tuple[str, str], original: str) -> None:
        while len(self._continued) >= _MAX_REMEMBERED:
            self._continued.pop(next(iter(self._continued)))
        self._continued[call] = original


def _continuation(event: CallEvent, diversion: str | None) -> CallEvent:
    """A newCall of a call that is known: handed on by ``diversion``, or one more leg beside it.

    The new leg has no parent when the call was handed on: the customer is in it, and the old one ends.
    """
    if diversion:
        return replace(event, type=EventType.TRANSFERRED)
    return replace(event, parent_leg_key=event.call_key)


def _later_url(source: CallSource, event: CallEvent) -> str:
    if event.call_key == event.leg_key:
        return source.hook_url
    mark = "&" if "?" in source.hook_url else "?"
    return f"{source.hook_url}{mark}{urlencode({'call': event.call_key})}"


def _verbs(source: CallSource, event: CallEvent, outcome: CallOutcome | None) -> str:
    """Whom to ring; nothing leaves that to sipgate's own routing."""
    first = event.type is EventType.RINGING and event.call_key == event.leg_key
    if source.options.get("dial") != "agents" or outcome is None or not first:
        return ""
    if event.direction is not Direction.INBOUND:
        return ""
    if outcome.closed:
        return _NOBODY.get(source.options.get("closed", ""), _NOBODY["voicemail"])
    if not outcome.agents:
        return _NOBODY.get(source.options.get("nobody", ""), "")
    numbers = list(_numbers(outcome.agents))[:MAX_DIALLED]
    if not numbers:
        return ""
    return markup.element("Dial", content="".join(markup.element("Number", content=one) for one in numbers))


def _numbers(agents: Iterable[RungAgent]) -> Iterable[str]:
    """E.164 without a plus, as Dial wants it, of those who have such a number."""
    for agent in agents:
        found = _E164.fullmatch(agent.extension or "")
        if found is not None:
            yield found[1]


PROVIDER = SipgateProvider()
