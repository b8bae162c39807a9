"""Who it was: what an agent says about a contact changes it, and what is known the next time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from handlers.api.shapes import Contact, Lesson, TaughtContact
from server.store.intake import insert_provisional
from tests.api.conftest import Api

NUMBER = "+442079460123"


async def provisional(api: Api, name: str = "+44 20 7946 0123", phone: str = NUMBER, mail: str = "") -> int:
    made = int(await api.ctx.pool.fetchval("SELECT nextval('object_id')"))
    await insert_provisional(api.ctx.pool, [(made, name, "", name, datetime.now(UTC), phone, mail, mail)])  # type: ignore[arg-type]
    return made


async def touch(api: Api, **columns: Any) -> int:
    row = {
        "channel": "call", "direction": "inbound", "source": "pbx", "state": "answered", "ani": NUMBER,
        "started_at": datetime.now(UTC), "match": "unknown",
    } | columns  # fmt: skip
    row.setdefault("call_key", str(await api.ctx.pool.fetchval("SELECT nextval('object_id')")))
    names = ", ".join(row)
    places = ", ".join(f"${n}" for n in range(1, len(row) + 1))
    statement = f"INSERT INTO contacts ({names}) VALUES ({places}) RETURNING id"
    return int(await api.ctx.pool.fetchval(statement, *row.values()))


async def test_this_is_the_caller(api: Api) -> None:
    real = await api.call("POST", "/customers", {"name": "Ann"})
    guess = await provisional(api)
    ticket = await api.call("POST", "/tickets", {"subject": "call", "customer_id": str(guess)})
    missed = await touch(api, customer_id=guess, state="missed")
    contact = await touch(api, customer_id=guess, ticket_id=int(ticket["id"]))
    taught = await api.call("POST", f"/contacts/{contact}/customer", {"customer_id": real["id"]})
    TaughtContact.model_validate(taught)
    assert (taught["customer_id"], taught["match"], taught["customer_name"]) == (real["id"], "matched", "Ann")
    known = await api.call("GET", f"/customers/{real['id']}")
    assert [phone["number"] for phone in known["phones"]] == [NUMBER]
    assert known["version"] > real["version"]
    assert (await api.call("GET", f"/tickets/{ticket['id']}"))["customer_id"] == real["id"]
    # The provisional customer was nothing but this number: it leads to the real one now, and its calls too.
    assert (await api.call("GET", f"/customers/{guess}"))["id"] == real["id"]
    assert (await api.call("GET", f"/contacts/{missed}"))["customer_id"] == real["id"]
    lessons = (await api.call("GET", f"/customers/{real['id']}/lessons"))["items"]
    Lesson.model_validate(lessons[0])
    assert [(one["key"], one["verdict"]) for one in lessons] == [(f"tel:{NUMBER}", "is")]
    await api.call("POST", f"/lessons/{lessons[0]['id']}/undo")
    await api.call("POST", f"/lessons/{lessons[0]['id']}/undo", status=404)
    assert (await api.call("GET", f"/customers/{real['id']}/lessons"))["items"] == []
    told = {
        one["action"]
        for one in (await api.call("GET", f"/customers/{real['id']}/timeline"))["items"]
        if one["type"] == "change"
    }
    assert {"customer.learn", "customer.merge", "lesson.undo"} <= told


async def test_a_provisional_customer_that_is_more_stays(api: Api) -> None:
    real = await api.call("POST", "/customers", {"name": "Ann"})
    guess = await provisional(api)
    await api.call("PATCH", f"/customers/{guess}", {"name": "Bob of the workshop"})
    contact = await touch(api, customer_id=guess)
    await api.call("POST", f"/contacts/{contact}/customer", {"customer_id": real["id"]})
    assert (await api.call("GET", f"/customers/{guess}"))["name"] == "Bob of the workshop"


async def test_a_confirmed_customers_ticket_stays(api: Api) -> None:
    ann = await api.call("POST", "/customers", {"name": "Ann"})
    bob = await api.call("POST", "/customers", {"name": "Bob"})
    ticket = await api.call("POST", "/tickets", {"subject": "x", "customer_id": ann["id"]})
    contact = await touch(api, customer_id=int(ann["id"]), ticket_id=int(ticket["id"]))
    await api.call("POST", f"/contacts/{contact}/customer", {"customer_id": bob["id"]})
    assert (await api.call("GET", f"/tickets/{ticket['id']}"))["customer_id"] == ann["id"]
    assert (await api.call("GET", f"/customers/{ann['id']}"))["id"] == ann["id"]


async def test_withheld_teaches_nothing(api: Api) -> None:
    real = await api.call("POST", "/customers", {"name": "Ann"})
    contact = await touch(api, ani=None, withheld=True)
    taught = await api.call("POST", f"/contacts/{contact}/customer", {"customer_id": real["id"]})
    assert (taught["customer_id"], taught["lesson_ids"]) == (real["id"], [])
    assert (await api.call("GET", f"/customers/{real['id']}"))["phones"] == []


async def test_mail_teaches_the_address(api: Api) -> None:
    real = await api.call("POST", "/customers", {"name": "Ann"})
    guess = await provisional(api, "ann", "", "ann@example.com")
    contact = await touch(api, channel="email", ani=None, ani_raw="Ann+news@Example.com", customer_id=guess)
    await api.call("POST", f"/contacts/{contact}/customer", {"customer_id": real["id"]})
    known = await api.call("GET", f"/customers/{real['id']}")
    assert known["emails"] == [{"address": "ann+news@example.com", "verified": False}]
    lessons = (await api.call("GET", f"/customers/{real['id']}/lessons"))["items"]
    assert lessons[0]["key"] == "mail:ann@example.com"
    assert (await api.call("GET", f"/customers/{guess}"))["id"] == real["id"]


async def test_never_this_one(api: Api) -> None:
    ann = await api.call("POST", "/customers", {"name": "Ann", "phones": [{"number": NUMBER}]})
    ticket = await api.call("POST", "/tickets", {"subject": "x", "customer_id": ann["id"]})
    contact = await touch(
        api, customer_id=int(ann["id"]), ticket_id=int(ticket["id"]), match="matched",
        candidates=f'[{{"customer_id": "{ann["id"]}", "name": "Ann", "score": 0.9, "reason": "phone"}}]',
    )  # fmt: skip
    refused = await api.call("POST", f"/contacts/{contact}/refuse", {"customer_id": ann["id"]})
    assert (refused["customer_id"], refused["match"], refused["candidates"]) == (None, "unknown", [])
    assert (await api.call("GET", f"/tickets/{ticket['id']}"))["customer_id"] is None
    lessons = (await api.call("GET", f"/customers/{ann['id']}/lessons"))["items"]
    assert [one["verdict"] for one in lessons] == ["never"]
    # The newest word counts.
    await api.call("POST", f"/contacts/{contact}/customer", {"customer_id": ann["id"]})
    lessons = (await api.call("GET", f"/customers/{ann['id']}/lessons"))["items"]
    assert [one["verdict"] for one in lessons] == ["is"]


async def test_what_is_wrong_is_named(api: Api) -> None:
    contact = await touch(api)
    for body in ({"customer_id": "999999"}, {"customer_id": 5}, {"customer_id": "x"}, {}):
        refused = await api.call("POST", f"/contacts/{contact}/customer", body, status=422)
        assert "customer_id" in refused["fields"]
    await api.call("POST", "/contacts/999999/customer", {"customer_id": "1"}, status=404)


async def test_disposition_and_ticket(api: Api) -> None:
    contact = await touch(api)
    said = await api.call("POST", f"/contacts/{contact}/disposition", {"disposition": "sold"})
    Contact.model_validate(said)
    assert said["disposition"] == "sold"
    ticket = await api.call("POST", "/tickets", {"subject": "x"})
    moved = await api.call("PATCH", f"/contacts/{contact}", {"ticket_id": ticket["id"], "disposition": None})
    assert (moved["ticket_id"], moved["disposition"]) == (ticket["id"], None)
    stale = await api.raw(
        "PATCH", f"/contacts/{contact}", json={"disposition": "x"}, headers={"If-Match": '"1"'}
    )
    assert stale.status == 412
    for body in (
        {"ticket_id": "99999"},
        {"state": "ended"},
        {"disposition": "x" * 101},
        {"disposition": "\u0000"},
    ):
        await api.call("PATCH", f"/contacts/{contact}", body, status=422)


async def test_lists_by_every_filter(api: Api) -> None:
    ann = await api.call("POST", "/customers", {"name": "Ann"})
    me = api.actors["agent"].agent_id
    live = await touch(api, customer_id=int(ann["id"]), agent_id=me, dnis="+442079460999", call_key="K1")
    waiting = await touch(api, state="ringing", ani="+4915112345678", match="ambiguous")
    mail = await touch(
        api, channel="email", source="mail", state="ended", ended_at=datetime.now(UTC), ani=None
    )

    async def found(query: str) -> list[int]:
        return [int(one["id"]) for one in (await api.call("GET", f"/contacts?{query}"))["items"]]

    for query, expected in (
        ("", [mail, waiting, live]), ("channel=call", [waiting, live]), ("state=ended", [mail]),
        ("state=ended,ringing", [mail, waiting]), (f"customer_id={ann['id']}", [live]), ("agent_id=me", [live]),
        ("source=mail", [mail]), ("linkedid=K1", [live]), ("waiting=true", [waiting]), ("live=true", [waiting, live]),
        ("dnis=%2B442079460999", [live]), ("ani=%2B4915112345678", [waiting]), ("match=ambiguous", [waiting]),
        ("direction=outbound", []), ("started_before=2020-01-01T00:00:00Z", []), ("queue=support", []),
        ("ticket_id=1", []), (f"id={live}", [live]),
    ):  # fmt: skip
        assert await found(query) == expected, query
    page = await api.call("GET", "/contacts?limit=2")
    assert [
        int(one["id"]) for one in (await api.call("GET", f"/contacts?cursor={page['next']}"))["items"]
    ] == [live]


async def test_confirm_a_provisional_customer(api: Api) -> None:
    guess = await provisional(api)
    confirmed = await api.call("POST", f"/customers/{guess}/confirm", {"name": "Carl", "tier": "vip"})
    assert (confirmed["provisional"], confirmed["name"], confirmed["tier"]) == (False, "Carl", "vip")
    assert [one["number"] for one in confirmed["phones"]] == [NUMBER]
