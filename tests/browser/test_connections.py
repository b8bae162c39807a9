"""The page of the live connections: each state in both languages, kept up while it is looked at."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from handlers.telephony.connections import Telephony
from server.context import Connection, LinkState
from tests.browser.conftest import Console, add_agent
from tests.browser.test_pages import NARROW, WIDE, complaints_of, shoot

LARGE_TEXT = {"width": 1024, "height": 576}  # what 1280 x 720 is at 125 %
Show = Callable[[list[Connection]], None]


def connections() -> list[Connection]:
    now = datetime.now(UTC)
    said = (
        ("berlin", LinkState.UP, "12 channels"),
        ("london", LinkState.WAITING, "no connection to 192.0.2.4:8021: Connection refused"),
        ("old", LinkState.REFUSED, "the switch refuses the password: secrets must be that of event_socket.conf.xml"),
        ("paris", LinkState.STANDBY, "node-b.example.net"),
        ("rome", LinkState.CONNECTING, ""),
    )  # fmt: skip
    return [
        Connection(
            name, "freeswitch", state, now - timedelta(hours=3), detail, number, now if number else None
        )
        for number, (name, state, detail) in enumerate(said)
    ]


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch) -> Show:
    def put(found: list[Connection]) -> None:
        monkeypatch.setattr(Telephony, "connections", property(lambda telephony: found))

    return put


async def at_the_page(console: Console, language: str, size: dict[str, int]) -> Page:
    if not await console.ctx.pool.fetchval("SELECT count(*) FROM agents WHERE role = 'supervisor'"):
        await add_agent(console.running, "boss", "supervisor", "900")
        await console.ctx.directory.reload()
    window = await console.window(language, viewport=size, reduced_motion="reduce")
    page = await console.log_in(window, "boss")
    await page.goto(f"{console.url}/connections")
    await console.ready(page)
    return page


@pytest.mark.timeout(120)
@pytest.mark.parametrize("language", ["en", "zh_CN"])
@pytest.mark.parametrize("size", [WIDE, NARROW, LARGE_TEXT], ids=["wide", "narrow", "large-text"])
async def test_every_state_is_drawn(
    console: Console, show: Show, tmp_path: Path, language: str, size: dict[str, int]
) -> None:
    folder = Path(os.environ.get("RINGPOST_SCREENSHOTS", tmp_path / "screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    show(connections())
    page = await at_the_page(console, language, size)
    words = {
        "en": ("Connected", "12 channels", "Not connected", "Refused", "Connected on node-b.example.net"),
        "zh_CN": ("已连接", "12 个通道", "未连接", "secrets 必须与", "已由 node-b.example.net 连接"),
    }[language]
    for word in words:
        await expect(page.locator("#main")).to_contain_text(word)
    assert await complaints_of(page) == []
    await shoot(page, folder, f"connections-{size['width']}", language)
    show([])
    await page.reload()
    await expect(page.locator(".empty")).to_be_visible()
    assert await complaints_of(page) == []
    await shoot(page, folder, f"connections-none-{size['width']}", language)


async def test_the_page_follows(console: Console, show: Show) -> None:
    found = connections()[1:2]
    show(found)
    page = await at_the_page(console, "en", WIDE)
    badge = page.locator("#connection-1 .badge")
    await expect(badge).to_have_text("Not connected")
    row = await page.query_selector("#connection-1")
    assert row is not None
    show([replace(found[0], state=LinkState.UP, detail="")])
    await expect(badge).to_have_text("Connected", timeout=8_000)
    assert await row.is_visible(), "the row is changed in place"
    await page.get_by_role("link", name="Quarantine").last.click()
    await expect(page.locator("h1")).to_have_text("Quarantine")
    await page.get_by_role("link", name="Connections").click()
    await expect(page.locator("h1")).to_have_text("Connections")


async def test_agents_have_no_such_page(console: Console) -> None:
    page = await console.log_in(await console.window())
    answer = await page.goto(f"{console.url}/connections")
    assert answer is not None and answer.status == 403
