"""Which legs and calls of the switch are known, bounded: learned from any event that tells of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from handlers.telephony.esl_legs import (
    CallFacts,
    Headers,
    LegFacts,
    agent_of_leg,
    call_by_other_leg,
    first_leg,
    is_loopback,
    originator,
)
from handlers.telephony.fields import required_key

Kept = TypeVar("Kept")


class LegBook:
    """Open legs, legs that ended lately, and calls; of each at most ``most``, the oldest is forgotten first.

    An ended leg is kept for a while: events that come late still belong to its call.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: OrderedDict[str, LegFacts] = OrderedDict()
        self._ended: OrderedDict[str, LegFacts] = OrderedDict()
        self._calls: OrderedDict[str, CallFacts] = OrderedDict()

    def __len__(self) -> int:
        """Open legs."""
        return len(self._open)

    def __iter__(self) -> Iterator[LegFacts]:
        return iter(list(self._open.values()))

    def has_ended(self, key: str) -> bool:
        return key in self._ended

    def find(self, key: str) -> LegFacts | None:
        return self._open.get(key) or self._ended.get(key)

    def call(self, key: str) -> CallFacts:
        return self._calls.get(key) or CallFacts(key)

    def keep(self, leg: LegFacts) -> LegFacts:
        _put(self._ended if leg.key in self._ended else self._open, leg.key, leg, self._most)
        return leg

    def close(self, leg: LegFacts) -> None:
        self._open.pop(leg.key, None)
        _put(self._ended, leg.key, leg, self._most)

    def know(self, facts: CallFacts) -> None:
        """Keep what is said of a call: what another leg says stands until the first leg itself says it."""
        former = self._calls.get(facts.key)
        if former is None or (facts.own and not former.own):
            answered = former is not None and former.answered
            _put(self._calls, facts.key, replace(facts, answered=answered), self._most)

    def answer(self, call_key: str) -> None:
        _put(self._calls, call_key, replace(self.call(call_key), answered=True), self._most)

    def learn(self, headers: Headers, now: datetime) -> tuple[LegFacts, bool]:
        """The leg whose own event this is, and whether it is the first of them. Raises Malformed."""
        key = required_key("Unique-ID", headers.get("Unique-ID"))
        known = self.find(key)
        if known is not None and known.own:
            return self.keep(replace(known, seen_at=now)), False
        by = originator(headers)
        if by is not None:
            by = required_key("Other-Leg-Unique-ID", by)
        call_key = known.call_key if known is not None else self._call_of(key, by, headers)
        leg = replace(known or LegFacts(key, call_key, now), own=True, seen_at=now)
        if by is None and call_key == key:
            facts, refs = first_leg(key, headers)
            self.know(facts)
            leg = replace(leg, root=True, agent=facts.agent_first, refs=refs)
        else:
            if call_key:
                self.know(call_by_other_leg(call_key, headers))
            agent, refs = agent_of_leg(self.call(call_key), headers)
            # A customer's leg has no parent: the call lasts as long as the customer is there.
            parent = (leg.parent or by or call_key) if agent else None
            leg = replace(leg, agent=agent, refs=refs, parent=parent or None)
        return self.keep(leg), True

    def _call_of(self, key: str, by: str | None, headers: Headers) -> str:
        if is_loopback(headers) and by is None:
            # The switch rings itself: for which call, the leg that it rang says, if at all.
            other = self.find(headers.get("variable_other_loopback_leg_uuid", ""))
            return other.call_key if other is not None else ""
        if by is None:
            return key
        said = headers.get("Channel-Call-UUID", "")
        for one in (by, said):
            known = self.find(one)
            if known is not None:
                return known.call_key
        return required_key("Channel-Call-UUID", said if said and said != key else by)


def _put(shelf: OrderedDict[str, Kept], key: str, value: Kept, most: int) -> None:
    shelf[key] = value
    if len(shelf) > most:
        shelf.popitem(last=False)
