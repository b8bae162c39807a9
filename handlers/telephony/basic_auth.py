"""``Authorization: Basic`` (RFC 7617), for senders that sign nothing."""

from __future__ import annotations

import base64

_LONGEST = 1024


def basic_credentials(header: str) -> str | None:
    """``user:password`` as it was given; None when the header is another scheme or cannot be read."""
    scheme, _, credentials = header.strip().partition(" ")
    if scheme.lower() != "basic" or len(credentials) > _LONGEST:
        return None
    try:
        return base64.b64decode(credentials.strip(), validate=True).decode()
    except ValueError:
        return None
