"""Who may ask for a caller's name: whoever shows one of the source's secrets, and does not guess at them."""

from __future__ import annotations

from collections import OrderedDict

from handlers.telephony.basic_auth import basic_credentials
from handlers.telephony.provider import CallSource, HookRequest
from handlers.telephony.signing import is_one_of, presented_tokens
from handlers.telephony.sources import providers
from server.domain.errors import NotAuthenticated, TooMany

GUESSES = 10
PER_SECOND = GUESSES / 60


class Guesses:
    """How many wrong secrets a peer may still try at a source; the least recently seen is forgotten first."""

    def __init__(self, peers: int = 10_000) -> None:
        self._peers = peers
        self._left: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()

    def wait_seconds(self, source: str, peer: str, now: float) -> int:
        """0 while the peer may try."""
        left = self._level((source, peer), now)
        return 0 if left >= 1 else int((1 - left) / PER_SECOND) + 1

    def wrong(self, source: str, peer: str, now: float) -> None:
        key = (source, peer)
        self._left[key] = (self._level(key, now) - 1, now)
        self._left.move_to_end(key)
        if len(self._left) > self._peers:
            self._left.popitem(last=False)

    def _level(self, key: tuple[str, str], now: float) -> float:
        left, since = self._left.get(key, (float(GUESSES), now))
        return min(float(GUESSES), left + (now - since) * PER_SECOND)


def check_asker(source: CallSource, request: HookRequest, guesses: Guesses, now: float) -> None:
    """Raises NotAuthenticated, or TooMany after too many wrong secrets of ``request.peer``."""
    wait = guesses.wait_seconds(source.name, request.peer, now)
    if wait:
        raise TooMany("too many wrong secrets", retry_after_seconds=wait)
    shown = _shown(request)
    if any(is_one_of(one, _secrets_of(source)) for one in shown):
        return
    guesses.wrong(source.name, request.peer, now)
    raise NotAuthenticated("send one of the source's secrets: as ?token=, as Bearer or as the Basic password")


def _shown(request: HookRequest) -> list[str]:
    """Where a PBX can put a secret: in the URL, in a header, or in front of the host (``https://x:secret@...``)."""
    shown = presented_tokens(request)
    shown += [value for name, value in request.query if name == "key" and value]
    if request.headers.get("X-Api-Key"):
        shown.append(request.headers["X-Api-Key"])
    basic = basic_credentials(request.headers.get("Authorization", ""))
    if basic is not None:
        shown.append(basic.partition(":")[2])
    return shown[:8]


def _secrets_of(source: CallSource) -> list[str]:
    """Those of the source, or the option ``lookup_token`` alone.

    A key that only checks signatures is no secret, since everybody may have it: a source whose provider has
    such keys needs the option.
    """
    if token := source.options.get("lookup_token"):
        return [token]
    if getattr(providers().get(source.provider), "public_secrets", False):
        return []
    return list(source.secrets)
