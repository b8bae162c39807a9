"""ARI over HTTP: one request, its JSON or a refusal with a status.

Source: ``rest-api/api-docs/*.json`` of Asterisk. Basic authentication; errors are ``{"message": "..."}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson
from yarl import URL

from handlers.telephony.control import CommandFailed
from handlers.telephony.fields import optional_text

MOST_BYTES = 32 * 1024 * 1024
"""Of an answer; a channel has about 700 bytes."""
UNREACHED = 0
"""Stands for the status when there was no answer."""
_TIMEOUT = aiohttp.ClientTimeout(total=10)
_WORDS = {
    UNREACHED: "the PBX cannot be reached",
    401: "the PBX refuses Ringpost's user or password",
    403: "Ringpost's user may only read on this PBX",
    404: "the call is not there any more",
    409: "the PBX's own dial plan holds this call: use the phone",
    412: "the call is not in a state that allows it",
    422: "the PBX cannot do that with this kind of phone or line",
    503: "the PBX is not ready",
}


class AriRefused(Exception):
    """Asterisk said no. ``status`` is HTTP's, UNREACHED when it said nothing."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status} {message}".strip())
        self.status = status
        self.message = message

    def for_agent(self) -> CommandFailed:
        words = _WORDS.get(self.status, f"the PBX refuses it ({self.status})")
        # What 400 and 500 say is about a setting: an endpoint or a context that is not there.
        return CommandFailed(
            f"{words}: {self.message}" if self.message and self.status in (400, 500) else words
        )


class AriRest:
    """``base`` is the address of ARI, without a slash at its end; ``authorization`` the header's value."""

    def __init__(self, http: aiohttp.ClientSession, base: str, authorization: str) -> None:
        self._http = http
        self._base = base
        self._headers = {"Authorization": authorization}

    async def send(
        self,
        method: str,
        *path: str,
        query: Mapping[str, str] | None = None,
        message: Mapping[str, Any] | None = None,
    ) -> Any:
        """The JSON of the answer, None when it has none. Raises AriRefused."""
        url = URL(f"{self._base}/{'/'.join(quote(part, safe='') for part in path)}", encoded=True)
        try:
            async with self._http.request(
                method,
                url.with_query(dict(query)) if query else url,
                json=message,
                headers=self._headers,
                timeout=_TIMEOUT,
                allow_redirects=False,  # the password is for this host only
            ) as response:
                status, body = response.status, await _read(response)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as gone:
            raise AriRefused(UNREACHED, str(gone)[:200]) from None
        try:
            answer = orjson.loads(body) if body else None
        except orjson.JSONDecodeError:
            answer = None
        if not 200 <= status < 300:
            raise AriRefused(status, _message_of(answer))
        return answer


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_chunked(65536):
        body += piece
        if len(body) > MOST_BYTES:
            raise ValueError(f"the answer has more than {MOST_BYTES} bytes")
    return bytes(body)


def _message_of(answer: Any) -> str:
    said = answer.get("message") or answer.get("error") if isinstance(answer, dict) else None
    return (optional_text(said) or "") if isinstance(said, str) else ""
