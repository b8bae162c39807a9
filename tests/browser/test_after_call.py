"""After-call work at the desk: by keyboard, in both languages, and nothing that was typed gets lost."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from server.domain.permission import Actor
from server.services import queues
from tests.browser.conftest import Console, add_agent
from tests.browser.test_pages import complaints_of, shoot

CODES = [
    {"code": "sold", "en": "Sold", "zh_CN": "已成交"},
    {"code": "callback", "en": "To be called back", "zh_CN": "需要回拨"},
    {"code": "complaint", "en": "Complaint taken down", "zh_CN": "已记录投诉"},
    {"code": "wrong", "en": "Wrong number", "zh_CN": "打错号码"},
]
SETTINGS: dict[str, Any] = {
    "wrap_up_seconds": 90, "dispositions": CODES, "disposition_required": True,
}  # fmt: skip


async def set_queue(console: Console, **changes: Any) -> int:
    pool = console.ctx.pool
    support = next(one for one in await queues.list_queues(pool) if one["name"] == "support")
    boss = Actor(console.priya, "Priya", "", "administrator", "en")
    await queues.update_queue(pool, boss, int(support["id"]), changes)
    await console.ctx.directory.reload()
    return int(support["id"])


async def talk(console: Console, page: Page, *, is_over: bool = True) -> None:
    """A call that priya takes on her telephone."""
    await console.call("442079460401", user="101")
    await expect(page.locator(".pop")).to_be_visible()
    await console.call("442079460401", event="answer", answeringNumber="101", user="Priya")
    await expect(page.locator(".pop")).to_have_count(0)
    if is_over:
        await hang_up(console)


async def hang_up(console: Console) -> None:
    await console.call("442079460401", event="hangup", cause="normalClearing")


async def contact_of(console: Console, call_id: str = "c1") -> Any:
    return await console.ctx.pool.fetchrow("SELECT * FROM contacts WHERE call_key = $1", call_id)


async def sit_down(console: Console, language: str = "en", **window: Any) -> Page:
    page = await console.log_in(await console.window(language, **window))
    await console.ready(page)
    return page


async def expire(console: Console) -> None:
    """The time of the after-call work is over now."""
    await console.ctx.pool.execute("UPDATE presence SET wrap_up_until = now() - interval '1 second'")
    await console.ctx.presence.end_wrap_ups()


async def test_finished_by_keyboard(console: Console) -> None:
    await set_queue(console, **SETTINGS)
    await console.customer("Ann First", phones=[{"number": "+442079460401"}])
    page = await sit_down(console)
    await talk(console, page)
    panel = page.locator("#after-call")
    await expect(panel).to_contain_text("Ann First")
    await expect(panel).to_contain_text("020 7946 0401")
    await expect(panel.get_by_role("status")).to_contain_text("Say what came of it: the next contact")
    await expect(page.locator("#presence")).to_contain_text("After-call work")
    await expect(panel.locator("time")).to_have_text(re.compile(r"1:[12][0-9]"))
    # Done without a choice says what is missing, and keeps what was typed.
    await page.locator("#after-note").fill("Wants two of them")
    await page.locator("h1").evaluate("() => document.activeElement.blur()")
    await page.keyboard.press("d")
    await expect(panel.locator(".wrong")).to_have_text("Say what came of it")
    await expect(page.locator("#after-note")).to_have_value("Wants two of them")
    # A key chooses, another one changes its mind, D is done; the mouse is not needed.
    await page.keyboard.press("2")
    await expect(panel.get_by_label("To be called back")).to_be_checked()
    await page.keyboard.press("1")
    await expect(panel.get_by_label("Sold")).to_be_focused()
    await page.keyboard.press("d")
    await expect(panel).to_have_count(0)
    await expect(page.locator("#notices")).to_contain_text("Kept")
    await expect(page.locator(".call-result")).to_contain_text("Sold")
    await expect(page.locator(".call-result")).to_contain_text("Wants two of them")
    await expect(page.locator("#presence")).to_contain_text("Available")
    row = await contact_of(console)
    assert (row["disposition"], row["note"]) == ("sold", "Wants two of them")
    assert row["wrapped_up_at"] is not None


async def test_the_note_of_the_call_goes_on_where_it_was(console: Console) -> None:
    """The call ends in the middle of a word."""
    await set_queue(console, **SETTINGS)
    page = await sit_down(console)
    await talk(console, page, is_over=False)
    await page.locator("#call-note").press_sequentially("She ask")
    await hang_up(console)
    await expect(page.locator("#after-note")).to_be_focused()
    await page.keyboard.type("s for a discount, 2 of 3")
    await expect(page.locator("#after-note")).to_have_value("She asks for a discount, 2 of 3")
    assert await page.locator("#after-call :checked").count() == 0, "what is typed presses no keys"


async def test_the_time_is_over(console: Console) -> None:
    await set_queue(console, **SETTINGS | {"disposition_required": False})
    page = await sit_down(console)
    await talk(console, page)
    panel = page.locator("#after-call")
    await page.get_by_label("Complaint taken down").check()
    await page.locator("#after-note").fill("The lamp fl")
    await expire(console)
    await expect(page.locator("#presence")).to_contain_text("Available")
    # Who types on is not interrupted; then it is kept all the same.
    await page.wait_for_timeout(500)
    await page.keyboard.type("ickers")
    await expect(page.locator("#after-note")).to_have_value("The lamp flickers")
    await page.locator("h1").evaluate("() => document.activeElement.blur()")
    await expect(page.locator(".call-result")).to_contain_text("The lamp flickers")
    await expect(panel).to_have_count(0)
    row = await contact_of(console)
    assert (row["disposition"], row["note"]) == ("complaint", "The lamp flickers")


async def test_a_code_that_is_required_outlasts_the_time(console: Console) -> None:
    await set_queue(console, **SETTINGS | {"wrap_up_seconds": 1})
    page = await sit_down(console, "zh_CN")
    await talk(console, page)
    panel = page.locator("#after-call")
    await expect(panel).to_contain_text("时间已到。请选择通话结果")
    await expect(panel.locator("time")).to_have_text("0:00")
    await panel.get_by_text("打错号码").click()
    await expect(panel).to_have_count(0)
    assert (await contact_of(console))["disposition"] == "wrong"


async def test_from_the_menu_of_the_state(console: Console) -> None:
    await set_queue(console, **SETTINGS)
    page = await sit_down(console)
    await talk(console, page)
    await expect(page.locator("#after-call")).to_be_visible()
    await page.goto(f"{console.url}/tickets")
    button = page.locator(".presence-button")
    await expect(button).to_contain_text("After-call work")
    await button.click()
    await page.get_by_role("button", name="Lunch").click()
    notice = page.locator("#notices .notice")
    await expect(notice).to_contain_text("First say what came of the last contact.")
    await notice.get_by_role("link").click()
    await page.get_by_label("Sold").check()
    await expect(page.locator("#after-call")).to_be_visible()
    await page.locator(".presence-button").click()
    await page.get_by_role("button", name="Lunch").click()
    await expect(page.locator(".presence-button")).to_contain_text("Lunch")
    await expect(page.locator("#after-call")).to_have_count(0)
    row = await contact_of(console)
    assert row["disposition"] == "sold" and row["wrapped_up_at"] is not None


async def test_nothing_is_offered_meanwhile(console: Console) -> None:
    await set_queue(console, **SETTINGS | {"disposition_required": False})
    page = await sit_down(console)
    await talk(console, page)
    await expect(page.locator("#after-call")).to_be_visible()
    await console.call("442079460402", "c2")
    await page.goto(console.url)
    await console.ready(page)
    waiting = page.locator("#queue")
    await expect(waiting).to_contain_text("020 7946 0402")
    await expect(waiting).to_contain_text("after your after-call work")
    await expect(waiting.get_by_role("link", name="020 7946 0402")).to_have_count(0)
    await expect(page.locator(".pop")).to_have_count(0)
    await page.keyboard.press("d")
    await expect(page.locator(".pop")).to_contain_text("020 7946 0402")


async def test_a_phone_that_nobody_picked_up(console: Console) -> None:
    page = await sit_down(console)
    await console.ctx.presence.set_state(console.priya, "not_ready", "no_answer")
    bar = page.locator(".desk-bar")
    await expect(bar).to_contain_text("nobody picked it up")
    await expect(page.locator(".presence-button")).to_contain_text("Did not answer")
    await add_agent(console.running, "boss", "supervisor", "900")
    await console.ctx.directory.reload()
    board = await console.log_in(await console.window("zh_CN"), "boss")
    await board.goto(f"{console.url}/queues")
    await expect(board.locator(".agents")).to_contain_text("示忙: 未接听")
    await bar.get_by_role("button", name="Available").click()
    await expect(bar).to_have_count(0)
    await expect(page.locator(".presence-button")).to_contain_text("Available")


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ["Number verified by the carrier (A)", "talked for 4 min 7 sec, on hold for 30 sec", "Sold"]),
        ("zh_CN", ["号码已由运营商验证（A）", "通话 4分钟7秒", "保持 30秒", "已成交"]),
    ],
)
async def test_what_became_of_a_call(console: Console, language: str, words: list[str]) -> None:
    await set_queue(console, dispositions=CODES)
    page = await sit_down(console, language)
    await talk(console, page)
    await console.ctx.pool.execute(
        "UPDATE contacts SET stir = 'A', talk_seconds = 247, hold_seconds = 30, disposition = 'sold', note = 'Two'"
    )
    row = await contact_of(console)
    for path in (f"/?contact={row['id']}", f"/tickets/{row['ticket_id']}"):
        await page.goto(console.url + path)
        result = page.locator(".call-result")
        for said in [*words, "Two"]:
            await expect(result).to_contain_text(said)
        await result.locator("summary").click()
        await expect(result.locator("li")).to_have_count(3)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("language", "size"),
    [("en", {"width": 1280, "height": 720}), ("zh_CN", {"width": 390, "height": 844})],
    ids=["english-wide", "chinese-narrow"],
)
async def test_axe_finds_nothing(
    console: Console, tmp_path: Path, language: str, size: dict[str, int]
) -> None:
    folder = Path(os.environ.get("RINGPOST_SCREENSHOTS", tmp_path / "screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    queue_id = await set_queue(console, **SETTINGS, holidays=["2026-12-25"])
    await add_agent(console.running, "boss", "administrator", "900")
    await console.ctx.directory.reload()
    await console.customer("Ann First", phones=[{"number": "+442079460401"}])
    page = await sit_down(console, language, viewport=size, reduced_motion="reduce")
    await talk(console, page)
    await console.call("442079460402", "c2")
    await expect(page.locator("#after-call")).to_be_visible()
    contact = await contact_of(console)
    wrong: dict[str, list[str]] = {}

    async def look(name: str, here: Page = page) -> None:
        wrong[name] = await complaints_of(here)
        await shoot(here, folder, name, language)

    await look("after-call")
    await page.set_viewport_size({"width": 1024, "height": 576})
    await page.screenshot(path=folder / f"after-call-1024-{language}.png")
    await page.set_viewport_size({"width": size["width"], "height": size["height"]})
    other = (await contact_of(console, "c2"))["id"]
    await page.goto(f"{console.url}/?contact={other}")
    await expect(page.locator(".desk-bar")).to_be_visible()
    await look("after-call-elsewhere")
    await page.goto(console.url)
    await page.locator("#after-call .button.main").click()
    await expect(page.locator("#after-call .wrong")).to_be_visible()
    await look("after-call-refused")
    await page.locator("#after-note").fill("Wants two of them,\nby Friday.")
    await page.locator("#after-call .code").nth(1).click()
    await page.locator("#after-call .button.main").click()
    await expect(page.locator(".call-result .badge")).to_be_visible()
    await expect(page.locator("main")).to_have_count(1)
    await page.locator("[data-pop-later]").first.click()
    await page.locator(".call-result summary").click()
    await look("call-result")
    await page.goto(f"{console.url}/tickets/{contact['ticket_id']}")
    await page.locator(".call-result summary").click()
    await look("ticket-call")
    await console.ctx.presence.set_state(console.priya, "not_ready", "no_answer")
    await page.goto(console.url)
    await look("no-answer")
    boss = await console.log_in(await console.window(language, viewport=size), "boss")
    await boss.goto(f"{console.url}/queues")
    await look("board-after-call", boss)
    await boss.goto(f"{console.url}/admin/queues/{queue_id}")
    await boss.locator('[name="hours_tue"]').fill("17:00-9:00")
    await boss.locator(".button.main").click()
    await expect(boss.locator("#wrong-hours_tue")).to_be_visible()
    await boss.evaluate("scrollTo(0, 0)")  # a field half under the header is no small one
    await look("queue-settings", boss)
    await boss.screenshot(path=folder / f"queue-settings-whole-{language}.png", full_page=True)
    assert not {name: said for name, said in wrong.items() if said}
