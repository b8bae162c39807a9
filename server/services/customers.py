"""Customers: made, changed, confirmed, found, told about."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import asyncpg

from server.domain.cursor import decode_id_cursor, decode_time_cursor, encode_cursor
from server.domain.errors import Conflict, Invalid, NotFound, PreconditionFailed
from server.domain.identity import email_match_key, normalise_email, normalise_phone, phone_digits_of_query
from server.domain.names import search_key
from server.domain.permission import Actor
from server.domain.phone_numbers import calling_code
from server.domain.view import customer_view, text_id, time_text
from server.push.hub import Hub
from server.services.customer_fields import WRITABLE, columns_of, read_customer
from server.services.transaction import transaction
from server.store import audit
from server.store import customers as store
from server.store.pool import Connection, Pool, transaction_errors

MIN_END_DIGITS = 4  # fewer are the end of too many numbers
ALL_FIELDS = (*WRITABLE, "provisional")


def _record(row: asyncpg.Record) -> dict[str, Any]:
    """The row with its lists read."""
    found = dict(row)
    for name, empty in (("phones", "[]"), ("emails", "[]"), ("external_ids", "{}")):
        found[name] = json.loads(found[name] or empty)
    return found


def _view(record: Mapping[str, Any]) -> dict[str, Any]:
    return customer_view(record) | {"version": record["version"]}


async def create_customer(
    pool: Pool, hub: Hub, actor: Actor | None, data: Mapping[str, Any], *, country: str = ""
) -> dict[str, Any]:
    """A confirmed customer. ``country`` is how national numbers are read. Raises Invalid, Conflict."""
    new = read_customer(data, None, country)
    async with transaction(pool) as connection:
        await _check_owner(connection, new)
        try:
            customer_id = await store.insert_customer(
                connection,
                (
                    actor.agent_id if actor is not None else None, new["kind"], new["name"], new["company"],
                    new["language"], new["time_zone"], new["owner_agent_id"], new["tier"], new["blocked"], False,
                    new["do_not_contact"], new["tags"], new["fields"], new["notes"], new["search_key"],
                    *columns_of(new["phones"], ("number", "label", "extension", "verified")),
                    *columns_of(new["emails"], ("address", "match_key", "verified")),
                    list(new["external_ids"]), list(new["external_ids"].values()),
                ),
            )  # fmt: skip
        except asyncpg.UniqueViolationError:
            raise _taken() from None
        row = await store.fetch_customer(connection, customer_id)
    if row is None:
        raise NotFound("the customer is gone again")
    return _view(_record(row))


def _taken() -> Conflict:
    return Conflict(
        "another customer has this id of the other system",
        fields={"external_ids": "one of them belongs to another customer"},
    )


async def _check_owner(connection: Connection, new: Mapping[str, Any]) -> None:
    owner = new["owner_agent_id"]
    if owner is not None and not await store.agent_exists(connection, owner):
        raise Invalid(fields={"owner_agent_id": "there is no such agent"})


async def update_customer(
    pool: Pool,
    hub: Hub,
    actor: Actor,
    customer_id: int,
    changes: Mapping[str, Any],
    version: int | None = None,
    *,
    country: str = "",
) -> dict[str, Any]:
    """A merge patch (RFC 7396): lists are replaced as a whole. Nothing is written when nothing changes.

    Raises Invalid, NotFound, Conflict, PreconditionFailed (``version`` is not the present one).
    """
    return await _change(pool, hub, actor, customer_id, changes, version, country, confirm=False)


async def confirm_customer(
    pool: Pool,
    hub: Hub,
    actor: Actor,
    customer_id: int,
    changes: Mapping[str, Any] | None = None,
    *,
    country: str = "",
) -> dict[str, Any]:
    """A provisional customer becomes a real one, with corrections."""
    return await _change(pool, hub, actor, customer_id, changes or {}, None, country, confirm=True)


async def _change(
    pool: Pool,
    hub: Hub,
    actor: Actor,
    customer_id: int,
    changes: Mapping[str, Any],
    version: int | None,
    country: str,
    *,
    confirm: bool,
) -> dict[str, Any]:
    async with transaction(pool) as connection:
        row = await store.fetch_customer(connection, customer_id, lock=True)
        if row is None:
            raise NotFound("there is no such customer")
        if version is not None and version != row["version"]:
            raise PreconditionFailed("the customer was changed meanwhile: read it again")
        old = _record(row)
        new = read_customer(changes, old, country)
        # Who corrects a provisional customer has asked who it is.
        new["provisional"] = old["provisional"] and not confirm
        diff = {name: [old[name], _bare(new[name])] for name in ALL_FIELDS if _bare(new[name]) != old[name]}
        if not diff:
            return _view(old)
        if "owner_agent_id" in diff:
            await _check_owner(connection, new)
        await store.update_customer(
            connection,
            (
                old["id"], new["kind"], new["name"], new["company"], new["language"], new["time_zone"],
                new["owner_agent_id"], new["tier"], new["blocked"], new["provisional"], new["do_not_contact"],
                new["tags"], new["fields"], new["notes"], new["search_key"],
            ),
        )  # fmt: skip
        if "phones" in diff:
            lists = columns_of(new["phones"], ("number", "label", "extension", "verified"))
            await store.replace_phones(connection, old["id"], lists)
        if "emails" in diff:
            lists = columns_of(new["emails"], ("address", "match_key", "verified"))
            await store.replace_emails(connection, old["id"], lists)
        if "external_ids" in diff:
            try:
                await store.replace_external_ids(connection, old["id"], new["external_ids"])
            except asyncpg.UniqueViolationError:
                raise _taken() from None
        action = "customer.confirm" if confirm else "customer.update"
        await audit.insert_audit(connection, actor.agent_id, action, "customer", old["id"], diff)
        changed = await store.fetch_customer(connection, old["id"])
    if changed is None:
        raise NotFound("the customer is gone")
    hub.hint_all("customer_changed", old["id"])
    return _view(_record(changed))


def _bare(value: Any) -> Any:
    """A list of addresses as it is stored: the match key is derived, not told."""
    if isinstance(value, list):
        return [
            {key: one for key, one in entry.items() if key != "match_key"}
            if isinstance(entry, dict)
            else entry
            for entry in value
        ]
    return value


async def fetch_customer(pool: Pool, customer_id: int) -> dict[str, Any]:
    """The customer, or the one that it was merged into. Raises NotFound."""
    async with transaction_errors():
        row = await store.fetch_customer(pool, customer_id)
    if row is None:
        raise NotFound("there is no such customer")
    return _view(_record(row))


async def delete_customer(
    pool: Pool, hub: Hub, actor: Actor, customer_id: int, version: int | None = None
) -> None:
    """Soft: the record is no longer found or matched, its contacts and tickets stay. Raises NotFound."""
    async with transaction(pool) as connection:
        row = await store.fetch_customer(connection, customer_id, lock=True)
        if row is None:
            raise NotFound("there is no such customer")
        if version is not None and version != row["version"]:
            raise PreconditionFailed("the customer was changed meanwhile: read it again")
        await store.delete_customer(connection, row["id"])
        kept = {"external_ids": [_record(row)["external_ids"], {}]}
        await audit.insert_audit(connection, actor.agent_id, "customer.delete", "customer", row["id"], kept)
    hub.hint_all("customer_changed", row["id"])


async def list_customers(
    pool: Pool,
    *,
    phone: str | None = None,
    email: str | None = None,
    external_id: str | None = None,
    q: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
    country: str = "",
    **filters: Any,
) -> dict[str, Any]:
    """``{"items", "next"}``, newest first.

    ``phone`` in any spelling and ``email`` are exact, ``external_id`` is ``system:id``; ``q`` is what
    somebody typed: a name, a number, its beginning or its end, an address, a customer's number. ``filters``:
    provisional, owner_agent_id, kind, tier, tag. Raises Invalid.
    """
    asked: dict[str, Any] = dict(filters)
    wrong: dict[str, str] = {}
    if phone is not None:
        asked["phone"] = normalise_phone(phone, country)
        if asked["phone"] is None:
            wrong["phone"] = "not a phone number (write it as +44 20 7946 0123)"
    if email is not None:
        address = normalise_email(email)
        if address is None:
            wrong["email"] = "not a mail address"
        else:
            asked["email_key"] = email_match_key(address)
    if external_id is not None:
        system, colon, known_as = external_id.partition(":")
        if not (system and colon and known_as):
            wrong["external_id"] = "must be system:id"
        asked["external_id"] = (system, known_as)
    if wrong:
        raise Invalid(fields=wrong)
    if q is not None and q.strip():
        asked |= _meanings(q.strip(), country)
    async with transaction_errors():
        rows = await store.list_customers(pool, asked, limit + 1, decode_id_cursor(cursor))
    items = [_view(_record(row)) for row in rows[:limit]]
    return {"items": items, "next": encode_cursor(rows[limit - 1]["id"]) if len(rows) > limit else None}


def _meanings(q: str, country: str) -> dict[str, Any]:
    """What a search may mean; the store finds whoever fits any of it."""
    found: dict[str, Any] = {"names": search_key(q).split()[:6]}
    digits = phone_digits_of_query(q)
    if digits is not None:
        whole = normalise_phone(q, country)
        found["numbers"] = list({f"+{digits}", *([whole] if whole is not None else [])})
        code = calling_code(country)
        starts = [f"+{digits}"] if digits.startswith(code) or not code else []
        if code and not q.lstrip().startswith(("+", "00")):
            starts.append(f"+{code}{digits}")
        found["starts"] = starts
        if len(digits) >= MIN_END_DIGITS:
            found["end"] = digits
    upper = q.upper()
    if upper.startswith("C-") and upper[2:].isascii() and upper[2:].isdigit():
        found["number"] = f"C-{upper[2:].lstrip('0'):0>6}"
    address = normalise_email(q)
    least = 3
    if address is not None:
        found["address_start"] = email_match_key(address)
    elif len(q) >= least and " " not in q and q.isascii():
        found["address_start"] = q.casefold()
    return found


async def timeline(
    pool: Pool, customer_id: int, limit: int = 50, cursor: str | None = None
) -> dict[str, Any]:
    """Contacts, tickets, messages and changes of the customer, newest first.

    Items: ``type`` (contact, ticket, message, change), ``id``, ``at``, ``ticket_id``, ``agent_id``,
    ``agent_name`` and the type's own fields. Raises NotFound.
    """
    after = decode_time_cursor(cursor)
    async with transaction_errors():
        row = await store.fetch_customer(pool, customer_id)
        if row is None:
            raise NotFound("there is no such customer")
        rows = await store.fetch_timeline(pool, row["id"], after, limit + 1)
    items = [
        {
            "type": one["type"],
            "id": str(one["id"]),
            "at": time_text(one["at"]),
            "ticket_id": text_id(one["ticket_id"]),
            "agent_id": text_id(one["agent_id"]),
            "agent_name": one["agent_name"],
            **_times(json.loads(one["data"])),
        }
        for one in rows[:limit]
    ]
    last = rows[limit - 1] if len(rows) > limit else None
    following = encode_cursor(last["at"].isoformat(), last["rank"], last["id"]) if last is not None else None
    return {"items": items, "next": following}


def _times(data: dict[str, Any]) -> dict[str, Any]:
    return {name: time_text(value) if name.endswith("_at") else value for name, value in data.items()}
