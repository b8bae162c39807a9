"""Twilio Programmable Voice: every callback of a source comes to one URL.

What a request is, its parameters say; our own documents add a query:
``?step=wait`` and ``?step=dequeued`` of the queue, ``?leg=customer`` of click to dial,
``?target=AGENT&by=AGENT`` of a transfer, ``?customer=NUMBER`` of an outbound call.
Source options: ``record`` ("", "dual", "mono"), ``language`` ("en-GB", "zh-CN"), ``voicemail`` ("off"), and
those of ``twilio_control.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import aiohttp

from handlers.telephony import twilio_control, twiml
from handlers.telephony.control import Command, Deed
from handlers.telephony.provider import CallSource, HookReply, HookRequest
from handlers.telephony.twilio_events import EVENTS, agent_refs_of
from handlers.telephony.twilio_message import Kind, Message, read_message
from handlers.telephony.twilio_signature import check_signature
from server.domain.event import CallEvent
from server.domain.outcome import CallOutcome


class TwilioProvider:
    """The ``Provider`` of sources with ``provider = "twilio"``."""

    name = "twilio"
    deeds: frozenset[Deed] = twilio_control.DEEDS
    needs = ("account",)
    needs_to_dial: tuple[str, ...] = ("number",)

    async def act(self, source: CallSource, command: Command, http: aiohttp.ClientSession) -> str:
        return await twilio_control.act(source, command, http)

    def verify(self, source: CallSource, request: HookRequest) -> None:
        check_signature(request, source.secrets)

    def parse(self, source: CallSource, request: HookRequest) -> Sequence[CallEvent]:
        message = read_message(source, request)
        event = EVENTS[message.kind](message)
        return () if event is None else (event,)

    def reply(
        self,
        source: CallSource,
        request: HookRequest,
        events: Sequence[CallEvent],
        outcomes: Sequence[CallOutcome],
    ) -> HookReply:
        message = read_message(source, request)
        verbs = _VERBS.get(message.kind)
        if verbs is None:
            return HookReply(204)
        outcome = outcomes[0] if outcomes else None
        return HookReply(200, twiml.document(verbs(message, outcome)), "text/xml")


# -- documents: one function for each kind that is answered with TwiML -----------------------------


def _ring_or_queue(message: Message, outcome: CallOutcome | None) -> str:
    source = message.source
    if outcome is not None and outcome.agents:
        return twiml.dial_agents(source.hook_url, outcome.agents, record=source.options.get("record", ""))
    return _enqueue(message, outcome)


def _enqueue(message: Message, outcome: CallOutcome | None) -> str:
    """Nobody comes for a caller in a closed queue: a message may be left, else a word and the end."""
    source = message.source
    if outcome is None or not outcome.closed:
        return twiml.enqueue(source.hook_url, _queue(source, outcome))
    language = source.options.get("language", "")
    return twiml.voicemail(source.hook_url, language) if message.takes_voicemail else twiml.closed(language)


def _queue(source: CallSource, outcome: CallOutcome | None) -> str:
    return (outcome.queue if outcome is not None else None) or source.queue or source.name


def _ring_target(message: Message, outcome: CallOutcome | None) -> str:
    """The target: an agent of that name on their phone, but not the one who hands over."""
    source, target = message.source, message.own["target"].casefold()
    meant = [
        agent
        for agent in (outcome.agents if outcome is not None else ())
        if target
        in (
            (agent.extension or "").casefold(),
            agent.email.casefold(),
            agent.email.casefold().partition("@")[0],
        )
    ]
    if meant:
        return twiml.dial_agents(source.hook_url, meant, record=source.options.get("record", ""))
    return twiml.dial(
        source.hook_url, agent_refs_of(message.own["target"]), record=source.options.get("record", "")
    )


def _ring_customer(message: Message, outcome: CallOutcome | None) -> str:
    source = message.source
    return twiml.dial_customer(
        source.hook_url,
        message.own["customer"],
        record=source.options.get("record", ""),
        caller_id=message.fields.get("From"),
    )


def _wait_or_leave(message: Message, outcome: CallOutcome | None) -> str:
    if outcome is not None and (outcome.agents or outcome.closed):
        return twiml.LEAVE  # a waiting caller's document may neither ring nor record: the next one does
    return twiml.wait(message.source.options.get("language", ""))


def _after_queue(message: Message, outcome: CallOutcome | None) -> str:
    result = message.fields.get("QueueResult") or "leave"
    if result == "leave":
        return _ring_or_queue(message, outcome)
    return "" if result == "redirected" else twiml.HANGUP


def _after_dial(message: Message, outcome: CallOutcome | None) -> str:
    if message.fields["DialCallStatus"] in ("completed", "answered") or message.outbound:
        return twiml.HANGUP
    source = message.source
    if message.takes_voicemail:
        return twiml.voicemail(source.hook_url, source.options.get("language", ""))
    return _enqueue(message, outcome)


def _hang_up(message: Message, outcome: CallOutcome | None) -> str:
    return twiml.HANGUP


_VERBS: dict[Kind, Callable[[Message, CallOutcome | None], str]] = {
    Kind.VOICE: _ring_or_queue,
    Kind.TRANSFER: _ring_target,
    Kind.OUTBOUND: _ring_customer,
    Kind.WAIT: _wait_or_leave,
    Kind.DEQUEUED: _after_queue,
    Kind.DIAL_ACTION: _after_dial,
    Kind.RECORD_ACTION: _hang_up,
}


PROVIDER = TwilioProvider()
