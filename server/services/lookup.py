"""Caller-ID lookup: one name for a number, or none. The same decision as for a call's screen pop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from server.domain.identity import normalise_caller
from server.domain.matching import Ambiguous, Matched, decide_match
from server.services.match_rows import evidence_of
from server.store import lookup as store
from server.store.pool import Pool, transaction_errors


@dataclass(frozen=True, slots=True)
class Found:
    """Who calls. On a line of several people only the company that all of them are of, and no ``customer_id``."""

    name: str
    company: str
    number: str  # E.164
    customer_id: int | None = None
    customer_number: str = ""
    email: str = ""


async def look_up(pool: Pool, number: str, country: str) -> Found | None:
    """``number`` in any spelling of ``country``. None for a withheld one, for nobody known, for several."""
    e164 = normalise_caller(number, country).e164
    if e164 is None:
        return None
    async with transaction_errors():
        rows = await store.fetch_by_number(pool, e164)
    match decide_match([evidence_of(dict(row)) for row in rows]):
        case Matched(candidate):
            row = next(row for row in rows if row["id"] == candidate.customer_id)
            return Found(row["name"], row["company"], e164, row["id"], row["number"], row["email"] or "")
        case Ambiguous(candidates):
            meant = {one.customer_id for one in candidates if not one.provisional}
            company = _common_company([row for row in rows if row["id"] in meant])
            return Found(company, company, e164) if company else None
        case _:
            return None


def _common_company(rows: Sequence[asyncpg.Record]) -> str:
    """The company of all of them, "" when one has none or another one."""
    names = [row["company"] or (row["name"] if row["kind"] == "company" else "") for row in rows]
    return names[0] if len({" ".join(name.casefold().split()) for name in names}) == 1 else ""
