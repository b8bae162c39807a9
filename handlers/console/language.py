"""The reader's language and its catalogue: English is the source, ``templates/locale/zh_CN.po`` the other."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

from aiohttp import web
from babel.messages.pofile import read_po

from handlers.form_texts import choose_language, language_named
from server.domain.permission import Actor

Language = Literal["en", "zh_CN"]
LANGUAGES: tuple[Language, ...] = ("en", "zh_CN")
TAGS: dict[Language, str] = {"en": "en", "zh_CN": "zh-CN"}
COOKIE = "ringpost_language"
LOCALE = Path(__file__).resolve().parents[2] / "templates" / "locale"


class Catalogue:
    """Texts of one language; a text without a translation is shown in English."""

    def __init__(self, texts: dict[tuple[str, str], str | tuple[str, ...]]) -> None:
        self._texts = texts

    def gettext(self, text: str) -> str:
        return self._one("", text) or text

    def pgettext(self, context: str, text: str) -> str:
        return self._one(context, text) or text

    def ngettext(self, one: str, many: str, count: int) -> str:
        found = self._texts.get(("", one))
        if isinstance(found, tuple) and found and found[0]:
            return found[0]  # Chinese has one form; the source language never gets here
        return one if count == 1 else many

    def npgettext(self, context: str, one: str, many: str, count: int) -> str:
        return self.ngettext(one, many, count)

    def _one(self, context: str, text: str) -> str:
        found = self._texts.get((context, text), "")
        return found[0] if isinstance(found, tuple) else found


@cache
def catalogue(language: Language) -> Catalogue:
    """Read once; the .po file itself is the catalogue, so nothing has to be compiled."""
    if language == "en":
        return Catalogue({})
    texts: dict[tuple[str, str], str | tuple[str, ...]] = {}
    with (LOCALE / f"{language}.po").open("rb") as source:
        for message in read_po(source, locale=language):
            if not message.id or message.fuzzy:
                continue
            said = message.string
            key = message.id[0] if isinstance(message.id, tuple | list) else message.id
            texts[(message.context or "", key)] = (
                tuple(said) if isinstance(said, tuple | list) else said or ""
            )
    return Catalogue(texts)


def language_of(request: web.Request, actor: Actor | None, fallback: str) -> Language:
    """What was chosen on this browser, else the agent's language, else what the browser asks for."""
    chosen = language_named(request.cookies.get(COOKIE, ""))
    if chosen is None and actor is not None:
        chosen = language_named(actor.language)
    if chosen is not None:
        return chosen
    default: Language = "zh_CN" if fallback == "zh_CN" else "en"
    return choose_language("", request.headers.get("Accept-Language", ""), default)
