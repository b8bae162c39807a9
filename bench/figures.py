"""Figures of one run: medians, the table, and the JSON lines of ``bench/results.jsonl``."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HUNDRED = 100
RESULTS = Path(__file__).with_name("results.jsonl")


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value. ``limit`` is what it is compared with, ``ratio`` is value / limit.

    ``goal`` is a text such as ``"ratio >= 0.6"`` (value or ratio, >= or <=), empty for a figure that
    is only told. ``ok`` is None then.
    """

    name: str
    value: float
    unit: str
    limit: float | None = None
    goal: str = ""

    @property
    def ratio(self) -> float | None:
        return None if not self.limit or math.isnan(self.limit) else self.value / self.limit

    @property
    def ok(self) -> bool | None:
        if not self.goal:
            return None
        subject, comparison, bound = self.goal.split()
        measured = self.ratio if subject == "ratio" else self.value
        if measured is None or math.isnan(measured):
            return False
        return measured >= float(bound) if comparison == ">=" else measured <= float(bound)

    def line(self) -> str:
        return json.dumps(
            {
                "name": self.name,
                "value": _short(self.value),
                "unit": self.unit,
                "limit": _short(self.limit),
                "ratio": _short(self.ratio),
                "goal": self.goal or None,
                "ok": self.ok,
            },
            ensure_ascii=False,
        )


@dataclass(slots=True)
class Report:
    """Collects figures; prints each section as it is ready, so that a broken run shows what it had."""

    say: Callable[[str], None]
    figures: list[Figure] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def add(
        self,
        name: str,
        value: float,
        unit: str,
        *,
        limit: float | None = None,
        goal: str = "",
    ) -> Figure:
        figure = Figure(name, value, unit, limit, goal)
        self.figures.append(figure)
        self.say(_row(figure))
        return figure

    @property
    def missed(self) -> list[Figure]:
        return [figure for figure in self.figures if figure.ok is False]

    def write(self, path: Path = RESULTS) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.writelines(figure.line() + "\n" for figure in self.figures)

    def table(self) -> str:
        head = f"{'figure':<46} {'value':>11} {'unit':<9} {'limit':>11} {'ratio':>7}  goal"
        return "\n".join([head, "-" * (len(head) + 18), *map(_row, self.figures)])


def median(values: Iterable[float]) -> float:
    """The median; nan of nothing."""
    found = [value for value in values if not math.isnan(value)]
    return statistics.median(found) if found else math.nan


def percentile(values: Sequence[float], share: float) -> float:
    """The value at ``share`` (0..1) of the sorted values, nearest rank; nan of nothing."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))]


def _row(figure: Figure) -> str:
    verdict = {None: "", True: "ok", False: "MISSED"}[figure.ok]
    return (
        f"{figure.name:<46} {_text(figure.value):>11} {figure.unit:<9} {_text(figure.limit):>11} "
        f"{_text(figure.ratio):>7}  {figure.goal} {verdict}".rstrip()
    )


def _text(value: float | None) -> str:
    if value is None:
        return ""
    if math.isnan(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= HUNDRED else f"{value:.2f}"


def _short(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else round(value, 4)
