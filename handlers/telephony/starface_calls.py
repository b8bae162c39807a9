"""A call id for messages that have none: which of an agent's calls with somebody a message is about.

One phone has one call with one number at a time. So a call that begins gets an id made of the two, the
direction and the time; what follows between the two belongs to it until it ended. In memory and bounded:
a process that was started since takes what follows for a call of its own.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

REPEAT = timedelta(seconds=10)
"""The same message again within this time is a repetition; later it is another call."""
LONGEST = timedelta(hours=12)
"""After so long without an end, the end was lost."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one message says of its call."""

    agent: str
    customer: str
    direction: str
    event: str  # newcall, answer, hangup


@dataclass(frozen=True, slots=True)
class _Call:
    key: str
    begun_at: datetime
    direction: str
    ended_at: datetime | None = None


class CallBook:
    """The calls that go on, by source, agent and the other side."""

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._calls: OrderedDict[tuple[str, str, str], _Call] = OrderedDict()

    def key(self, source: str, step: Step, now: datetime) -> str:
        """The id of the call that ``step`` begins, goes on with or ends."""
        pair = (source, step.agent, step.customer)
        call = self._calls.get(pair)
        if call is None or _is_over(call, step, now):
            call = _Call(_made_key(pair, step, now), now, step.direction)
        if step.event == "hangup" and call.ended_at is None:
            call = replace(call, ended_at=now)
        self._calls[pair] = call
        self._calls.move_to_end(pair)
        if len(self._calls) > self._most:
            self._calls.popitem(last=False)
        return call.key


def _is_over(call: _Call, step: Step, now: datetime) -> bool:
    """Whether the message cannot be about this call any more."""
    if call.ended_at is not None:
        return step.event != "hangup" or now - call.ended_at > REPEAT
    if step.event == "newcall":
        return step.direction != call.direction or now - call.begun_at > REPEAT
    return now - call.begun_at > LONGEST


def _made_key(pair: tuple[str, str, str], step: Step, now: datetime) -> str:
    said = "|".join((*pair, step.direction, now.isoformat()))
    return hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:24]
