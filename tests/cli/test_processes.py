"""Real processes: a first start, simulated customers, an agent who sees them, and the end of it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import aiohttp
import pytest_asyncio
from websockets.asyncio.client import connect

from server.services.demo_words import PASSWORD
from server.store.pool import Pool

ROOT = Path(__file__).resolve().parents[2]
Start = Callable[..., Coroutine[Any, Any, Process]]


@pytest_asyncio.fixture
async def start(database: str, tmp_path: Path) -> AsyncIterator[Start]:
    """Start ``run.py`` on the test's database; what still runs at the end is ended."""
    started: list[Process] = []
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RINGPOST_")}
    environ |= {"RINGPOST_DATABASE__URL": database, "RINGPOST_SERVER__DATA_DIR": str(tmp_path / "var")}

    async def begin(*argv: str) -> Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "run.py", *argv, cwd=ROOT, env=environ, stdout=PIPE, stderr=PIPE
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def ready(process: Process) -> dict[str, str]:
    """The addresses of the one line that a server says on its standard output."""
    assert process.stdout is not None
    async with asyncio.timeout(50):
        line = (await process.stdout.readline()).decode()
    found = re.fullmatch(
        r"ringpost ready (http)=(http://127\.0\.0\.1:\d+) (ws)=(ws://127\.0\.0\.1:\d+) (smtp)=(127\.0\.0\.1:\d+)\n",
        line,
    )
    assert found is not None, line or (await process.communicate())[1].decode()
    parts = found.groups()
    return dict(zip(parts[::2], parts[1::2], strict=True))


ANY_PORT = ("--http-port", "0", "--ws-port", "0", "--smtp-port", "0")


async def test_a_first_start_with_customers_and_an_agent(start: Start, pool: Pool, tmp_path: Path) -> None:
    server = await start("run", *ANY_PORT)
    where = await ready(server)
    assert (tmp_path / "var" / "demo.toml").exists()
    assert await pool.fetchval("SELECT count(*) FROM customers") == 200
    seen: list[dict[str, Any]] = []
    async with aiohttp.ClientSession() as http:
        login = {"email": "grace@ringpost.example", "password": PASSWORD}
        async with http.post(f"{where['http']}/api/v1/sessions", json=login) as reply:
            assert reply.status in (200, 201), await reply.text()
            token = (await reply.json())["token"]
        async with connect(
            f"{where['ws']}/agent", additional_headers={"Authorization": f"Bearer {token}"}
        ) as socket:
            await socket.send(json.dumps({"type": "state", "state": "available"}))
            await socket.send(json.dumps({"type": "ping"}))
            while json.loads(await socket.recv())["type"] != "pong":
                pass

            async def watch() -> None:
                async for frame in socket:
                    message = json.loads(frame)
                    if message["type"] == "screen_pop":
                        seen.append(message)
                        await socket.send(json.dumps({"type": "ack", "id": message["id"]}))

            watching = asyncio.create_task(watch())
            customers = await start(
                "simulate", "--http", where["http"], "--smtp", where["smtp"], "--rate", "15/s", "--duration", "4s",
                "--speed", "40", "--seed", "5",
            )  # fmt: skip
            async with asyncio.timeout(50):
                out, err = await customers.communicate()
            await socket.close()
            await watching
    assert customers.returncode == 0, err.decode()
    told = out.decode()
    assert told.rstrip().endswith(", 0 refused"), told
    for words in (
        "call  main",
        "call  pbx",
        "mail ",
        "form ",
        "answers",
        "gave up",
        "withheld",
        "a stranger",
    ):
        assert words in told, words
    assert not re.search(r"\+\d{9}", told)
    rows = await pool.fetch(
        "SELECT channel || ' ' || state, count(*)::int FROM contacts "
        "WHERE call_key NOT LIKE 'demo-%' AND started_at > now() - interval '5 minutes' GROUP BY 1"
    )
    counts: dict[str, int] = {row[0]: row[1] for row in rows}
    assert counts.get("call ended", 0) >= 1 and counts.get("call missed", 0) >= 1, counts
    assert any(name.startswith("email") for name in counts) and any(
        name.startswith("form") for name in counts
    )
    assert not counts.get("call ringing") and not counts.get("call answered"), "every simulated call is over"
    assert {pop["contact"]["channel"] for pop in seen} >= {"call", "email"}
    assert await pool.fetchval("SELECT count(*) FROM quarantine") == 0
    # Of a call out it is our own number that a PBX may leave out.
    known = (
        "SELECT count(*) FROM contacts WHERE withheld AND direction = 'inbound' AND customer_id IS NOT NULL"
    )
    assert await pool.fetchval(known) == 0
    server.send_signal(signal.SIGTERM)
    async with asyncio.timeout(12):
        rest, logs = await server.communicate()
    assert server.returncode == 0 and rest == b"", logs.decode()
    assert "Traceback" not in logs.decode() and PASSWORD in logs.decode()
    assert not re.search(r"\+\d{9}", logs.decode())


async def test_simulating_where_no_server_is(start: Start) -> None:
    config = "--set=forms.contact={}", "--http", "http://127.0.0.1:9"
    process = await start("simulate", *config)
    _, err = await process.communicate()
    assert process.returncode in (1, 2) and err.decode().count("\n") == 1


async def test_serve_makes_no_demo(start: Start, pool: Pool) -> None:
    server = await start("serve", *ANY_PORT)
    await ready(server)
    assert await pool.fetchval("SELECT count(*) FROM customers") == 0
    server.send_signal(signal.SIGTERM)
    async with asyncio.timeout(12):
        await server.communicate()
    assert server.returncode == 0
