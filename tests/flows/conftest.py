"""A whole server in the test's loop: real sockets, real PostgreSQL, the doors as run.py hands them in."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect

from handlers.doors import HANDLERS
from server.app import Running, start
from server.domain.permission import Actor
from server.services import agents, queues, sessions
from server.settings import load_settings

CTI_SECRET = "flow-cti-secret"
TWILIO_SECRET = "flow-twilio-secret"
PASSWORD = "correct horse battery"
CONFIG = f"""
[call_sources.main]
provider = "twilio"
secrets = ["{TWILIO_SECRET}"]
queue = "support"

[call_sources.pbx]
provider = "cti"
secrets = ["{CTI_SECRET}", "the-old-one"]
queue = "support"

[call_sources.group]
provider = "cti"
secrets = ["{CTI_SECRET}"]
queue = "support"
ring = "group"

[mailboxes.support]
address = "support@ringpost.test"
queue = "support"
name = "Support"

[forms.contact]
queue = "support"
rate_per_minute = 1000
"""


@dataclass
class Socket:
    """An agent's socket that remembers what came."""

    connection: ClientConnection
    frames: list[dict[str, Any]] = field(default_factory=list)

    async def next(self, kind: str, seconds: float = 8.0) -> dict[str, Any]:
        """The next frame of that type; others are kept in ``frames``."""
        async with asyncio.timeout(seconds):
            while True:
                frame = json.loads(await self.connection.recv())
                self.frames.append(frame)
                if frame["type"] == kind:
                    return dict(frame)

    async def quiet(self, kind: str = "screen_pop") -> bool:
        """True when no frame of that type came before the answer to a ping."""
        await self.send({"type": "ping"})
        before = len(self.frames)
        await self.next("pong")
        return all(frame["type"] != kind for frame in self.frames[before:])

    async def send(self, message: Mapping[str, Any]) -> None:
        await self.connection.send(json.dumps(message))


@dataclass
class Ringpost:
    running: Running
    http: aiohttp.ClientSession
    stack: contextlib.AsyncExitStack
    admin: Actor
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def ctx(self) -> Any:
        return self.running.ctx

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ctx.addresses['http_port']}"

    async def add_agent(
        self, name: str, *, queue: str | None = "support", extension: str | None = None, role: str = "agent"
    ) -> int:
        made = await agents.add_agent(
            self.ctx.pool,
            email=f"{name}@ringpost.test",
            name=name.title(),
            role=role,
            extension=extension,
            queues=[queue] if queue else [],
            password=None,
        )
        agent_id = int(made["id"])
        self.tokens[name] = await sessions.add_token(self.ctx.pool, agent_id, "flow")
        await self.ctx.directory.reload()
        return agent_id

    async def socket(self, name: str) -> Socket:
        connection = await self.stack.enter_async_context(
            connect(
                f"ws://127.0.0.1:{self.ctx.addresses['ws_port']}/agent",
                additional_headers={"Authorization": f"Bearer {self.tokens[name]}"},
            )
        )
        socket = Socket(connection)
        hello = await socket.next("hello")
        assert hello["agent"]["state"] in ("available", "not_ready")
        # The answer to a ping comes after presence and resume are done.
        await socket.quiet()
        return socket

    async def cti(
        self, source: str = "pbx", *, secret: str = CTI_SECRET, **fields: Any
    ) -> aiohttp.ClientResponse:
        body = {"direction": "in", "to": "442079460100", **fields}
        body = {("from" if key == "from_" else key): value for key, value in body.items()}
        return await self.http.post(
            f"{self.url}/hooks/calls/{source}", json=body, headers={"Authorization": f"Bearer {secret}"}
        )

    async def api(self, method: str, path: str, agent: str, **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.tokens[agent]}", **more.pop("headers", {})}
        async with self.http.request(method, f"{self.url}/api/v1{path}", headers=headers, **more) as answer:
            text = await answer.text()
            assert answer.status < 300, (answer.status, text)
            return json.loads(text) if text else None

    async def count(self, table: str) -> int:
        return int(await self.ctx.pool.fetchval(f"SELECT count(*) FROM {table}"))


@pytest.fixture
def settings_of(tmp_path: Path, database: str) -> Callable[..., Any]:
    def make(**environ: str) -> Any:
        config = tmp_path / "flow.toml"
        config.write_text(CONFIG)
        return load_settings(
            [config],
            {
                "RINGPOST_SERVER__HTTP_PORT": "0",
                "RINGPOST_SERVER__WS_PORT": "0",
                "RINGPOST_SERVER__SMTP_PORT": "0",
                "RINGPOST_SERVER__DATA_DIR": str(tmp_path / "var"),
                "RINGPOST_DATABASE__URL": database,
                **environ,
            },
        )

    return make


@pytest.fixture
async def ringpost(settings_of: Callable[..., Any]) -> AsyncIterator[Ringpost]:
    async with contextlib.AsyncExitStack() as stack:
        running = await start(settings_of(), HANDLERS, stack)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        admin = Actor(agent_id=0, name="Admin", email="", role="administrator", language="en")
        yield Ringpost(running, http, stack, admin)


__all__ = ["Ringpost", "Socket", "queues"]
