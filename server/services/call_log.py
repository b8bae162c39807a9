"""The call log: which calls there were, by anything that somebody remembers of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from server.domain.cursor import decode_time_cursor, encode_cursor
from server.domain.errors import Invalid
from server.domain.identity import CallerKind, normalise_caller, normalise_phone, phone_digits_of_query
from server.domain.permission import Actor, Permission, allowed
from server.domain.phone_numbers import calling_code
from server.services.contacts import contact_record
from server.services.customers import list_customers
from server.store import audit
from server.store import console as console_store
from server.store import contacts as store
from server.store.contacts import Found, Numbers
from server.store.pool import Pool, transaction_errors

EXPORT_MOST = 100_000
EXPORT_PAGE = 1_000
CUSTOMERS_MOST = 200  # whose calls one search looks at
PERIOD_MOST = 50  # characters of a filter's value kept in the audit
NO_NUMBER = "not a phone number (write it as +44 20 7946 0123)"


def read_number(text: str, country: str) -> Numbers:
    """A number in any spelling, the beginning of one, or a PBX's extension. Raises Invalid."""
    number = _number_of(text.strip(), country)
    if number is None:
        raise Invalid(fields={"number": NO_NUMBER})
    return number


def _number_of(text: str, country: str) -> Numbers | None:
    digits = phone_digits_of_query(text)
    if digits is None:
        said = normalise_caller(text, country)
        inside = said.kind in (CallerKind.EXTENSION, CallerKind.SHORT_CODE)
        return Numbers((text,)) if inside else None
    whole = normalise_phone(text, country)
    exact = (*((whole,) if whole is not None else ()), f"+{digits}", text)
    code = calling_code(country)
    national = not text.startswith(("+", "00"))
    starts = [f"+{digits}"] if not (national and code) or digits.startswith(code) else []
    if national and code:
        starts.append(f"+{code}{digits}")
    return Numbers(exact, tuple(starts))


async def read_search(pool: Pool, text: str, country: str) -> Found:
    """What somebody typed: a name, a number, a customer's number, words of a note."""
    words = text.strip()[:200]
    people = await list_customers(pool, q=words, limit=CUSTOMERS_MOST, country=country)
    ids = tuple(int(one["id"]) for one in people["items"])
    return Found(words, ids, _number_of(words, country))


async def visible_to(pool: Pool, actor: Actor) -> tuple[int, list[int]] | None:
    """Supervisors see every call (None), agents their own and those of their queues."""
    if allowed(actor, Permission.PRESENCE_OTHERS):
        return None
    async with transaction_errors():
        return actor.agent_id, await console_store.fetch_own_queues(pool, actor.agent_id)


async def list_calls(
    pool: Pool, actor: Actor, filters: Mapping[str, Any], limit: int = 50, cursor: str | None = None
) -> dict[str, Any]:
    """``{"items", "next"}``, the latest first: contacts as the API gives them. Filters as in ``store.conditions``."""
    asked = {**filters, "visible_to": await visible_to(pool, actor)}
    return await _page(pool, asked, limit, cursor)


async def _page(pool: Pool, filters: Mapping[str, Any], limit: int, cursor: str | None) -> dict[str, Any]:
    after = decode_time_cursor(cursor)
    before = (after[0], after[2]) if after is not None else None
    async with transaction_errors():
        rows = await store.list_calls(pool, filters, limit + 1, before)
    last = rows[limit - 1] if len(rows) > limit else None
    following = encode_cursor(last["started_at"].isoformat(), 0, last["id"]) if last is not None else None
    return {"items": [contact_record(row) for row in rows[:limit]], "next": following}


async def export_calls(
    pool: Pool, actor: Actor, filters: Mapping[str, Any], asked: Mapping[str, str], most: int = EXPORT_MOST
) -> AsyncIterator[tuple[list[dict[str, Any]], bool]]:
    """Pages of the filtered log, at most ``most`` calls; with each whether more is left out after it.

    ``asked`` is what the filters were in words: an export is audited.
    """
    about = {name: value[:PERIOD_MOST] for name, value in asked.items()}
    async with transaction_errors():
        await audit.insert_audit(pool, actor.agent_id, "calls.export", "agent", actor.agent_id, about)
    wanted = {**filters, "visible_to": await visible_to(pool, actor)}
    cursor: str | None = None
    left = most
    while left > 0:
        found = await _page(pool, wanted, min(left, EXPORT_PAGE), cursor)
        left -= len(found["items"])
        cursor = found["next"]
        yield found["items"], cursor is not None and left <= 0
        if cursor is None:
            return


async def known_dispositions(pool: Pool) -> list[dict[str, Any]]:
    """What queues offer as an outcome: ``code`` with its titles ``en`` and ``zh_CN``."""
    async with transaction_errors():
        return await store.fetch_dispositions(pool)
