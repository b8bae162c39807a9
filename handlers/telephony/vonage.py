"""Vonage Voice API: answer and event webhooks of a source come to one URL, with or without a path behind it.

What a request is, its fields say; our own NCCOs add a query to their URLs (``vonage_message``).
Source options: ``record`` ("", "dual", "mono"), ``language`` ("en-GB", "zh-CN"), ``voicemail`` ("off"),
``music`` (an mp3 or wav for the queue), ``ring_seconds`` (20); those of the signature are in ``vonage_jwt``,
those of click to dial in ``vonage_control``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import aiohttp

from handlers.telephony import ncco, vonage_control
from handlers.telephony.control import Command
from handlers.telephony.fields import optional_count, optional_text
from handlers.telephony.provider import CallSource, HookReply, HookRequest
from handlers.telephony.vonage_events import EVENTS, call_key_of
from handlers.telephony.vonage_jwt import check_token
from handlers.telephony.vonage_message import UNTAKEN, Kind, Message, read_message
from server.domain.event import CallEvent
from server.domain.outcome import CallOutcome

_MOST_RUNG = 6
"""Phones that are rung, one after the other: two minutes."""
_RING_AGENT_SECONDS = 20
_RING_CUSTOMER_SECONDS = 45
_CHANNELS = {"dual": 2, "mono": 1}


class VonageProvider:
    """The ``Provider`` and ``Control`` of sources with ``provider = "vonage"``."""

    name = "vonage"
    deeds = vonage_control.DEEDS
    needs = ("application_id", "private_key|private_key_file")
    needs_to_dial: tuple[str, ...] = ("number",)

    def verify(self, source: CallSource, request: HookRequest) -> None:
        check_token(source, request)

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
        actions = _ACTIONS.get(message.kind)
        said = actions(message, outcomes[0] if outcomes else None) if actions is not None else None
        return HookReply(200) if said is None else HookReply(200, ncco.document(said), "application/json")

    async def act(self, source: CallSource, command: Command, http: aiohttp.ClientSession) -> str:
        return await vonage_control.act(source, command, http)


# -- NCCOs: one function for each kind that may be answered with one -------------------------------


def _ring_or_hold(message: Message, outcome: CallOutcome | None) -> list[ncco.Action]:
    agents = outcome.agents if outcome is not None else ()
    addresses = [optional_text(agent.extension or agent.email.partition("@")[0]) for agent in agents]
    return _ring([address for address in addresses if address], message) or _hold(message, outcome)


def _ring(addresses: Sequence[str], message: Message) -> list[ncco.Action]:
    """Ring the first; the others go along in the URL, for when it is not picked up. Empty for nobody."""
    if not addresses:
        return []
    flow = message.flow(call_key_of(message))
    waiting = [("next", address) for address in addresses[1:_MOST_RUNG]]
    ring = ncco.connect(
        flow.url(("leg", "agent"), ("agent", addresses[0]), *waiting),
        addresses[0],
        line=flow.line,
        seconds=optional_count(message.source.options.get("ring_seconds")) or _RING_AGENT_SECONDS,
        answer_when_untaken=True,
    )
    return [ring] if message.kind is Kind.STATUS else [*_recording(message), ring]


def _recording(message: Message) -> list[ncco.Action]:
    channels = _CHANNELS.get(message.source.options.get("record", ""))
    if channels is None:
        return []
    return [ncco.record(message.flow(call_key_of(message)).url(("step", "recording")), channels)]


def _hold(message: Message, outcome: CallOutcome | None) -> list[ncco.Action]:
    """Nobody comes for a caller in a closed queue: a message may be left, else a word and the end."""
    options = message.source.options
    if outcome is not None and outcome.closed:
        return _voicemail(message) if message.takes_voicemail else ncco.closed(options.get("language", ""))
    poll = ("poll", str(int(message.poll or 0) + 1))
    event_url = message.flow(call_key_of(message)).url(("step", "wait"), poll)
    return ncco.wait(event_url, options.get("language", ""), options.get("music", ""))


def _voicemail(message: Message) -> list[ncco.Action]:
    event_url = message.flow(call_key_of(message)).url(("step", "voicemail"))
    return ncco.voicemail(event_url, message.source.options.get("language", ""))


def _ring_target(message: Message, outcome: CallOutcome | None) -> list[ncco.Action]:
    target = optional_text(message.own["target"])
    return _ring([target] if target else [], message)


def _ring_customer(message: Message, outcome: CallOutcome | None) -> list[ncco.Action]:
    flow = message.flow(call_key_of(message))
    number = optional_text(message.own["customer"]) or ""
    ring = ncco.connect(flow.url(("leg", "customer")), number, line=flow.line, seconds=_RING_CUSTOMER_SECONDS)
    return [*_recording(message), ring]


def _after_ringing(message: Message, outcome: CallOutcome | None) -> list[ncco.Action] | None:
    """Nobody picked up an agent's phone: the next one, or the voicemail, or back into the queue."""
    if message.own.get("leg") == "agent" and message.status in UNTAKEN and message.waiting:
        return _ring(message.waiting, message)
    if not message.last_untaken:
        return None
    return _voicemail(message) if message.takes_voicemail else _hold(message, outcome)


_ACTIONS: dict[Kind, Callable[[Message, CallOutcome | None], list[ncco.Action] | None]] = {
    Kind.ANSWER: _ring_or_hold,
    Kind.CUSTOMER: _ring_customer,
    Kind.TARGET: _ring_target,
    Kind.WAITED: _ring_or_hold,
    Kind.STATUS: _after_ringing,
}


PROVIDER = VonageProvider()
