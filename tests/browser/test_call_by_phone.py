"""The desk's call and the telephone at the foot of the page: one call, one set of buttons, one pair of hands."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from handlers.console.call_faults import CANNOT_CALL, told_to
from handlers.telephony.connections import Telephony
from handlers.telephony.control import Command, CommandFailed, Deed
from server.domain.permission import Actor
from tests.browser import phones as fixtures
from tests.browser.phones import Phones

chromium, phones = fixtures.chromium, fixtures.phones
NUMBER = "+442079460123"
Asked = list[Command]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What the server's own telephony is asked for; it can do everything."""
    said: Asked = []

    async def act(telephony: Telephony, source: str, command: Command) -> str:
        said.append(command)
        return "K-1" if command.deed is Deed.DIAL else ""

    monkeypatch.setattr(Telephony, "deeds", lambda telephony, source: frozenset(Deed))
    monkeypatch.setattr(Telephony, "act", act)
    return said


async def test_the_phone_has_the_call(phones: Phones, asked: Asked) -> None:
    bob, priya = await phones.sign_on("bob"), await phones.sign_on("priya")
    page = bob.page
    await phones.console.call("442079460123", user="102")
    await page.get_by_role("button", name="Accept").click()
    answer, by_phone = page.locator("#do-answer"), page.locator("[data-by-phone]")
    await expect(answer).to_be_visible()
    await expect(by_phone).not_to_be_visible()
    # The same call rings at the softphone: its buttons, and their keys, instead of these.
    await priya.dial("102")
    await bob.shows("ringing")
    await expect(answer).not_to_be_visible()
    await expect(by_phone).to_have_text("Your phone at the foot of the page has this call.")
    await page.locator("#main").focus()
    await page.keyboard.press("a")
    await bob.shows("talking")
    await phones.console.call("442079460123", event="answer", answeringNumber="102", user="Bob")
    await expect(page.locator("#do-transfer")).to_be_visible()  # the softphone cannot
    await expect(page.locator("#do-hold")).not_to_be_visible()
    await page.keyboard.press("h")
    await expect(bob.panel.locator('[data-phone="hold"]')).to_have_attribute("aria-pressed", "true")
    await page.keyboard.press("Shift+X")
    await bob.shows("ended")
    await expect(page.locator("#do-hold")).to_be_visible()
    assert asked == []


async def test_what_was_asked_for_is_picked_up(phones: Phones, asked: Asked) -> None:
    mary = await phones.console.customer("Mary Shaw", phones=[{"number": NUMBER}])
    bob, priya = await phones.sign_on("bob"), await phones.sign_on("priya")
    await bob.page.goto(f"{phones.console.url}/customers/{mary}")
    await bob.shows("ready")
    await bob.page.get_by_role("button", name="Call 020 7946 0123").click()
    await expect(bob.page.locator("#notices")).to_contain_text("Your phone rings")
    assert (asked[0].deed, asked[0].agent, asked[0].target) == (Deed.DIAL, "102", NUMBER)
    # Somebody else calls meanwhile: that is for the agent to answer.
    await priya.dial("102")
    await bob.shows("ringing")
    await bob.page.wait_for_timeout(500)
    await bob.shows("ringing")


async def test_without_a_source_that_dials_the_phone_does(
    phones: Phones, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Telephony, "deeds", lambda telephony, source: frozenset())
    mary = await phones.console.customer("Mary Shaw", phones=[{"number": NUMBER}], do_not_contact=["call"])
    bob = await phones.sign_on("bob")
    await bob.page.goto(f"{phones.console.url}/customers/{mary}")
    await bob.shows("ready")
    await bob.page.locator("a.dial").click()
    await expect(bob.page.locator("#call-ask")).to_contain_text("does not want to be called")
    await bob.page.get_by_role("button", name="Call all the same").click()
    await expect(bob.page.locator("#notices")).to_contain_text("020 7946 0123 is being called.")
    await expect(bob.panel.locator('[data-phone="who"]')).to_contain_text(NUMBER)
    assert asked == []
    told = await phones.console.ctx.pool.fetchval("SELECT data FROM audit WHERE action = 'call.dial'")
    assert (told["number"], told["source"]) == (NUMBER, "softphone")


def test_only_administrators_are_told_keys_of_the_settings() -> None:
    agent, boss = (Actor(1, "Ann", "", role, "en") for role in ("agent", "administrator"))
    unset, busy = (
        CommandFailed("set account in [call_sources.main]: AC..."),
        CommandFailed("the phone is busy"),
    )
    assert told_to(agent, unset, CANNOT_CALL) == CANNOT_CALL
    assert told_to(boss, unset, CANNOT_CALL) == str(unset)
    assert told_to(agent, busy, CANNOT_CALL) == str(busy)
