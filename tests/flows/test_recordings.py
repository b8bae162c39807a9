"""A recording from the provider's webhook to an agent's ears, and a server that is killed while it fetches."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from handlers.doors import HANDLERS
from server.app import start
from server.domain.permission import Actor
from server.settings import load_settings
from tests.flows.conftest import Ringpost
from tests.flows.test_kill import Process
from tests.sounds import MediaServer, media_server, wav

CONFIG = """
[call_sources.office]
provider = "threecx"
secrets = ["office-key"]
queue = "support"
recording_token = "media-token"

[recordings]
allow_hosts = ["127.0.0.1"]
"""
SOUND = wav(20)


@pytest.fixture
async def media() -> AsyncIterator[MediaServer]:
    async with media_server() as made:
        yield made


def environ(tmp_path: Path, database: str) -> dict[str, str]:
    ports = {f"RINGPOST_SERVER__{name}_PORT": "0" for name in ("HTTP", "WS", "SMTP")}
    return ports | {
        "RINGPOST_DATABASE__URL": database,
        "RINGPOST_SERVER__DATA_DIR": str(tmp_path / "var"),
    }


async def report(http: aiohttp.ClientSession, url: str, recording: str) -> None:
    """3CX's report of a call that is over, with where its recording is."""
    call = {
        "type": "Inbound", "number": "+442079460123", "agent": "101", "duration": "00:00:20",
        "started_utc": "2026-11-16T09:15:00Z", "recordingUrl": recording,
    }  # fmt: skip
    async with http.post(
        f"{url}/hooks/calls/office", json={"call": call}, headers={"X-Api-Key": "office-key"}
    ) as answer:
        assert answer.status == 200, await answer.text()


async def test_from_the_webhook_to_the_agent(tmp_path: Path, database: str, media: MediaServer) -> None:
    media.files["/r/1"] = SOUND
    media.demands = "Bearer media-token"
    config = tmp_path / "flow.toml"
    config.write_text(CONFIG)
    async with contextlib.AsyncExitStack() as stack:
        running = await start(load_settings([config], environ(tmp_path, database)), HANDLERS, stack)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        ringpost = Ringpost(running, http, stack, Actor(0, "Admin", "", "administrator", "en"))
        await ringpost.add_agent("ada", extension="101")
        socket = await ringpost.socket("ada")
        await report(http, ringpost.url, f"{media.url}/r/1")
        await socket.next("contact_changed")
        (contact,) = (await ringpost.api("GET", "/contacts", "ada"))["items"]
        async with asyncio.timeout(10):
            while contact["recording"]["state"] != "fetched":
                await socket.next("contact_changed")
                contact = await ringpost.api("GET", f"/contacts/{contact['id']}", "ada")
        headers = {"Authorization": f"Bearer {ringpost.tokens['ada']}"}
        async with http.get(ringpost.url + contact["recording"]["url"], headers=headers) as answer:
            assert await answer.read() == SOUND
        assert contact["recording"]["duration_seconds"] == 20.0


async def test_killed_in_the_middle_nothing_half_is_left(
    tmp_path: Path, database: str, media: MediaServer
) -> None:
    media.files["/r/1"] = SOUND
    media.stalls = asyncio.Event()
    config = tmp_path / "kill.toml"
    config.write_text(CONFIG)
    folder = tmp_path / "var" / "recordings"
    server = Process(config, environ(tmp_path, database))
    connection = await asyncpg.connect(database)
    try:
        await server.start()
        async with aiohttp.ClientSession() as http:
            await report(http, server.url, f"{media.url}/r/1")
        async with asyncio.timeout(20):
            while not any(part.stat().st_size for part in folder.glob("parts/*.part")):
                await asyncio.sleep(0.02)
        await server.end(signal.SIGKILL)
        row = await connection.fetchrow("SELECT state, attempts, path FROM recordings")
        assert (row["state"], row["attempts"], row["path"]) == ("waiting", 1, None)
        assert [one.suffix for one in folder.rglob("*") if one.is_file()] == [".part"]
        media.stalls.set()
        # What the lease would do in two minutes.
        await connection.execute("UPDATE recordings SET next_attempt_at = now()")
        await server.start()
        async with asyncio.timeout(20):
            while (
                row := await connection.fetchrow("SELECT state, attempts, path, size FROM recordings")
            ) and row["state"] != "fetched":
                await asyncio.sleep(0.05)
        assert (row["attempts"], row["size"]) == (2, len(SOUND))
        assert (folder / row["path"]).read_bytes() == SOUND
        assert await connection.fetchval("SELECT count(*) FROM recordings") == 1
        assert await server.end(signal.SIGTERM) == 0
    finally:
        await server.end(signal.SIGKILL)
        await connection.close()
