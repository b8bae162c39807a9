"""Customers over the API: every field, every refusal, search in any spelling."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from handlers.api.shapes import Customer, TimelineEntry
from tests.api.conftest import Api

FULL = {
    "kind": "person",
    "name": "Zoë Łukasik",
    "company": "Łódź Works",
    "language": "en",
    "time_zone": "Europe/Warsaw",
    "tier": "vip",
    "blocked": False,
    "do_not_contact": ["sms"],
    "phones": [{"number": "020 7946 0123", "label": "work", "extension": "12", "verified": True}],
    "emails": [{"address": "Zoe@Example.com", "verified": True}],
    "external_ids": {"crm": "4711"},
    "tags": ["gold", "gold", "press"],
    "fields": {"plan": "pro", "seats": 5},
    "notes": "calls\nback",
}


async def test_round_trip(api: Api) -> None:
    made = await api.call("POST", "/customers", FULL, status=201)
    Customer.model_validate(made)
    assert made["phones"][0]["number"] == "+442079460123"
    assert made["emails"][0]["address"] == "zoe@example.com"
    assert made["tags"] == ["gold", "press"]
    assert made["number"].startswith("C-")
    assert made["provisional"] is False
    assert await api.call("GET", f"/customers/{made['id']}") == made


async def test_merge_patch_and_if_match(api: Api) -> None:
    made = await api.call("POST", "/customers", FULL)
    path = f"/customers/{made['id']}"
    first = await api.raw("GET", path)
    tag = first.headers["ETag"]
    assert (await api.raw("GET", path, headers={"If-None-Match": tag})).status == 304
    patch = {"fields": {"plan": None, "city": "Łódź"}, "external_ids": {"crm": None, "erp": "9"}, "tags": []}
    changed = await api.raw(
        "PATCH", path, json=patch, headers={"If-Match": tag, "Content-Type": "application/merge-patch+json"}
    )
    assert changed.status == 200
    record = await changed.json()
    assert record["fields"] == {"seats": 5, "city": "Łódź"}
    assert record["external_ids"] == {"erp": "9"}
    assert record["tags"] == []
    assert record["phones"] == made["phones"]
    stale = await api.raw("PATCH", path, json={"notes": "late"}, headers={"If-Match": tag})
    assert stale.status == 412
    foreign = await api.raw("PATCH", path, json={"notes": "late"}, headers={"If-Match": '"abc"'})
    assert foreign.status == 412
    assert (await api.raw("PATCH", path, json={"notes": "x"}, headers={"If-Match": "*"})).status == 200
    # Nothing changes, nothing is written: the same version.
    before = await api.call("GET", path)
    assert await api.call("PATCH", path, {"notes": "x"}) == before


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "name"),
    ({"name": "a\u0000b"}, "name"),
    ({"name": "a\ud800b"}, "name"),
    ({"name": "x" * 201}, "name"),
    ({"name": 5}, "name"),
    ({"nam": "x"}, "nam"),
    ({"id": "5"}, "id"),
    ({"kind": "alien"}, "kind"),
    ({"blocked": "yes"}, "blocked"),
    ({"blocked": 1}, "blocked"),
    ({"phones": [{"number": "12"}]}, "phones.0.number"),
    ({"phones": [{"nummer": "12"}]}, "phones.0.nummer"),
    ({"phones": "x"}, "phones"),
    ({"emails": [{"address": "nobody"}]}, "emails.0.address"),
    ({"do_not_contact": ["fax"]}, "do_not_contact.0"),
    ({"time_zone": "Mars/Olympus"}, "time_zone"),
    ({"time_zone": "../../etc/passwd"}, "time_zone"),
    ({"owner_agent_id": "99"}, "owner_agent_id"),
    ({"owner_agent_id": "9" * 30}, "owner_agent_id"),
    ({"fields": {"a": "\u0000"}}, "fields"),
    ({"fields": {"a\u0000": 1}}, "fields"),
    ({"fields": {"a": {"b": ["\udfff"]}}}, "fields"),
    ({"external_ids": {"a:b": "1"}}, "external_ids"),
    ({"tags": ["x" * 61]}, "tags"),
]


async def test_what_is_wrong_is_named(api: Api) -> None:
    made = await api.call("POST", "/customers", {"name": "A"})
    for change, field in WRONG:
        refused = await api.call("POST", "/customers", {"name": "A"} | change, status=422)
        assert field in refused["fields"], refused
        refused = await api.call("PATCH", f"/customers/{made['id']}", change, status=422)
        assert field in refused["fields"], refused
    assert await api.call("GET", f"/customers/{made['id']}") == made


async def test_search_in_any_spelling(api: Api) -> None:
    made = await api.call("POST", "/customers", FULL)
    wang = await api.call(
        "POST", "/customers", {"name": "王小明", "phones": [{"number": "+86 138 0013 8000"}]}
    )

    async def found(**query: str) -> list[str]:
        answer = await api.raw("GET", "/customers", params=query)
        assert answer.status == 200, await answer.text()
        return [one["id"] for one in (await answer.json())["items"]]

    for phone in ("+442079460123", "020 7946 0123", "0044 20 7946-0123", "(020) 79460123"):
        assert await found(phone=phone) == [made["id"]], phone
        assert await found(q=phone) == [made["id"]], phone
    assert await found(phone="+442079460199") == []
    assert await found(q="020 7946") == [made["id"]]
    assert await found(email="ZOE@example.com") == [made["id"]]
    assert await found(external_id="crm:4711") == [made["id"]]
    assert await found(external_id="crm:4712") == []
    for q in ("zoe", "lukasik zoe", "ZOË", "lodz", "zoe@example.com", "zoe@ex", made["number"].lower()):
        assert await found(q=q) == [made["id"]], q
    assert await found(q="小明") == [wang["id"]]
    assert await found(q="13800138000") == [wang["id"]]  # a national number of another country
    assert await found(q="8613800138000") == [wang["id"]]
    assert await found(q="100% _") == []
    assert await found(tag="gold", tier="vip") == [made["id"]]


async def test_pages_newest_first(api: Api) -> None:
    ids = [(await api.call("POST", "/customers", {"name": f"N {n}"}))["id"] for n in range(5)]
    seen: list[str] = []
    path = "/customers?limit=2"
    while True:
        page = await api.call("GET", path)
        seen += [one["id"] for one in page["items"]]
        if page["next"] is None:
            break
        path = f"/customers?limit=2&cursor={page['next']}"
    assert seen == sorted(ids, key=int, reverse=True)


QUERIES = [
        "limit=201", "limit=0", "limit=x", "cursor=x", "cursor=WyJhIl0", "q=a&q=b", "nope=1", "q=%00",
        "phone=hello", "email=x", "external_id=x", "owner_agent_id=x", "provisional=maybe", "tag=%ED%A0%80%00",
]  # fmt: skip


async def test_wrong_queries(api: Api) -> None:
    for query in QUERIES:
        refused = await api.call("GET", f"/customers?{query}", status=422)
        assert refused["fields"], query


async def test_external_ids_are_unique_until_deleted(api: Api) -> None:
    made = await api.call("POST", "/customers", FULL)
    refused = await api.call("POST", "/customers", FULL, status=409)
    assert "external_ids" in refused["fields"]
    other = await api.call("POST", "/customers", {"name": "B"})
    await api.call("PATCH", f"/customers/{other['id']}", {"external_ids": {"crm": "4711"}}, status=409)
    await api.call("DELETE", f"/customers/{made['id']}", status=204)
    for method in ("GET", "DELETE"):
        await api.call(method, f"/customers/{made['id']}", status=404)
    assert (await api.call("GET", "/customers?phone=02079460123"))["items"] == []
    await api.call("POST", "/customers", FULL, status=201)


async def test_ids_that_are_none_lead_nowhere(api: Api) -> None:
    for wrong in ("abc", "0", "-1", "9" * 20, "1.5", "%00", "\u0661"):
        for path in (
            f"/customers/{wrong}",
            f"/tickets/{wrong}",
            f"/contacts/{wrong}/customer",
            f"/agents/{wrong}",
        ):
            method = "POST" if path.endswith("customer") else "GET"
            body = {"customer_id": "1"} if method == "POST" else None
            await api.call(method, path, body, status=404)


async def test_timeline(api: Api) -> None:
    made = await api.call("POST", "/customers", FULL)
    path = f"/customers/{made['id']}"
    await api.call("PATCH", path, {"notes": "new"})
    ticket = await api.call("POST", "/tickets", {"subject": "Help", "customer_id": made["id"]})
    await api.call("POST", f"/tickets/{ticket['id']}/messages", {"kind": "note", "body": "checked"})
    told = (await api.call("GET", f"{path}/timeline"))["items"]
    for entry in told:
        TimelineEntry.model_validate(entry)
    assert [one["type"] for one in told] == ["message", "ticket", "change", "change"]
    assert told[2]["data"]["notes"] == ["calls\nback", "new"]
    seen, page = [], await api.call("GET", f"{path}/timeline?limit=1")
    while True:
        seen += page["items"]
        if page["next"] is None:
            break
        page = await api.call("GET", f"{path}/timeline?limit=1&cursor={page['next']}")
    assert seen == told


async def test_a_national_spelling_of_any_country_is_found(api: Api) -> None:
    person = {"name": "朱诗涵", "phones": [{"number": "+86 21 5555 0212"}]}
    made = await api.call("POST", "/customers", person, status=201)
    for typed in ("021 5555 0212", "02155550212", "5555 0212", "0086 21 5555 0212", "+862155550212"):
        found = await api.call("GET", f"/customers?q={quote(typed)}")
        assert [one["id"] for one in found["items"]] == [made["id"]], typed
