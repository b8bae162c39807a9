"""Checks of what people and programs hand in: each field that is wrong is named, all at once."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from server.domain.errors import Invalid

MAX_ID = 2**63 - 1
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def parse_id(value: object) -> int | None:
    """An id as we give it: text of digits. None for anything else."""
    if type(value) is int:
        return value if 0 < value <= MAX_ID else None
    if not isinstance(value, str) or not value.isascii() or not value.isdigit() or len(value) > 19:
        return None
    number = int(value)
    return number if 0 < number <= MAX_ID else None


def text_fault(value: str) -> str | None:
    """What is wrong with a text that cannot be stored."""
    bad = _UNSTORABLE.search(value)
    if bad is None:
        return None
    return "holds a NUL character" if bad.group() == "\x00" else "holds a lone surrogate (broken UTF-16)"


class Checks:
    """Collects what is wrong; ``done`` raises Invalid when anything is."""

    def __init__(self, known: Collection[str] = (), given: Iterable[str] = ()) -> None:
        self.wrong: dict[str, str] = {}
        for name in given:
            if name not in known:
                self.wrong[name[:100]] = "there is no such field, or it cannot be set"

    def done(self) -> None:
        if self.wrong:
            first, what = next(iter(self.wrong.items()))
            raise Invalid(f"{first}: {what}", fields=self.wrong)

    def fault(self, name: str, what: str) -> None:
        self.wrong.setdefault(name, what)

    def text(self, name: str, value: object, most: int, *, least: int = 0, lines: bool = False) -> str:
        """Text without NUL and lone surrogates, stripped; line ends only where ``lines`` says so."""
        if value is None:
            value = ""
        if not isinstance(value, str):
            self.fault(name, "must be text")
            return ""
        fault = text_fault(value)
        if fault is not None:
            self.fault(name, fault)
            return ""
        stripped = value.strip()
        if not lines and ("\n" in stripped or "\r" in stripped):
            stripped = " ".join(stripped.split())
        if len(stripped) < least:
            self.fault(name, "must not be empty" if least == 1 else f"at least {least} characters")
        elif len(stripped) > most:
            self.fault(name, f"at most {most} characters")
        return stripped

    def choice(self, name: str, value: object, choices: Collection[str]) -> str:
        if not isinstance(value, str) or value not in choices:
            self.fault(name, "must be one of " + ", ".join(choices))
            return ""
        return value

    def flag(self, name: str, value: object) -> bool:
        if not isinstance(value, bool):
            self.fault(name, "must be true or false")
            return False
        return value

    def count(self, name: str, value: object, least: int, most: int) -> int:
        """A whole number; JSON's true is none."""
        if type(value) is not int or not least <= value <= most:
            self.fault(name, f"must be a whole number from {least} to {most}")
            return least
        return value

    def reference(self, name: str, value: object) -> int | None:
        """An id of another record, or None (also for the empty text of a form)."""
        if value is None or value == "":
            return None
        found = parse_id(value)
        if found is None:
            self.fault(name, "must be an id")
        return found

    def words(self, name: str, value: object, *, most: int = 50, longest: int = 60) -> list[str]:
        """Distinct words such as tags, in their order."""
        if not isinstance(value, (list, tuple)):
            self.fault(name, "must be a list of texts")
            return []
        if len(value) > most:
            self.fault(name, f"at most {most} entries")
            return []
        return list(dict.fromkeys(self.text(name, one, longest, least=1) for one in value))

    def moment(self, name: str, value: object) -> datetime | None:
        """RFC 3339 with its zone, given back in UTC."""
        if value is None or value == "":
            return None
        try:
            at = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
            if at.tzinfo is None:
                raise ValueError("no zone")
            at = at.astimezone(UTC)
        except (ValueError, OverflowError):
            self.fault(name, "must be a time such as 2026-01-31T09:30:00Z")
            return None
        if not 1970 <= at.year <= 9000:
            self.fault(name, "must be a year between 1970 and 9000")
            return None
        return at

    def record(self, name: str, value: object, *, most_bytes: int = 65_536) -> dict[str, Any]:
        """A JSON object of a customer's or a ticket's own fields."""
        if not isinstance(value, Mapping):
            self.fault(name, "must be an object")
            return {}
        fault = _json_fault(value, 0)
        if fault is None and len(json.dumps(value, ensure_ascii=False)) > most_bytes:
            fault = f"at most {most_bytes} bytes"
        if fault is not None:
            self.fault(name, fault)
            return {}
        return dict(value)


def _json_fault(value: object, depth: int) -> str | None:
    if depth > 20:
        return "nested too deeply"
    if isinstance(value, str):
        return text_fault(value)
    if isinstance(value, Mapping):
        return next(
            (
                fault
                for key, one in value.items()
                if (fault := text_fault(str(key)) or _json_fault(one, depth + 1)) is not None
            ),
            None,
        )
    if isinstance(value, (list, tuple)):
        return next((fault for one in value if (fault := _json_fault(one, depth + 1)) is not None), None)
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return "holds a number that is none"
    return None
