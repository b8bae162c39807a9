from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.identity import normalise_phone
from server.domain.matching import (
    REASONS,
    Ambiguous,
    Evidence,
    EvidenceKind,
    Match,
    Matched,
    Unknown,
    decide_match,
)

CASES = Path(__file__).resolve().parents[2].parent / "shared" / "cases" / "phone" / "matching.json"
EVIDENCE = st.builds(
    Evidence,
    customer_id=st.integers(1, 4),
    kind=st.sampled_from([kind.value for kind in EvidenceKind]),
    verified=st.booleans(),
    provisional=st.booleans(),
    shared=st.booleans(),
    same_extension=st.sampled_from([None, True, False]),
    alias=st.booleans(),
    key=st.sampled_from(["", "tel", "mail"]),
)


def ids(match: Match) -> list[int]:
    return [one.customer_id for one in match.candidates]


def expected_word(case: dict[str, Any]) -> str:
    said = case["match"]
    return {True: "matched", False: "unknown"}[said] if isinstance(said, bool) else "ambiguous"


def test_real_cases() -> None:
    if not CASES.exists():
        assert not os.environ.get("CI"), f"{CASES} is missing"
        pytest.skip("the shared cases are not here")
    wrong = []
    for case in json.loads(CASES.read_text(encoding="utf-8")):
        calling = normalise_phone(case["calling"], case["region"])
        evidence = []
        for customer_id, stored in enumerate(case["stored"], 1):
            # What stands in a text is not a stored number: the text search finds it, as a mention.
            number, _, mention = stored.partition(" (in ")
            if calling is not None and normalise_phone(number, case["region"]) == calling:
                evidence.append(Evidence(customer_id, "text" if mention else "phone"))
        match = decide_match(evidence)
        if match.word != expected_word(case) or len(match.candidates) != len(evidence):
            wrong.append((case["id"], match))
    assert wrong == []


def test_one_strong_customer_is_matched() -> None:
    for kind in ("phone", "email", "external_id", "taught"):
        match = decide_match([Evidence(7, kind)])
        assert isinstance(match, Matched)
        assert match.chosen is match.candidate
        assert match.candidate.customer_id == 7
    assert [one.reason for one in decide_match([Evidence(7, "phone", verified=True)]).candidates] == [
        "phone_verified"
    ]
    assert decide_match([Evidence(7, "email", alias=True)]).word == "matched"


def test_several_with_one_number_are_shown_and_none_is_picked() -> None:
    match = decide_match([Evidence(9, "phone"), Evidence(3, "phone"), Evidence(5, "phone", verified=True)])
    assert isinstance(match, Ambiguous)
    assert ids(match) == [5, 3, 9]
    assert match.chosen is None


def test_number_and_address_of_different_customers() -> None:
    assert decide_match([Evidence(1, "phone"), Evidence(2, "email")]).word == "ambiguous"
    both = decide_match([Evidence(1, "phone"), Evidence(2, "email"), Evidence(2, "phone")])
    assert isinstance(both, Matched)
    assert (both.candidate.customer_id, ids(both)) == (2, [2, 1])


def test_the_exact_address_wins_over_its_alias() -> None:
    match = decide_match([Evidence(1, "email", alias=True), Evidence(2, "email")])
    assert match.chosen is not None
    assert match.chosen.customer_id == 2


def test_what_agents_taught() -> None:
    taught = decide_match([Evidence(1, "phone", verified=True), Evidence(2, "taught")])
    assert isinstance(taught, Matched)
    assert (taught.candidate.reason, ids(taught)) == ("taught", [2])
    refused = decide_match([Evidence(1, "phone"), Evidence(1, "refused"), Evidence(2, "phone")])
    assert isinstance(refused, Matched)
    assert ids(refused) == [2]
    assert decide_match([Evidence(1, "phone"), Evidence(1, "refused")]) == Unknown()
    # Of another key nothing was said: the switchboard is never Bob, but Bob's own address is.
    other = decide_match(
        [Evidence(1, "phone", key="tel"), Evidence(1, "refused", key="tel"), Evidence(1, "email", key="mail")]
    )
    assert isinstance(other, Matched)
    assert other.candidate.reason == "email_exact"
    family = decide_match(
        [Evidence(1, "taught", key="tel"), Evidence(2, "phone", key="tel"), Evidence(2, "email")]
    )
    assert ids(family) == [1, 2]
    assert decide_match([Evidence(1, "taught"), Evidence(2, "taught")]).word == "ambiguous"


def test_provisional_customers() -> None:
    alone = decide_match([Evidence(4, "phone", provisional=True)])
    assert isinstance(alone, Unknown)
    assert alone.chosen is not None
    assert alone.chosen.customer_id == 4
    beaten = decide_match([Evidence(4, "phone", provisional=True), Evidence(8, "phone")])
    assert isinstance(beaten, Matched)
    assert ids(beaten) == [8]
    taught = decide_match([Evidence(4, "taught", provisional=True)])
    assert taught.word == "matched"
    hinted = decide_match([Evidence(4, "phone", provisional=True), Evidence(8, "text", key="text")])
    assert isinstance(hinted, Unknown)
    assert hinted.chosen is not None
    assert hinted.chosen.customer_id == 4
    assert set(ids(hinted)) == {4, 8}


def test_shared_lines_and_extensions() -> None:
    assert decide_match([Evidence(1, "phone", shared=True)]).word == "ambiguous"
    assert decide_match([Evidence(1, "phone", same_extension=False)]).word == "ambiguous"
    match = decide_match(
        [
            Evidence(1, "phone", same_extension=False),
            Evidence(2, "phone", shared=True, same_extension=True),
            Evidence(3, "phone"),
        ]
    )
    assert isinstance(match, Matched)
    assert (match.candidate.customer_id, match.candidate.reason) == (2, "phone_extension")


def test_a_name_is_a_hint_only() -> None:
    match = decide_match([Evidence(1, "name")])
    assert isinstance(match, Unknown)
    assert (ids(match), match.chosen) == ([1], None)
    assert decide_match([]) == Unknown(())


def test_an_unknown_kind_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="postcode"):
        decide_match([Evidence(1, "postcode")])


@given(st.lists(EVIDENCE, max_size=8).flatmap(lambda rows: st.tuples(st.just(rows), st.permutations(rows))))
def test_order_and_repetition_do_not_matter(rows: tuple[list[Evidence], list[Evidence]]) -> None:
    match = decide_match(rows[0])
    assert decide_match(rows[1]) == match
    assert decide_match([*rows[1], *rows[0]]) == match


@given(st.lists(EVIDENCE, max_size=8), EVIDENCE)
def test_the_refused_never_appear(rows: list[Evidence], one: Evidence) -> None:
    assert one.customer_id not in ids(decide_match([*rows, replace(one, kind="refused", key="")]))
    of_one_key = [replace(row, key="tel") for row in rows]
    assert one.customer_id not in ids(decide_match([*of_one_key, replace(one, kind="refused", key="tel")]))


@given(st.lists(EVIDENCE, max_size=8))
def test_what_a_decision_holds(rows: list[Evidence]) -> None:
    match = decide_match(rows)
    assert list(match.candidates) == sorted(match.candidates, key=lambda one: (-one.score, one.customer_id))
    assert len(set(ids(match))) == len(match.candidates)
    assert all(0 < one.score < 1 and one.reason in REASONS for one in match.candidates)
    match match:
        case Matched():
            assert match.candidate in match.candidates
            assert not match.candidate.provisional
        case Ambiguous():
            assert match.candidates
        case Unknown():
            assert match.chosen is None or match.chosen.provisional
