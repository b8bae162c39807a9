"""What is to happen in a call, and what did: the plan that a script plays, and its record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from server.domain.call import CallState
from server.settings import CallSourceSettings
from server.store.simulation import SimAgent


class Kind(StrEnum):
    """How a call goes. What is not said otherwise comes in from a customer."""

    ANSWERED = "answered"
    HELD = "held"  # answered, and the customer hears music for a while
    TRANSFERRED = "transferred"  # answered, and handed over to a colleague
    MISSED = "missed"  # it rang, nobody picked up
    ABANDONED = "abandoned"  # the caller gave up before somebody could
    BUSY = "busy"
    VOICEMAIL = "voicemail"
    OUTGOING = "outgoing"  # an agent calls a customer
    UNTAKEN = "untaken"  # ... who does not pick up


TALKS = frozenset({Kind.ANSWERED, Kind.HELD, Kind.TRANSFERRED})
OUT = frozenset({Kind.OUTGOING, Kind.UNTAKEN})

# Of a hundred calls of a day.
_WEIGHTS = {
    Kind.ANSWERED: 46,
    Kind.HELD: 8,
    Kind.TRANSFERRED: 7,
    Kind.MISSED: 6,
    Kind.ABANDONED: 7,
    Kind.BUSY: 3,
    Kind.VOICEMAIL: 5,
    Kind.OUTGOING: 13,
    Kind.UNTAKEN: 5,
}
_STATES = {
    Kind.MISSED: CallState.MISSED,
    Kind.ABANDONED: CallState.MISSED,
    Kind.BUSY: CallState.MISSED,
    Kind.VOICEMAIL: CallState.VOICEMAIL,
}


@dataclass(frozen=True, slots=True)
class Caller:
    """The customer. ``number`` is E.164, "" when withheld; ``name`` is for our line only."""

    name: str
    number: str


@dataclass(frozen=True, slots=True)
class CallPlan:
    """How a call goes unless the server decides otherwise. Spans in seconds.

    ``agents``: who picks up or dials, then who takes over; empty when nobody can. Where the server
    chooses whom to ring, that agent picks up instead.
    """

    source: str
    settings: CallSourceSettings
    kind: Kind
    caller: Caller
    dnis: str
    ring_seconds: float
    talk_seconds: float
    patience_seconds: float = 45.0
    agents: Sequence[SimAgent] = ()
    twice: bool = False  # some of its requests are delivered twice
    late: bool = False  # some of its events are overtaken by the next

    @property
    def secret(self) -> str:
        return self.settings.secrets[0].get_secret_value()

    def option(self, name: str) -> str:
        """A setting that only this provider knows; a table's is named ``table.key``."""
        found: object = self.settings.model_extra or {}
        for part in name.split("."):
            found = found.get(part, "") if isinstance(found, dict) else ""
        return str(found)

    def table(self, name: str) -> dict[str, str]:
        found = (self.settings.model_extra or {}).get(name)
        return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


@dataclass(frozen=True, slots=True)
class Played:
    """One call as it went, and the state in which the server must have left it.

    ``key`` is the call's, "" where the provider sends none.
    """

    source: str
    key: str
    kind: Kind

    @property
    def state(self) -> CallState:
        return _STATES.get(self.kind, CallState.ENDED)


def deal_kinds(random: Random, kinds: Iterable[Kind], count: int) -> list[Kind]:
    """``count`` calls as a day has them, in any order; each kind at least once where there is room."""
    known = [kind for kind in Kind if kind in set(kinds)]
    if count < len(known):
        return random.sample(known, count)
    more = random.choices(known, [_WEIGHTS[kind] for kind in known], k=count - len(known))
    dealt = [*known, *more]
    random.shuffle(dealt)
    return dealt


def choose_kind(random: Random, kinds: Iterable[Kind]) -> Kind:
    """One call of a day."""
    known = [kind for kind in Kind if kind in set(kinds)]
    return random.choices(known, [_WEIGHTS[kind] for kind in known])[0]
