"""Opaque keyset cursors: where the last page ended, as text for an URL."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime

from server.domain.errors import Invalid

MAX_ID = 2**63 - 1


def encode_cursor(*key: int | str) -> str:
    return base64.urlsafe_b64encode(json.dumps(key, separators=(",", ":")).encode()).decode().rstrip("=")


def decode_id_cursor(text: str | None) -> int | None:
    """The id that the last page ended with. Raises Invalid for what we did not give."""
    if text is None:
        return None
    key = _decode(text, 1)
    if type(key[0]) is not int or not 0 <= key[0] <= MAX_ID:
        raise _not_ours()
    return key[0]


def decode_time_cursor(text: str | None) -> tuple[datetime, int, int] | None:
    """(when, rank of the kind, id). Raises Invalid for what we did not give."""
    if text is None:
        return None
    at, rank, row_id = _decode(text, 3)
    if not isinstance(at, str) or type(rank) is not int or type(row_id) is not int:
        raise _not_ours()
    if not (0 <= rank <= 9 and 0 <= row_id <= MAX_ID):
        raise _not_ours()
    try:
        when = datetime.fromisoformat(at)
    except ValueError:
        raise _not_ours() from None
    if when.tzinfo is None:
        raise _not_ours()
    return when, rank, row_id


def _decode(text: str, width: int) -> list[object]:
    if len(text) > 200:
        raise _not_ours()
    try:
        key = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        raise _not_ours() from None
    if not isinstance(key, list) or len(key) != width:
        raise _not_ours()
    return key


def _not_ours() -> Invalid:
    return Invalid(fields={"cursor": "not a cursor of ours: take it from the page before"})
