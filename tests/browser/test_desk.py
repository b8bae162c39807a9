"""An agent's day in a browser: a call rings, is accepted, its caller confirmed, its ticket answered."""

from __future__ import annotations

import aiohttp
from playwright.async_api import expect

from server.services import tickets
from tests.browser.conftest import Console


async def test_a_call_pops_is_confirmed_and_answered(console: Console) -> None:
    number = "+442079460123"
    mary = await console.customer(
        "Mary Shaw", phones=[{"number": number}], emails=[{"address": "mary@customer.test"}]
    )
    await console.customer("Martin Shaw", phones=[{"number": number}])
    page = await console.log_in(await console.window())
    await console.ready(page)
    await console.call("442079460123", user="101")
    card = page.locator(".pop")
    await expect(card).to_contain_text("Several could be calling")
    await expect(card).to_contain_text("020 7946 0123")
    await page.keyboard.press("a")
    await expect(card).to_have_count(0)
    candidate = page.locator(".candidate", has_text="Mary Shaw")
    await candidate.get_by_role("button", name="This is the caller").click()
    await expect(page.locator("#notices")).to_contain_text("Confirmed")
    await expect(page.locator(".desk-beside")).to_contain_text("Mary Shaw")
    row = await console.ctx.pool.fetchrow("SELECT customer_id, match FROM contacts")
    assert (row["customer_id"], row["match"]) == (mary, "matched")
    # What was confirmed is not asked again, and its key does nothing any more.
    for again in (False, True):
        if again:
            await page.reload()
            await console.ready(page)
        await expect(page.locator(".desk-current")).to_contain_text("Confirmed")
        await expect(page.get_by_role("button", name="This is the caller")).to_have_count(0)
        await expect(page.locator('[data-key="c"]')).to_have_count(0)
    assert await console.ctx.pool.fetchval("SELECT count(*) FROM pops WHERE acked_at IS NULL") == 0
    await console.call("442079460123", event="answer", answeringNumber="101", user="Priya")
    await expect(page.locator(".desk-current")).to_contain_text("In conversation")
    await page.keyboard.press("o")
    await page.wait_for_url("**/tickets/*")
    await page.fill("#body", "Dear Mary, a new lamp is on its way.")
    await page.get_by_role("button", name="Send reply").click()
    await expect(page.locator(".course")).to_contain_text("a new lamp is on its way")
    # What was written is seen at once.
    await expect(page.locator(".course > li:last-child")).to_be_focused()
    sent = await console.ctx.pool.fetchrow("SELECT rcpt_to FROM outbox")
    assert sent["rcpt_to"] == ["mary@customer.test"]
    await expect(page.locator("#body")).to_have_value("")
    # The next call of this number finds her at once.
    await console.call("442079460123", event="hangup", cause="normalClearing")
    await console.call("442079460123", call_id="c2", user="101")
    await expect(card).to_contain_text("Mary Shaw")


async def test_an_unknown_caller_is_confirmed_with_a_correction(console: Console) -> None:
    page = await console.log_in(await console.window("zh_CN"))
    await console.ready(page)
    await console.call("442079460555", user="101")
    await expect(page.locator(".pop")).to_contain_text("身份尚未确认")
    await page.get_by_role("button", name="接受").click()
    await page.fill("#who-name", "王小明")
    await page.get_by_role("button", name="确认客户").click()
    await expect(page.locator(".desk-beside")).to_contain_text("王小明")
    row = await console.ctx.pool.fetchrow("SELECT name, provisional FROM customers")
    assert (row["name"], row["provisional"]) == ("王小明", False)


async def test_a_provisional_caller_is_attached_to_somebody_found(console: Console) -> None:
    jo = await console.customer("Jo Müller", company="Müller & Söhne")
    page = await console.log_in(await console.window())
    await console.ready(page)
    await console.call("442079460777", user="101")
    await page.locator(".pop").get_by_role("button", name="Accept").click()
    await page.get_by_text("Find who it is").click()
    await page.locator("#attach-field").press_sequentially("muller")
    await page.locator("#attach-found").get_by_role("button", name="This is the caller").click()
    await expect(page.locator(".desk-beside")).to_contain_text("Jo Müller")
    assert await console.ctx.pool.fetchval("SELECT customer_id FROM contacts") == jo


async def test_a_pop_never_disturbs_what_is_being_typed(console: Console) -> None:
    pool = console.ctx.pool
    page = await console.log_in(await console.window())
    await console.call("442079460200", call_id="c0", user="999")
    ticket_id = await pool.fetchval("SELECT id FROM tickets")
    await page.goto(f"{console.url}/tickets/{ticket_id}")
    await console.ready(page)
    await page.locator("#body").press_sequentially("Half a sen")
    before = await page.locator("#body").bounding_box()
    await console.call("442079460300", call_id="c1", user="101")
    await expect(page.locator(".pop")).to_be_visible()
    await page.keyboard.type("tence, a")
    # A change by somebody else brings the page up to date around the field.
    from server.domain.permission import Actor

    boss = Actor(console.priya, "Priya", "", "administrator", "en")
    await tickets.update_ticket(pool, console.ctx.hub, boss, ticket_id, {"priority": "urgent"})
    await expect(page.locator(".page-head")).to_contain_text("Urgent")
    await page.keyboard.type("nd a half")
    await expect(page.locator("#body")).to_have_value("Half a sentence, and a half")
    after = await page.locator("#body").bounding_box()
    assert before is not None and after is not None and before["width"] == after["width"]


async def test_several_pops_wait_their_turn(console: Console) -> None:
    await console.customer("Ann First", phones=[{"number": "+442079460401"}])
    await console.customer("Ben Second", phones=[{"number": "+442079460402"}])
    page = await console.log_in(await console.window())
    await console.ready(page)
    await console.call("442079460401", call_id="c1", user="101")
    await expect(page.locator(".pop")).to_contain_text("Ann First")
    await console.call("442079460402", call_id="c2", user="101")
    await expect(page.locator(".pop")).to_contain_text("1 more: show it")
    await expect(page.locator(".pop")).to_contain_text("Ann First")
    await page.get_by_role("button", name="Later").click()
    await expect(page.locator(".pop")).to_contain_text("Ben Second")
    await page.reload()
    await console.ready(page)
    await expect(page.locator(".pop")).to_have_count(0)


async def test_calls_that_are_over_do_not_pile_up(console: Console) -> None:
    pool, names = console.ctx.pool, ("Ann First", "Ben Second", "Cy Third", "Di Fourth")
    for place, name in enumerate(names, 1):
        await console.customer(name, phones=[{"number": f"+44207946040{place}"}])
    page = await console.log_in(await console.window())
    await console.ready(page)
    await page.goto("about:blank")
    # Away while Ann called and gave up: no card, but the list tells of it.
    await console.call("442079460401", call_id="c1", user="101")
    await console.call("442079460401", call_id="c1", event="hangup", cause="normalClearing")
    await page.goto(console.url)
    await console.ready(page)
    await expect(page.locator("#queue")).to_contain_text("Ann First")
    for place in (2, 3, 4):
        await console.call(f"44207946040{place}", call_id=f"c{place}", user="101")
    card = page.locator(".pop")
    await expect(card).to_contain_text("Ben Second")
    await expect(card).to_contain_text("2 more: show the next")
    assert await pool.fetchval("SELECT count(*) FROM pops WHERE acked_at IS NULL") == 0
    # Who waits behind the card and gives up waits no more.
    await console.call("442079460403", call_id="c3", event="hangup", cause="normalClearing")
    await expect(card).to_contain_text("1 more: show it")
    await console.call("442079460401", call_id="c5", user="101")
    await page.get_by_role("button", name="Dismiss all").click()
    await expect(card).to_have_count(0)
    # Who gave up while nobody else waits has missed somebody: the card says so, and a call takes its place.
    await console.call("442079460402", call_id="c6", user="101")
    await expect(card).to_contain_text("Incoming call")
    await console.call("442079460402", call_id="c6", event="hangup", cause="normalClearing")
    await expect(card).to_contain_text("Missed call")
    await expect(card.get_by_role("button", name="Open")).to_be_visible()
    await console.call("442079460403", call_id="c7", user="101")
    await expect(card).to_contain_text("Cy Third")
    await expect(card.get_by_role("button", name="Accept")).to_be_visible()


async def test_the_connection_comes_back_and_one_tab_is_enough(console: Console) -> None:
    await console.customer("Ann First", phones=[{"number": "+442079460401"}])
    context = await console.window()
    page = await console.log_in(context)
    await console.ready(page)
    console.ctx.hub.close_all()
    await page.wait_for_selector('#connection:not([data-state="connected"])')
    await console.call("442079460401", user="101")
    await console.ready(page)
    await expect(page.locator(".pop")).to_contain_text("Ann First")
    other = await context.new_page()
    await other.goto(console.url)
    await console.ready(other)
    await expect(page.locator("#outage")).to_contain_text("another tab")
    await page.get_by_role("button", name="Use here").click()
    await console.ready(page)
    await expect(other.locator("#outage")).to_contain_text("another tab")


async def test_the_state_is_switched_in_the_header(console: Console) -> None:
    page = await console.log_in(await console.window())
    await console.ready(page)
    await page.locator(".presence-button").click()
    await page.get_by_role("button", name="Lunch").click()
    await expect(page.locator(".presence-button")).to_contain_text("Lunch")
    row = await console.ctx.pool.fetchrow(
        "SELECT state, reason FROM presence WHERE agent_id = $1", console.priya
    )
    assert (row["state"], row["reason"]) == ("not_ready", "lunch")


async def test_a_half_written_answer_survives_the_next_call(console: Console) -> None:
    page = await console.log_in(await console.window())
    await console.call("442079460200", call_id="c0", user="999")
    ticket_id = await console.ctx.pool.fetchval("SELECT id FROM tickets")
    await page.goto(f"{console.url}/tickets/{ticket_id}")
    await console.ready(page)
    await page.fill("#body", "Half a sentence")
    await console.call("442079460300", call_id="c1", user="101")
    await expect(page.locator(".pop")).to_be_visible()
    await page.locator("body").press("Escape")
    await page.keyboard.press("Escape")
    await page.locator("#body").blur()
    await page.keyboard.press("a")
    await page.wait_for_url("**/?contact=*")
    await page.goto(f"{console.url}/tickets/{ticket_id}")
    await expect(page.locator("#body")).to_have_value("Half a sentence")


async def test_who_picks_up_needs_no_key(console: Console) -> None:
    page = await console.log_in(await console.window())
    await console.ready(page)
    await console.call("442079460300", user="101")
    await expect(page.locator(".pop")).to_be_visible()
    await console.call("442079460300", event="answer", answeringNumber="101", user="Priya")
    await expect(page.locator(".pop")).to_have_count(0)
    await expect(page.locator(".desk-current")).to_contain_text("In conversation")
    await expect(page.locator('#queue [aria-current="true"]')).to_be_visible()


async def test_nothing_that_can_wait_covers_a_call(console: Console) -> None:
    page = await console.log_in(await console.window())
    await console.ready(page)
    await console.call("442079460310", user="101")
    await expect(page.locator(".pop")).to_be_visible()
    await console.call("442079460310", event="answer", answeringNumber="101", user="Priya")
    await expect(page.locator(".pop")).to_have_count(0)
    await expect(page.locator("#presence .dot.busy")).to_be_visible()
    asked = {"name": "Ida Form", "email": "ida@customer.test", "message": "Where is my kettle?"}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{console.url}/forms/contact", json=asked) as answer,
    ):
        assert answer.status == 201
    # It is in the list at once; its card comes when the call is over.
    await expect(page.locator("#queue")).to_contain_text("Ida Form")
    await expect(page.locator(".pop")).to_have_count(0)
    await console.call("442079460310", event="hangup", cause="normalClearing")
    await expect(page.locator(".pop")).to_contain_text("Ida Form")
