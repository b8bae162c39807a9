"""The limits: four servers that do only the bare work (record, match, ticket, event), and no more.

``python -m bench.references KIND --dsn DSN`` with KIND one of

- ``bare``: (a) an aiohttp handler that answers JSON, no database
- ``statements``: (b) one transaction of four statements per event
- ``function``: (c) one plpgsql call per event
- ``batches``: (d) two writers; whenever one is free it takes what waits, at most 256, in one transaction

Each also takes agents' sockets and tells the named agent after commit, so that ring to pop has a
limit too. Prints ``ready http=PORT ws=PORT``.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import orjson
from aiohttp import web
from websockets.asyncio.server import ServerConnection, broadcast, serve

SCHEMA = """
CREATE TABLE customers (id bigint PRIMARY KEY, phone text NOT NULL, name text NOT NULL);
CREATE TABLE inbound (event_key text PRIMARY KEY, payload bytea NOT NULL,
                      received_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE tickets (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer_id bigint,
                      subject text NOT NULL, status text NOT NULL DEFAULT 'open',
                      created_at timestamptz NOT NULL DEFAULT now());
CREATE INDEX tickets_customer ON tickets (customer_id);
CREATE TABLE events (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, ticket_id bigint NOT NULL,
                     event_key text NOT NULL, agent text NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
CREATE FUNCTION take(p_key text, p_payload bytea, p_phone text, p_agent text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    v_customer bigint;
    v_ticket bigint;
BEGIN
    INSERT INTO inbound (event_key, payload) VALUES (p_key, p_payload) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN RETURN NULL; END IF;
    SELECT id INTO v_customer FROM customers WHERE phone = p_phone LIMIT 1;
    INSERT INTO tickets (customer_id, subject) VALUES (v_customer, 'Call from ' || p_phone)
        RETURNING id INTO v_ticket;
    INSERT INTO events (ticket_id, event_key, agent) VALUES (v_ticket, p_key, p_agent);
    RETURN v_ticket;
END $$;
"""
CUSTOMERS = """
INSERT INTO customers SELECT n, '+44' || ($1::bigint + n), 'Customer ' || n
FROM generate_series(0, $2::bigint - 1) n
"""
RECORD = "INSERT INTO inbound (event_key, payload) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING event_key"
MATCH = "SELECT id FROM customers WHERE phone = $1 LIMIT 1"
TICKET = "INSERT INTO tickets (customer_id, subject) VALUES ($1, $2) RETURNING id"
EVENT = "INSERT INTO events (ticket_id, event_key, agent) VALUES ($1, $2, $3)"
RECORD_ALL = (
    "INSERT INTO inbound (event_key, payload) SELECT * FROM unnest($1::text[], $2::bytea[]) "
    "ON CONFLICT DO NOTHING RETURNING event_key"
)
MATCH_ALL = "SELECT phone, id FROM customers WHERE phone = ANY ($1::text[])"
TICKET_ALL = (
    "INSERT INTO tickets (customer_id, subject) SELECT * FROM unnest($1::bigint[], $2::text[]) RETURNING id"
)
EVENT_ALL = (
    "INSERT INTO events (ticket_id, event_key, agent) "
    "SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[])"
)

Event = dict[str, Any]
Take = Callable[[Event, bytes], Awaitable[int | None]]
POOL = 16
WRITERS = 2
BATCH_MAX = 256


def take_nothing() -> Take:
    async def take(event: Event, raw: bytes) -> int | None:
        return 0

    return take


def take_by_statements(pool: asyncpg.Pool[asyncpg.Record]) -> Take:
    async def take(event: Event, raw: bytes) -> int | None:
        key, caller = event["callId"], event["from"]
        async with pool.acquire() as connection, connection.transaction():
            if await connection.fetchval(RECORD, key, raw) is None:
                return None
            customer = await connection.fetchval(MATCH, caller)
            ticket: int = await connection.fetchval(TICKET, customer, f"Call from {caller}")
            await connection.execute(EVENT, ticket, key, event["user"])
        return ticket

    return take


def take_by_function(pool: asyncpg.Pool[asyncpg.Record]) -> Take:
    async def take(event: Event, raw: bytes) -> int | None:
        ticket: int | None = await pool.fetchval(
            "SELECT take($1, $2, $3, $4)",
            event["callId"],
            raw,
            event["from"],
            event["user"],
        )
        return ticket

    return take


def take_by_batches(pool: asyncpg.Pool[asyncpg.Record]) -> Take:
    waiting: deque[tuple[Event, bytes, asyncio.Future[int | None]]] = deque()
    writing = 0
    tasks: set[asyncio.Task[None]] = set()

    async def write() -> None:
        nonlocal writing
        async with pool.acquire() as connection:
            while waiting:
                batch = [waiting.popleft() for _ in range(min(len(waiting), BATCH_MAX))]
                try:
                    tickets = await commit(connection, batch)
                except asyncpg.PostgresError as bad:
                    for _, _, future in batch:
                        future.set_exception(bad)
                    continue
                for event, _, future in batch:
                    future.set_result(tickets.get(event["callId"]))
            writing -= 1

    async def commit(connection: Any, batch: list[tuple[Event, bytes, Any]]) -> dict[str, int]:
        await connection.execute("BEGIN")
        rows = await connection.fetch(
            RECORD_ALL,
            [event["callId"] for event, _, _ in batch],
            [raw for _, raw, _ in batch],
        )
        fresh = {row[0] for row in rows}
        events = [event for event, _, _ in batch if event["callId"] in fresh]
        found = dict(await connection.fetch(MATCH_ALL, [event["from"] for event in events]))
        made = await connection.fetch(
            TICKET_ALL,
            [found.get(event["from"]) for event in events],
            [f"Call from {event['from']}" for event in events],
        )
        ids = [row[0] for row in made]
        keys = [event["callId"] for event in events]
        await connection.execute(EVENT_ALL, ids, keys, [event["user"] for event in events])
        await connection.execute("COMMIT")
        return dict(zip(keys, ids, strict=True))

    async def take(event: Event, raw: bytes) -> int | None:
        nonlocal writing
        future: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        waiting.append((event, raw, future))
        if writing < WRITERS:
            writing += 1
            task = asyncio.create_task(write())
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        return await future

    return take


async def run(kind: str, dsn: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    pool: Any = None
    take = take_nothing()
    if kind != "bare":
        size = WRITERS if kind == "batches" else POOL
        pool = await asyncpg.create_pool(dsn, min_size=size, max_size=size)
        ways = {
            "statements": take_by_statements,
            "function": take_by_function,
            "batches": take_by_batches,
        }
        take = ways[kind](pool)
    agents: dict[str, ServerConnection] = {}

    async def talk(connection: ServerConnection) -> None:
        assert connection.request is not None
        agent = connection.request.headers.get("Authorization", "").removeprefix("Bearer ")
        agents[agent] = connection
        await connection.send('{"type":"hello"}')
        async for _ in connection:
            pass

    async def hook(request: web.Request) -> web.Response:
        raw = await request.read()
        event = orjson.loads(raw)
        ticket = await take(event, raw)
        if ticket is not None and (agent := agents.get(event["user"])) is not None:
            pop = f'{{"type":"screen_pop","id":"{ticket}","contact":{{"linkedid":"{event["callId"]}"}}}}'
            broadcast([agent], pop)
        return web.Response(body=b'{"ok":true}', content_type="application/json")

    application = web.Application()
    application.router.add_post("/hooks/calls/{source}", hook)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
    await site.start()
    async with serve(talk, "127.0.0.1", 0, compression=None, ping_interval=None) as sockets:
        ws_port = next(iter(sockets.sockets)).getsockname()[1]
        print(f"ready http={runner.addresses[0][1]} ws={ws_port}", flush=True)
        await stop.wait()
    await runner.cleanup()
    if pool is not None:
        pool.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.references")
    parser.add_argument("kind", choices=("bare", "statements", "function", "batches"))
    parser.add_argument("--dsn", default="")
    parser.add_argument(
        "--uvloop",
        action="store_true",
        help="the loop of the server, when it uses uvloop",
    )
    said = parser.parse_args()
    if said.uvloop:
        import uvloop

        uvloop.run(run(said.kind, said.dsn))
    else:
        asyncio.run(run(said.kind, said.dsn))


if __name__ == "__main__":
    main()
