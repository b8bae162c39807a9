"""A queue's settings in the administration, and what the supervisor sees of them."""

from __future__ import annotations

from playwright.async_api import expect

from server.services import queues
from tests.browser.conftest import Console, add_agent
from tests.browser.test_after_call import SETTINGS, set_queue, sit_down, talk


async def test_the_board_counts_after_call_work(console: Console) -> None:
    queue_id = await set_queue(console, **SETTINGS)
    await add_agent(console.running, "boss", "supervisor", "900")
    await console.ctx.directory.reload()
    await console.ctx.presence.set_state(
        int(await console.ctx.pool.fetchval("SELECT id FROM agents WHERE role = 'supervisor'")),
        "not_ready",
        "meeting",
    )
    page = await sit_down(console)
    board = await console.log_in(await console.window(), "boss")
    await board.goto(f"{console.url}/queues")
    await console.ready(board)
    figures = {
        name: board.locator(f'.figures div:has(dt:text-is("{name}")) dd')
        for name in ("Available", "After-call work")
    }
    await expect(figures["Available"]).to_have_text("1")
    await expect(board.locator("main")).to_contain_text("Open")
    await talk(console, page)
    await expect(figures["After-call work"]).to_have_text("1")
    await expect(figures["Available"]).to_have_text("0")
    today = await console.ctx.pool.fetchval("SELECT current_date")
    await set_queue(console, holidays=[today.isoformat()], time_zone="UTC")
    await board.reload()
    await expect(board.locator(f"section:has(#queue-{queue_id})")).to_contain_text("Closed")
    await expect(board.locator("main")).to_contain_text("Opens Tomorrow")


async def test_a_queue_is_set_up(console: Console) -> None:
    await add_agent(console.running, "admin", "administrator", "901")
    await console.ctx.directory.reload()
    queue_id = await set_queue(console)
    page = await console.log_in(await console.window(), "admin")
    await page.goto(f"{console.url}/admin/queues/{queue_id}")
    await page.get_by_label("Skills that an agent must have").fill("french: 11")
    await page.get_by_label("Time for after-call work").fill("45")
    await page.get_by_label("What may come of a call").fill("sold | Sold | 已成交\nlost｜Lost｜未成交\nother")
    await page.get_by_label("One of them must be chosen").check()
    await page.get_by_label("Monday").fill("9:00–12:00， 13:00-17:30")
    await page.get_by_label("Tuesday").fill("17:00-9:00")
    await page.get_by_label("Closed all day on").fill("2026-12-25\n2026-13-01")
    await page.get_by_label("Time zone of these hours").select_option("Asia/Shanghai")
    await page.get_by_role("button", name="Save").click()
    for field, words in (
        ("skills", "french: 11: write a skill"),
        ("hours_tue", "Write times"),
        ("holidays", "2026-13-01: write"),
    ):
        await expect(page.locator(f'[name="{field}"]')).to_have_attribute("aria-invalid", "true")
        await expect(page.locator(f"#wrong-{field}")).to_contain_text(words)
    await page.get_by_label("Skills that an agent must have").fill("french: 3")
    await page.get_by_label("Tuesday").fill("")
    await page.get_by_label("Closed all day on").fill("2026-12-25")
    await page.get_by_label("called back within").fill("30")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#notices")).to_contain_text("Saved")
    kept = await queues.fetch_queue(console.ctx.pool, queue_id)
    assert kept["skills"] == {"french": 3} and kept["wrap_up_seconds"] == 45
    assert kept["dispositions"][1] == {"code": "lost", "en": "Lost", "zh_CN": "未成交"}
    assert kept["dispositions"][2] == {"code": "other", "en": "other", "zh_CN": "other"}
    assert kept["hours"] == {"mon": [["09:00", "12:00"], ["13:00", "17:30"]]}
    assert (kept["holidays"], kept["time_zone"]) == (["2026-12-25"], "Asia/Shanghai")
    assert kept["disposition_required"] and kept["callback_due_seconds"] == 1800
    await page.goto(f"{console.url}/admin/queues/{queue_id}")
    await expect(page.get_by_label("Monday")).to_have_value("09:00-12:00, 13:00-17:30")
    await expect(page.get_by_label("What may come of a call")).to_have_value(
        "sold | Sold | 已成交\nlost | Lost | 未成交\nother | other | other"
    )
