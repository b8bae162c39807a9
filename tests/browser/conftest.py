"""A whole server, and a Chromium that an agent sits at."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from handlers.doors import HANDLERS
from server.app import Running, start
from server.domain.permission import Actor
from server.services import agents, customers, queues
from server.settings import load_settings

ROOT = Path(__file__).resolve().parents[2]
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
CTI_SECRET = "browser-cti-secret"
PASSWORD = "correct horse battery"
CONFIG = f"""
[call_sources.pbx]
provider = "cti"
secrets = ["{CTI_SECRET}"]
queue = "support"

[mailboxes.support]
address = "support@ringpost.test"
queue = "support"
name = "Support"

[forms.contact]
queue = "support"
"""


def chromium_path() -> str:
    """The system's Chromium. Without one the tests are skipped, but not in CI."""
    found = os.environ.get("CHROMIUM") or next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if not found or not AXE.exists():
        missing = "Chromium" if not found else "node_modules (make setup)"
        if os.environ.get("CI"):
            pytest.fail(f"the browser tests need {missing}")
        pytest.skip(f"the browser tests need {missing}")
    return found


@pytest_asyncio.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    path = chromium_path()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield browser
        await browser.close()


@dataclass
class Console:
    """The server, with one agent's browser windows on it."""

    running: Running
    http: aiohttp.ClientSession
    browser: Browser
    stack: contextlib.AsyncExitStack
    complaints: list[str] = field(default_factory=list)
    priya: int = 0

    @property
    def ctx(self) -> Any:
        return self.running.ctx

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ctx.addresses['http_port']}"

    async def window(self, language: str = "en", **options: Any) -> BrowserContext:
        """A browser of its own; whatever it complains about is remembered."""
        said = {"viewport": {"width": 1280, "height": 720}, "locale": "en-GB"} | options
        context = await self.browser.new_context(**said)
        self.stack.push_async_callback(context.close)
        await context.add_cookies([{"name": "ringpost_language", "value": language, "url": self.url}])
        context.on("weberror", lambda wrong: self.complaints.append(str(wrong.error)))
        context.on("console", lambda line: self._hear(line.type, line.text))
        return context

    def _hear(self, kind: str, text: str) -> None:
        # A refused document (403, 422) is logged by the browser itself, and htmx logs a request that a newer
        # one replaced; neither is a fault of the page.
        harmless = ("the server responded with a status of 4", "htmx:sendAbort", "htmx:afterRequest")
        if kind == "error" and not any(known in text for known in harmless):
            self.complaints.append(text)

    async def log_in(self, context: BrowserContext, name: str = "priya") -> Page:
        page = await context.new_page()
        page.set_default_timeout(10_000)
        await page.goto(f"{self.url}/login")
        await page.fill("#email", f"{name}@ringpost.test")
        await page.fill("#password", PASSWORD)
        await page.click(".login-card .button.main")
        await page.wait_for_selector(".head")
        return page

    async def ready(self, page: Page) -> None:
        """Until the socket is up: from here on a pop arrives."""
        await page.wait_for_selector('#connection[data-state="connected"]')

    async def call(self, number: str, call_id: str = "c1", event: str = "newCall", **more: str) -> None:
        body = {"event": event, "callId": call_id, "from": number, "to": "442079460100", "direction": "in"}
        headers = {"Authorization": f"Bearer {CTI_SECRET}"}
        async with self.http.post(f"{self.url}/hooks/calls/pbx", json=body | more, headers=headers) as answer:
            assert answer.status == 200, await answer.text()

    async def customer(self, name: str, **more: Any) -> int:
        actor = Actor(self.priya, "Priya", "priya@ringpost.test", "administrator", "en")
        made = await customers.create_customer(
            self.ctx.pool, self.ctx.hub, actor, {"name": name, **more}, country="GB"
        )
        return int(made["id"])


async def add_agent(running: Running, name: str, role: str, extension: str) -> int:
    made = await agents.add_agent(
        running.ctx.pool,
        email=f"{name}@ringpost.test",
        name=name.title(),
        role=role,
        extension=extension,
        queues=["support"],
        password=PASSWORD,
    )
    return int(made["id"])


@pytest_asyncio.fixture
async def console(tmp_path: Path, database: str, chromium: Browser) -> AsyncIterator[Console]:
    config = tmp_path / "browser.toml"
    config.write_text(CONFIG)
    environ = {
        "RINGPOST_SERVER__HTTP_PORT": "0",
        "RINGPOST_SERVER__WS_PORT": "0",
        "RINGPOST_SERVER__SMTP_PORT": "0",
        "RINGPOST_SERVER__DATA_DIR": str(tmp_path / "var"),
        "RINGPOST_DATABASE__URL": database,
        "RINGPOST_AGENTS__OFFLINE_AFTER_SECONDS": "3600",  # beyond the test: no timer of it fires in a later one
    }
    async with contextlib.AsyncExitStack() as stack:
        running = await start(load_settings([config], environ), HANDLERS, stack)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        windows = await stack.enter_async_context(contextlib.AsyncExitStack())
        made = Console(running, http, chromium, windows)
        made.priya = await add_agent(running, "priya", "agent", "101")
        support = next(one for one in await queues.list_queues(running.ctx.pool) if one["name"] == "support")
        boss = Actor(made.priya, "Priya", "", "administrator", "en")
        titles = {"title_en": "Support", "title_zh": "客户支持"}
        await queues.update_queue(running.ctx.pool, boss, int(support["id"]), titles)
        await running.ctx.directory.reload()
        yield made
    assert not made.complaints, made.complaints
