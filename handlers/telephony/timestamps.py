"""Providers' clocks: ISO 8601 (RFC 3339) texts and epochs. None for what cannot be read, never an error."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST = 10**9
"""Seconds that a 32-bit column holds; no call is longer."""


def iso_time(stamp: object) -> datetime | None:
    """``2026-11-16T09:15:00.402310Z`` in UTC; a time without a zone is taken for UTC."""
    if not isinstance(stamp, str) or not 10 <= len(stamp) <= 40:
        return None
    try:
        parsed = datetime.fromisoformat(stamp)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def epoch_time(count: object, *, per_second: int = 1) -> datetime | None:
    """Digits (or a number) since 1970; 0 means that it never happened."""
    text = str(count) if isinstance(count, int) and not isinstance(count, bool) else count
    if not isinstance(text, str) or len(text) > 20 or not (text.isascii() and text.isdecimal()):
        return None
    try:
        return (_EPOCH + timedelta(microseconds=int(text) * 1_000_000 // per_second)) if int(text) else None
    except OverflowError:
        return None


def seconds_between(start: datetime | None, end: datetime | None) -> int | None:
    """Whole seconds, rounded; None when a side is missing or they are the wrong way round."""
    if start is None or end is None:
        return None
    seconds = round((end - start).total_seconds())
    return seconds if 0 <= seconds <= _LONGEST else None
