"""Opening hours of a queue, with holidays, in the queue's own time zone. Pure: ``at`` is an argument."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00")
LOOK_AHEAD_DAYS = 400

Span = tuple[int, int]  # minutes of the day, from and until


@dataclass(frozen=True, slots=True)
class Hours:
    """``week`` by weekday (0 Monday). Without any span the queue is always open, but for holidays."""

    week: Mapping[int, tuple[Span, ...]] = field(default_factory=dict)
    holidays: frozenset[date] = frozenset()
    zone: str = "UTC"

    def is_open(self, at: datetime) -> bool:
        local = at.astimezone(ZoneInfo(self.zone))
        if local.date() in self.holidays:
            return False
        if not self.week:
            return True
        minute = local.hour * 60 + local.minute
        return any(since <= minute < until for since, until in self.week.get(local.weekday(), ()))

    def next_open(self, at: datetime) -> datetime | None:
        """``at`` itself when it is open then; None when it does not open within a year."""
        if self.is_open(at):
            return at
        zone = ZoneInfo(self.zone)
        local = at.astimezone(zone)
        for ahead in range(LOOK_AHEAD_DAYS):
            day = local.date() + timedelta(days=ahead)
            if day in self.holidays:
                continue
            for since, _ in self.week.get(day.weekday(), () if self.week else ((0, 1440),)):
                start = datetime.combine(day, time(since // 60, since % 60), zone)
                if start > local:
                    return start.astimezone(UTC)
        return None


def read_hours(
    week: Mapping[str, Sequence[Sequence[str]]], holidays: Sequence[str], zone: str
) -> tuple[Hours | None, str]:
    """The hours, or None and what is wrong with ``{"mon": [["09:00", "17:30"]]}`` or ``["2026-12-25"]``."""
    found: dict[int, tuple[Span, ...]] = {}
    for day, spans in week.items():
        if day not in DAYS:
            return None, f"{str(day)[:20]!r} is no day: use {', '.join(DAYS)}"
        read: list[Span] = []
        for span in spans:
            if len(span) != 2 or not all(isinstance(one, str) and _CLOCK.fullmatch(one) for one in span):
                return None, f"{day}: must be pairs such as 09:00-17:30"
            since, until = (_minutes(one) for one in span)
            if since >= until:
                return (
                    None,
                    f"{day}: {span[0]} is not before {span[1]} (over midnight: until 24:00, then from 00:00)",
                )
            read.append((since, until))
        if read:
            found[DAYS.index(day)] = tuple(sorted(read))
    days: set[date] = set()
    for one in holidays:
        try:
            days.add(date.fromisoformat(one))
        except (ValueError, TypeError):
            return None, f"{str(one)[:20]!r} is no date such as 2026-12-25"
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        return None, f"{zone[:40]!r} is no time zone such as Europe/London"
    return Hours(found, frozenset(days), zone), ""


def _minutes(clock: str) -> int:
    hour, _, minute = clock.partition(":")
    return int(hour) * 60 + int(minute)
