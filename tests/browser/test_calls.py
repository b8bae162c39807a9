"""The desk's call buttons and click to dial: by what the telephony can, by key, in words when it fails."""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.async_api import Error, Page, Route, expect

from handlers.telephony.control import Deed
from server.services import tickets
from tests.browser import calling as fixtures
from tests.browser.calling import CallConsole
from tests.browser.conftest import add_agent
from tests.browser.test_pages import NARROW, WIDE, complaints_of, shoot

calling = fixtures.calling
NUMBER = "+442079460123"
TARGET = 44  # pixels (WCAG 2.5.5)
PLACES = ".call-control, .calls, #transfer, #call-ask, .facts"


async def small_targets(page: Page) -> list[str]:
    found: list[str] = await page.evaluate(
        """([places, least]) => [...document.querySelectorAll(places)]
            .flatMap((one) => [...one.querySelectorAll("button, select, input, a, audio, summary")])
            .filter((one) => one.type !== "radio")
            .filter((one) => one.offsetParent !== null || one.closest(":popover-open, dialog[open]"))
            .map((one) => [one, one.getBoundingClientRect()])
            .filter(([, box]) => box.width > 0 && box.height > 1 && box.height < least)
            .map(([one, box]) => `${one.outerHTML.slice(0, 90)} is ${box.width} by ${box.height}`)""",
        [PLACES, TARGET],
    )
    return found


async def at_the_desk(calling: CallConsole, language: str = "en") -> Page:
    page = await calling.log_in(await calling.window(language))
    await calling.ready(page)
    return page


async def settled(page: Page) -> None:
    """Until what was pressed has its answer."""
    await expect(page.locator("#call-control [aria-busy]")).to_have_count(0)


async def accepted(calling: CallConsole, page: Page) -> None:
    """A call that rings, and its pop, once it is there, accepted."""
    await calling.call(NUMBER, user="101")
    await expect(page.locator(".pop")).to_be_visible()
    await page.keyboard.press("a")


@dataclass
class HeldBack:
    """The server's answer to the first request for a path: made at once, on the page when it is let go."""

    made: asyncio.Event = field(default_factory=asyncio.Event)
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    given: asyncio.Event = field(default_factory=asyncio.Event)

    async def hold(self, route: Route) -> None:
        answer = await route.fetch()
        self.made.set()
        await self.let_go.wait()
        with contextlib.suppress(Error):  # the page waits for it no longer
            await route.fulfill(response=answer)
        self.given.set()


async def test_the_buttons_are_what_the_telephony_can(calling: CallConsole) -> None:
    page = await at_the_desk(calling)
    deeds = page.locator("#call-deeds button")
    await accepted(calling, page)
    await expect(deeds).to_have_text(["AnswerA", "Hang up⇧X"])
    await calling.call(NUMBER, event="answer", answeringNumber="101", user="Priya")
    await expect(deeds).to_have_text(["HoldH", "TransferT", "Hang up⇧X"])
    calling.far.can["pbx"] = frozenset({Deed.HANG_UP})
    await page.reload()
    await expect(deeds).to_have_text(["Hang up⇧X"])
    calling.far.can["pbx"] = frozenset()
    await page.reload()
    await expect(page.locator("#call-control")).not_to_be_visible()
    await expect(page.locator(".who-name")).to_be_visible()
    calling.far.can["pbx"] = frozenset(Deed)
    await page.reload()
    async with page.expect_response("**/commands"):
        await deeds.get_by_text("Hang up").click()
    await calling.call(NUMBER, event="hangup", cause="normalClearing")
    await expect(deeds).to_have_count(0)
    assert [command.deed for _, command in calling.far.asked] == [Deed.HANG_UP]


async def test_what_the_desk_asked_before_does_not_take_the_accepted_call_away(calling: CallConsole) -> None:
    page, held = await at_the_desk(calling), HeldBack()
    deeds = page.locator("#call-deeds button")
    await page.route("**/desk/work", held.hold, times=1)
    calling.ctx.hub.hint("presence_changed", calling.priya, [calling.priya])
    await held.made.wait()
    async with page.expect_event("requestfailed", lambda request: request.url.endswith("/desk/work")):
        await accepted(calling, page)
    await expect(deeds).to_have_text(["AnswerA", "Hang up⇧X"])
    held.let_go.set()
    await held.given.wait()
    await calling.call(NUMBER, event="answer", answeringNumber="101", user="Priya")
    await expect(deeds).to_have_text(["HoldH", "TransferT", "Hang up⇧X"])


async def test_what_happens_while_the_accepted_call_is_fetched_is_seen(calling: CallConsole) -> None:
    page, held = await at_the_desk(calling), HeldBack()
    await page.route("**/desk/work?contact=*", held.hold, times=1)
    await accepted(calling, page)
    await held.made.wait()
    contact = await calling.ctx.pool.fetchval("SELECT id FROM contacts")
    await page.evaluate(
        "id => { document.body.addEventListener(`rp-contact-${id}`, () => { window.told = true; }); }",
        contact,
    )
    await calling.call(NUMBER, event="answer", answeringNumber="101", user="Priya")
    await page.wait_for_function("window.told")
    held.let_go.set()
    await held.given.wait()
    await expect(page.locator("#call-deeds button")).to_have_text(["HoldH", "TransferT", "Hang up⇧X"])


async def test_keys_do_it_and_are_listed(calling: CallConsole) -> None:
    page = await at_the_desk(calling)
    await calling.talk()
    await expect(page.locator("#do-hold")).to_be_visible()
    for key, deed in (("h", Deed.HOLD), ("x", None), ("Shift+X", Deed.HANG_UP)):
        before = len(calling.far.asked)
        await page.keyboard.press(key)
        if deed is None:
            await page.wait_for_timeout(200)
            assert len(calling.far.asked) == before  # who types on after leaving a field hangs up on nobody
            continue
        await settled(page)
        assert calling.far.last.deed is deed
    await page.keyboard.press("t")
    await expect(page.locator("#transfer")).to_be_visible()
    await expect(page.locator("#transfer-to")).to_be_focused()
    await page.keyboard.type("hx")  # somebody types: no shortcut
    await page.keyboard.press("Escape")
    await page.locator("body").click(position={"x": 5, "y": 400})
    await page.keyboard.press("?")
    for words in (
        "then answer the call",
        "on hold",
        "Transfer the call",
        "Hang up",
        "Go to the calls",
    ):
        await expect(page.locator("#keys")).to_contain_text(words)
    assert len(calling.far.asked) == 2


async def test_a_failure_is_told_in_words_and_nothing_moves(calling: CallConsole) -> None:
    page = await at_the_desk(calling)
    contact = await calling.talk()
    hold, said, below = (
        page.locator("#do-hold"),
        page.locator("#call-control [role=status]"),
        page.locator(".who-name"),
    )
    await expect(hold).to_be_visible()
    before = await below.bounding_box()
    calling.far.fault = "the telephony cannot be reached"
    await hold.click()
    await expect(said).to_have_text("This was not done: the telephony cannot be reached")
    assert await below.bounding_box() == before
    await expect(hold).to_be_focused()
    # What happens meanwhile does not wipe it away before it is read.
    calling.ctx.hub.hint("contact_changed", contact, [calling.priya])
    await page.wait_for_timeout(600)
    await expect(said).to_contain_text("cannot be reached")
    # A reason that the catalogue does not have stays what the provider said.
    calling.far.fault = "the switch is on holiday"
    await hold.click()
    await expect(said).to_have_text("This was not done: the switch is on holiday")
    calling.far.fault = ""
    await hold.click()
    await settled(page)
    await expect(said).to_have_text("")
    assert await below.bounding_box() == before
    told = await calling.ctx.pool.fetch(
        "SELECT data ->> 'outcome' AS said FROM audit WHERE action = 'call.command' ORDER BY at, id"
    )
    assert [row["said"] for row in told] == ["asked", "failed", "asked", "failed", "asked", "done"]


async def test_a_failure_is_told_in_chinese(calling: CallConsole) -> None:
    page = await at_the_desk(calling, "zh_CN")
    await calling.talk()
    calling.far.fault = "the call is over"
    await page.get_by_role("button", name="保持").click()
    await expect(page.locator("#call-control [role=status]")).to_have_text("未能执行：通话已结束")
    calling.far.fault = "the switch is on holiday"
    await page.get_by_role("button", name="保持").click()
    await expect(page.locator("#call-control [lang=en]")).to_have_text("the switch is on holiday")


async def test_a_button_is_busy_until_its_answer(calling: CallConsole) -> None:
    page = await at_the_desk(calling)
    await calling.talk()
    calling.far.pause = asyncio.Event()
    await page.locator("#do-hold").click()
    await expect(page.locator("#do-hold")).to_have_attribute("aria-busy", "true")
    await page.locator("#do-hold").click(force=True)
    await page.locator("#do-hang-up").click()
    calling.far.pause.set()
    await expect(page.locator("#do-hold[aria-busy]")).to_have_count(0)
    assert len(calling.far.asked) == 1


async def test_a_call_is_handed_over(calling: CallConsole) -> None:
    await add_agent(calling.running, "bob", "agent", "102")
    await add_agent(calling.running, "xu", "agent", "103")
    await calling.ctx.directory.reload()
    await calling.ctx.presence.set_state(
        await calling.ctx.pool.fetchval("SELECT id FROM agents WHERE name = 'Xu'"), "available"
    )
    page = await at_the_desk(calling)
    await calling.talk()
    items, field = page.locator("#call-targets button"), page.locator("#transfer-to")
    await page.locator("#do-transfer").click()
    # Who is free is listed first.
    await expect(items).to_have_text(["Xu Available103", "Support Queue020 7946 0100", "Bob Offline102"])
    await field.press_sequentially("bo")
    await expect(items).to_have_text(["Bob Offline102"])
    # Enter in the field hands the call to nobody by mistake: it leads into the list.
    await page.keyboard.press("Enter")
    await expect(items.first).to_be_focused()
    assert calling.far.asked == []
    await page.keyboard.press("Enter")
    await expect(page.locator("#transfer")).not_to_be_visible()
    await settled(page)
    assert (calling.far.last.deed, calling.far.last.target) == (Deed.TRANSFER, "102")
    # A number that nobody has is taken as it was typed; a queue by its number.
    for typed, pressed, target in (
        ("020 7946 0999", "020 7946 0999", "+442079460999"),
        ("zzz", None, None),
        ("supp", "Support", "+442079460100"),
    ):
        await page.locator("#do-transfer").click()
        await field.fill("")
        await field.press_sequentially(typed)
        if pressed is None:
            await expect(page.locator("#call-targets")).to_contain_text("Nobody fits")
            await page.keyboard.press("Escape")
            await page.keyboard.press("Escape")
            await page.locator("#transfer").evaluate("menu => menu.hidePopover()")
            continue
        await items.filter(has_text=pressed).click()
        await expect(page.locator("#transfer")).not_to_be_visible()
        await settled(page)
        assert calling.far.last.target == target


async def test_the_agent_may_speak_first(calling: CallConsole) -> None:
    await add_agent(calling.running, "bob", "agent", "102")
    await calling.ctx.directory.reload()
    page = await at_the_desk(calling)
    await calling.talk()
    await page.locator("#do-transfer").click()
    await page.get_by_label("Speak first").check()
    await page.locator("#call-targets button", has_text="Bob").click()
    await expect(page.locator("#call-control")).to_contain_text(
        "You are speaking with 102, the customer waits."
    )
    assert calling.far.last.deed is Deed.ATTENDED
    await page.locator("body").click(position={"x": 5, "y": 400})
    await page.keyboard.press("t")
    await expect(page.locator("#do-complete")).to_have_count(0)
    assert calling.far.last.deed is Deed.COMPLETE


async def test_every_number_calls(calling: CallConsole) -> None:
    mary = await calling.customer("Mary Shaw", phones=[{"number": NUMBER}, {"number": "+493090182000"}])
    await calling.call(NUMBER, user="999")
    await calling.call(NUMBER, event="hangup", cause="noAnswer")
    ticket = await calling.ctx.pool.fetchval("SELECT id FROM tickets")
    page = await at_the_desk(calling)
    for path, place in (
        (f"/customers/{mary}", ".facts"), ("/customers", "#rows"), (f"/tickets/{ticket}", ".ticket-side"),
        (f"/tickets/{ticket}", ".course"), ("/search?q=shaw", "#found"), ("/calls", "#rows"),
    ):  # fmt: skip
        await page.goto(calling.url + path)
        calling.far.asked.clear()
        await page.locator(place).get_by_role("button", name="Call 020 7946 0123").first.click()
        await expect(page.locator("#notices")).to_contain_text("Pick it up, then 020 7946 0123 is called.")
        command = calling.far.last
        assert (command.deed, command.agent, command.target) == (Deed.DIAL, "101", NUMBER), path
    await page.goto(f"{calling.url}/customers/{mary}")
    calling.far.fault = "the phone is not registered"
    await page.get_by_role("button", name="Call +49 30 90182000").click()
    await expect(page.locator("#notices")).to_contain_text("No call was made: the phone is not registered")
    await calling.ctx.pool.execute("UPDATE agents SET extension = NULL")
    await page.get_by_role("button", name="Call +49 30 90182000").click()
    await expect(page.locator("#notices")).to_contain_text("you have no extension")


async def test_the_ticket_goes_with_the_call(calling: CallConsole) -> None:
    mary = await calling.customer("Mary Shaw", phones=[{"number": NUMBER}])
    data = {"subject": "the lamp", "customer_id": str(mary)}
    from server.domain.permission import Actor

    boss = Actor(calling.priya, "Priya", "", "administrator", "en")
    opened = await tickets.open_ticket(calling.ctx.pool, calling.ctx.hub, boss, data, calling.ctx.rules)
    page = await at_the_desk(calling)
    await page.goto(f"{calling.url}/tickets/{opened['id']}")
    await page.get_by_role("button", name="Call 020 7946 0123").click()
    await expect(page.locator("#notices")).to_contain_text("Your phone rings")
    row = await calling.ctx.pool.fetchrow("SELECT call_key, customer_id, ticket_id, agent_id FROM contacts")
    assert tuple(row) == ("K-1", mary, int(opened["id"]), calling.priya)
    # The PBX tells of the call that it made: it is that one, and the desk shows it.
    await calling.call("101", call_id="K-1", direction="out", to="442079460123", user="101")
    await page.goto(calling.url)
    await expect(page.locator(".desk-current")).to_contain_text("the lamp")
    await expect(page.locator(".desk-current")).to_contain_text("Outbound")
    assert await calling.ctx.pool.fetchval("SELECT count(*) FROM contacts") == 1


async def test_who_does_not_want_to_be_called_is_asked_for(calling: CallConsole) -> None:
    mary = await calling.customer("Mary Shaw", phones=[{"number": NUMBER}], do_not_contact=["call"])
    page = await at_the_desk(calling)
    await page.goto(f"{calling.url}/customers/{mary}")
    number, ask = page.get_by_role("button", name="Call 020 7946 0123"), page.locator("#call-ask")
    await number.click()
    await expect(ask).to_contain_text("Mary Shaw does not want to be called.")
    await expect(ask.get_by_role("button", name="Do not call")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(ask).not_to_be_visible()
    await expect(number).to_be_focused()
    assert calling.far.asked == []
    await number.click()
    await ask.get_by_role("button", name="Call all the same").click()
    await expect(ask).not_to_be_visible()
    await expect(page.locator("#notices")).to_contain_text("Your phone rings")
    assert calling.far.last.target == NUMBER
    await calling.ctx.pool.execute("UPDATE customers SET blocked = true")
    await number.click()
    await expect(page.locator("#notices")).to_contain_text("No call was made: this customer is blocked")
    assert len(calling.far.asked) == 1


async def test_where_nothing_can_dial_a_number_is_a_link(calling: CallConsole) -> None:
    mary = await calling.customer("Mary Shaw", phones=[{"number": NUMBER}])
    calling.far.can["pbx"] = frozenset({Deed.HANG_UP})
    page = await at_the_desk(calling)
    await page.goto(f"{calling.url}/customers/{mary}")
    await expect(page.locator("a.dial")).to_have_attribute("href", f"tel:{NUMBER}")
    await expect(page.locator("button.dial")).to_have_count(0)


async def test_without_scripts_calls_are_made_and_ended(calling: CallConsole) -> None:
    mary = await calling.customer("Mary Shaw", phones=[{"number": NUMBER}], do_not_contact=["call"])
    page = await calling.log_in(await calling.window(java_script_enabled=False))
    await page.goto(f"{calling.url}/customers/{mary}")
    await page.get_by_role("button", name="Call 020 7946 0123").click()
    await expect(page.locator("main")).to_contain_text("Mary Shaw does not want to be called.")
    await page.get_by_role("button", name="Call all the same").click()
    await expect(page.locator("#notices")).to_contain_text("Your phone rings")
    assert calling.far.last.target == NUMBER
    contact = await calling.talk()
    await page.goto(f"{calling.url}/?contact={contact}")
    calling.far.fault = "the call is over"
    await page.get_by_role("button", name="Hang up").click()
    await expect(page.locator("main")).to_contain_text("the call is over")
    await page.get_by_role("link", name="Back").click()
    calling.far.fault = ""
    await page.get_by_role("button", name="Hang up").click()
    await page.wait_for_url(f"**/?contact={contact}")
    assert calling.far.last.deed is Deed.HANG_UP


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
    await add_agent(calling.running, "bob", "agent", "102")
    await calling.ctx.directory.reload()
    mary = await calling.customer("Mary Shaw", phones=[{"number": NUMBER}], do_not_contact=["call"])
    page = await calling.log_in(await calling.window(language, viewport=size, reduced_motion="reduce"))
    await calling.ready(page)
    contact = await calling.talk()
    wrong: dict[str, list[str]] = {}

    async def look(name: str) -> None:
        wrong[name] = [*await complaints_of(page), *await small_targets(page)]
        await shoot(page, folder, f"call-{name}-{size['width']}", language)

    await page.goto(f"{calling.url}/?contact={contact}")
    await expect(page.locator("#do-hold")).to_be_visible()
    await look("desk")
    await page.locator("#do-transfer").click()
    await expect(page.locator("#call-targets button").first).to_be_visible()
    await look("transfer")
    await page.locator("#transfer-to").fill("zzz")
    await expect(page.locator("#call-targets .quiet")).to_be_visible()
    await look("transfer-nobody")
    await page.locator("#transfer").evaluate("menu => menu.hidePopover()")
    calling.far.fault = "the telephony cannot be reached"
    await page.locator("#do-hold").click()
    await expect(page.locator("#call-control [data-keep][role=status]")).to_be_visible()
    await look("failed")
    await page.goto(f"{calling.url}/customers/{mary}")
    await page.locator("button.dial").first.click()
    await expect(page.locator("#call-ask")).to_be_visible()
    await look("ask")
    assert not {name: said for name, said in wrong.items() if said}
