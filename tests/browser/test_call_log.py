"""The call log: who sees what, its filters, its order, what is exported; in both languages."""

from __future__ import annotations

import csv
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from server.services import call_log
from tests.browser import calling as fixtures
from tests.browser.calling import CallConsole
from tests.browser.conftest import add_agent
from tests.browser.test_calls import small_targets
from tests.browser.test_pages import NARROW, WIDE, complaints_of, shoot

calling = fixtures.calling
NOW = datetime.now(UTC)
FORMULA = "=HYPERLINK(1)"


async def fill(calling: CallConsole) -> dict[str, int]:
    """Calls of two agents and two queues, the latest first by name."""
    pool = calling.ctx.pool
    bob = await add_agent(calling.running, "bob", "agent", "102")
    await add_agent(calling.running, "boss", "supervisor", "900")
    await calling.ctx.directory.reload()
    support = await pool.fetchval("SELECT id FROM queues WHERE name = 'support'")
    other = await pool.fetchval("INSERT INTO queues (unit_id, name) VALUES (1, 'sales') RETURNING id")
    outcomes = [{"code": "sold", "en": "Sold", "zh_CN": "已售出"}]
    await pool.execute("UPDATE queues SET dispositions = $1 WHERE id = $2", outcomes, support)
    await pool.execute("DELETE FROM queue_agents WHERE agent_id = $1", bob)
    await calling.ctx.directory.reload()
    mary = await calling.customer("Mary O'Connor", phones=[{"number": "+442079460111"}])
    said: dict[str, dict[str, Any]] = {
        "goes": {"state": "answered", "ended_at": None, "answered_at": NOW, "queue_id": support,
                 "ani": "+442079460100"},
        "missed": {"state": "missed", "agent_id": None, "queue_id": support, "ani": "+442079460111", "ring_seconds": 40,
                   "customer_id": mary},
        "talked": {"queue_id": support, "answered_at": NOW, "ring_seconds": 7, "talk_seconds": 247, "hold_seconds": 31,
                   "disposition": "sold", "note": f"{FORMULA} said the caller, 100% sure", "customer_id": mary},
        "out": {"direction": "outbound", "dnis": "+493090182000", "source": "old"},
        "others": {"agent_id": bob, "queue_id": other, "ani": "+442079460222"},
        "withheld": {"agent_id": bob, "queue_id": other, "ani": None, "withheld": True},
    }  # fmt: skip
    made = {}
    for hours, (name, columns) in enumerate(said.items()):
        began = NOW - timedelta(hours=hours * 30)
        end = {} if "ended_at" in columns else {"ended_at": began + timedelta(minutes=5)}
        # Written in another order than they began: ids are no order of time.
        made[name] = await calling.logged(started_at=began, call_key=name, **end | columns)
    return made


async def shown(page: Page) -> list[str]:
    await page.wait_for_load_state("networkidle")
    return [
        row.removeprefix("call-")
        for row in await page.locator("#rows tr").evaluate_all("r => r.map(o => o.id)")
    ]


async def log_of(calling: CallConsole, name: str = "boss", language: str = "en", **options: Any) -> Page:
    page = await calling.log_in(await calling.window(language, **options), name)
    await page.goto(f"{calling.url}/calls")
    return page


async def test_supervisors_see_all_agents_theirs_and_their_queues(calling: CallConsole) -> None:
    made = await fill(calling)
    everything = [str(made[name]) for name in ("goes", "missed", "talked", "out", "others", "withheld")]
    assert await shown(await log_of(calling)) == everything
    assert await shown(await log_of(calling, "priya")) == everything[:4]  # her own, and those of her queue
    assert await shown(await log_of(calling, "bob")) == everything[4:]  # in no queue: his own
    bob = await log_of(calling, "bob")
    async with bob.expect_download() as waiting:
        await bob.get_by_role("link", name="CSV").click()
    text = Path(await (await waiting.value).path()).read_text("utf-8-sig")
    assert len(list(csv.reader(text.splitlines()))) == 3


async def test_each_filter_finds(calling: CallConsole) -> None:
    made = await fill(calling)
    page = await log_of(calling)
    mary = await calling.ctx.pool.fetchval("SELECT id FROM customers")
    day = (NOW - timedelta(hours=30)).strftime("%Y-%m-%d")
    for query, expected in (
        ("direction=outbound", ["out"]), ("state=missed", ["missed"]), ("state=picked-up", ["goes", "talked"]),
        ("state=going-on", ["goes"]), ("state=answered", ["goes"]), ("state=ringing", []),
        ("queue=sales", ["others", "withheld"]), ("agent=me", []),
        (f"agent={calling.priya}", ["goes", "talked", "out"]), ("source=old", ["out"]),
        ("disposition=sold", ["talked"]), (f"customer={mary}", ["missed", "talked"]),
        ("number=020 7946 0111", ["missed"]), ("number=%2B44 (0)20 7946-0111", ["missed"]), ("number=02079460", [
            "goes", "missed", "talked", "others"]), ("number=0049 30 90182000", ["out"]),
        (f"from={day}&to={day}", ["missed"]), (f"to={(NOW - timedelta(hours=120)).date()}", ["others", "withheld"]),
        ("q=o'connor", ["missed", "talked"]), ("q=100%25", ["talked"]), ("q=%2B493090182000", ["out"]),
        ("q=nobody", []), ("state=missed&direction=outbound", []),
    ):  # fmt: skip
        await page.goto(f"{calling.url}/calls?{query}")
        assert await shown(page) == [str(made[name]) for name in expected], query
    await page.goto(f"{calling.url}/calls?disposition=sold")
    await expect(page.locator("#f-disposition option:checked")).to_have_text("Sold")
    await page.goto(f"{calling.url}/calls?disposition=old-code")
    await expect(page.locator("#f-disposition option:checked")).to_have_text("old-code")
    for query, words in (
        ("number=hello", "not a phone number"), ("from=yesterday", "must be a date"), ("agent=x", "must be an id"),
    ):  # fmt: skip
        await page.goto(f"{calling.url}/calls?{query}")
        await expect(page.locator("#found [role=alert]")).to_contain_text(words)
    # A cursor of somebody's own making is told, not obeyed.
    await page.goto(f"{calling.url}/calls?cursor=xyz")
    await expect(page.locator("#found")).to_contain_text("not a cursor of ours")


async def test_filters_work_in_place(calling: CallConsole) -> None:
    made = await fill(calling)
    page = await log_of(calling)
    await page.select_option("#f-state", "missed")
    await expect(page.locator("#rows tr")).to_have_count(1)
    assert page.url.endswith("state=missed&") or "state=missed" in page.url
    await expect(page.locator("#exports a").first).to_have_attribute("href", "/calls.csv?state=missed")
    row = page.locator(f"#call-{made['missed']}")
    await expect(row.locator(".badge.missed")).to_have_text("Missed")
    await expect(row).to_contain_text("Mary O'Connor")
    await expect(row).to_contain_text("0:40")
    await page.select_option("#f-state", "")
    await page.get_by_text("More filters").click()
    await page.locator("#f-number").press_sequentially("030 90182000")
    await expect(page.locator("#found")).to_contain_text("No call fits.")
    await page.locator("#f-number").fill("+49 30 90182000")
    await expect(page.locator("#rows tr")).to_have_count(1)
    await page.reload()
    # What is filtered by stays open to be seen.
    await expect(page.locator("#f-number")).to_be_visible()
    await page.locator("#f-number").fill("")
    await page.locator("#find").press_sequentially("connor")
    await expect(page.locator("#rows tr")).to_have_count(2)
    talked = page.locator(f"#call-{made['talked']}")
    for words in ("4:07", "0:31", "Sold", "sure"):
        await expect(talked).to_contain_text(words)


async def test_a_new_call_appears_and_pages_follow_time(calling: CallConsole) -> None:
    for number in range(120):
        # The newest have the least ids: what is sorted by is the time.
        await calling.logged(started_at=NOW - timedelta(minutes=number * 7 % 120), call_key=f"n{number}")
    page = await log_of(calling, "priya")
    await calling.ready(page)
    seen: list[str] = []
    for wanted in (50, 50, 20):
        rows = await shown(page)
        assert len(rows) == wanted
        seen += rows
        older = page.get_by_role("link", name="Older ones")
        if await older.count():
            await older.click()
            await page.wait_for_url("**cursor=**")
            await page.wait_for_function("id => !document.getElementById(id)", arg=f"call-{rows[0]}")
    times = [
        row["id"]
        for row in await calling.ctx.pool.fetch("SELECT id FROM contacts ORDER BY started_at DESC, id DESC")
    ]
    assert seen == [str(one) for one in times]
    await page.get_by_role("link", name="The newest").click()
    await calling.ready(page)
    await calling.call("442079460999", user="101")
    await expect(page.locator("#rows tr").first).to_contain_text("020 7946 0999")


async def test_what_is_exported_runs_nothing(calling: CallConsole, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(calling)
    await calling.ctx.pool.execute("UPDATE contacts SET note = $1 WHERE call_key = 'talked'", FORMULA)
    page = await log_of(calling)

    async def export(kind: str) -> str:
        async with page.expect_download() as waiting:
            await page.get_by_role("link", name=kind).click()
        return Path(await (await waiting.value).path()).read_text("utf-8")

    text = await export("CSV")
    assert text.startswith("\ufeffStarted (UTC),Direction")
    rows = list(csv.DictReader(text.removeprefix("\ufeff").splitlines()))
    assert [row["Call id"] for row in rows] == ["goes", "missed", "talked", "out", "others", "withheld"]
    talked = rows[2]
    assert talked["Note"] == f"'{FORMULA}"
    assert (talked["Phone number"], talked["Talked (s)"], talked["State"]) == (
        "'+442079460123",
        "247",
        "Ended",
    )
    assert rows[5]["Phone number"] == "Number withheld"
    items = json.loads(await export("JSON"))
    assert items["cut"] is False
    assert [one["linkedid"] for one in items["items"]] == [row["Call id"] for row in rows]
    assert items["items"][2]["note"] == FORMULA
    # Filters hold for the export, and who exported what is written down.
    await page.goto(f"{calling.url}/calls?state=missed")
    assert len(list(csv.reader((await export("CSV")).splitlines()))) == 2
    told = await calling.ctx.pool.fetchval(
        "SELECT data FROM audit WHERE action = 'calls.export' ORDER BY at DESC LIMIT 1"
    )
    assert told == {"state": "missed"}
    # More than fits is cut, and said to be.
    monkeypatch.setattr(call_log.export_calls, "__defaults__", (4,))
    monkeypatch.setattr(call_log, "EXPORT_PAGE", 3)
    await page.goto(f"{calling.url}/calls")
    lines = (await export("CSV")).splitlines()
    assert len(lines) == 6 and "Cut off after" in lines[-1]
    cut = json.loads(await export("JSON"))
    assert (len(cut["items"]), cut["cut"]) == (4, True)


async def test_a_recording_is_played_here(calling: CallConsole) -> None:
    made = await fill(calling)
    pool = calling.ctx.pool
    for name, state in (("talked", "fetched"), ("out", "failed")):
        await pool.execute(
            "UPDATE contacts SET recording_url = 'https://pbx.test/a.mp3' WHERE id = $1", made[name]
        )
        await pool.execute("DELETE FROM recordings WHERE contact_id = $1", made[name])
        await pool.execute(
            "INSERT INTO recordings (contact_id, source, url, state, content_type, path) "
            "VALUES ($1, 'pbx', 'https://pbx.test/a.mp3', $2, 'audio/mpeg', 'a.mp3')",
            made[name], state,
        )  # fmt: skip
    page = await log_of(calling)
    sound = page.locator(f"#call-{made['talked']} audio[controls]")
    await expect(sound).to_have_attribute("src", f"/api/v1/contacts/{made['talked']}/recording")
    await expect(sound).to_have_attribute("aria-label", "Recording of the call with Mary O'Connor")
    await expect(page.locator(f"#call-{made['out']}")).to_contain_text("could not be fetched")
    await expect(page.locator("audio")).to_have_count(1)


async def test_the_log_is_written_the_readers_way(calling: CallConsole) -> None:
    made = await fill(calling)
    page = await log_of(calling, language="zh_CN")
    await expect(page.locator("h1")).to_have_text("通话")
    row = page.locator(f"#call-{made['talked']}")
    await expect(row).to_contain_text("已售出")
    await expect(row).to_contain_text("4:07")
    async with page.expect_download() as waiting:
        await page.get_by_role("link", name="CSV").click()
    text = Path(await (await waiting.value).path()).read_text("utf-8-sig")
    rows = list(csv.DictReader(text.splitlines()))
    assert (rows[1]["状态"], rows[3]["方向"], rows[5]["电话号码"]) == ("未接", "呼出", "号码已隐藏")
    await page.goto(f"{calling.url}/calls?number=hello")
    await expect(page.locator("#found")).to_contain_text("不是电话号码")


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("language", "size"),
    [("en", WIDE), ("zh_CN", NARROW), ("en", {"width": 1024, "height": 576})],
    ids=["english-wide", "chinese-narrow", "english-at-125-percent"],
)
async def test_axe_finds_nothing(
    calling: CallConsole, tmp_path: Path, language: str, size: dict[str, int]
) -> None:
    folder = Path(os.environ.get("RINGPOST_SCREENSHOTS", tmp_path / "screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    page = await log_of(calling, "priya", language, viewport=size, reduced_motion="reduce")
    wrong: dict[str, list[str]] = {}

    async def look(name: str) -> None:
        wrong[name] = [*await complaints_of(page), *await small_targets(page)]
        await shoot(page, folder, f"calls-{name}-{size['width']}", language)

    await expect(page.locator("#found .empty")).to_be_visible()
    await look("none-yet")
    await fill(calling)
    await page.goto(f"{calling.url}/calls")
    await look("log")
    await page.locator(".more-filters summary").click()
    await look("more-filters")
    await page.goto(f"{calling.url}/calls?q=nobody")
    await look("none")
    await page.goto(f"{calling.url}/calls?number=x")
    await look("wrong")
    assert not {name: said for name, said in wrong.items() if said}
