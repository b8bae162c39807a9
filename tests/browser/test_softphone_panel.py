"""The telephone's panel: for eyes, for fingers and for the keyboard, in both languages; and who gets one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser import phones as fixtures
from tests.browser.conftest import Console, add_agent
from tests.browser.phones import Phone, Phones
from tests.browser.sip_server import DOMAIN
from tests.browser.test_pages import NARROW, WIDE, complaints_of, shoot

chromium, phones = fixtures.chromium, fixtures.phones
TARGET = 44  # pixels (WCAG 2.5.5)


async def small_targets(page: Page) -> list[str]:
    return await page.evaluate(
        """least => [...document.querySelectorAll("#softphone :is(button, input, select)")]
            .filter((one) => one.offsetParent !== null || one.closest(":popover-open"))
            .map((one) => [one, one.getBoundingClientRect()])
            .filter(([, box]) => box.width > 0 && (box.width < least || box.height < least))
            .map(([one, box]) => `${one.outerHTML.slice(0, 90)} is ${box.width} by ${box.height}`)""",
        TARGET,
    )


async def box_of(place: Locator) -> tuple[float, float, float, float]:
    box = await place.bounding_box()
    assert box is not None
    return box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]


async def overlap(one: Locator, other: Locator) -> bool:
    left, top, right, bottom = await box_of(one)
    left2, top2, right2, bottom2 = await box_of(other)
    return left < right2 and left2 < right and top < bottom2 and top2 < bottom


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("language", "size"), [("en", WIDE), ("zh_CN", NARROW)], ids=["english-wide", "chinese-narrow"]
)
async def test_axe_finds_nothing(phones: Phones, tmp_path: Path, language: str, size: dict[str, int]) -> None:
    folder = Path(os.environ.get("RINGPOST_SCREENSHOTS", tmp_path / "screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    number = "+442079460123"
    await phones.console.customer(
        "Mary Shaw", phones=[{"number": number}], tags=["lamps"], notes="Likes lamps."
    )
    bob = await phones.sit_down("bob", language, viewport=size, reduced_motion="reduce")
    page, panel = bob.page, bob.panel
    wrong: dict[str, list[str]] = {}

    async def look(name: str) -> None:
        wrong[name] = [*await complaints_of(page), *await small_targets(page)]
        await shoot(page, folder, f"phone-{name}", language)

    await look("off")
    await panel.locator('[data-phone="on"]').click()
    await bob.shows("ready")
    await look("ready")
    await panel.locator('[data-phone="number"]').fill("!!")
    await panel.locator(".phone-dial button").click()
    await look("trouble")
    await panel.locator('[data-phone="forget"]').click()
    await panel.locator('[data-phone="open-devices"]').click()
    await look("devices")
    await page.keyboard.press("Escape")
    priya = await phones.sign_on("priya")
    await priya.dial("102")
    await bob.shows("ringing")
    # The same call as the telephone system tells it to the server: the pop and the ringing panel together.
    await phones.console.call("442079460123", user="102")
    await expect(page.locator(".pop")).to_contain_text("Mary Shaw")
    await look("ringing")
    assert not await overlap(panel, page.locator(".pop"))
    await page.locator("[data-pop-accept]").click()
    await expect(page.locator(".desk-beside")).to_contain_text("Mary Shaw")
    await panel.locator('[data-phone="answer"]').click()
    await bob.shows("talking")
    await look("talking")
    await panel.locator('[data-phone="hold"]').click()
    await panel.locator('[popovertarget="phone-keypad"]').click()
    await look("keypad")
    if size == WIDE:
        for place in (".desk-current", ".desk-beside"):
            for over in (panel, page.locator("#phone-keypad")):
                assert not await overlap(over, page.locator(place)), place
    await page.keyboard.press("Escape")
    # Whatever a page ends with can be scrolled out from under the panel.
    await page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    assert (await box_of(page.locator("#main")))[3] <= (await box_of(panel))[1] + 1
    await phones.sip.stop()
    await expect(panel).to_have_attribute("data-registration", "reconnecting")
    await look("reconnecting")
    phones.forgive_lost_sockets()
    assert not {name: said for name, said in wrong.items() if said}


async def test_the_keyboard_is_enough(phones: Phones) -> None:
    priya, bob = await phones.sign_on("priya"), await phones.sit_down("bob")
    keys = bob.page.keyboard

    async def focus_is_on(name: str) -> None:
        await expect(bob.panel.get_by_role("button", name=name, exact=True)).to_be_focused()

    await bob.page.locator("#main").focus()
    await keys.press("p")
    await focus_is_on("Sign on")
    await keys.press("Enter")
    await bob.shows("ready")
    await expect(bob.panel.get_by_role("textbox", name="Number to call")).to_be_focused()
    await bob.page.locator("#quick-field").focus()
    await priya.dial("102")
    await bob.shows("ringing")
    # It takes the focus from nobody who types.
    await keys.type("shap")
    await expect(bob.page.locator("#quick-field")).to_have_value("shap")
    await keys.press("Escape")
    await keys.press("p")
    await focus_is_on("Answer")
    await keys.press("Enter")
    await bob.shows("talking")
    await focus_is_on("Mute")
    await keys.press("Space")
    await bob.shows("talking", "Muted")
    for name in ("Hold", "Keypad"):
        await keys.press("Tab")
        await focus_is_on(name)
    heard = priya.hears("tones(852, 1209)")
    await keys.press("Enter")
    await focus_is_on("1")
    await keys.press("7")
    await heard
    await keys.press("Escape")
    await focus_is_on("Keypad")
    await keys.press("Tab")
    await focus_is_on("Hang up")
    await keys.press("Enter")
    await priya.shows("ready")
    await keys.press("Escape")
    await keys.press("?")
    await expect(bob.page.locator("#keys")).to_contain_text("Go to the phone")


async def test_who_has_no_phone_sees_none(console: Console) -> None:
    asked: list[str] = []
    window = await console.window()
    window.on("request", lambda request: asked.append(request.url))
    async with window.expect_event("response", lambda one: one.url.endswith("/softphone")) as waiting:
        page = await console.log_in(window)
        await console.ready(page)
    assert (await waiting.value).status == 204
    await expect(page.locator("#softphone")).to_have_count(0)
    assert not [url for url in asked if "jssip" in url or url.endswith("/phone")]
    answer = await page.reload()
    assert answer is not None
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self';" in policy and "style-src 'self';" in policy
    assert " wss: ws://localhost:* ws://127.0.0.1:*;" in policy


async def test_an_administrator_gives_a_phone(phones: Phones) -> None:
    console = phones.console
    await add_agent(console.running, "boss", "administrator", "900")
    dora = await add_agent(console.running, "dora", "agent", "104")
    page = await console.log_in(await console.window(), "boss")
    await page.goto(f"{console.url}/admin/agents/{dora}")
    card = page.locator("form", has=page.get_by_role("heading", name="Softphone"))
    await card.get_by_label("SIP address").fill("dora")
    await card.get_by_label("WebSocket address").fill("https://pbx.example.com")
    await card.get_by_label("Password").fill(" third")
    await card.get_by_role("button", name="Save").click()
    await expect(card.locator("#wrong-uri")).to_contain_text("must be a SIP address")
    await expect(card.locator("#wrong-wss_url")).to_contain_text("must be an address")
    await expect(card.get_by_label("SIP address")).to_be_focused()
    await expect(card.get_by_label("SIP address")).to_be_in_viewport()
    assert " third" not in await page.content()
    await card.get_by_label("SIP address").fill(f"103@{DOMAIN}")
    await card.get_by_label("WebSocket address").fill(phones.sip.plain_url)
    await card.get_by_label("Password").fill("third")
    await card.get_by_role("button", name="Save").click()
    await expect(page.locator("#notices")).to_contain_text("Saved")
    await expect(card.get_by_label("SIP address")).to_have_value(f"sip:103@{DOMAIN}")
    await expect(card.get_by_label("Password")).to_have_value("")
    # Saved again without one, the password is still there: it signs on.
    await card.get_by_label("Name shown").fill("Dora")
    await card.get_by_role("button", name="Save").click()
    await expect(card.get_by_label("Name shown")).to_have_value("Dora")
    phone = Phone(await console.log_in(await console.window(), "dora"))
    await phone.press("Sign on")
    await phone.shows("ready")
    await card.get_by_role("button", name="Remove the phone").click()
    await expect(page.locator("#notices")).to_contain_text("The phone is removed")
    await phone.page.goto(f"{console.url}/customers")
    await expect(phone.page.locator("h1")).to_have_text("Customers")
    await expect(phone.panel).to_have_count(0)
