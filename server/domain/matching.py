"""Whom a caller or sender is: a decision over evidence, never a look-up that picks the first row.

The store finds rows by exact keys (E.164, match key of an address, id in another system) and hands
each as :class:`Evidence`; :func:`decide_match` weighs them. Parts of numbers are never evidence.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import prod
from typing import ClassVar, Literal


class EvidenceKind(StrEnum):
    PHONE = "phone"
    EMAIL = "email"
    EXTERNAL_ID = "external_id"
    TAUGHT = "taught"  # an agent said: this is the caller
    REFUSED = "refused"  # an agent said: never this one
    TEXT = "text"  # the number or address was only found in a text
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One reason to think of one customer.

    ``key`` is what was matched ("tel:+49...", "mail:..."): a taught or refused link, and a confirmed
    customer before a provisional one, count for the same key only. Without keys all are of one key;
    a refusal without a key counts for all.
    """

    customer_id: int
    kind: str  # of EvidenceKind
    verified: bool = False  # the customer's number or address was confirmed
    provisional: bool = False  # nobody has confirmed this customer yet
    shared: bool = False  # a line or mailbox of several people
    same_extension: bool | None = None  # None when the caller or the record has no extension
    alias: bool = False  # the address is equal by its alias rules only
    key: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """``score`` from 0 to 1; ``reason`` is one of REASONS, which the console puts into words."""

    customer_id: int
    score: float
    reason: str
    provisional: bool = False


@dataclass(frozen=True, slots=True)
class Matched:
    """One customer; the others that were thought of are among ``candidates``."""

    candidate: Candidate
    candidates: tuple[Candidate, ...]
    word: ClassVar[Literal["matched"]] = "matched"

    @property
    def chosen(self) -> Candidate | None:
        return self.candidate


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """Somebody known, but not certainly who: all are shown and none is picked."""

    candidates: tuple[Candidate, ...]
    word: ClassVar[Literal["ambiguous"]] = "ambiguous"

    @property
    def chosen(self) -> Candidate | None:
        return None


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody whose identity is confirmed. ``chosen`` is the provisional record to use again, if any."""

    candidates: tuple[Candidate, ...] = ()
    word: ClassVar[Literal["unknown"]] = "unknown"

    @property
    def chosen(self) -> Candidate | None:
        return next((one for one in self.candidates if _usable(one)), None)


Match = Matched | Ambiguous | Unknown

_SCORES = {
    "external_id": 0.99,
    "taught": 0.98,
    "phone_extension": 0.97,
    "phone_verified": 0.95,
    "email_verified": 0.95,
    "phone_exact": 0.9,
    "email_exact": 0.9,
    "email_alias": 0.75,
    "shared_line": 0.6,
    "shared_address": 0.6,
    "other_extension": 0.55,
    "text_mention": 0.5,
    "name_similar": 0.3,
}
REASONS = tuple(_SCORES)

STRONG = 0.7  # from here on one customer alone is a match
WORTH_SHOWING = 0.5  # below, it is no more than a hint: the caller counts as unknown
CLEARER = 2.4  # the first wins when its doubt (1 - score) is this many times smaller than the next one's
_UNCONFIRMED = 0.5  # a provisional customer's score is this part of a confirmed one's
_WEAK = frozenset(("shared_line", "shared_address", "other_extension", "text_mention", "name_similar"))


def decide_match(evidence: Sequence[Evidence]) -> Match:
    """Matched, Ambiguous or Unknown; the order and repetition of the evidence do not matter.

    Candidates come sorted by score, then customer id. Raises ValueError for an unknown kind.
    """
    kept = _without_refused(evidence)
    if len(kept) > 1:  # one piece of evidence, as nearly always, competes with nothing
        kept = _taught_first(kept)
        kept = _confirmed_first(kept)
    candidates = sorted(_candidates(kept), key=lambda one: (-one.score, one.customer_id))
    known = [one for one in candidates if not one.provisional and one.score >= WORTH_SHOWING]
    shown = tuple(candidates)
    if not known:
        return Unknown(shown)
    first = known[0]
    if first.score < STRONG:
        return Unknown(shown) if any(map(_usable, shown)) else Ambiguous(shown)
    if len(known) > 1 and 1 - known[1].score < CLEARER * (1 - first.score):
        return Ambiguous(shown)
    return Matched(first, shown)


def _usable(one: Candidate) -> bool:
    """Provisional, and by such evidence that a confirmed customer would have been matched."""
    return one.provisional and one.score >= STRONG * _UNCONFIRMED


def _reason(one: Evidence) -> str:
    kind = one.kind
    if kind == EvidenceKind.PHONE:
        if one.same_extension is not None:
            return "phone_extension" if one.same_extension else "other_extension"
        if one.shared:
            return "shared_line"
        return "phone_verified" if one.verified else "phone_exact"
    if kind == EvidenceKind.EMAIL:
        if one.shared:
            return "shared_address"
        if one.alias:
            return "email_alias"
        return "email_verified" if one.verified else "email_exact"
    if kind == EvidenceKind.TEXT:
        return "text_mention"
    if kind == EvidenceKind.NAME:
        return "name_similar"
    return str(EvidenceKind(kind))


def _without_refused(evidence: Iterable[Evidence]) -> list[Evidence]:
    everything = list(evidence)
    refused = {(one.customer_id, one.key) for one in everything if one.kind == EvidenceKind.REFUSED}
    if not refused:
        return everything
    return [
        one
        for one in everything
        if one.kind != EvidenceKind.REFUSED
        and (one.customer_id, one.key) not in refused
        and (one.customer_id, "") not in refused
    ]


def _taught_first(evidence: list[Evidence]) -> list[Evidence]:
    """On a key that an agent has assigned, only those remain to whom it was assigned."""
    taught: dict[str, set[int]] = {}
    for one in evidence:
        if one.kind == EvidenceKind.TAUGHT:
            taught.setdefault(one.key, set()).add(one.customer_id)
    return [one for one in evidence if one.key not in taught or one.customer_id in taught[one.key]]


def _confirmed_first(evidence: list[Evidence]) -> list[Evidence]:
    """A provisional record gives way to a confirmed customer with the same key."""
    confirmed = {one.key for one in evidence if not _doubtful(one) and _reason(one) not in _WEAK}
    return [one for one in evidence if not _doubtful(one) or one.key not in confirmed]


def _doubtful(one: Evidence) -> bool:
    return one.provisional and one.kind != EvidenceKind.TAUGHT  # being taught is being confirmed


def _candidates(evidence: Iterable[Evidence]) -> Iterable[Candidate]:
    by_customer: dict[int, list[Evidence]] = {}
    for one in evidence:
        by_customer.setdefault(one.customer_id, []).append(one)
    for customer_id, rows in by_customer.items():
        if len(rows) == 1:
            one = rows[0]
            reason = _reason(one)
            doubtful = _doubtful(one)
            score = _SCORES[reason] * (_UNCONFIRMED if doubtful else 1)
            yield Candidate(customer_id, score, reason, doubtful)
            continue
        reasons = {_reason(one) for one in rows}
        best: dict[str, str] = {}  # the same key by two reasons is one piece of evidence, not two
        for reason in sorted(reasons, key=lambda word: (-_SCORES[word], word)):
            best.setdefault(_family(reason), reason)
        order = sorted(best.values(), key=lambda word: (-_SCORES[word], word))
        score = 1 - prod(1 - _SCORES[reason] for reason in order)
        provisional = all(_doubtful(one) for one in rows)
        score = round(min(score, 0.999), 4) * (_UNCONFIRMED if provisional else 1)
        yield Candidate(customer_id, score, order[0], provisional)


def _family(reason: str) -> str:
    """Reasons that rest on the same fact do not add up."""
    if reason in ("taught", "text_mention"):
        return "link"
    if reason in ("shared_line", "other_extension") or reason.startswith("phone"):
        return "phone"
    return "email" if "address" in reason or reason.startswith("email") else reason
