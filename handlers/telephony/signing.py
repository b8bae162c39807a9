"""Secrets that come with the request itself: bearer tokens and tokens in the URL. And what came once already."""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Iterable

from handlers.telephony.provider import HookRequest


def is_one_of(given: str, secrets: Iterable[str]) -> bool:
    """Compare in constant time with every secret; an empty secret is nobody's."""
    presented = given.encode("utf-8", "surrogatepass")
    found = False
    for secret in secrets:
        if secret and hmac.compare_digest(presented, secret.encode("utf-8", "surrogatepass")):
            found = True
    return found


def presented_tokens(request: HookRequest) -> list[str]:
    """``Authorization: Bearer`` (RFC 6750 2.1) first, then every ``?token=``."""
    tokens = []
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and credentials.strip():
        tokens.append(credentials.strip())
    if "token=" in request.url:
        tokens.extend(value for name, value in request.query if name == "token" and value)
    return tokens


class SeenBook:
    """Which request came with a token that is meant for one only (a ``jti``, a nonce).

    Its retry, the same to the byte, is welcome; another request with the same token is a replay. Ask after the
    signature is known to be good: a stranger writes nothing here. In memory and bounded, the oldest is
    forgotten first; an event that comes again later is still told by its key.
    """

    def __init__(self, most: int = 32_768) -> None:
        self._most = most
        self._seen: OrderedDict[tuple[str, str], bytes] = OrderedDict()

    def is_replay(self, source: str, token: str, request: HookRequest) -> bool:
        """Whether ``token`` came to this source before with another method, address or body. Remembers it."""
        head = f"{request.method} {request.url}\n".encode("utf-8", "surrogatepass")
        content = hashlib.sha256(head + request.body).digest()
        first = self._seen.setdefault((source, token), content)
        if len(self._seen) > self._most:
            self._seen.popitem(last=False)
        return first != content
