"""One call after the other: who calls, who can answer, and the provider's script that plays it."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import aiohttp

from handlers.simulate.answers import CallLost
from handlers.simulate.people import People
from handlers.simulate.plan import OUT, CallPlan, Kind, Played
from handlers.simulate.script import CallScript, Line
from handlers.simulate.stage import Stage
from server.settings import Settings
from server.store.simulation import SimAgent

_LEAST_WAIT = 2.0
TWICE, LATE = 0.3, 0.3


@dataclass(frozen=True, slots=True)
class Spans:
    """How long things take, in seconds of life."""

    ring: float
    talk: float
    patience: float


def spans_of_life(random: Random, kind: Kind) -> Spans:
    """Calls as they are: most last two or three minutes, few a quarter of an hour."""
    talk = min(max(random.lognormvariate(4.9, 0.7), 15.0), 900.0)
    patience = random.uniform(5, 40) if kind is Kind.ABANDONED else random.uniform(60, 180)
    return Spans(random.uniform(4, 22), talk, patience)


def spans_of_a_show(random: Random, kind: Kind) -> Spans:
    """Short enough to be watched."""
    patience = random.uniform(5, 15) if kind is Kind.ABANDONED else 45.0
    return Spans(random.uniform(3, 9), random.uniform(8, 40), patience)


class Calls:
    """``played`` is what happened; ``lost`` counts the calls that the server's answers did not let go on."""

    def __init__(
        self, stage: Stage, settings: Settings, people: People, scripts: dict[str, CallScript]
    ) -> None:
        self.played: list[Played] = []
        self.lost = 0
        self._stage = stage
        self._settings = settings
        self._people = people
        self._scripts = scripts

    def script(self, source: str) -> CallScript:
        return self._scripts[self._settings.call_sources[source].provider]

    async def play(self, source: str, kind: Kind, spans: Spans) -> None:
        """One call from its first ring to its end. Raises WrongServer."""
        stage, script = self._stage, self.script(source)
        await self._people.look()
        taken: list[SimAgent] = []
        if not script.led or kind in OUT:
            needed = 2 if kind is Kind.TRANSFERRED else 1
            taken = await self._people.take(needed, max(spans.patience / stage.speed, _LEAST_WAIT))
        try:
            await self._play(script, self._plan(source, kind, spans, taken))
        except CallLost as lost:
            self.lost += 1
            stage.tell(f"call  {source}: {kind}: {lost}")
        except (aiohttp.ClientError, TimeoutError, OSError) as bad:
            self.lost += 1
            stage.tally.refused += 1
            stage.tell(f"call  {source}: could not be sent: {type(bad).__name__}: {bad}")
        finally:
            await self._people.give_back(taken)

    def summary(self) -> str:
        """Of what did not go well; empty when all did."""
        return f", {self.lost} calls lost" if self.lost else ""

    async def _play(self, script: CallScript, plan: CallPlan) -> None:
        line = Line(self._stage, plan)
        played = await script.play(line)
        await line.close()
        self.played.extend(played)

    def _plan(self, source: str, kind: Kind, spans: Spans, taken: list[SimAgent]) -> CallPlan:
        """A kind that needs an agent becomes another where nobody has a phone."""
        random, script = self._stage.random, self.script(source)
        others = [agent for agent in self._people.colleagues() if agent not in taken]
        agents = [*taken, *others] if taken or script.led else []
        if kind in OUT and not taken:
            kind = Kind.ABANDONED if Kind.ABANDONED in script.kinds else Kind.MISSED
        return CallPlan(
            source=source,
            settings=self._settings.call_sources[source],
            kind=kind,
            caller=self._people.caller(source, known=kind in OUT),
            dnis=self._people.dnis(source),
            ring_seconds=spans.ring,
            talk_seconds=spans.talk,
            patience_seconds=spans.patience,
            agents=agents,
            twice=random.random() < TWICE,
            late=random.random() < LATE,
        )
