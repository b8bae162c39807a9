"""Posts to ``/forms/{form}``: each way of sending, each way of being wrong, each trap."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

from handlers import forms
from tests.forms.conftest import FormServer

GOOD = {
    "name": "Ada Larkin",
    "email": "Ada.Larkin@customer.example",
    "phone": "+44 7700 900123",
    "subject": "Invoice 4711",
    "message": "The amount is wrong.\nPlease call back.",
}
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


async def test_json_makes_a_ticket(server: FormServer) -> None:
    reply = await server.post(json=GOOD)
    assert reply.status == 201
    number = (await reply.json())["ticket"]
    assert re.fullmatch(r"RP-\d{6}", number)
    row = await server.ctx.pool.fetchrow("SELECT * FROM tickets")
    assert row["subject"] == "Invoice 4711" and row["channel"] == "form" and f"RP-{row['id']:06d}" == number
    message = await server.ctx.pool.fetchrow("SELECT * FROM messages")
    assert message["body_text"] == GOOD["message"] and message["from_name"] == "Ada Larkin"
    phone = await server.ctx.pool.fetchval("SELECT number FROM customer_phones")
    assert phone == "+447700900123"


async def test_chinese_text_survives_each_encoding(server: FormServer) -> None:
    values = {"name": "王小明", "email": "xm@example.com", "message": "请回电\n谢谢"}
    multipart: Any = None
    import aiohttp

    for body in ("json", "data", "multipart"):
        if body == "multipart":
            multipart = aiohttp.FormData(default_to_multipart=True)
            for name, value in values.items():
                multipart.add_field(name, value)
        reply = await server.post(
            **{"json": {"json": values}, "data": {"data": values}}.get(body, {"data": multipart})
        )
        assert reply.status == (201 if body == "json" else 303), await reply.text()
    bodies = await server.ctx.pool.fetch("SELECT body_text, from_name FROM messages")
    assert [tuple(row) for row in bodies] == [("请回电\n谢谢", "王小明")] * 3


async def test_a_browser_is_sent_to_the_thanks_page(server: FormServer) -> None:
    reply = await server.post("contact?lang=zh", data=GOOD, headers=BROWSER)
    assert reply.status == 303
    place = reply.headers["Location"]
    assert re.fullmatch(r"/forms/contact/thanks\?ticket=RP-\d{6}&lang=zh_CN", place)
    thanks, text = await server.get(place)
    assert thanks.status == 200 and "感谢" in text and re.search(r"RP-\d{6}", text)
    _, text = await server.get("/forms/contact/thanks?ticket=%3Cscript%3Ealert(1)%3C/script%3E")
    assert "alert" not in text


async def test_programs_get_json_for_a_urlencoded_post_when_they_ask(server: FormServer) -> None:
    reply = await server.post(data=GOOD, headers={"Accept": "application/json"})
    assert reply.status == 201 and "ticket" in await reply.json()


async def test_each_wrong_field_is_named_in_the_readers_language(server: FormServer) -> None:
    wrong = {"email": "nobody", "phone": "12", "message": " "}
    for language, word in (("en", "Please fill in"), ("zh-CN,zh;q=0.9", "请填写此项")):
        reply = await server.post(json=wrong, headers={"Accept-Language": language})
        said = await reply.json(content_type="application/problem+json")
        assert reply.status == 422 and set(said["fields"]) == {"email", "phone", "message"}
        assert word in said["fields"]["message"]
    reply = await server.post(json={"name": "Ada", "message": "hello"})
    assert "email" in (await reply.json(content_type=None))["fields"]
    assert await server.count("tickets") == 0


async def test_a_browser_sees_the_form_again_with_what_it_typed(server: FormServer) -> None:
    reply = await server.post(data={**GOOD, "email": 'x"><script>alert(1)</script>'}, headers=BROWSER)
    text = await reply.text()
    assert reply.status == 422 and 'aria-invalid="true"' in text and 'role="alert"' in text
    assert "<script>" not in text and "&lt;script&gt;" in text
    assert "Please call back." in text and 'value="Ada Larkin"' in text


async def test_own_fields(server: FormServer) -> None:
    good = {"full_name": "Ben Osei", "mail": "ben@example.com", "model": "B3", "extra": "dropped"}
    assert (await server.post("warranty", json=good)).status == 201
    row = await server.ctx.pool.fetchrow("SELECT fields, subject FROM tickets")
    assert row["fields"] == {"full_name": "Ben Osei", "mail": "ben@example.com", "model": "B3"}
    assert await server.ctx.pool.fetchval("SELECT address FROM customer_emails") == "ben@example.com"
    reply = await server.post("warranty", json={**good, "model": "B5", "website": "x" * 21})
    assert set((await reply.json(content_type=None))["fields"]) == {"model", "website"}


async def test_statuses(server: FormServer) -> None:
    json_type = {"Content-Type": "application/json"}
    assert (await server.post("nothing", json=GOOD)).status == 404
    assert (await server.post(data=b"{", headers=json_type)).status == 400
    assert (await server.post(data=b"[1]", headers=json_type)).status == 400
    assert (await server.post(json={"message": {"a": 1}})).status == 400
    assert (await server.post(data=b"a\x00", headers={"Content-Type": "text/plain"})).status == 415
    assert (
        await server.post(data=b"a=%ff%fe\xff", headers={"Content-Type": "application/x-www-form-urlencoded"})
    ).status == 400
    assert (await server.post(data=b"nothing", headers={"Content-Type": "multipart/form-data"})).status == 400
    large = {**GOOD, "message": "x" * 300_000}
    assert (await server.post(json=large)).status == 413

    async def pieces() -> Any:
        for _ in range(40):
            yield b"x" * 10_000

    assert (await server.post(data=pieces(), headers=json_type)).status == 413
    async with server.http.put(f"{server.url}/forms/contact") as reply:
        assert reply.status == 405
    assert await server.count("contacts") == 0


async def test_a_double_click_makes_one_ticket(server: FormServer) -> None:
    page, text = await server.get("/forms/contact")
    assert page.status == 200
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]+)">', text))
    both = await asyncio.gather(*(server.post(data={**GOOD, **hidden}, headers=BROWSER) for _ in range(2)))
    assert both[0].status == 303 and both[0].headers["Location"] == both[1].headers["Location"]
    assert await server.count("tickets") == 1
    # Back, another text, send: that is another matter.
    assert (
        await server.post(data={**GOOD, **hidden, "message": "And one more"}, headers=BROWSER)
    ).status == 303
    assert await server.count("messages") == 2


async def test_the_idempotency_key_answers_like_the_first_time(server: FormServer) -> None:
    headers = {"Idempotency-Key": "9b2e1c5e-1"}
    numbers = {(await (await server.post(json=GOOD, headers=headers)).json())["ticket"] for _ in range(3)}
    assert len(numbers) == 1 and await server.count("contacts") == 1
    assert (await server.post(json=GOOD, headers={"Idempotency-Key": "x" * 201})).status == 400


async def test_a_filled_honeypot_looks_successful_and_makes_no_ticket(server: FormServer) -> None:
    reply = await server.post(json={**GOOD, "website": "http://spam.example"})
    assert reply.status == 201 and re.fullmatch(r"RP-\d{6}", (await reply.json())["ticket"])
    assert (await server.post(data={**GOOD, "website": "x"}, headers=BROWSER)).status == 303
    assert await server.count("tickets") == 0 and await server.count("quarantine") == 2
    row = await server.ctx.pool.fetchrow("SELECT * FROM quarantine ORDER BY id LIMIT 1")
    assert row["door"] == "form" and row["source"] == "contact" and "hidden field" in row["reason"]
    # Where the form itself has such a field, another name is the trap.
    good = {"full_name": "Ben", "mail": "ben@example.com", "model": "B3", "website": "example.org"}
    assert (await server.post("warranty", json=good)).status == 201 and await server.count("tickets") == 1
    # A person has looked: it may come in after all.
    await forms.retake(server.ctx, row["source"], row["meta"], bytes(row["raw"]))
    assert await server.count("tickets") == 2


async def test_the_time_trap(server: FormServer) -> None:
    _, text = await server.get("/forms/contact")
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]+)">', text))
    quick = {**GOOD, **hidden, "message": "Buy at https://spam.example"}
    assert (await server.post(data=quick, headers=BROWSER)).status == 303
    assert await server.count("quarantine") == 1 and await server.count("tickets") == 0
    forged = {
        **GOOD,
        **hidden,
        "_at": f"{int(hidden['_at'].split('.')[0]) - 60}.{hidden['_at'].split('.')[1]}",
    }
    reply = await server.post(data=forged, headers=BROWSER)
    assert reply.status == 422 and "once more" in await reply.text()
    # The page that comes back can be sent.
    fresh = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]+)">', await reply.text()))
    assert (await server.post(data={**GOOD, **fresh}, headers=BROWSER)).status == 303
    assert await server.count("tickets") == 1


async def test_the_rate_is_limited_by_peer_and_form(server: FormServer) -> None:
    for _ in range(2):
        assert (await server.post("slow", json=GOOD)).status == 201
    reply = await server.post("slow", json=GOOD)
    assert reply.status == 429 and 1 <= int(reply.headers["Retry-After"]) <= 31
    # Another peer behind the trusted proxy, and another form, are not stopped.
    assert (await server.post("slow", json=GOOD, headers={"X-Forwarded-For": "198.51.100.7"})).status == 201
    assert (await server.post(json=GOOD)).status == 201
    page = await server.post("slow?lang=zh", data=GOOD, headers=BROWSER)
    assert page.status == 429 and "一分钟" in await page.text() and "Retry-After" in page.headers


async def test_other_sites(server: FormServer) -> None:
    site, other = "https://www.customer-site.example", "https://evil.example"
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    for origin, allowed in ((site, True), (other, False), ("null", False)):
        async with server.http.options(
            f"{server.url}/forms/contact", headers={"Origin": origin, **asked}
        ) as reply:
            assert reply.status == 204
            assert reply.headers.get("Access-Control-Allow-Origin") == (origin if allowed else None)
            assert "Origin" in reply.headers["Vary"]
            if allowed:
                assert "POST" in reply.headers["Access-Control-Allow-Methods"]
                assert "content-type" in reply.headers["Access-Control-Allow-Headers"]
    for values, status in ((GOOD, 201), ({}, 422)):
        reply = await server.post(json=values, headers={"Origin": site})
        assert reply.status == status and reply.headers["Access-Control-Allow-Origin"] == site
    reply = await server.post(json=GOOD, headers={"Origin": other})
    assert "Access-Control-Allow-Origin" not in reply.headers


async def test_a_recorded_submission(server: FormServer, shared: Path) -> None:
    body = (shared / "providers" / "samples" / "webform" / "02-submit-ok.form").read_bytes()
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    reply = await server.post(data=body, headers=headers)
    assert reply.status == 201
    assert await server.ctx.pool.fetchval("SELECT from_name FROM messages") == "Ada Larkin"


async def test_the_embedded_form(server: FormServer) -> None:
    reply, text = await server.get("/forms/contact.js")
    assert reply.status == 200 and reply.content_type == "text/javascript"
    found = re.search(r"const form = (\{.*\});", text)
    assert found is not None
    form = json.loads(found[1])
    assert [field["name"] for field in form["fields"]] == ["name", "email", "phone", "subject", "message"]
    assert form["languages"]["zh_CN"]["labels"]["message"] == "留言内容"
    assert (await server.get("/forms/nothing.js"))[0].status == 404
