"""Caller-ID lookup as PBXs ask for it: over HTTP, with each way of showing the secret, in every spelling."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import pytest_asyncio
from aiohttp.test_utils import TestServer
from yarl import URL

from handlers.doors import route_modules
from handlers.http import build_http_app
from handlers.lookup import MAX_NAME, PATIENCE_SECONDS, one_line
from handlers.lookup_guard import GUESSES, Guesses
from server.settings import load_settings
from server.store.lookup import MOST, SQL
from tests.api.conftest import Api

SECRET = "fictitious-lookup-key"
NUMBER = "+447700900123"
CONFIG = f"""
[call_sources.pbx]
provider = "cti"
secrets = ["{SECRET}", "the-old-one"]
country = "GB"

[call_sources.berlin]
provider = "cti"
secrets = ["{SECRET}"]
country = "DE"

[call_sources.threecx]
provider = "threecx"
secrets = ["fictitious-3cx-template-key"]

[call_sources.guessed]
provider = "cti"
secrets = ["{SECRET}"]

[call_sources.signed]
provider = "sipgate"
secrets = ['''-----BEGIN PUBLIC KEY-----
MFkw
-----END PUBLIC KEY-----''', "keys/theirs.pem"]

[call_sources.telnyx]
provider = "telnyx"
secrets = ["4sYWyz3"]
lookup_token = "of-the-look-up-alone"
"""


@dataclass
class Pbx:
    api: Api
    url: str

    async def ask(self, query: str, source: str = "pbx", **headers: str) -> aiohttp.ClientResponse:
        target = URL(f"{self.url}/hooks/lookup/{source}?{query}", encoded=True)
        answer = await self.api.http.get(target, headers=headers)
        await answer.read()
        return answer

    async def name(self, number: str, source: str = "pbx") -> str:
        answer = await self.ask(f"number={number}&token={SECRET}", source)
        assert (answer.status, answer.content_type) == (200, "text/plain")
        return await answer.text()

    async def customer(self, name: str, number: str = NUMBER, **more: Any) -> dict[str, Any]:
        data = {"name": name, "phones": [{"number": number}], **more}
        return dict(await self.api.call("POST", "/customers", data))


@pytest_asyncio.fixture
async def pbx(api: Api, tmp_path: Path, database: str) -> AsyncIterator[Pbx]:
    config = tmp_path / "lookup.toml"
    config.write_text(CONFIG)
    settings = load_settings([config], {"RINGPOST_DATABASE__URL": database})
    server = TestServer(build_http_app(dataclasses.replace(api.ctx, settings=settings), route_modules()))
    await server.start_server()
    yield Pbx(api, str(server.make_url("")).rstrip("/"))
    await server.close()


async def test_a_name_is_found_in_every_spelling(pbx: Pbx) -> None:
    await pbx.customer("Ada Larkin")
    for number in (
        "%2B447700900123", "+447700900123", "07700900123", "07700%20900%20123", "00447700900123", "447700900123",
        "(07700)%20900-123", "tel:+447700900123", "sip:%2B447700900123@pbx.example.com:5060",
        "%22Bob%22%20%3Csip:07700900123@10.0.0.1%3E",
    ):  # fmt: skip
        assert await pbx.name(number) == "Ada Larkin", number
    assert await pbx.name("07700900123", "berlin") == ""
    assert await pbx.name("00447700900123", "berlin") == "Ada Larkin"


@pytest.mark.parametrize(
    "number", ["", "anonymous", "Anonymous", "withheld", "0", "%00", "101", "nonsense", "%FF%FE", "9" * 3000]
)
async def test_nobody_is_an_empty_line(pbx: Pbx, number: str) -> None:
    await pbx.customer("Ada Larkin")
    assert await pbx.name(number) == ""
    assert await pbx.name("+447700900999") == ""


async def test_one_name_only_when_it_is_certain(pbx: Pbx) -> None:
    ada = await pbx.customer("Ada Larkin", company="Larkin Ltd")
    assert await pbx.name(NUMBER) == "Ada Larkin"
    bob = await pbx.customer("Bob Stone", company="larkin  ltd")
    assert await pbx.name(NUMBER) == "Larkin Ltd"
    await pbx.customer("Larkin Ltd", kind="company")
    assert await pbx.name(NUMBER) == "Larkin Ltd"
    other = await pbx.customer("Eve Moss", company="Moss & Co")
    assert await pbx.name(NUMBER) == ""
    # What an agent taught counts here as it does for the screen pop.
    contact = await pbx.api.ctx.pool.fetchval(
        "INSERT INTO contacts (channel, direction, source, call_key, state, ani, started_at) "
        "VALUES ('call', 'inbound', 'pbx', 'k', 'ended', $1, now()) RETURNING id", NUMBER
    )  # fmt: skip
    await pbx.api.call("POST", f"/contacts/{contact}/customer", {"customer_id": bob["id"]})
    assert await pbx.name(NUMBER) == "Bob Stone"
    for gone in (bob, other):
        await pbx.api.call("DELETE", f"/customers/{gone['id']}")
    assert await pbx.name(NUMBER) == "Larkin Ltd"
    assert ada["name"] == "Ada Larkin"


async def test_a_guess_that_nobody_confirmed_is_no_name(pbx: Pbx) -> None:
    made = await pbx.customer("+44 7700 900123")
    await pbx.api.ctx.pool.execute("UPDATE customers SET provisional = true WHERE id = $1", int(made["id"]))
    assert await pbx.name(NUMBER) == ""


async def test_each_way_of_showing_a_secret(pbx: Pbx) -> None:
    await pbx.customer("Ada Larkin")
    asked = f"number={NUMBER}"
    basic = aiohttp.encode_basic_auth("anybody", SECRET)
    for query, headers in (
        (f"{asked}&token={SECRET}", {}),
        (f"{asked}&token=the-old-one", {}),
        (f"{asked}&key={SECRET}", {}),
        (asked, {"Authorization": f"Bearer {SECRET}"}),
        (asked, {"Authorization": basic}),
        (asked, {"X-Api-Key": SECRET}),
    ):
        answer = await pbx.ask(query, **headers)
        assert (answer.status, await answer.text()) == (200, "Ada Larkin"), (query, headers)


async def test_without_a_secret_nothing_is_said(pbx: Pbx) -> None:
    await pbx.customer("Ada Larkin")
    asked = f"number={NUMBER}"
    for query, headers in (
        (asked, {}),
        (f"{asked}&token=", {}),
        (f"{asked}&token=wrong", {}),
        (asked, {"Authorization": "Basic !!!"}),
        (asked, {"Authorization": aiohttp.encode_basic_auth(SECRET, "")}),
    ):
        answer = await pbx.ask(query, **headers)
        # A PBX shows whatever comes as the caller's name: an error has no body.
        assert (answer.status, await answer.text()) == (401, ""), (query, headers)
    told = await pbx.ask(asked, Accept="application/json")
    assert (told.status, told.content_type) == (401, "application/problem+json")
    assert (await pbx.ask(f"{asked}&token={SECRET}", "nowhere")).status == 404
    missing = await pbx.ask(f"token={SECRET}")
    assert (missing.status, await missing.text()) == (400, "")


async def test_a_key_that_only_checks_is_no_secret(pbx: Pbx) -> None:
    key = "-----BEGIN%20PUBLIC%20KEY-----%0AMFkw%0A-----END%20PUBLIC%20KEY-----"
    for shown in (key, "keys/theirs.pem"):
        assert (await pbx.ask(f"number={NUMBER}&token={shown}", "signed")).status == 401
    assert (await pbx.ask(f"number={NUMBER}&token=4sYWyz3", "telnyx")).status == 401
    assert (await pbx.ask(f"number={NUMBER}&token=of-the-look-up-alone", "telnyx")).status == 200


async def test_guessing_is_slowed_down(pbx: Pbx) -> None:
    statuses = []
    for turn in range(GUESSES + 3):
        answer = await pbx.ask(f"number={NUMBER}&token=guess-{turn}", "guessed")
        statuses.append(answer.status)
    assert statuses[:GUESSES] == [401] * GUESSES
    assert set(statuses[GUESSES + 1 :]) == {429}
    assert int(answer.headers["Retry-After"]) >= 1
    assert (await pbx.ask(f"number={NUMBER}&token={SECRET}", "guessed")).status == 429
    assert await pbx.name(NUMBER) == "", "another source is not held up"


def test_guesses_come_back() -> None:
    guesses = Guesses(peers=2)
    for _ in range(GUESSES):
        assert guesses.wait_seconds("pbx", "1.2.3.4", 0.0) == 0
        guesses.wrong("pbx", "1.2.3.4", 0.0)
    wait = guesses.wait_seconds("pbx", "1.2.3.4", 0.0)
    assert 0 < wait <= 7
    assert guesses.wait_seconds("pbx", "1.2.3.4", float(wait)) == 0
    assert guesses.wait_seconds("pbx", "5.6.7.8", 0.0) == 0


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Ada\r\nX-Evil: 1", "Ada X-Evil: 1"),
        ("  Ada\u2028\t Larkin\0\x1b[31m ", "Ada Larkin[31m"),
        ("阿达・ラーキン 🙂", "阿达・ラーキン 🙂"),
        ("x" * 200, "x" * MAX_NAME),
        ("Ada\u202enikraL", "AdanikraL"),
        ("\ud800", ""),
    ],
)
def test_a_name_is_one_line(name: str, shown: str) -> None:
    assert one_line(name) == shown


async def test_a_pattern_finds_the_name_between_tags(pbx: Pbx) -> None:
    await pbx.customer("Larkin & <Sons>")
    answer = await pbx.ask(f"number={NUMBER}&token={SECRET}&format=xml")
    assert await answer.text() == "<result><name>Larkin &amp; &lt;Sons&gt;</name></result>"
    nobody = await pbx.ask(f"number=0&token={SECRET}&format=xml")
    assert await nobody.text() == ""


async def test_the_recorded_lookups(pbx: Pbx, shared: Path) -> None:
    """FreePBX and 3CX as they were recorded; our door has another path."""
    samples = shared / "providers" / "samples"

    async def replay(folder: str, name: str, source: str) -> aiohttp.ClientResponse:
        meta = json.loads((samples / folder / f"{name}.meta.json").read_bytes())
        query = urlsplit(meta["request"]["url"]).query
        headers = {key: value for key, value in meta["request"]["headers"].items() if key != "Host"}
        answer = await pbx.ask(query, source, **headers)
        assert answer.status == meta["expected_reply"]["status"]
        said = meta["expected_reply"]["content_type"].partition(";")[0]
        assert (answer.content_type, answer.charset) == (said, "utf-8")
        return answer

    def body(folder: str, name: str) -> bytes:
        return (samples / folder / name).read_bytes()

    nobody = await replay("freepbx", "01-cidlookup-get", "pbx")
    assert await nobody.read() == body("freepbx", "03-cidlookup-reply-none.txt") == b""
    assert nobody.headers["Content-Length"] == "0"
    none = await replay("3cx", "02-lookup-by-number", "threecx")
    assert await none.json() == json.loads(body("3cx", "04-lookup-reply-none.json"))
    ada = await pbx.customer("Ada Larkin", company="Larkin Ltd", emails=[{"address": "ada@example.com"}])
    found = await replay("freepbx", "01-cidlookup-get", "pbx")
    assert await found.read() == body("freepbx", "02-cidlookup-reply.txt")
    tagged = await pbx.ask(f"number={NUMBER}&token={SECRET}&format=xml")
    assert await tagged.read() == body("freepbx", "04-superfecta-reply.txt")
    known = await replay("3cx", "02-lookup-by-number", "threecx")
    (contact,) = (await known.json())["contacts"]
    assert contact | {"url": ""} == {
        "id": ada["number"], "first_name": "Ada", "last_name": "Larkin", "company": "Larkin Ltd", "phone": NUMBER,
        "mobile": NUMBER, "email": "ada@example.com", "url": "",
    }  # fmt: skip
    assert contact["url"].endswith(f"/customers/{ada['id']}")
    await pbx.customer("Bob Stone", company="Larkin Ltd")
    shared_line = await replay("3cx", "02-lookup-by-number", "threecx")
    (company,) = (await shared_line.json())["contacts"]
    assert (company["company"], company["id"], company["url"], company["email"]) == ("Larkin Ltd", "", "", "")


async def test_the_answer_comes_from_an_index(pbx: Pbx) -> None:
    async with pbx.api.ctx.pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL enable_seqscan = off")
        plan = await connection.fetch(f"EXPLAIN {SQL.fetch_by_number}", NUMBER, f"tel:{NUMBER}", MOST)
    text = "\n".join(row[0] for row in plan)
    assert "customer_phones_number" in text and "lessons_key" in text
    assert "Seq Scan" not in text


async def test_a_call_does_not_wait_for_a_slow_database(pbx: Pbx) -> None:
    async with pbx.api.ctx.pool.acquire() as connection, connection.transaction():
        await connection.execute("LOCK TABLE customer_phones IN ACCESS EXCLUSIVE MODE")
        async with asyncio.timeout(PATIENCE_SECONDS + 3):
            answer = await pbx.ask(f"number={NUMBER}&token={SECRET}")
    assert (answer.status, await answer.text()) == (503, "")
    assert answer.headers["Retry-After"]
    assert await pbx.name(NUMBER) == ""
