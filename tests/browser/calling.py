"""A console whose telephony can call, hold and transfer: the stand-in at the far edge, beside the real PBX's events."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest_asyncio
from playwright.async_api import Browser

from handlers.doors import HANDLERS
from server.app import start
from server.domain.permission import Actor
from server.services import queues
from server.settings import load_settings
from tests.browser.conftest import CONFIG, Console, add_agent
from tests.telephony import ALL, StandIn


@dataclass
class CallConsole(Console):
    telephony: StandIn | None = None

    @property
    def far(self) -> StandIn:
        assert self.telephony is not None
        return self.telephony

    async def talk(self, number: str = "442079460123", call_id: str = "c1", extension: str = "101") -> int:
        """A call that rings at the agent and is picked up there; gives its contact."""
        await self.call(number, call_id=call_id, user=extension)
        await self.call(number, call_id=call_id, event="answer", answeringNumber=extension, user="Priya")
        return int(await self.ctx.pool.fetchval("SELECT id FROM contacts WHERE call_key = $1", call_id))

    async def logged(self, **columns: Any) -> int:
        """A call of the log."""
        now = datetime.now(UTC)
        row = {
            "channel": "call", "direction": "inbound", "source": "pbx", "state": "ended", "ani": "+442079460123",
            "started_at": now - timedelta(minutes=5), "ended_at": now, "agent_id": self.priya,
        } | columns  # fmt: skip
        row.setdefault("call_key", str(await self.ctx.pool.fetchval("SELECT nextval('object_id')")))
        names, places = ", ".join(row), ", ".join(f"${n}" for n in range(1, len(row) + 1))
        statement = f"INSERT INTO contacts ({names}) VALUES ({places}) RETURNING id"
        return int(await self.ctx.pool.fetchval(statement, *row.values()))


@pytest_asyncio.fixture
async def calling(tmp_path: Path, database: str, chromium: Browser) -> AsyncIterator[CallConsole]:
    config = tmp_path / "calling.toml"
    config.write_text(CONFIG)
    environ = {
        "RINGPOST_SERVER__HTTP_PORT": "0",
        "RINGPOST_SERVER__WS_PORT": "0",
        "RINGPOST_SERVER__SMTP_PORT": "0",
        "RINGPOST_SERVER__DATA_DIR": str(tmp_path / "var"),
        "RINGPOST_DATABASE__URL": database,
        "RINGPOST_AGENTS__OFFLINE_AFTER_SECONDS": "3600",
    }
    telephony = StandIn({"pbx": ALL})
    async with contextlib.AsyncExitStack() as stack:
        settings = load_settings([config], environ)
        running = await start(settings, replace(HANDLERS, telephony=lambda _: telephony), stack)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        windows = await stack.enter_async_context(contextlib.AsyncExitStack())
        made = CallConsole(running, http, chromium, windows, telephony=telephony)
        made.priya = await add_agent(running, "priya", "agent", "101")
        support = next(one for one in await queues.list_queues(running.ctx.pool) if one["name"] == "support")
        boss = Actor(made.priya, "Priya", "", "administrator", "en")
        said = {"title_en": "Support", "title_zh": "客户支持", "dnis": ["+442079460100"]}
        await queues.update_queue(running.ctx.pool, boss, int(support["id"]), said)
        await running.ctx.directory.reload()
        yield made
    assert not made.complaints, made.complaints
