"""Plivo Voice: answer, hangup and callback URLs of a source are one URL, with or without a path behind it.

What a request is, its parameters say; our own documents add a query (``plivo_message``).
Source options: ``record`` ("", "dual", "mono"), ``language`` ("en-GB", "zh-CN"), ``voice`` ("MAN", a
"Polly." voice), ``voicemail`` ("off"), ``music`` (an mp3 or wav for the queue), ``ring_seconds`` (20),
``sip_domain``; those of click to dial are in ``plivo_control``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import aiohttp

from handlers.telephony import plivo_control, plivo_xml
from handlers.telephony.control import Command
from handlers.telephony.fields import optional_count
from handlers.telephony.plivo_addresses import address_of, number_of, plain_number
from handlers.telephony.plivo_events import EVENTS
from handlers.telephony.plivo_message import Kind, Message, read_message
from handlers.telephony.plivo_signature import check_signature
from handlers.telephony.provider import CallSource, HookReply, HookRequest
from server.domain.event import CallEvent
from server.domain.outcome import CallOutcome

_RING_AGENT_SECONDS = 20
_RING_CUSTOMER_SECONDS = 45


class PlivoProvider:
    """The ``Provider`` and ``Control`` of sources with ``provider = "plivo"``."""

    name = "plivo"
    deeds = plivo_control.DEEDS
    needs = ("account",)
    needs_to_dial: tuple[str, ...] = ("number",)

    def verify(self, source: CallSource, request: HookRequest) -> None:
        check_signature(source, request)

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
            return HookReply(200)
        said = verbs(message, outcomes[0] if outcomes else None)
        return HookReply(200, plivo_xml.document(said), "application/xml")

    async def act(self, source: CallSource, command: Command, http: aiohttp.ClientSession) -> str:
        return await plivo_control.act(source, command, http)


# -- documents: one function for each kind that is answered with XML -------------------------------


def _ring_agents(message: Message, outcome: CallOutcome | None) -> str:
    """Empty when nobody is free, or has a phone that could be rung."""
    agents = outcome.agents if outcome is not None else ()
    phones = [agent.extension or agent.email.partition("@")[0] for agent in agents]
    # Each Dial of a call has a mark of its own, so that its end is an event of its own.
    return _ring(phones, message, str(message.poll or ""))


def _ring(phones: Sequence[str], message: Message, mark: str) -> str:
    """Ring those of ``phones`` that can be rung; empty when there is none."""
    source, call = message.source, message.own.get("call", "")
    addresses = [address for phone in phones if (address := address_of(source, phone))]
    if not addresses:
        return ""
    poll = str(message.poll or "")
    action_url = plivo_xml.with_query(source.hook_url, dial=mark, poll=poll, call=call)
    callback_url = plivo_xml.with_query(source.hook_url, call=call)
    seconds = optional_count(source.options.get("ring_seconds")) or _RING_AGENT_SECONDS
    dial = plivo_xml.dial(action_url, callback_url, addresses, seconds=seconds)
    return plivo_xml.record_talk(source.hook_url, source.options.get("record", "")) + dial


def _voice(message: Message, outcome: CallOutcome | None) -> str:
    if message.outbound:
        return plivo_xml.HANGUP  # a phone that somebody else's API call rang: nobody to connect it to
    return _ring_agents(message, outcome) or _queue(message, outcome)


def _queue(message: Message, outcome: CallOutcome | None, heard: str = "") -> str:
    """Nobody comes for a caller in a closed queue: a message may be left, else a word and the end."""
    if outcome is None or not outcome.closed:
        return heard + plivo_xml.enter_queue(message.source.hook_url, message.poll + 1)
    if message.takes_voicemail:
        return _voicemail(message)
    options = message.source.options
    return plivo_xml.closed(options.get("language", ""), options.get("voice", ""))


def _voicemail(message: Message) -> str:
    source, options = message.source, message.source.options
    return plivo_xml.voicemail(source.hook_url, options.get("language", ""), options.get("voice", ""))


def _ring_target(message: Message, outcome: CallOutcome | None) -> str:
    target = message.own["target"]
    return _ring([target], message, f"to-{target}") or plivo_xml.HANGUP


def _ring_customer(message: Message, outcome: CallOutcome | None) -> str:
    source = message.source
    number = plain_number(message.own["customer"])
    if number is None:
        return plivo_xml.HANGUP
    dial = plivo_xml.dial(
        plivo_xml.with_query(source.hook_url, customer=number),
        plivo_xml.with_query(source.hook_url, leg="customer"),
        [number],
        seconds=_RING_CUSTOMER_SECONDS,
        caller_id=number_of(message.fields.get("From")),
    )
    return plivo_xml.record_talk(source.hook_url, source.options.get("record", "")) + dial


def _wait_or_ring(message: Message, outcome: CallOutcome | None) -> str:
    options = message.source.options
    words = plivo_xml.wait(options.get("language", ""), options.get("voice", ""), options.get("music", ""))
    return _ring_agents(message, outcome) or _queue(message, outcome, words)


def _after_dial(message: Message, outcome: CallOutcome | None) -> str:
    if message.fields["DialStatus"] == "completed" or message.outbound:
        return plivo_xml.HANGUP
    return _voicemail(message) if message.takes_voicemail else _queue(message, outcome)


def _hang_up(message: Message, outcome: CallOutcome | None) -> str:
    return plivo_xml.HANGUP


_VERBS: dict[Kind, Callable[[Message, CallOutcome | None], str]] = {
    Kind.VOICE: _voice,
    Kind.CUSTOMER: _ring_customer,
    Kind.TARGET: _ring_target,
    Kind.WAIT: _wait_or_ring,
    Kind.DIAL_ACTION: _after_dial,
    Kind.VOICEMAIL: _hang_up,
}


PROVIDER = PlivoProvider()
