"""Secrets that come with the request itself: bearer tokens and tokens in the URL."""

from __future__ import annotations

import hmac
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
