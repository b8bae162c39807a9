"""What the hosted and the embedded form say, in both languages: ``templates/forms/texts.toml``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

Language = Literal["en", "zh_CN"]
LANGUAGES: tuple[Language, ...] = ("en", "zh_CN")
FOLDER = Path(__file__).resolve().parent.parent / "templates" / "forms"
TEXTS: Mapping[str, Mapping[str, str]] = tomllib.loads((FOLDER / "texts.toml").read_text(encoding="utf-8"))


def language_named(name: str) -> Language | None:
    """``zh``, ``zh-CN``, ``zh_CN``, ``zh-Hans``: Chinese; ``en``, ``en-GB``: English; else None."""
    plain = name.strip().lower().replace("_", "-")
    if plain == "zh" or plain.startswith("zh-"):
        return "zh_CN"
    if plain == "en" or plain.startswith("en-"):
        return "en"
    return None


def choose_language(asked: str, accepted: str, fallback: Language) -> Language:
    """``?lang=``, else ``Accept-Language`` by its weights (RFC 9110 12.5.4), else ``fallback``."""
    said = language_named(asked)
    if said is not None:
        return said
    ranked = []
    for place, part in enumerate(accepted[:500].split(",")):
        name, _, parameters = part.partition(";")
        found = language_named(name)
        weight = re.search(r"q\s*=\s*([01](?:\.\d{0,3})?)", parameters)
        value = float(weight.group(1)) if weight else 1.0
        if found is not None and value > 0:
            ranked.append((-value, place, found))
    return min(ranked)[2] if ranked else fallback
