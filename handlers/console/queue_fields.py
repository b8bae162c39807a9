"""A queue's form: the settings as people write them, a line each, and read back with what is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any
from zoneinfo import available_timezones

from babel.dates import get_day_names

from handlers.console.language import Catalogue, Language
from handlers.console.words import fault
from server.domain.hours import DAYS, read_hours

TEXTS = ("name", "title_en", "title_zh", "time_zone", "overflow_queue")
SECONDS = ("wrap_up_seconds", "overflow_after_seconds")
# As people write them on a Chinese keyboard, and with dashes of every kind.
PLAIN = str.maketrans({"，": ",", "、": ",", "；": ",", "：": ":", "｜": "|", "–": "-", "—": "-", "~": "-"})
_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})")
MAX_LEVEL = 10

# Sentences of services/queues.py that this form may meet.
FAULTS = (
    fault("must be a whole number from {n} to 3600"),
    fault("must be a whole number from {n} to 86400"),
    fault("there is no such queue"),
    fault("must be another queue"),
    fault("say which ones there are before one is required"),
)


def typed_of(queue: Mapping[str, Any]) -> dict[str, str]:
    """A queue (or nothing, for a new one) as the form shows it."""
    minutes, overflow = queue.get("callback_due_seconds", 3600) / 60, queue.get("overflow_after_seconds")
    hours = queue.get("hours", {})
    return {
        **{name: queue.get(name) or "" for name in TEXTS},
        "dnis": "\n".join(queue.get("dnis", ())),
        "is_default": "1" if queue.get("is_default") else "",
        "skills": "\n".join(f"{skill}: {level}" for skill, level in queue.get("skills", {}).items()),
        "wrap_up_seconds": str(queue.get("wrap_up_seconds", 0)),
        "dispositions": "\n".join(
            f"{one['code']} | {one['en']} | {one['zh_CN']}" for one in queue.get("dispositions", ())
        ),
        "disposition_required": "1" if queue.get("disposition_required") else "",
        "overflow_after_seconds": "" if overflow is None else str(overflow),
        **{
            f"hours_{day}": ", ".join(f"{since}-{until}" for since, until in hours.get(day, ()))
            for day in DAYS
        },
        "holidays": "\n".join(queue.get("holidays", ())),
        "callback_minutes": f"{minutes:g}",
    }


def day_names(language: Language) -> list[tuple[str, str]]:
    """("mon", "Monday") and so on."""
    names = get_day_names("wide", locale=language)
    return [(day, str(names[number])) for number, day in enumerate(DAYS)]


def zones() -> list[str]:
    """Places and UTC; old abbreviations are left out."""
    return sorted(
        name
        for name in available_timezones()
        if name == "UTC" or ("/" in name and not name.startswith("Etc/"))
    )


def read_form(form: Mapping[str, str], texts: Catalogue) -> tuple[dict[str, Any], dict[str, str]]:
    """Changes for ``services/queues.py``, and what is wrong by field, in the reader's language."""
    wrong: dict[str, str] = {}
    changes: dict[str, Any] = {name: form.get(name, "") for name in TEXTS}
    changes["dnis"] = _items(form.get("dnis", ""))
    changes |= {name: _number(form.get(name, "")) for name in SECONDS}
    changes["wrap_up_seconds"] = changes["wrap_up_seconds"] or 0
    changes["disposition_required"] = "disposition_required" in form
    changes["skills"] = _skills(form.get("skills", ""), texts, wrong)
    changes["dispositions"] = _dispositions(form.get("dispositions", ""), texts, wrong)
    changes["hours"] = _week(form, texts, wrong)
    changes["holidays"] = _holidays(form.get("holidays", ""), texts, wrong)
    seconds = _seconds_of(form.get("callback_minutes", ""))
    if 60 <= seconds <= 14 * 86400:
        changes["callback_due_seconds"] = seconds
    else:
        wrong["callback_minutes"] = texts.gettext("Minutes, from 1 to 20160 (two weeks)")
    if (changes["overflow_after_seconds"] is None) != (not changes["overflow_queue"]):
        lacking = "overflow_queue" if not changes["overflow_queue"] else "overflow_after_seconds"
        wrong[lacking] = texts.gettext("After how long, and to which queue: say both or neither")
    if "is_default" in form:
        changes["is_default"] = True
    return changes, wrong


def _items(text: str) -> list[str]:
    """Lines, or words with commas between."""
    plain = text.translate(PLAIN).replace("\n", ",")
    return list(dict.fromkeys(one.strip() for one in plain.split(",") if one.strip()))


def _lines(text: str) -> Iterable[str]:
    return (line.strip() for line in text.splitlines() if line.strip())


def _number(text: str) -> int | str | None:
    """None for nothing; what is no number stays as it is, for the service to refuse."""
    plain = text.strip()
    return int(plain) if plain.isascii() and plain.isdecimal() and len(plain) < 10 else plain or None


def _seconds_of(minutes: str) -> int:
    """0 for what is no number."""
    try:
        return round(float(minutes) * 60)
    except (ValueError, OverflowError):
        return 0


def _skills(text: str, texts: Catalogue, wrong: dict[str, str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in _items(text):
        skill, colon, said = (part.strip() for part in one.partition(":"))
        level = _number(said) if colon else 1
        if not skill or not isinstance(level, int) or not 1 <= level <= MAX_LEVEL:
            wrong["skills"] = texts.gettext("%(line)s: write a skill with its level, such as french: 2") % {
                "line": one[:60]
            }
            continue
        found[skill] = level
    return found


def _dispositions(text: str, texts: Catalogue, wrong: dict[str, str]) -> list[dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for line in _lines(text):
        parts = [part.strip() for part in line.replace("｜", "|").split("|")]
        code = parts[0]
        if not code or len(parts) > 3 or len(code) > 60 or any(len(part) > 100 for part in parts):
            said = texts.gettext("%(line)s: write a code, then its titles, such as sold | Sold | 已成交")
            wrong["dispositions"] = said % {"line": line[:60]}
        elif code in found:
            wrong["dispositions"] = texts.gettext("%(line)s is there twice") % {"line": code}
        else:
            titles = [*parts[1:], "", ""]
            found[code] = {"code": code, "en": titles[0], "zh_CN": titles[1]}
    return list(found.values())


def _week(form: Mapping[str, str], texts: Catalogue, wrong: dict[str, str]) -> dict[str, list[list[str]]]:
    week: dict[str, list[list[str]]] = {}
    for day in DAYS:
        spans = [_span(one) for one in _items(form.get(f"hours_{day}", ""))]
        if not spans:
            continue
        _, fault_found = read_hours({day: spans}, [], "UTC")
        if fault_found:
            wrong[f"hours_{day}"] = texts.gettext(
                "Write times such as 09:00-12:00, 13:00-17:30. Over midnight: until 24:00, the rest on the next day"
            )
        week[day] = spans
    return week


def _span(text: str) -> list[str]:
    return [
        _CLOCK.sub(lambda clock: f"{int(clock[1]):02d}:{clock[2]}", part.strip()) for part in text.split("-")
    ]


def _holidays(text: str, texts: Catalogue, wrong: dict[str, str]) -> list[str]:
    found: list[str] = []
    for one in _items(text):
        try:
            found.append(date.fromisoformat(one).isoformat())
        except ValueError:
            wrong["holidays"] = texts.gettext("%(line)s: write days such as 2026-12-25") % {"line": one[:30]}
    return found
