"""The set-based statements of intake: a whole batch in a handful of round trips.

They run on connections of their own, with the settings of ``SESSION``.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg

from server.store.pool import Connection, load_sql

SQL = load_sql(__file__)
UNIT = 1


def lock_key(kind: str, value: str) -> int:
    """A number for an advisory lock; equal on every node. A collision only makes two things wait."""
    return (zlib.crc32(kind.encode()) << 31) ^ zlib.crc32(value.encode())


# Whoever chooses an agent holds one of these: an agent may be in several queues, so a lock per queue would let
# two queues choose the same one. Mails and forms have their own, so that no call waits for them.
ROUTING = lock_key("routing", "calls")
ROUTING_TOUCHES = lock_key("routing", "touches")

SESSION_SQL = (SQL.make_locked_read,)
"""What a connection of the writers is given when it is made."""

# Every statement of intake is an index look-up by design: a plan made while a table was small must not
# stay a scan as it grows, and planning again for every batch costs more than the batch.
SESSION = {
    "enable_seqscan": "off",
    "enable_mergejoin": "off",
    "enable_hashjoin": "off",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
}


async def begin_locked(connection: Connection, keys: Iterable[int]) -> None:
    """Open the transaction and take the batch's locks, sorted so that two batches cannot deadlock."""
    wanted = ",".join(map(str, sorted(set(keys))))
    await connection.execute(
        f"BEGIN; SELECT pg_advisory_xact_lock(k) FROM unnest('{{{wanted}}}'::bigint[]) k"
    )


async def lock(connection: Connection, keys: Iterable[int]) -> None:
    """Take intake's locks inside a transaction that is open already."""
    await connection.execute(SQL.lock, sorted(set(keys)))


async def lock_and_read(
    connection: Connection,
    keys: Iterable[int],
    sources: Sequence[str],
    event_keys: Sequence[str],
    call_keys: Sequence[str],
    phones: Sequence[str],
) -> list[asyncpg.Record]:
    """Take the batch's locks, sorted so that two batches cannot deadlock, and read what it needs.

    One row per event, in no order; ``i`` is its index, ``seen`` whether the ledger has it. The locks are
    this connection's until ``unlock``.
    """
    return await connection.fetch(
        SQL.locked_read,
        sorted(set(keys)),
        UNIT,
        list(range(len(sources))),
        sources,
        event_keys,
        call_keys,
        phones,
    )


async def unlock(connection: Connection) -> None:
    """Give back every lock that ``lock_and_read`` took."""
    await connection.execute(SQL.unlock)


async def fetch_free_agents(
    connection: Connection, queue_ids: Sequence[int], wanted: Sequence[int], limit: int
) -> list[asyncpg.Record]:
    """(queue_id, agent_id, idle_since) of agents who are free for a call, the ``wanted`` among them."""
    return await connection.fetch(SQL.fetch_free_agents, queue_ids, wanted, limit)


async def fetch_present_agents(
    connection: Connection, queue_id: int, wanted: Sequence[int], limit: int
) -> list[asyncpg.Record]:
    """(agent_id, given_at) of agents who may be given a mail or a form, the ``wanted`` among them."""
    return await connection.fetch(SQL.fetch_present_agents, queue_id, wanted, limit)


async def touch_given(connection: Connection, agent_ids: Iterable[int], at: datetime) -> None:
    await connection.execute(SQL.touch_given, sorted(set(agent_ids)), at)


def columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """Rows turned into the column arrays that ``unnest`` takes."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]


Rows = Sequence[tuple[Any, ...]]


async def write_new(
    connection: Connection,
    events: Rows,
    customers: Rows,
    tickets: Rows,
    contacts: Rows,
    busy: Mapping[int, int],
    going_on: Iterable[int],
    at: datetime,
    pops: Rows,
) -> list[asyncpg.Record]:
    """Insert a batch; column order is that of ``intake.sql``. Gives (id, agent_id, contact_id) per pop."""
    agents = sorted(busy)
    return await connection.fetch(
        SQL.write_new,
        UNIT,
        *columns(events, 5),
        *columns(customers, 5),
        *columns(tickets, 7),
        *columns(contacts, 29),
        agents,
        [busy[agent_id] for agent_id in agents],
        sorted(set(going_on)),
        at,
        *columns(pops, 3),
    )


async def insert_events(connection: Connection, events: Rows) -> None:
    """Rows (source, event_key, call_key, payload, received_at)."""
    await connection.execute(SQL.insert_events, UNIT, *columns(events, 5))


async def insert_pops(connection: Connection, pops: Sequence[tuple[Any, ...]]) -> list[asyncpg.Record]:
    return await connection.fetch(SQL.insert_pops, UNIT, *columns(pops, 3))


async def update_contacts(connection: Connection, contacts: Sequence[tuple[Any, ...]]) -> None:
    await connection.execute(SQL.update_contacts, *columns(contacts, 19))


async def identify_contacts(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Rows (id, customer_id, match, candidates, ani_raw, ticket_id)."""
    await connection.execute(SQL.identify_contacts, *columns(sorted(rows), 6))


async def touch_tickets(connection: Connection, ids: Iterable[int], at: datetime) -> None:
    await connection.execute(SQL.touch_tickets, sorted(set(ids)), at)


async def insert_provisional(connection: Connection, customers: Sequence[tuple[Any, ...]]) -> None:
    """Rows (id, name, language, search_key, at, phone, address, match_key)."""
    await connection.execute(SQL.insert_provisional, UNIT, *columns(customers, 8))


async def mark_busy(connection: Connection, busy: Mapping[int, int]) -> None:
    """Agents by id, with the call that rings or goes on."""
    agents = sorted(busy)
    await connection.execute(SQL.mark_busy, agents, [busy[agent_id] for agent_id in agents])


async def release(
    connection: Connection,
    agent_ids: Iterable[int],
    at: datetime,
    wraps: Mapping[int, tuple[int, datetime | None]] | None = None,
) -> None:
    """``wraps``: of whom what contact is to be wrapped up, and until when at the longest."""
    agents = sorted(set(agent_ids))
    work = [(wraps or {}).get(agent_id, (None, None)) for agent_id in agents]
    await connection.execute(SQL.release, agents, at, [one[0] for one in work], [one[1] for one in work])


async def set_not_answering(connection: Connection, agent_ids: Iterable[int], at: datetime) -> None:
    await connection.execute(SQL.set_not_answering, sorted(set(agent_ids)), at)
