"""The API on a real socket over a real database; nothing of the intake is running."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest_asyncio
from aiohttp.test_utils import TestServer

from handlers.doors import route_modules
from handlers.http import build_http_app
from handlers.telephony.connections import Telephony
from server.context import Context
from server.domain.permission import Actor
from server.intake.batcher import Batcher
from server.push.hub import Hub
from server.services import agents, queues, sessions
from server.services.directory import DirectoryKeeper
from server.services.presence import Presence
from server.services.sessions import Authenticator
from server.services.take_calls import IntakeRules
from server.settings import load_settings
from server.store.pool import Pool

PASSWORD = "correct horse battery"
CONFIG = """
[mailboxes.support]
address = "support@ringpost.test"
queue = "support"
name = "Support"
signature = "The support team"
"""


@dataclass
class Api:
    """A client for each role; ``http`` has no credentials."""

    url: str
    ctx: Context
    http: aiohttp.ClientSession
    tokens: dict[str, str]
    actors: dict[str, Actor]

    async def raw(self, method: str, path: str, role: str = "agent", **more: Any) -> aiohttp.ClientResponse:
        headers = {"Authorization": f"Bearer {self.tokens[role]}"} if role else {}
        headers |= more.pop("headers", {})
        answer = await self.http.request(method, f"{self.url}/api/v1{path}", headers=headers, **more)
        await answer.read()
        return answer

    async def call(
        self, method: str, path: str, body: Any = None, role: str = "agent", status: int = 0
    ) -> Any:
        """The JSON of an answer that must be what was expected (below 300 when nothing is said)."""
        answer = await self.raw(method, path, role, **({"json": body} if body is not None else {}))
        text = await answer.text()
        assert answer.status == status if status else answer.status < 300, (answer.status, text)
        return json.loads(text) if text else None


@pytest_asyncio.fixture
async def api(pool: Pool, tmp_path: Path, database: str) -> AsyncIterator[Api]:
    config = tmp_path / "api.toml"
    config.write_text(CONFIG)
    settings = load_settings([config], {"RINGPOST_DATABASE__URL": database})
    hub, directory = Hub(), DirectoryKeeper(pool, database)

    async def refuse(*_: Any) -> Any:
        raise AssertionError("no intake here")

    rules = IntakeRules(timedelta(days=1), timedelta(hours=4), timedelta(days=2))
    ctx = Context(
        settings=settings,
        pool=pool,
        hub=hub,
        authenticator=Authenticator(pool),
        directory=directory,
        presence=Presence(pool, hub, directory),
        rules=rules,
        calls=Batcher(refuse, refuse),
        touches=Batcher(refuse, refuse),
        telephony=Telephony(database),
        addresses={},
    )
    await queues.add_queue(pool, name="support", is_default=True)
    await queues.add_queue(pool, name="售后", title_en="After sales", title_zh="售后")
    tokens: dict[str, str] = {}
    actors: dict[str, Actor] = {}
    for role in ("agent", "supervisor", "administrator"):
        made = await agents.add_agent(
            pool, email=f"{role}@ringpost.test", name=role.title(), role=role, queues=["support"]
        )
        tokens[role] = await sessions.add_token(pool, int(made["id"]), "test")
        actors[role] = Actor(int(made["id"]), made["name"], made["email"], role)
    await directory.reload()
    server = TestServer(build_http_app(ctx, route_modules()))
    await server.start_server()
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        yield Api(str(server.make_url("")).rstrip("/"), ctx, http, tokens, actors)
    await server.close()
