"""Every page, in both languages and both themes, wide and narrow: axe finds nothing, nothing overflows."""

from __future__ import annotations

import os
from email.message import EmailMessage
from pathlib import Path
from typing import Literal

import aiosmtplib
import pytest
from playwright.async_api import Page, expect

from handlers.doors import route_modules
from handlers.http import routes_of
from server.services import quarantine
from tests.browser.catalogue import named_texts, translations
from tests.browser.conftest import AXE, Console, add_agent

WIDE, NARROW = {"width": 1280, "height": 720}, {"width": 390, "height": 844}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
HOSTILE = (
    "<p>Hello <b>there</b></p><script>parent.document.title='taken'</script>"
    "<img src=x onerror=\"parent.document.title='taken'\"><img src='http://tracker.test/p.gif'>"
    '<form action="/logout"><button>Click</button></form><style>body{display:none}</style>'
)


async def fill(console: Console) -> dict[str, str]:
    """A little of everything; gives the address of each page."""
    await add_agent(console.running, "boss", "administrator", "900")
    await console.ctx.directory.reload()
    mary = await console.customer(
        "Mary Shaw",
        phones=[{"number": "+442079460123", "label": "office"}],
        emails=[{"address": "mary@customer.test"}],
        tier="vip",
        tags=["lamps"],
        notes="Likes to be called Mary.",
    )
    await console.customer("Martin Shaw", phones=[{"number": "+442079460123"}])
    await console.call("442079460123", user="900")
    await console.call("442079460555", call_id="c2", user="900")
    await console.call("442079460556", call_id="c3", event="hangup", cause="noAnswer")
    letter = EmailMessage()
    letter["From"], letter["To"] = "Mary Shaw <mary@customer.test>", "support@ringpost.test"
    letter["Subject"], letter["Message-ID"] = "The lamp flickers", "<first@customer.test>"
    letter.set_content("It flickers.\n\nMary")
    letter.add_alternative(HOSTILE, subtype="html")
    letter.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="发票.pdf")
    await aiosmtplib.send(letter, hostname="127.0.0.1", port=console.ctx.addresses["smtp_port"])
    kept = await quarantine.put(
        console.ctx.pool, "call", "pbx", "event: is missing", {"method": "POST"}, b"{}"
    )
    pool = console.ctx.pool
    ticket = await pool.fetchval("SELECT id FROM tickets WHERE channel = 'email'")
    contact = await pool.fetchval("SELECT id FROM contacts WHERE match = 'ambiguous'")
    fresh = await pool.fetchval("SELECT id FROM contacts WHERE call_key = 'c2'")
    mail = await pool.fetchval("SELECT id FROM contacts WHERE channel = 'email'")
    queue = await pool.fetchval("SELECT id FROM queues LIMIT 1")
    return {
        "desk": "/",
        "desk-ambiguous": f"/?contact={contact}",
        "desk-provisional": f"/?contact={fresh}",
        "desk-mail": f"/?contact={mail}",
        "tickets": "/tickets?status=any",
        "tickets-none": "/tickets?q=nothing-like-this",
        "ticket": f"/tickets/{ticket}",
        "ticket-new": "/tickets/new",
        "customers": "/customers",
        "customer": f"/customers/{mary}",
        "customer-edit": f"/customers/{mary}/edit",
        "search": "/search?q=shaw",
        "search-none": "/search?q=zzzzzz",
        "queues": "/queues",
        "quarantine": "/quarantine",
        "quarantine-one": f"/quarantine/{kept}",
        "agents": "/admin/agents",
        "agent": f"/admin/agents/{console.priya}",
        "agent-new": "/admin/agents/new",
        "admin-queues": "/admin/queues",
        "admin-queue": f"/admin/queues/{queue}",
        "not-found": "/tickets/999999",
    }


async def complaints_of(page: Page) -> list[str]:
    """What axe finds in the light and the dark theme, and whether the page is wider than its window."""
    await page.evaluate(AXE.read_text(encoding="utf-8"))
    said = []
    for scheme in SCHEMES:
        rules = RULES if scheme == "light" else ["color-contrast"]
        await page.emulate_media(color_scheme=scheme)
        found = await page.evaluate("rules => axe.run(document, { runOnly: rules })", rules)
        said += [
            f"{scheme} {one['id']}: {one['help']}: {one['nodes'][0]['html'][:160]}"
            for one in found["violations"]
        ]
    wider = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return [*said, f"the page is {wider} px wider than the window"] if wider > 0 else said


async def shoot(page: Page, folder: Path, name: str, language: str) -> None:
    """For people's eyes, in both themes."""
    for scheme in reversed(SCHEMES):
        await page.emulate_media(color_scheme=scheme)
        await page.screenshot(path=folder / f"{name}-{language}-{scheme}.png")


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("language", "size"), [("en", WIDE), ("zh_CN", NARROW)], ids=["english-wide", "chinese-narrow"]
)
async def test_axe_finds_nothing(
    console: Console, tmp_path: Path, language: str, size: dict[str, int]
) -> None:
    pages = await fill(console)
    folder = Path(os.environ.get("RINGPOST_SCREENSHOTS", tmp_path / "screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    window = await console.window(language, viewport=size, reduced_motion="reduce")
    page = await window.new_page()
    await page.goto(f"{console.url}/login")
    wrong = {"login": await complaints_of(page)}
    await shoot(page, folder, "login", language)
    await page.close()
    page = await console.log_in(window, "boss")
    await console.ready(page)
    await expect(page.locator(".pop")).to_be_visible()
    wrong["pop"] = await complaints_of(page)
    await shoot(page, folder, "pop", language)
    while await page.locator("[data-pop-later]").count():
        await page.locator("[data-pop-later]").first.click()
    for name, path in pages.items():
        await page.goto(console.url + path)
        assert await page.evaluate("document.documentElement.lang") == ("en" if language == "en" else "zh-CN")
        wrong[name] = await complaints_of(page)
        await shoot(page, folder, name, language)
    await page.goto(console.url)
    await console.ready(page)
    await page.locator('[popovertarget="preferences"]').click()
    wrong["preferences"] = await complaints_of(page)
    await page.locator("[data-open-keys]").click()
    wrong["keys"] = await complaints_of(page)
    assert not {name: said for name, said in wrong.items() if said}


async def test_the_language_is_switched_in_place(console: Console) -> None:
    page = await console.log_in(await console.window("en"))
    await page.goto(f"{console.url}/tickets")
    await expect(page.locator("h1")).to_have_text("Tickets")
    await page.locator('[popovertarget="preferences"]').click()
    await page.get_by_role("button", name="中文（简体）").click()
    await expect(page.locator("h1")).to_have_text("工单")
    assert page.url.endswith("/tickets")
    assert await page.evaluate("document.documentElement.lang") == "zh-CN"


async def test_a_strangers_html_can_do_nothing(console: Console) -> None:
    pages = await fill(console)
    page = await console.log_in(await console.window())
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(console.url + pages["ticket"])
    await page.get_by_text("As it was sent").click()
    frame = page.frame_locator("iframe")
    await expect(frame.locator("b")).to_have_text("there")
    assert await frame.locator("form, script, [onerror]").count() == 0
    assert await page.title() != "taken"
    assert not [url for url in asked if not url.startswith(console.url)]
    async with page.expect_download() as waiting:
        await page.get_by_role("link", name="发票.pdf").click()
    assert (await waiting.value).suggested_filename == "发票.pdf"


async def test_search_finds_in_any_spelling(console: Console) -> None:
    await fill(console)
    page = await console.log_in(await console.window())
    await page.keyboard.press("/")
    for said in ("shaw", "020 7946 0123", "+44 (0)20 7946-0123", "mary@customer.test", "lamp fl"):
        await page.locator("#quick-field").fill("")
        await page.locator("#quick-field").press_sequentially(said)
        await expect(page.locator("#quick")).to_contain_text("Mary Shaw" if said != "lamp fl" else "The lamp")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/tickets/*")


async def test_roles_see_what_is_theirs(console: Console) -> None:
    pages = await fill(console)
    page = await console.log_in(await console.window())
    assert await page.locator(".nav a").all_inner_texts() == ["Desk", "Tickets", "Customers", "Calls"]
    for name in ("queues", "quarantine", "agents", "admin-queues"):
        answer = await page.goto(console.url + pages[name])
        assert answer is not None and answer.status == 403
        await expect(page.locator("h1")).to_have_text("This is not yours to see")


async def test_an_agent_is_made_and_changed(console: Console) -> None:
    await fill(console)
    page = await console.log_in(await console.window(), "boss")
    await page.goto(f"{console.url}/admin/agents/new")
    await page.fill("#a-name", "Tomasz")
    await page.fill("#a-email", "priya@ringpost.test")
    await page.fill("#a-password", PASSWORD_OF_TOMASZ)
    await page.get_by_label("Support").check()
    await page.get_by_role("button", name="Create").click()
    await expect(page.locator("#wrong-email")).to_have_text("another agent has it")
    await page.fill("#a-email", "tomasz@ringpost.test")
    await page.fill("#a-password", PASSWORD_OF_TOMASZ)
    await page.get_by_role("button", name="Create").click()
    await expect(page.locator("h1")).to_have_text("Tomasz")
    await expect(page.get_by_label("Support")).to_be_checked()
    await page.get_by_role("button", name="Disable").click()
    await expect(page.locator(".page-head")).to_contain_text("Disabled")


PASSWORD_OF_TOMASZ = "a battery for Tomasz"


async def test_without_scripts_the_work_goes_on(console: Console) -> None:
    """No JavaScript (blocked, or failed to load): log in, read a ticket, keep a note."""
    pages = await fill(console)
    page = await console.log_in(await console.window(java_script_enabled=False))
    await page.goto(console.url + pages["ticket"])
    await page.get_by_label("Internal note").check()
    await page.get_by_label("Text", exact=True).fill("Called back, nobody there.")
    await page.get_by_role("button", name="Keep note").click()
    await expect(page.locator(".course")).to_contain_text("Called back, nobody there.")


async def test_two_at_once_are_told(console: Console) -> None:
    pages = await fill(console)
    page = await console.log_in(await console.window())
    await page.goto(console.url + pages["customer-edit"])
    await console.ctx.pool.execute("UPDATE customers SET version = version + 1, name = 'Maria Shaw'")
    await page.fill("#c-name", "Mary S.")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator(".form-errors")).to_contain_text("changed meanwhile")
    await expect(page.locator("#c-name")).to_have_value("Mary S.")


def test_every_text_is_in_the_chinese_catalogue() -> None:
    known = translations()
    missing = {key: name for key, name in named_texts() if not known.get(key)}
    assert not missing, missing
    used = {key for key, _ in named_texts()}
    assert not set(known) - used, "texts that nothing shows any more"


def test_placeholders_are_kept_in_translation() -> None:
    for (_, text), said in translations().items():
        for mark in (
            "%(num)s",
            "%(name)s",
            "%(state)s",
            "%(hours)s",
            "%(minutes)s",
            "{seconds}",
            "{count}",
            "{n}",
        ):
            assert (mark in text) == (mark in said), text


def test_every_page_declares_what_it_needs() -> None:
    pages = [
        one for one in routes_of(route_modules()) if one.handler.__module__.startswith("handlers.console")
    ]
    public = {one.path for one in pages if one.permission == "public"}
    assert len(pages) > 40
    assert public == {"/login", "/language", "/assets/{version}/{path:.+}"}
