"""A WHERE clause from the filters that were given, so that each combination has a plan of its own."""

from __future__ import annotations

from typing import Any


class Where:
    """``add("t.status = ANY ({})", values)``: conditions are ours, values travel as parameters."""

    def __init__(self, *always: str) -> None:
        self._conditions = list(always)
        self.values: list[Any] = []

    def add(self, condition: str, *values: Any) -> None:
        names = []
        for value in values:
            self.values.append(value)
            names.append(f"${len(self.values)}")
        self._conditions.append(condition.format(*names))

    def value(self, value: Any) -> str:
        self.values.append(value)
        return f"${len(self.values)}"

    @property
    def text(self) -> str:
        return " AND ".join(self._conditions) or "true"


def like(text: str) -> str:
    """A pattern that finds the text anywhere; its own wildcards count as themselves."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"
