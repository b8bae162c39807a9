"""What keeps machines out of a form without asking people to solve riddles.

A honeypot that people cannot see, a signed time in the hosted page, and a rate limit by peer and
form. None of them looks at the text alone, so that nobody is refused for what they write.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import re
import secrets
from collections import OrderedDict
from collections.abc import Collection, Mapping
from enum import StrEnum
from pathlib import Path

from aiohttp import web

from server.domain.errors import TooMany

STAMP_FIELD = "_at"
ID_FIELD = "_id"
QUICKEST_SECONDS = 3
"""Nobody reads and fills a form faster."""
STALE_SECONDS = 24 * 3600
_LINK = re.compile(r"https?://|www\.|\[url|<a\s", re.IGNORECASE)


class Stamp(StrEnum):
    ABSENT = "absent"  # a plain post: allowed, the hosted page is not the only door
    GOOD = "good"
    QUICK = "quick"
    STALE = "stale"  # too old, or not ours: the visitor is asked to send once more


class Stamps:
    """Signed times of serving; the key is made once per data directory, so a restart spoils no open page."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def of(cls, data_dir: Path) -> Stamps:
        path = data_dir / "form.key"
        try:
            key = path.read_bytes()
            if len(key) >= 32:
                return cls(key)
        except FileNotFoundError:
            pass
        key = secrets.token_bytes(32)
        data_dir.mkdir(parents=True, exist_ok=True)
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(key)
        except FileExistsError:  # another process was quicker
            key = path.read_bytes() or key
        return cls(key)

    def make(self, form: str, now: float) -> str:
        at = str(int(now))
        return f"{at}.{self._sign(form, at)}"

    def check(self, form: str, stamp: str, now: float) -> Stamp:
        if not stamp:
            return Stamp.ABSENT
        at, _, signature = stamp.partition(".")
        if not (at.isascii() and at.isdigit() and len(at) < 15):
            return Stamp.STALE
        if not hmac.compare_digest(signature.encode("utf-8", "replace"), self._sign(form, at).encode()):
            return Stamp.STALE
        age = now - int(at)
        if age > STALE_SECONDS:
            return Stamp.STALE
        return Stamp.QUICK if age < QUICKEST_SECONDS else Stamp.GOOD

    def _sign(self, form: str, at: str) -> str:
        return hmac.new(self._key, f"{form}\n{at}".encode(), hashlib.sha256).hexdigest()[:32]


def honeypot_of(fields: Collection[str]) -> str:
    """A name that a machine likes to fill and that the form does not use itself."""
    return next(name for name in ("website", "homepage", "fax_number", "_url") if name not in fields)


def decide_spam(values: Mapping[str, str], honeypot: str, stamp: Stamp) -> str | None:
    """Why this is from a machine, else None. Speed alone condemns nobody: browsers fill forms too."""
    if values.get(honeypot, "").strip():
        return "the hidden field was filled"
    if stamp is Stamp.QUICK and any(_LINK.search(value) for value in values.values()):
        return f"links, sent within {QUICKEST_SECONDS} seconds of opening the page"
    return None


class RateLimit:
    """A bucket per key that holds ``per_minute`` and refills steadily; at most ``most`` keys are kept."""

    def __init__(self, most: int = 20_000) -> None:
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._most = most

    def take(self, key: str, per_minute: int, now: float) -> None:
        """Raises TooMany with the seconds until one is free again."""
        level, since = self._buckets.pop(key, (float(per_minute), now))
        level = min(float(per_minute), level + (now - since) * per_minute / 60)
        if level < 1:
            self._buckets[key] = (level, now)
            wait = int((1 - level) * 60 / per_minute) + 1
            raise TooMany(f"too many submissions: try again in {wait} s", retry_after_seconds=wait)
        self._buckets[key] = (level - 1, now)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)


def peer_key(address: str) -> str:
    """One household, one key: an IPv6 peer owns at least its /64."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def client_address(request: web.Request, trusted: Collection[str]) -> str:
    """The peer, or the last address of ``X-Forwarded-For`` that no trusted proxy has written."""
    peer = request.remote or ""
    proxies = [ipaddress.ip_network(one, strict=False) for one in trusted]
    forwarded = [
        part.strip() for part in request.headers.get("X-Forwarded-For", "").split(",") if part.strip()
    ]
    while forwarded and _is_in(peer, proxies):
        peer = forwarded.pop()
    return peer


def _is_in(address: str, networks: Collection[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)
