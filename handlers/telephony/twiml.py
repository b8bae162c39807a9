"""TwiML documents: what the caller hears and which phones ring. XML 1.0, everything escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from html import escape

from handlers.telephony.spoken import CLOSED, VOICEMAIL, WAIT, is_chinese, text_of
from server.domain.outcome import RungAgent

MAX_RUNG = 10
"""Twilio rings at most ten phones with one Dial."""
_MAX_QUEUE_NAME = 64

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_RECORD = {"dual": "record-from-answer-dual", "mono": "record-from-answer"}


def document(*verbs: str) -> str:
    return f'<?xml version="1.0" encoding="UTF-8"?><Response>{"".join(verbs)}</Response>'


def dial_agents(hook_url: str, agents: Iterable[RungAgent], *, record: str = "") -> str:
    """Ring every one of ``agents`` at once, for 20 seconds; the first who answers has the call."""
    return dial(
        hook_url, [agent.extension or agent.email.partition("@")[0] for agent in agents], record=record
    )


def dial_customer(hook_url: str, number: str, *, record: str = "", caller_id: str | None = None) -> str:
    """The second half of click to dial: the agent is on the line, now ring the customer.

    ``leg=customer`` comes back with that leg's callbacks: nothing else tells it from an agent's.
    """
    status_url = with_query(hook_url, "leg=customer")
    return dial(hook_url, [number], record=record, caller_id=caller_id, status_url=status_url, seconds=45)


def dial(
    hook_url: str,
    addresses: Iterable[str],
    *,
    record: str = "",
    caller_id: str | None = None,
    status_url: str | None = None,
    seconds: int = 20,
) -> str:
    """Ring phones by address: ``sip:...`` a SIP phone, ``+...`` a number, else a client."""
    attributes = {"action": hook_url, "method": "POST", "timeout": str(seconds)}
    if caller_id and caller_id.startswith("+"):
        attributes["callerId"] = caller_id
    if record in _RECORD:
        attributes["record"] = _RECORD[record]
        attributes["recordingStatusCallback"] = hook_url
        attributes["recordingStatusCallbackEvent"] = "completed absent"
    nouns = "".join(_noun(status_url or hook_url, address) for address in list(addresses)[:MAX_RUNG])
    return _element("Dial", attributes, nouns)


def enqueue(hook_url: str, queue: str) -> str:
    attributes = {
        "action": with_query(hook_url, "step=dequeued"),
        "method": "POST",
        "waitUrl": with_query(hook_url, "step=wait"),
        "waitUrlMethod": "POST",
    }
    return _element("Enqueue", attributes, _text(queue[:_MAX_QUEUE_NAME]))


def wait(language: str) -> str:
    """Five seconds and a word; Twilio asks again when it is over."""
    return _say(WAIT, language) + _element("Pause", {"length": "5"})


def voicemail(hook_url: str, language: str) -> str:
    attributes = {
        "action": hook_url,
        "method": "POST",
        "finishOnKey": "#",
        "maxLength": "120",
        "playBeep": "true",
        "recordingStatusCallback": hook_url,
    }
    return _say(VOICEMAIL, language) + _element("Record", attributes) + HANGUP


def closed(language: str) -> str:
    return _say(CLOSED, language) + HANGUP


HANGUP = "<Hangup/>"
LEAVE = "<Leave/>"


def with_query(url: str, query: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{query}"


def _noun(hook_url: str, address: str) -> str:
    if address.startswith(("sip:", "sips:")):
        name = "Sip"
    elif address.startswith("+"):
        name = "Number"
    else:
        name = "Client"
    attributes = {"statusCallback": hook_url, "statusCallbackEvent": "initiated ringing answered completed"}
    return _element(name, attributes, _text(address))


def _say(what: str, language: str) -> str:
    english = language if language.lower().startswith("en") else "en-GB"
    tag = "zh-CN" if is_chinese(language) else english
    return _element("Say", {"language": tag}, _text(text_of(what, language)))


def _element(name: str, attributes: Mapping[str, str], content: str = "") -> str:
    opening = name + "".join(f' {key}="{_text(value)}"' for key, value in attributes.items())
    return f"<{opening}>{content}</{name}>" if content else f"<{opening}/>"


def _text(value: str) -> str:
    return escape(_NOT_XML.sub("", value))
