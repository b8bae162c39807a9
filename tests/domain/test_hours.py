"""Opening hours: by day, holidays, zones and their clock changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.hours import DAYS, Hours, read_hours

WEEK = {day: [["09:00", "12:30"], ["13:00", "17:30"]] for day in DAYS[:5]}


def hours(zone: str = "Europe/London", holidays: tuple[str, ...] = ("2026-12-25",)) -> Hours:
    found, wrong = read_hours(WEEK, holidays, zone)
    assert found is not None, wrong
    return found


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("when", "is_open"),
    [
        ("2026-11-27T09:00", True),  # a Friday, in winter the zone's time is UTC
        ("2026-11-27T08:59", False),
        ("2026-11-27T12:30", False),
        ("2026-11-27T13:00", True),
        ("2026-11-27T17:30", False),
        ("2026-11-28T10:00", False),  # Saturday
        ("2026-12-25T10:00", False),  # a holiday
        ("2026-07-03T08:15", True),  # in summer an hour earlier by UTC
    ],
)
def test_open_and_closed(when: str, is_open: bool) -> None:
    assert hours().is_open(at(when)) is is_open


def test_the_next_opening_leaves_out_nights_weekends_and_holidays() -> None:
    assert hours().next_open(at("2026-11-27T18:00")) == at("2026-11-30T09:00")
    assert hours().next_open(at("2026-12-24T18:00")) == at("2026-12-28T09:00")
    assert hours().next_open(at("2026-11-27T12:45")) == at("2026-11-27T13:00")
    assert hours().next_open(at("2026-11-27T10:00")) == at("2026-11-27T10:00")
    assert hours("Asia/Shanghai").next_open(at("2026-11-27T18:00")) == at("2026-11-30T01:00")


def test_without_hours_it_is_always_open_but_on_holidays() -> None:
    always, _ = read_hours({}, ["2026-12-25"], "UTC")
    assert always is not None
    assert always.is_open(at("2026-12-24T03:00")) and not always.is_open(at("2026-12-25T03:00"))
    assert always.next_open(at("2026-12-25T03:00")) == at("2026-12-26T00:00")


@pytest.mark.parametrize(
    ("week", "holidays", "zone", "names"),
    [
        ({"monday": [["09:00", "10:00"]]}, [], "UTC", "monday"),
        ({"mon": [["9", "10:00"]]}, [], "UTC", "09:00-17:30"),
        ({"mon": [["17:00", "09:00"]]}, [], "UTC", "not before"),
        ({}, ["25.12."], "UTC", "2026-12-25"),
        ({}, [], "Mars/Olympus", "time zone"),
    ],
)
def test_what_is_wrong_is_said(week: dict, holidays: list, zone: str, names: str) -> None:  # type: ignore[type-arg]
    found, wrong = read_hours(week, holidays, zone)
    assert found is None and names in wrong


@given(
    st.integers(0, 366 * 24 * 60),
    st.sampled_from(["UTC", "Europe/London", "Asia/Shanghai", "America/New_York"]),
)
def test_the_next_opening_is_open_and_nothing_before_it_is(minutes: int, zone: str) -> None:
    opening = hours(zone)
    now = at("2026-01-01T00:00") + timedelta(minutes=minutes)
    found = opening.next_open(now)
    assert found is not None and opening.is_open(found) and found >= now
    between = range(0, int((found - now).total_seconds() // 60), 17)
    assert not any(opening.is_open(now + timedelta(minutes=step)) for step in between)
