"""One request to a provider's REST API in an agent's name: JSON back, or a reason that an agent can read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import aiohttp

from handlers.telephony.control import CommandFailed
from handlers.telephony.fields import optional_text

# An agent waits for the answer in front of the phone.
_TIMEOUT = aiohttp.ClientTimeout(total=10)
_REASONS = ("reasontext", "error_description", "message", "error", "cause")


class Refused(CommandFailed):
    """The API answered, with another status than 2xx."""

    def __init__(self, status: int, reason: str | None) -> None:
        super().__init__(f"the telephony refused ({status}{': ' + reason if reason else ''})")
        self.status = status


async def ask(
    http: aiohttp.ClientSession,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    message: Mapping[str, Any] | None = None,
    form: Mapping[str, str] | None = None,
) -> Any:
    """The JSON of a 2xx answer (``message`` goes out as JSON, ``form`` urlencoded); None when it has none.

    Raises Refused when the answer is another one, CommandFailed when none comes in time.
    """
    try:
        async with http.request(
            method,
            url,
            headers=headers,
            json=message,
            data=form,
            timeout=_TIMEOUT,
            allow_redirects=False,  # the credentials are for this host only
        ) as response:
            status, body = response.status, await response.read()
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
        raise CommandFailed("the telephony cannot be reached") from None
    answer = _json(body)
    if not 200 <= status < 300:
        raise Refused(status, reason_of(answer))
    return answer


def reason_of(answer: Any) -> str | None:
    """Why a request failed, in the API's own words, where it says so."""
    if not isinstance(answer, dict):
        return None
    said = (answer.get(name) for name in _REASONS)
    return next((optional_text(reason) for reason in said if isinstance(reason, str) and reason), None)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
