"""The run's PostgreSQL (embedded, with the product's own settings) and what is in it before the load."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from bench import events
from bench.machine import parent_of
from bench.references import CUSTOMERS, SCHEMA

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection

MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"
FIRST_CUSTOMER = 1_000_000_000
SOCKET_AGENTS = 5000

# As a data loader would: the secondary indexes after the rows.
INDEXES = """
SELECT c.relname AS name, pg_get_indexdef(i.indexrelid) AS definition
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = ANY (ARRAY['customers', 'customer_phones', 'customer_emails']::regclass[])
    AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid)
"""
PEOPLE = """
INSERT INTO customers (id, number, name, language, search_key, created_at, updated_at)
SELECT $1::bigint + n, 'C-' || ($1::bigint + n), name || n, 'en', lower(name || n),
       now() - (n % 900) * interval '1 day', now() - (n % 90) * interval '1 day'
FROM generate_series(0, $2::bigint - 1) n
CROSS JOIN (SELECT ARRAY['Ada','Ben','Chloe','Dev','Ella','Femi','Grace','Hugo'] AS given,
                   ARRAY['Archer','Bell','Clarke','Dixon','Evans','Foster','Gill','Hunt'] AS family) names
CROSS JOIN LATERAL (SELECT given[1 + n % 8] || ' ' || family[1 + (n / 8) % 8] || ' ' AS name) named
"""
PHONES = """
INSERT INTO customer_phones (customer_id, number, label, verified)
SELECT $1::bigint + n, '+44' || ($3::bigint + n), 'mobile', true FROM generate_series(0, $2::bigint - 1) n
"""
MAILS = """
INSERT INTO customer_emails (customer_id, address, match_key, verified)
SELECT $1::bigint + n, 'customer' || n || '@example.org', 'customer' || n || '@example.org', true
FROM generate_series(0, $2::bigint - 1) n
"""
AGENTS = """
WITH made AS (
    INSERT INTO agents (email, name, role, extension)
    SELECT 'agent' || n || '@example.com', 'Agent ' || n,
           CASE WHEN n = 0 THEN 'administrator' ELSE 'agent' END,
           CASE WHEN n < $2 THEN (1000 + n)::text END
    FROM generate_series(0, $1::int - 1) n
    RETURNING id, email
)
SELECT id, substr(split_part(email, '@', 1), 6)::int AS n FROM made ORDER BY n
"""
# Emptied between scenarios, so that each begins with the same tables: customers and agents stay.
WORK = "inbound_events, contacts, tickets, messages, attachments, blobs, pops, outbox, quarantine, audit, lessons"


def agent_token(n: int) -> str:
    return f"rpt_bench_{n}"


@dataclass(frozen=True, slots=True)
class Database:
    """One PostgreSQL server. ``dsn`` names the database that was there first."""

    dsn: str
    postmaster: int

    @classmethod
    async def open(
        cls, stack: AsyncExitStack, data_dir: Path, url: str, say: Callable[[str], None]
    ) -> Database:
        """``url`` (on this machine, a role that may create databases); empty = the embedded one."""
        if not url:
            from server.store.embedded import EmbeddedPostgres

            embedded = EmbeddedPostgres(data_dir, None, say, server=True)
            url = await embedded.start()
            stack.push_async_callback(embedded.stop)
        connection = await asyncpg.connect(url)
        try:
            postmaster = parent_of(await connection.fetchval("SELECT pg_backend_pid()"))
        finally:
            await connection.close()
        return cls(url, postmaster)

    def of(self, name: str) -> str:
        """The DSN of another database of this server."""
        return urlunsplit(urlsplit(self.dsn)._replace(path=f"/{name}"))

    async def create(self, name: str) -> str:
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            # The collation that the product asks for, whatever the server's own is.
            await connection.execute(
                f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8'"
            )
        finally:
            await connection.close()
        return self.of(name)

    async def drop(self, name: str) -> None:
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        finally:
            await connection.close()

    async def limits(self, customers: int) -> str:
        """The database of the limits, filled; gives its DSN."""
        dsn = await self.create("bench_limits")
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute(SCHEMA)
            await connection.execute(CUSTOMERS, events.FIRST_PHONE, customers)
            await connection.execute("CREATE INDEX customers_phone ON customers (phone)")
            await connection.execute("VACUUM (ANALYZE, FREEZE)")
        finally:
            await connection.close()
        return dsn

    async def product(self, name: str, customers: int, *, agents: int = events.AGENTS) -> str:
        """A database of the product with its present schema, filled; gives its DSN."""
        dsn = await self.create(name)
        connection = await asyncpg.connect(dsn)
        try:
            await _migrate(connection)
            await seed(connection, customers, agents)
        finally:
            await connection.close()
        return dsn


async def _migrate(connection: Connection) -> None:
    from server.store.migrations import migrate

    apply: Callable[..., Awaitable[object]] = migrate
    await apply(connection, MIGRATIONS, lambda line: None)


async def seed(connection: Connection, customers: int, agents: int) -> None:
    """Customers with a phone and a mail each, one queue, agents who are all available, their tokens."""
    indexes = await connection.fetch(INDEXES)
    for index in indexes:
        await connection.execute(f"DROP INDEX {index['name']}")
    await connection.execute(PEOPLE, FIRST_CUSTOMER, customers)
    await connection.execute(PHONES, FIRST_CUSTOMER, customers, events.FIRST_PHONE)
    await connection.execute(MAILS, FIRST_CUSTOMER, customers)
    for index in indexes:
        await connection.execute(index["definition"])
    queue = await connection.fetchval(
        "INSERT INTO queues (name, title_en, is_default) VALUES ('support', 'Support', true) "
        "ON CONFLICT (unit_id, name) DO UPDATE SET is_default = true RETURNING id"
    )
    made = await connection.fetch(AGENTS, agents, events.AGENTS)
    ids = [row["id"] for row in made]
    await connection.execute(
        "INSERT INTO presence (agent_id, state) SELECT id, 'available' FROM unnest($1::bigint[]) id", ids
    )
    await connection.execute(
        "INSERT INTO queue_agents (queue_id, agent_id) SELECT $1, id FROM unnest($2::bigint[]) id",
        queue,
        ids[: events.AGENTS],
    )
    await connection.execute(
        "INSERT INTO api_tokens (agent_id, name, token_hash) "
        "SELECT id, 'bench', hash FROM unnest($1::bigint[], $2::bytea[]) AS t (id, hash)",
        ids,
        [hashlib.sha256(agent_token(row["n"]).encode()).digest() for row in made],
    )
    await connection.execute("VACUUM (ANALYZE, FREEZE)")


async def clear_work(dsn: str) -> None:
    """Take away what a scenario left, and write dirty pages out, so that the next begins level."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(f"TRUNCATE {WORK}")
        await connection.execute("UPDATE presence SET state = 'available', idle_since = now()")
        await connection.execute("VACUUM (ANALYZE) presence")
    finally:
        await connection.close()


async def clear_limits(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("TRUNCATE inbound, tickets, events")
    finally:
        await connection.close()


class Stopwatch:
    """Seconds since it was made, for what the run tells of itself."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def __str__(self) -> str:
        return f"{time.monotonic() - self._started:.1f} s"
