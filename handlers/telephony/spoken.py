"""What callers hear in words, in the language of the source's option ``language``: English or Chinese."""

from __future__ import annotations

WAIT, VOICEMAIL, CLOSED = "wait", "voicemail", "closed"

_TEXTS = {
    "en": {
        WAIT: "All our agents are busy. Please hold the line.",
        VOICEMAIL: "Please leave a message after the tone.",
        CLOSED: "Nobody is here at the moment. Please call again during our opening hours.",
    },
    "zh": {
        WAIT: "客服人员都在通话中，请稍候。",
        VOICEMAIL: "请在提示音后留言。",
        CLOSED: "现在无人值班，请在服务时间内再来电。",
    },
}


def is_chinese(language: str) -> bool:
    return language.lower().startswith(("zh", "cmn"))


def english_tag(language: str) -> str:
    """The English that was asked for ("en-US"), else British."""
    return language if language.lower().startswith("en-") else "en-GB"


def text_of(what: str, language: str) -> str:
    return _TEXTS["zh" if is_chinese(language) else "en"][what]
