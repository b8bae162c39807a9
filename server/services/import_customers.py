"""A table of customers from another system, taken in a thousand at a time.

Columns, in any order and by these names (English or Chinese): name, phone (several with ";"), email,
company, language, external_id. A row that cannot be taken is told with its reason; the others go in.
A row whose external id is known already is skipped, so the same file may be given twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from server.domain.errors import Malformed
from server.domain.identity import email_match_key, normalise_email, normalise_phone
from server.domain.names import search_key
from server.services.transaction import transaction
from server.store import imports as store
from server.store.pool import Pool

BATCH = 1000
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "name": ("name", "customer", "full name", "姓名", "客户", "客户名称", "名称"),
    "phone": ("phone", "phones", "telephone", "mobile", "number", "电话", "手机", "电话号码", "手机号"),
    "email": ("email", "e-mail", "mail", "email address", "邮箱", "电子邮箱", "电子邮件"),
    "company": ("company", "organisation", "organization", "公司", "单位"),
    "language": ("language", "lang", "语言"),
    "external_id": ("external_id", "external id", "externalid", "id", "客户编号", "编号"),
}
_LANGUAGES = {"": "", "en": "en", "zh": "zh_CN", "zh_cn": "zh_CN", "zh-cn": "zh_CN", "zh-hans": "zh_CN"}


@dataclass(frozen=True, slots=True)
class Rejected:
    """``line`` counts from 1, the header included, as an editor does."""

    line: int
    reason: str
    row: Sequence[str]


@dataclass(frozen=True, slots=True)
class Step:
    """How far it is after a batch: ``taken``, ``skipped`` and ``rejected`` of this batch."""

    taken: int
    skipped: int
    rejected: tuple[Rejected, ...]


def read_header(header: Sequence[str]) -> dict[str, int]:
    """Our column -> its place. Raises Malformed when there is no name, or no way to reach anybody."""
    places: dict[str, int] = {}
    for place, title in enumerate(header):
        plain = " ".join(title.strip().lower().replace("_", " ").split())
        for column, names in COLUMNS.items():
            if plain in {name.replace("_", " ") for name in names}:
                places.setdefault(column, place)
    if "name" not in places and "company" not in places:
        raise Malformed("the first line must name the columns; there is none called name or company")
    if not {"phone", "email", "external_id"} & places.keys():
        raise Malformed("the first line must name the columns; one of phone, email and external_id is needed")
    return places


async def import_customers(
    pool: Pool,
    lines: Iterable[tuple[int, Sequence[str]]],
    places: Mapping[str, int],
    *,
    country: str,
    system: str,
) -> AsyncIterator[Step]:
    """``lines`` are (line number, cells). Each batch is a transaction of its own."""
    source = iter(lines)
    seen: set[str] = set()
    while batch := list(islice(source, BATCH)):
        rows: list[dict[str, Any]] = []
        rejected: list[Rejected] = []
        doubles = 0
        for line, cells in batch:
            try:
                row = read_row(cells, places, country)
            except ValueError as bad:
                rejected.append(Rejected(line, str(bad), cells))
                continue
            if row["external_id"] in seen:
                doubles += 1
                continue
            if row["external_id"]:
                seen.add(row["external_id"])
            rows.append(row)
        async with transaction(pool) as connection:
            ids = [row["external_id"] for row in rows if row["external_id"]]
            known = await store.known_external_ids(connection, system, ids) if ids else set()
            fresh = [row for row in rows if row["external_id"] not in known]
            taken = await store.insert_customers(connection, system, fresh) if fresh else 0
        yield Step(taken, doubles + len(rows) - len(fresh), tuple(rejected))


def read_row(cells: Sequence[str], places: Mapping[str, int], country: str) -> dict[str, Any]:
    """A row for the store. Raises ValueError with the reason, naming the column."""

    def cell(column: str) -> str:
        place = places.get(column)
        value = cells[place] if place is not None and place < len(cells) else ""
        if "\x00" in value:
            raise ValueError(f"{column}: holds a NUL character")
        return " ".join(value.split())

    name, company = cell("name"), cell("company")
    if not (name or company):
        raise ValueError("name: is empty")
    phones: list[str] = []
    for raw in cell("phone").replace("；", ";").replace("|", ";").split(";"):
        if not raw.strip():
            continue
        number = normalise_phone(raw.strip(), country)
        if number is None:
            raise ValueError(
                f"phone: {raw.strip()[:40]} is no phone number in {country}; write it as +44 20 7946 0123"
            )
        if number not in phones:
            phones.append(number)
    email = cell("email")
    address = normalise_email(email) if email else ""
    if address is None:
        raise ValueError(f"email: {email[:80]} is no address")
    language = _LANGUAGES.get(cell("language").lower())
    if language is None:
        raise ValueError(f"language: {cell('language')[:20]} is not known; en and zh_CN are")
    return {
        "kind": "person" if name else "company",
        "name": (name or company)[:200],
        "company": company[:200] if name else "",
        "language": language,
        "search_key": search_key(f"{name} {company}".strip()),
        "phones": phones,
        "email": address,
        "match_key": email_match_key(address) if address else "",
        "external_id": cell("external_id")[:200],
    }
