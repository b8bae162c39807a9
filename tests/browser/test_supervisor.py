"""What waits: seen live by the supervisor, taken by an agent, or kept in quarantine and settled."""

from __future__ import annotations

from email.message import EmailMessage

import aiosmtplib
from playwright.async_api import expect

from server.services import quarantine
from tests.browser.conftest import Console, add_agent


async def test_the_board_follows_what_happens(console: Console) -> None:
    await add_agent(console.running, "boss", "supervisor", "900")
    await console.ctx.directory.reload()
    await console.ctx.presence.set_state(await boss_id(console), "not_ready", "meeting")
    page = await console.log_in(await console.window(), "boss")
    await page.goto(f"{console.url}/queues")
    await console.ready(page)
    waiting = page.locator(".figures dd").first
    await expect(waiting).to_have_text("0")
    await console.customer("Ann First", phones=[{"number": "+442079460401"}])
    await console.call("442079460401")
    await expect(waiting).to_have_text("1")
    await expect(page.locator("main")).to_contain_text("Ann First")
    # Somebody comes to work, and gets it.
    agent = await console.log_in(await console.window())
    await console.ready(agent)
    await expect(agent.locator(".pop")).to_contain_text("Ann First")
    await expect(waiting).to_have_text("0")
    await expect(page.locator(".agents")).to_contain_text("Priya")


async def boss_id(console: Console) -> int:
    return int(await console.ctx.pool.fetchval("SELECT id FROM agents WHERE role = 'supervisor'"))


async def test_a_waiting_mail_is_taken(console: Console) -> None:
    await console.ctx.presence.set_state(console.priya, "not_ready", "lunch")
    page = await console.log_in(await console.window())
    await console.ready(page)
    letter = EmailMessage()
    letter["From"], letter["To"] = "Mary <mary@customer.test>", "support@ringpost.test"
    letter["Subject"], letter["Message-ID"] = "The lamp flickers", "<one@customer.test>"
    letter.set_content("It flickers.")
    await aiosmtplib.send(letter, hostname="127.0.0.1", port=console.ctx.addresses["smtp_port"])
    await page.reload()
    await page.locator("#queue").get_by_role("link", name="The lamp flickers").click()
    await page.get_by_role("button", name="I take it").click()
    await page.wait_for_url("**/tickets/*")
    await expect(page.locator("#assignee")).to_have_value(str(console.priya))


async def test_what_failed_is_taken_in_again_or_discarded(console: Console) -> None:
    await add_agent(console.running, "boss", "supervisor", "900")
    pool = console.ctx.pool
    good = b'{"event": "newCall", "callId": "q1", "from": "442079460401", "to": "442079460100", "direction": "in"}'
    meta = {"method": "POST", "path": "/hooks/calls/pbx", "Content-Type": "application/json"}
    await quarantine.put(pool, "call", "pbx", "the server was out of order", meta, good)
    await quarantine.put(pool, "call", "pbx", "event: is missing", meta, b"{}")
    page = await console.log_in(await console.window(), "boss")
    for reason, button, said in (
        ("the server was out of order", "Take in again", "Taken in."),
        ("event: is missing", "Take in again", "still could not"),
        ("event", "Discard", "Discarded."),
    ):
        await page.goto(f"{console.url}/quarantine")
        await page.get_by_role("link", name=reason).click()
        if button == "Discard":
            await page.get_by_text("Discard…").click()
        await page.get_by_role("button", name=button, exact=True).click()
        await expect(page.locator("#notices")).to_contain_text(said)
    await page.goto(f"{console.url}/quarantine")
    await expect(page.locator("main")).to_contain_text("Everything was taken in.")
    assert await pool.fetchval("SELECT call_key FROM contacts") == "q1"


async def test_one_whose_session_ended_is_led_to_the_log_in(console: Console) -> None:
    page = await console.log_in(await console.window())
    await console.ready(page)
    await console.ctx.pool.execute("DELETE FROM sessions")
    console.ctx.authenticator.forget()
    console.ctx.hub.close_all()
    await page.wait_for_url("**/login?next=*")
    await page.fill("#email", "priya@ringpost.test")
    await page.fill("#password", "not the password")
    await page.click(".login-card .button.main")
    await expect(page.locator('[role="alert"]')).to_contain_text("not right")
