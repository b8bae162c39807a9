"""Lists for spreadsheets: CSV (RFC 4180) that runs nothing."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

BYTE_ORDER_MARK = "\ufeff"  # so that spreadsheets read Chinese
# What a spreadsheet takes for the beginning of a formula, its full-width spellings too (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def csv_line(values: Iterable[str | int | None]) -> str:
    """One row. A text that a spreadsheet would run as a formula is made text by an apostrophe before it."""
    out = io.StringIO()
    csv.writer(out).writerow([_safe(value) for value in values])
    return out.getvalue()


def _safe(value: str | int | None) -> str | int:
    if value is None:
        return ""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
