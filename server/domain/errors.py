"""The one error tree.

RingpostError
|-- Invalid           422  well-formed but not acceptable; ``fields`` names each
|   `-- Malformed     400  cannot be read at all
|-- NotAuthenticated  401  who are you
|-- Forbidden         403  known, but not allowed (or a bad signature)
|-- NotFound          404
|-- Conflict          409  the state has moved on (or a version does not match)
|-- TooLarge          413
|-- WrongType         415
|-- TooMany           429  ``retry_after_seconds``
`-- Unavailable       503  ``retry_after_seconds``; nothing was taken, try again

HTTP statuses are given by one middleware (``handlers/errors.py``), SQLSTATEs are mapped in
``server/store/pool.py``.
"""

from __future__ import annotations

from collections.abc import Mapping


class RingpostError(Exception):
    """Base of everything that Ringpost itself raises; ``detail`` is fit to be shown."""

    status = 500
    code = "error"

    def __init__(self, detail: str = "", *, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(detail or self.code)
        self.detail = detail or self.code
        self.fields: dict[str, str] = dict(fields or {})


class Invalid(RingpostError):
    status, code = 422, "invalid"


class Malformed(Invalid):
    status, code = 400, "malformed"


class NotAuthenticated(RingpostError):
    status, code = 401, "not_authenticated"


class Forbidden(RingpostError):
    status, code = 403, "forbidden"


class NotFound(RingpostError):
    status, code = 404, "not_found"


class Conflict(RingpostError):
    status, code = 409, "conflict"


class PreconditionFailed(Conflict):
    """``If-Match`` named another version."""

    status, code = 412, "precondition_failed"


class TooLarge(RingpostError):
    status, code = 413, "too_large"


class WrongType(RingpostError):
    status, code = 415, "wrong_type"


class TooMany(RingpostError):
    status, code = 429, "too_many"

    def __init__(self, detail: str = "", *, retry_after_seconds: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(RingpostError):
    status, code = 503, "unavailable"

    def __init__(self, detail: str = "", *, retry_after_seconds: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds
