"""A whole day's calls of some sources, compressed: more in the morning, fewer at noon, all at their pace."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from itertools import cycle, islice
from random import Random

from handlers.simulate.calls import Calls, spans_of_life
from handlers.simulate.plan import Kind, Played, deal_kinds
from handlers.simulate.stage import Stage

CALLS = 240
"""Of one day."""
_HOURS = (4, 8, 12, 11, 7, 6, 9, 11, 8, 4)  # from eight in the morning, how many calls each has
_DAY_SECONDS = len(_HOURS) * 3600


def speed_of(rate: float) -> float:
    """How much faster than in life a day passes when ``rate`` calls come in a second."""
    return rate * _DAY_SECONDS / CALLS


class Day:
    """``count`` calls, one source's after the other's, ``rate`` a second on average."""

    def __init__(
        self, stage: Stage, calls: Calls, sources: Sequence[str], *, rate: float, count: int
    ) -> None:
        self._stage = stage
        self._calls = calls
        self._sources = sources
        self._seconds = count / rate
        self._order = list(islice(cycle(sources), count))

    def describe(self) -> str:
        speed = f"{self._stage.speed:.3g} times as fast as in life"
        return f"{len(self._order)} calls to {', '.join(self._sources)}, {speed}"

    async def play(self) -> list[Played]:
        """Raises WrongServer, in an exception group."""
        stage = self._stage
        kinds = self._deal()
        passed = 0.0
        async with asyncio.TaskGroup() as going:
            for source, at in zip(self._order, _times_of_day(stage.random, len(self._order)), strict=True):
                begins = at * self._seconds
                await stage.pause((begins - passed) * stage.speed)
                if stage.stopping.is_set():
                    break
                passed = begins
                kind = kinds[source].pop()
                going.create_task(self._calls.play(source, kind, spans_of_life(stage.random, kind)))
        return self._calls.played

    def summary(self) -> str:
        """Such as ``240 calls (198 ended, 33 missed, 9 voicemail)``."""
        states = Counter(str(one.state) for one in self._calls.played)
        parts = [f"{count} {state}" for state, count in states.most_common()]
        return f"{len(self._calls.played)} calls ({', '.join(parts) or 'none'}){self._calls.summary()}"

    def _deal(self) -> dict[str, list[Kind]]:
        return {
            source: deal_kinds(self._stage.random, self._calls.script(source).kinds, count)
            for source, count in Counter(self._order).items()
        }


def _times_of_day(random: Random, count: int) -> list[float]:
    """When each call comes, in order, as a share of the day."""
    hours = random.choices(range(len(_HOURS)), _HOURS, k=count)
    return sorted((hour + random.random()) / len(_HOURS) for hour in hours)
