"""A call's recording on its ticket: heard, moved in, sped up, by mouse and by keys; and each state without one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Console, add_agent
from tests.browser.test_pages import NARROW, WIDE, complaints_of, shoot
from tests.sounds import wav

URL = "https://recordings.example.com/r"


async def recorded(console: Console, call_id: str = "c1", *, state: str = "fetched", **more: Any) -> int:
    """A call that is over, with a recording in that state; gives its contact."""
    pool = console.ctx.pool
    await console.call("442079460123", call_id=call_id, user="101")
    await console.call("442079460123", call_id=call_id, event="answer", answeringNumber="101", user="Priya")
    await console.call("442079460123", call_id=call_id, event="hangup", cause="normalClearing")
    contact = int(await pool.fetchval("SELECT id FROM contacts WHERE call_key = $1", call_id))
    path = f"{contact}.wav"
    folder: Path = console.ctx.settings.recordings_dir
    folder.mkdir(parents=True, exist_ok=True)
    sound = wav(12)
    (folder / path).write_bytes(sound)
    columns = {
        "contact_id": contact, "source": "pbx", "url": URL, "state": state, "content_type": "audio/wav",
        "size": len(sound), "duration_seconds": 12.0, "path": path, **more,
    }  # fmt: skip
    names, places = ", ".join(columns), ", ".join(f"${n}" for n in range(1, len(columns) + 1))
    await pool.execute(
        f"INSERT INTO recordings ({names}, next_attempt_at) VALUES ({places}, now() + interval '1 hour')",
        *columns.values(),
    )
    await pool.execute(
        "UPDATE contacts SET recording_url = $2, recording_taken_url = $2 WHERE id = $1", contact, URL
    )
    return contact


async def ticket_of(console: Console, contact: int) -> str:
    ticket = await console.ctx.pool.fetchval("SELECT ticket_id FROM contacts WHERE id = $1", contact)
    return f"{console.url}/tickets/{ticket}"


async def playing_at(page: Page) -> float:
    return float(await page.evaluate("document.querySelector('[data-player] audio').currentTime"))


async def test_a_recording_is_heard(console: Console) -> None:
    contact = await recorded(console)
    page = await console.log_in(await console.window())
    await page.goto(await ticket_of(console, contact))
    await console.ready(page)
    player = page.get_by_role("group", name="Recording")
    await expect(player).to_contain_text("0:00 / 0:12")
    assert await console.ctx.pool.fetchval("SELECT count(*) FROM audit WHERE action = 'recording.play'") == 0
    await player.get_by_role("button", name="Play").click()
    await expect(player.get_by_role("button", name="Pause")).to_be_visible()
    await expect(player).to_have_attribute("data-state", "playing")
    await expect(player).to_contain_text("0:01 / 0:12")
    # A hint to fetch the ticket again neither stops it nor sets it back.
    console.ctx.hub.hint_all("ticket_changed", (await ticket_of(console, contact)).rpartition("/")[2])
    await expect(player).to_contain_text("0:02 / 0:12")
    await player.get_by_role("button", name="2×").click()
    assert await page.evaluate("document.querySelector('[data-player] audio').playbackRate") == 2
    await expect(player.get_by_role("button", name="2×")).to_have_attribute("aria-pressed", "true")
    await player.get_by_role("button", name="Pause").click()
    await expect(player).to_have_attribute("data-state", "paused")
    plays = await console.ctx.pool.fetch(
        "SELECT agent_id, subject_id FROM audit WHERE action = 'recording.play'"
    )
    assert [(row["agent_id"], row["subject_id"]) for row in plays] == [(console.priya, contact)]


async def test_by_keys_alone(console: Console) -> None:
    contact = await recorded(console)
    page = await console.log_in(await console.window())
    await page.goto(await ticket_of(console, contact))
    await page.locator("[data-player-play]").focus()
    await page.keyboard.press("Tab")
    place = page.get_by_role("slider", name="Position")
    await expect(place).to_be_focused()
    await page.keyboard.press("ArrowRight")
    await expect(place).to_have_attribute("aria-valuetext", "0:05 of 0:12")
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("ArrowRight")
    await expect(place).to_have_attribute("aria-valuetext", "0:12 of 0:12")
    await page.keyboard.press("ArrowLeft")
    await expect(page.locator("[data-player]")).to_contain_text("0:07 / 0:12")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="1.5×")).to_have_attribute("aria-pressed", "true")
    await page.locator("[data-player-play]").focus()
    await page.keyboard.press("Space")
    await expect(page.locator("[data-player]")).to_have_attribute("data-state", "playing")
    assert await playing_at(page) >= 7
    await page.keyboard.press("Space")
    await expect(page.locator("[data-player]")).to_have_attribute("data-state", "paused")


async def test_two_do_not_speak_at_once(console: Console) -> None:
    first = await recorded(console)
    await recorded(console, "c2")
    page = await console.log_in(await console.window())
    await page.goto(await ticket_of(console, first))
    players = page.locator("[data-player]")
    await expect(players).to_have_count(2)
    for turn, other in ((0, 1), (1, 0)):
        await players.nth(turn).get_by_role("button", name="Play").click()
        await expect(players.nth(turn)).to_have_attribute("data-state", "playing")
        await expect(players.nth(other)).to_have_attribute("data-state", "paused")


async def test_what_cannot_be_loaded_is_said_and_tried_again(console: Console) -> None:
    contact = await recorded(console)
    page = await console.log_in(await console.window())
    await page.goto(await ticket_of(console, contact))
    file = console.ctx.settings.recordings_dir / f"{contact}.wav"
    sound = file.read_bytes()
    file.unlink()
    await page.locator("[data-player-play]").focus()
    await page.keyboard.press("Enter")
    player = page.locator("[data-player]")
    await expect(player.get_by_role("alert")).to_contain_text("It could not be loaded.")
    await expect(player.get_by_role("button", name="Try again")).to_be_focused()
    file.write_bytes(sound)
    await page.keyboard.press("Enter")
    await expect(player).to_have_attribute("data-state", "playing")
    await expect(player.get_by_role("alert")).to_be_hidden()


async def test_it_appears_when_it_is_fetched(console: Console) -> None:
    contact = await recorded(console, state="waiting")
    page = await console.log_in(await console.window())
    await page.goto(await ticket_of(console, contact))
    await console.ready(page)
    await expect(page.locator(".recording")).to_contain_text("The recording is being fetched.")
    await console.ctx.pool.execute("UPDATE recordings SET state = 'fetched'")
    console.ctx.hub.hint_all("ticket_changed", (await ticket_of(console, contact)).rpartition("/")[2])
    await page.get_by_role("button", name="Play").click()
    await expect(page.locator("[data-player]")).to_have_attribute("data-state", "playing")


async def test_a_supervisor_has_it_fetched_again(console: Console) -> None:
    await add_agent(console.running, "boss", "supervisor", "900")
    contact = await recorded(console, state="failed", error="status:404")
    agent = await console.log_in(await console.window())
    await agent.goto(await ticket_of(console, contact))
    await expect(agent.locator(".recording")).to_contain_text("The provider answered 404.")
    await expect(agent.locator(".recording button")).to_have_count(0)
    page = await console.log_in(await console.window(), "boss")
    await page.goto(await ticket_of(console, contact))
    await console.ctx.pool.execute("UPDATE recordings SET url = 'https://127.0.0.1:1/r'")
    await console.ctx.pool.execute(
        "UPDATE contacts SET recording_url = 'https://127.0.0.1:1/r', recording_taken_url = 'https://127.0.0.1:1/r'"
    )
    await page.get_by_role("button", name="Try again").click()
    await expect(page.locator("#notices")).to_contain_text("The recording is fetched again.")
    # The job tries at once, and may not ask there.
    await expect(page.locator(".recording")).to_contain_text("an administrator must allow its host")


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("language", "size"), [("en", WIDE), ("zh_CN", NARROW)], ids=["english-wide", "chinese-narrow"]
)
async def test_axe_finds_nothing(
    console: Console, tmp_path: Path, language: str, size: dict[str, int]
) -> None:
    await add_agent(console.running, "boss", "supervisor", "900")
    folder = Path(os.environ.get("RINGPOST_SCREENSHOTS", tmp_path / "screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    pool = console.ctx.pool
    states: dict[str, dict[str, Any]] = {
        "fetched": {}, "linked": {}, "deleted": {}, "waiting": {"error": "status:404"},
        "failed": {"error": "inside"},
    }  # fmt: skip
    contact = 0
    for n, (state, more) in enumerate(states.items()):
        contact = await recorded(console, f"s{n}", state=state, **more)
    first = await pool.fetchval("SELECT min(contact_id) FROM recordings WHERE state = 'fetched'")
    await pool.execute("UPDATE contacts SET state = 'voicemail' WHERE id = $1", first)
    await pool.execute(
        "INSERT INTO audit (agent_id, action, subject_kind, subject_id) VALUES ($1, 'recording.play', 'contact', $2)",
        console.priya, first,
    )  # fmt: skip
    window = await console.window(language, viewport=size | {"height": 1150}, reduced_motion="reduce")
    page = await console.log_in(window, "boss")
    await page.goto(await ticket_of(console, contact))
    await console.ready(page)
    await page.locator(".plays summary").click()
    wrong = {"ticket": await complaints_of(page)}
    await shoot(page, folder, "recordings", language)
    (console.ctx.settings.recordings_dir / f"{first}.wav").unlink()
    await page.locator("[data-player-play]").first.click()
    await expect(page.locator("[data-player-broken]")).to_be_visible()
    wrong["broken"] = await complaints_of(page)
    await shoot(page, folder, "recordings-broken", language)
    await page.evaluate("document.documentElement.style.fontSize = '125%'")
    wrong["larger"] = await complaints_of(page)
    await shoot(page, folder, "recordings-125", language)
    # Whoever may not listen is told so.
    await pool.execute("UPDATE contacts SET agent_id = NULL, queue_id = NULL")
    agent = await console.log_in(await console.window(language, viewport=size, reduced_motion="reduce"))
    await agent.goto(await ticket_of(console, contact))
    await expect(agent.locator("[data-player]")).to_have_count(0)
    wrong["forbidden"] = await complaints_of(agent)
    await shoot(agent, folder, "recordings-forbidden", language)
    assert not {name: said for name, said in wrong.items() if said}
