"""Between the rows that the store finds and the decision about them, for calls, mails and forms alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from server.domain.matching import Evidence, Match

LESSONS = {"is": "taught", "never": "refused"}


def evidence_of(row: Mapping[str, Any], kind: str = "phone", key: str = "") -> Evidence:
    """A found customer as evidence; what an agent taught goes before ``kind``."""
    return Evidence(
        customer_id=row["id"],
        kind=LESSONS.get(row.get("verdict") or "", kind),
        verified=bool(row["verified"]),
        provisional=bool(row["provisional"]),
        key=key,
    )


def candidates_of(match: Match, names: Mapping[int, str]) -> list[dict[str, Any]]:
    """What the agent sees of a decision: who, how likely, and why.

    Empty while it is unknown: one that nobody has confirmed is no candidate beside itself.
    """
    if match.word == "unknown":
        return []
    return [
        {
            "customer_id": str(candidate.customer_id),
            "name": names[candidate.customer_id],
            "score": round(candidate.score, 3),
            "reason": candidate.reason,
        }
        for candidate in match.candidates
    ]
