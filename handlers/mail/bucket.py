"""How many mails one peer may send in a time."""

from __future__ import annotations

from collections import OrderedDict


class Bucket:
    """Token buckets by peer, the least recently seen forgotten first."""

    def __init__(self, per_second: float, burst: int, peers: int = 10_000) -> None:
        self._per_second, self._burst, self._peers = per_second, burst, peers
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, peer: str, now: float) -> bool:
        level, at = self._levels.pop(peer, (float(self._burst), now))
        level = min(float(self._burst), level + (now - at) * self._per_second)
        allowed = level >= 1.0
        self._levels[peer] = (level - 1.0 if allowed else level, now)
        if len(self._levels) > self._peers:
            self._levels.popitem(last=False)
        return allowed
