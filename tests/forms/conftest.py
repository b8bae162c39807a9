"""A running server with the doors that forms need, and an HTTP client of our own."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest_asyncio

from handlers import forms, health
from handlers.agent_socket import AgentSocket
from handlers.http import build_http_app
from handlers.mail.door import mail_door
from handlers.telephony.connections import Telephony
from server.app import Handlers, start
from server.settings import load_settings

SETTINGS = """
[forms.contact]
queue = "support"
origins = ["https://www.customer-site.example"]
rate_per_minute = 1000

[forms.warranty]
queue = "support"
title = { en = "Warranty", zh_CN = "保修登记" }
rate_per_minute = 1000
fields = [
  { name = "full_name", label = { en = "Full name", zh_CN = "姓名" }, required = true },
  { name = "mail", type = "email", required = true },
  { name = "model", type = "select", choices = ["B3", "B4"], required = true },
  { name = "website", max_length = 20 },
]

[forms.slow]
rate_per_minute = 2
"""


@dataclass
class FormServer:
    ctx: Any
    http: aiohttp.ClientSession
    url: str

    async def post(self, form: str = "contact", **more: Any) -> aiohttp.ClientResponse:
        reply = await self.http.post(f"{self.url}/forms/{form}", allow_redirects=False, **more)
        await reply.read()
        return reply

    async def get(self, path: str, **headers: str) -> tuple[aiohttp.ClientResponse, str]:
        reply = await self.http.get(f"{self.url}{path}", headers=headers, allow_redirects=False)
        return reply, await reply.text()

    async def count(self, table: str) -> int:
        return int(await self.ctx.pool.fetchval(f"SELECT count(*) FROM {table}"))


def _doors(ctx: Any) -> Any:
    return build_http_app(ctx, [forms, health])


@pytest_asyncio.fixture
async def server(database: str, tmp_path: Path) -> AsyncIterator[FormServer]:
    config = tmp_path / "forms.toml"
    config.write_text(SETTINGS, encoding="utf-8")
    settings = load_settings(
        [config],
        {"RINGPOST_DATABASE__URL": database},
        {
            "server.http_port": 0,
            "server.ws_port": 0,
            "server.smtp_port": 0,
            "server.data_dir": str(tmp_path / "var"),
            "server.trusted_proxies": ["127.0.0.1"],
        },
    )
    async with contextlib.AsyncExitStack() as stack:
        running = await start(
            settings, Handlers(http=_doors, socket=AgentSocket, mail=mail_door, telephony=Telephony), stack
        )
        http = await stack.enter_async_context(aiohttp.ClientSession())
        yield FormServer(running.ctx, http, f"http://127.0.0.1:{running.ctx.addresses['http_port']}")
