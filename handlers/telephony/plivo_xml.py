"""Plivo XML documents ("XML" of Plivo's docs): what the caller hears and which phones ring."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlencode

from handlers.telephony.markup import DECLARATION, element, text
from handlers.telephony.spoken import CLOSED, VOICEMAIL, WAIT, english_tag, is_chinese, text_of

MAX_RUNG = 10
"""Phones that one Dial rings at once."""
HANGUP = "<Hangup/>"

_CHANNELS = {"dual": "stereo", "mono": "mono"}
_LONGEST_SECONDS = "14400"  # of a call, and so of its recording


def document(*verbs: str) -> str:
    return f"{DECLARATION}<Response>{''.join(verbs)}</Response>"


def with_query(url: str, **own: str) -> str:
    """Our URL with what a later request is to bring back; without what is empty."""
    query = urlencode({name: value for name, value in own.items() if value}, errors="replace")
    return f"{url}?{query}" if query else url


def dial(
    action_url: str,
    callback_url: str,
    addresses: Iterable[str],
    *,
    seconds: int,
    caller_id: str | None = None,
) -> str:
    """Ring phones at once, SIP URIs and numbers; the first who answers has the call."""
    attributes = {
        "action": action_url,
        "method": "POST",
        "timeout": str(seconds),
        "callbackUrl": callback_url,
        "callbackMethod": "POST",
    }
    if caller_id:
        attributes["callerId"] = caller_id
    nouns = (
        element("User" if address.startswith(("sip:", "sips:")) else "Number", content=text(address))
        for address in list(addresses)[:MAX_RUNG]
    )
    return element("Dial", attributes, "".join(nouns))


def record_talk(hook_url: str, channels: str) -> str:
    """Before a Dial: record from when it is answered. Nothing unless ``channels`` is "dual" or "mono"."""
    if channels not in _CHANNELS:
        return ""
    attributes = {
        "startOnDialAnswer": "true",
        "redirect": "false",
        "maxLength": _LONGEST_SECONDS,
        "recordChannelType": _CHANNELS[channels],
        "callbackUrl": with_query(hook_url, step="recording"),
        "callbackMethod": "POST",
    }
    return element("Record", attributes)


def enter_queue(hook_url: str, poll: int) -> str:
    """Ask us what to do with one who waits; ``poll`` counts how often that was asked."""
    return element("Redirect", {"method": "POST"}, text(with_query(hook_url, step="wait", poll=str(poll))))


def wait(language: str, voice: str, music_url: str) -> str:
    """A word or a piece of music, and five seconds."""
    heard = element("Play", content=text(music_url)) if music_url else _speak(WAIT, language, voice)
    return heard + element("Wait", {"length": "5"})


def voicemail(hook_url: str, language: str, voice: str) -> str:
    attributes = {
        "action": with_query(hook_url, step="voicemail"),
        "method": "POST",
        "maxLength": "120",
        "playBeep": "true",
        "finishOnKey": "#",
    }
    return _speak(VOICEMAIL, language, voice) + element("Record", attributes) + HANGUP


def closed(language: str, voice: str) -> str:
    return _speak(CLOSED, language, voice) + HANGUP


def _speak(what: str, language: str, voice: str) -> str:
    """A Polly voice brings its language; Mandarin has none but such."""
    voice = voice or ("Polly.Zhiyu" if is_chinese(language) else "")
    attributes = {"voice": voice} if voice else {}
    if not voice.startswith("Polly."):
        attributes["language"] = english_tag(language)
    return element("Speak", attributes, text(text_of(what, language)))
