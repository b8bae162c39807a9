"""Two agents call each other through a real SIP server, and hear each other."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import async_playwright, expect

from tests.browser import phones as fixtures
from tests.browser.conftest import chromium_path
from tests.browser.phones import Phone, Phones
from tests.browser.sip_server import free_port

chromium, phones = fixtures.chromium, fixtures.phones


async def test_they_talk(phones: Phones) -> None:
    priya, bob = await phones.sign_on("priya"), await phones.sign_on("bob")
    await priya.dial("102")
    await priya.shows("dialing", "Calling")
    await bob.shows("ringing", "Incoming call")
    await expect(bob.panel).to_contain_text("Priya Patel · 101")
    assert await bob.api("tones.playing") == "ring"
    assert await priya.api("tones.playing") == "ringing"
    await asyncio.gather(priya.hears("own()"), bob.hears("own()"))
    await bob.press("Answer")
    for one in (priya, bob):
        await one.shows("talking", "In conversation")
        assert await one.api("tones.playing") == ""
    assert await priya.hears() > 0
    assert await bob.hears() > 0
    await expect(priya.panel.locator("time")).not_to_have_text("0:00")

    await priya.press("Mute")
    await priya.shows("talking", "Muted")
    await bob.hears("silence()")
    await priya.hears()
    # Keys arrive as tones: 5 is 770 and 1336 Hz, # is 941 and 1477 Hz (ITU-T Q.23).
    await priya.press("Keypad")
    for press, hertz in (
        (priya.panel.get_by_role("button", name="5", exact=True).click, "770, 1336"),
        (lambda: priya.page.keyboard.press("#"), "941, 1477"),
    ):
        heard = asyncio.ensure_future(bob.hears(f"tones({hertz})"))
        await press()
        await heard
    await expect(priya.panel.locator('[data-phone="sent"]')).to_have_text("5#")
    await priya.page.keyboard.press("Escape")
    await priya.press("Mute")
    await bob.hears()

    await priya.press("Hold")
    await priya.shows("talking", "On hold")
    await bob.shows("talking", "Put on hold by the other side")
    await asyncio.gather(priya.hears("silence()"), bob.hears("silence()"))
    await priya.press("Hold")
    await bob.shows("talking", "In conversation")
    await asyncio.gather(priya.hears(), bob.hears())

    await bob.press("Hang up")
    await asyncio.gather(*(one.shows("ended", "Ended") for one in (priya, bob)))
    await asyncio.gather(*(one.shows("ready") for one in (priya, bob)))


async def test_calls_that_come_to_nothing(phones: Phones) -> None:
    priya = await phones.sign_on("priya")
    for number in ("200", "+44 (0)20 7946-0100"):
        await priya.dial(number)
        await priya.shows("ended", "There is no such number")
    await priya.dial("10 2")
    await priya.shows("ended", "Not reachable")
    await priya.dial("call me")
    await expect(priya.panel.get_by_role("alert")).to_contain_text("no number")
    bob = await phones.sign_on("bob")
    await priya.dial("102")
    await bob.shows("ringing")
    await bob.press("Decline")
    await priya.shows("ended", "Busy")
    await bob.shows("ready")
    await priya.dial("102")
    await bob.shows("ringing")
    await priya.press("Hang up")
    await bob.shows("ended", "The caller hung up")
    assert await bob.api("tones.playing") == ""


async def test_who_talks_is_busy_and_who_leaves_hangs_up(phones: Phones) -> None:
    priya, bob = await phones.connect()
    cleo = await phones.sign_on("cleo")
    await cleo.dial("101")
    await cleo.shows("ended", "Busy")
    await priya.shows("talking")
    await bob.page.close()
    await priya.shows("ended", "Ended")
    # What the browser told the server on its way out: nobody is there any more.
    await priya.dial("102")
    await priya.shows("ended", "Not reachable")


async def test_the_console_can_serve_itself(phones: Phones) -> None:
    """What the desk's own buttons use: state, dial, answer, mute, hold, hangUp, and the event."""
    priya, bob = await phones.sign_on("priya"), await phones.sign_on("bob")
    await bob.page.evaluate(
        """() => {
            globalThis.told = [];
            document.addEventListener("softphone:change", ({ detail }) => told.push(detail.call?.phase ?? null));
        }"""
    )
    await priya.api('softphone.dial("102")')
    await bob.shows("ringing")
    call = await bob.api("softphone.state.call")
    assert (call["direction"], call["number"], call["name"]) == ("incoming", "101", "Priya Patel")
    await bob.api("softphone.answer()")
    await bob.shows("talking")
    await bob.api("softphone.mute()")
    await bob.api("softphone.hold()")
    await priya.shows("talking", "Put on hold")
    call = await bob.api("softphone.state.call")
    assert (call["phase"], call["muted"], call["held"]) == ("talking", True, True)
    await bob.api("softphone.hangUp()")
    await priya.shows("ended")
    told = await bob.page.evaluate("told")
    assert list(dict.fromkeys(told)) == ["ringing", "talking", "ended"]


async def test_they_talk_over_tls(phones: Phones) -> None:
    """As at a PBX: wss, through the page's content security policy."""
    for name, user, password in (("priya", "101", "first secret"), ("bob", "102", "second secret")):
        await phones.give(name, user, password, wss_url=phones.sip.wss_url)
    priya = await phones.sign_on("priya", ignore_https_errors=True)
    bob = await phones.sign_on("bob", ignore_https_errors=True)
    await bob.dial("101")
    await priya.press("Answer")
    await asyncio.gather(*(one.shows("talking") for one in (priya, bob)))
    await asyncio.gather(priya.hears(), bob.hears())
    await priya.press("Hang up")
    await bob.shows("ended", "Ended")


async def test_the_call_outlives_the_pages(phones: Phones) -> None:
    await phones.console.customer("Mary Shaw", phones=[{"number": "+442079460123"}])
    priya, bob = await phones.connect()
    page = priya.page
    await page.evaluate("globalThis.stays = true")

    async def still_talking() -> None:
        await priya.shows("talking")
        assert await page.evaluate("globalThis.stays")
        await bob.hears()

    await page.get_by_role("link", name="Tickets").click()
    await expect(page.locator("h1")).to_have_text("Tickets")
    await expect(page.locator('.nav [aria-current="page"]')).to_have_text("Tickets")
    assert await page.title() == "Tickets · Ringpost"
    await page.get_by_role("link", name="New ticket").click()
    await page.get_by_label("Subject").fill("A lamp")
    await page.get_by_role("button", name="Open ticket").click()
    await expect(page.locator("h1")).to_have_text("A lamp")
    assert "/tickets/" in page.url and "new" not in page.url
    await still_talking()
    await page.evaluate("history.back()")
    await expect(page.locator("h1")).to_have_text("New ticket")
    await page.evaluate("history.forward()")
    await expect(page.locator("h1")).to_have_text("A lamp")
    await page.evaluate("location.reload()")
    await still_talking()
    # The keyboard, a search and a file lead nowhere else.
    await page.keyboard.press("g")
    await page.keyboard.press("t")
    await expect(page.locator("h1")).to_have_text("Tickets")
    async with page.expect_download():
        await page.get_by_role("link", name="CSV").click()
    await page.locator("#quick-field").fill("shaw")
    await page.keyboard.press("Enter")
    await expect(page.locator("#main")).to_contain_text("Mary Shaw")
    # A call that pops is accepted.
    await phones.console.call("442079460123", user="101")
    await expect(page.locator(".pop")).to_contain_text("Mary Shaw")
    await page.locator("#main").press("a")
    await expect(page.locator(".desk-beside")).to_contain_text("Mary Shaw")
    await still_talking()
    await priya.press("Hang up")
    await priya.shows("ready")
    await page.locator('[popovertarget="preferences"]').click()
    await page.get_by_role("button", name="Log out", exact=True).click()
    await page.wait_for_url("**/login")
    await expect(page.locator("#softphone")).to_have_count(0)


async def test_the_server_goes_and_comes_back(phones: Phones) -> None:
    priya, bob = await phones.connect()
    await phones.sip.stop()
    await priya.shows("talking", "Reconnecting")
    await bob.shows("talking", "Reconnecting")
    await asyncio.gather(priya.hears(), bob.hears())
    await phones.sip.start()
    for one in (priya, bob):
        await expect(one.panel).to_have_attribute("data-registration", "registered", timeout=20_000)
        await one.shows("talking", "In conversation")
    await asyncio.gather(priya.hears(), bob.hears())
    # The server has forgotten the way between them: each ends the call for itself.
    for one in (priya, bob):
        await one.press("Hang up")
        await one.shows("ready")
    await priya.dial("102")
    await bob.shows("ringing")
    phones.forgive_lost_sockets()


async def test_a_refusal_is_put_into_words(phones: Phones) -> None:
    await phones.give("priya", "101", "wrong")
    priya = await phones.sit_down("priya")
    await priya.press("Sign on")
    await priya.shows("refused", "not signed on")
    await expect(priya.panel.get_by_role("alert")).to_contain_text("refuses this account")
    await phones.give("priya", "101", "first secret", wss_url=f"ws://127.0.0.1:{free_port()}")
    await priya.press("Sign on")
    await expect(priya.panel.get_by_role("alert")).to_contain_text("does not answer")
    await priya.shows("connecting", "Reconnecting")
    await expect(priya.panel.get_by_role("button", name="Try now")).to_be_visible()
    await priya.press("Phone settings")
    await priya.press("Sign off")
    await phones.give("priya", "101", "first secret")
    await priya.press("Sign on")
    await priya.shows("ready")
    phones.console.complaints[:] = [
        one for one in phones.console.complaints if "WebSocket connection" not in one
    ]


async def test_it_is_signed_on_again_as_it_was_left(phones: Phones) -> None:
    priya = await phones.sign_on("priya")
    await priya.page.reload()
    await priya.shows("ready")
    await priya.press("Phone settings")
    await priya.press("Sign off")
    await priya.shows("off")
    await priya.page.reload()
    await priya.shows("off")


async def test_one_tab_has_the_phone(phones: Phones) -> None:
    priya, bob = await phones.sign_on("priya"), await phones.sign_on("bob")
    other = Phone(await priya.page.context.new_page())
    await other.page.goto(phones.console.url)
    await other.shows("elsewhere", "in another tab")
    await other.press("Use here")
    await other.shows("ready")
    await priya.shows("elsewhere")
    # Who talks keeps it until the end of the call.
    await other.dial("102")
    await bob.press("Answer")
    await other.shows("talking")
    await priya.press("Use here")
    await bob.hears()
    await other.press("Hang up")
    await priya.shows("ready")
    await other.shows("elsewhere")
    await priya.page.close()
    await other.shows("ready")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream=deny"],
            "microphone is blocked",
        ),
        (["--disable-audio-input", "--use-fake-ui-for-media-stream"], "No microphone is connected"),
    ],
    ids=["refused", "none"],
)
async def test_no_microphone_is_put_into_words(phones: Phones, flags: list[str], said: str) -> None:
    async with async_playwright() as playwright:
        path = chromium_path()
        phones.console.browser = await playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", *flags]
        )
        priya = await phones.sit_down("priya")
        await priya.press("Sign on")
        await expect(priya.panel.get_by_role("alert")).to_contain_text(said)
        await priya.shows("off")
        await phones.console.browser.close()


async def test_devices_are_chosen_and_remembered(phones: Phones) -> None:
    priya, bob = await phones.connect()
    await priya.press("Phone settings")
    chosen = {}
    for label in ("Microphone", "Speaker", "Rings on"):
        select = priya.panel.get_by_label(label)
        await expect(select.locator("option:nth-child(2)")).to_have_count(1)
        await select.select_option(index=await select.locator("option").count() - 1)
        chosen[label] = await select.input_value()
    await bob.hears()
    await priya.page.keyboard.press("Escape")
    await priya.press("Hang up")
    await priya.shows("ready")
    await priya.page.reload()
    await priya.shows("ready")
    await priya.press("Phone settings")
    for label, value in chosen.items():
        await expect(priya.panel.get_by_label(label)).to_have_value(value)
