"""NCCO actions (the call control objects of the Voice API, "NCCO reference"): what the caller hears, who is rung."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from handlers.telephony.spoken import CLOSED, VOICEMAIL, WAIT, english_tag, is_chinese, text_of

Action = dict[str, Any]

_PHONE = re.compile(r"\+?([1-9][0-9]{6,14})")


def document(actions: Sequence[Action]) -> str:
    return json.dumps(list(actions))


def plain_number(address: str | None) -> str | None:
    """The digits of an E.164 number, as the API writes it; None for anything else."""
    found = _PHONE.fullmatch(address or "")
    return found[1] if found else None


def endpoint(address: str) -> dict[str, str]:
    """``sip:...`` a SIP phone, ``+...`` or seven digits and more a number, else a user of the application."""
    if address.startswith(("sip:", "sips:")):
        return {"type": "sip", "uri": address}
    number = plain_number(address)
    return {"type": "phone", "number": number} if number else {"type": "app", "user": address}


def connect(
    event_url: str, address: str, *, line: str, seconds: int, answer_when_untaken: bool = False
) -> Action:
    """Ring one phone; more than one endpoint a connect does not take.

    ``line`` is the number of ours that is shown. ``answer_when_untaken``: when nobody picks up, the answer
    to that event goes on with the call.
    """
    action: Action = {
        "action": "connect",
        "endpoint": [endpoint(address)],
        "timeout": seconds,
        "eventUrl": [event_url],
        "eventMethod": "POST",
    }
    number = plain_number(line)
    if number:
        action["from"] = number
    if answer_when_untaken:
        action["eventType"] = "synchronous"
    return action


def record(event_url: str, channels: int) -> Action:
    """Record what follows, to its end; two channels have each side of the talk on its own."""
    action: Action = {"action": "record", "eventUrl": [event_url], "format": "mp3"}
    return action | ({"split": "conversation", "channels": channels} if channels > 1 else {})


def wait(event_url: str, language: str, music_url: str) -> list[Action]:
    """A word or a piece of music, then five seconds for keys: nobody presses any, and we are asked again."""
    heard = {"action": "stream", "streamUrl": [music_url]} if music_url else _talk(WAIT, language)
    pause = {
        "action": "input",
        "type": ["dtmf"],
        "dtmf": {"timeOut": 5, "maxDigits": 1},
        "eventUrl": [event_url],
        "eventMethod": "POST",
    }
    return [heard, pause]


def voicemail(event_url: str, language: str) -> list[Action]:
    recording = {
        "action": "record",
        "eventUrl": [event_url],
        "endOnSilence": 5,
        "endOnKey": "#",
        "beepStart": True,
        "timeOut": 120,
    }
    return [_talk(VOICEMAIL, language), recording]


def closed(language: str) -> list[Action]:
    """A word; the call ends with its NCCO."""
    return [_talk(CLOSED, language)]


def _talk(what: str, language: str) -> Action:
    """In the language's voice; Mandarin goes by its own code there."""
    tag = "cmn-CN" if is_chinese(language) else english_tag(language)
    return {"action": "talk", "text": text_of(what, language), "language": tag}
