"""SIGKILL in the middle of 2,000 events: started again, the senders retry, every event is there once."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import asyncpg
import pytest

ROOT = Path(__file__).resolve().parents[2]
EVENTS = 2000
CONNECTIONS = 32
CONFIG = """
[call_sources.pbx]
provider = "cti"
secrets = ["kill-secret"]
queue = "support"
"""


class Process:
    """The server as its own process, the way people run it."""

    def __init__(self, config: Path, environ: dict[str, str]) -> None:
        self._config, self._environ = config, environ
        self.url = ""
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(ROOT / "run.py"),
            "serve",
            "--config",
            str(self._config),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **self._environ},
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(40):
            async for line in self._process.stdout:
                words = line.decode().split()
                if words[:2] == ["ringpost", "ready"]:
                    self.url = words[2].removeprefix("http=")
                    return
        raise AssertionError("the server ended before it was ready")

    async def end(self, how: signal.Signals) -> int:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(how)
        return await self._process.wait()


@pytest.fixture
async def process(tmp_path: Path, database: str) -> AsyncIterator[Process]:
    config = tmp_path / "kill.toml"
    config.write_text(CONFIG)
    environ = {f"RINGPOST_SERVER__{name}_PORT": "0" for name in ("HTTP", "WS", "SMTP")}
    environ |= {"RINGPOST_DATABASE__URL": database, "RINGPOST_SERVER__DATA_DIR": str(tmp_path / "var")}
    server = Process(config, environ)
    await server.start()
    yield server
    await server.end(signal.SIGKILL)


async def test_killed_in_the_middle_nothing_is_lost_or_doubled(process: Process, database: str) -> None:
    todo = [f"k{n}" for n in range(EVENTS)]
    taken: set[str] = set()
    up = asyncio.Event()
    up.set()
    half = asyncio.Event()

    async def sender(http: aiohttp.ClientSession) -> None:
        while todo:
            key = todo.pop()
            body = {
                "event": "newCall",
                "direction": "in",
                "callId": key,
                "from": f"4477009{int(key[1:]) % 700:05d}",
            }
            while key not in taken:
                await up.wait()
                try:
                    async with http.post(
                        f"{process.url}/hooks/calls/pbx",
                        json=body,
                        headers={"Authorization": "Bearer kill-secret"},
                    ) as answer:
                        if answer.status == 200:
                            taken.add(key)
                except aiohttp.ClientError:
                    await asyncio.sleep(0)  # a provider comes again until it is answered
            if len(taken) >= EVENTS // 2:
                half.set()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as http:
        senders = [asyncio.create_task(sender(http)) for _ in range(CONNECTIONS)]
        await half.wait()
        up.clear()
        await process.end(signal.SIGKILL)
        await process.start()
        up.set()
        async with asyncio.timeout(60):
            await asyncio.gather(*senders)
    connection = await asyncpg.connect(database)
    try:
        for table in ("inbound_events", "contacts"):
            assert await connection.fetchval(f"SELECT count(*) FROM {table}") == EVENTS, table
        assert await connection.fetchval("SELECT count(DISTINCT call_key) FROM contacts") == EVENTS
        assert await connection.fetchval("SELECT count(*) FROM contacts WHERE ticket_id IS NULL") == 0
        numbers = await connection.fetchval("SELECT count(DISTINCT ani) FROM contacts WHERE ani IS NOT NULL")
        assert await connection.fetchval("SELECT count(*) FROM customers") == numbers
    finally:
        await connection.close()
    assert await process.end(signal.SIGTERM) == 0
