"""From a webhook to a socket: matched, ticketed, popped to the right agent, once."""

from __future__ import annotations

import asyncio
import random

from tests.flows.conftest import Ringpost


async def customer(ringpost: Ringpost, number: str, name: str = "Mary Shaw", **more: object) -> str:
    made = await ringpost.api(
        "POST", "/customers", "boss", json={"name": name, "phones": [{"number": number}], **more}
    )
    return str(made["id"])


async def test_a_call_pops_to_the_agent_that_it_names(ringpost: Ringpost) -> None:
    await ringpost.add_agent("priya", extension="101")
    await ringpost.add_agent("tomasz", extension="102")
    await ringpost.add_agent("boss", queue=None, role="administrator")
    who = await customer(ringpost, "+447700900123")
    priya, tomasz = await ringpost.socket("priya"), await ringpost.socket("tomasz")
    answer = await ringpost.cti(event="newCall", callId="c1", from_="447700900123", user="101")
    assert (answer.status, await answer.json()) == (200, {})
    pop = await priya.next("screen_pop")
    assert pop["reason"] == "ringing" and pop["match"] == "matched"
    assert pop["customer"]["id"] == who and pop["customer"]["name"] == "Mary Shaw"
    assert pop["contact"]["state"] == "ringing" and pop["contact"]["ani"] == "+447700900123"
    assert pop["ticket"]["number"].startswith("RP-") and pop["ticket"]["continued"] is False
    assert await tomasz.quiet(), "a pop of another agent is never sent"
    await priya.send({"type": "ack", "id": pop["id"]})
    await ringpost.cti(event="answer", callId="c1", from_="447700900123", answeringNumber="101", user="Priya")
    await priya.next("contact_changed")
    contact = await ringpost.api("GET", f"/contacts/{pop['contact']['id']}", "priya")
    assert contact["state"] == "answered" and contact["customer_id"] == who
    await ringpost.cti(event="hangup", callId="c1", from_="447700900123", cause="normalClearing")
    contact = await ringpost.api("GET", f"/contacts/{pop['contact']['id']}", "priya")
    assert contact["state"] == "ended" and contact["hangup_cause"] == "normalClearing"


async def test_twice_late_and_out_of_order(ringpost: Ringpost) -> None:
    await ringpost.add_agent("priya", extension="101")
    events = [
        {"event": "newCall", "callId": "x1", "from_": "447700900200", "user": "101"},
        {"event": "answer", "callId": "x1", "from_": "447700900200", "answeringNumber": "101"},
        {"event": "hangup", "callId": "x1", "from_": "447700900200", "cause": "normalClearing"},
    ] * 3
    random.Random(7).shuffle(events)
    answers = await asyncio.gather(*[ringpost.cti(**event) for event in events])
    assert {answer.status for answer in answers} == {200}
    listed = await ringpost.api("GET", "/contacts", "priya")
    assert len(listed["items"]) == 1 and listed["items"][0]["state"] == "ended"
    assert await ringpost.count("tickets") == 1 and await ringpost.count("customers") == 1
    assert await ringpost.count("inbound_events") == 3


async def test_a_finished_call_never_goes_back(ringpost: Ringpost) -> None:
    await ringpost.add_agent("priya", extension="101")
    await ringpost.cti(event="hangup", callId="late", from_="447700900201", cause="noAnswer")
    await ringpost.cti(event="newCall", callId="late", from_="447700900201", user="101")
    listed = await ringpost.api("GET", "/contacts", "priya")
    assert [item["state"] for item in listed["items"]] == ["missed"]
    assert await ringpost.count("pops") == 0


async def test_withheld_numbers_create_no_customer(ringpost: Ringpost) -> None:
    await ringpost.add_agent("priya", extension="101")
    priya = await ringpost.socket("priya")
    for number in ("anonymous", "", "+266696687", "Restricted"):
        await ringpost.cti(event="newCall", callId=f"w-{number}", from_=number, user="101")
        pop = await priya.next("screen_pop")
        assert pop["match"] == "unknown" and pop["customer"] is None and pop["contact"]["ani"] is None
    assert await ringpost.count("customers") == 0


async def test_unknown_number_gives_one_provisional_customer_and_continues(ringpost: Ringpost) -> None:
    await ringpost.add_agent("priya", extension="101")
    priya = await ringpost.socket("priya")
    await asyncio.gather(
        *[ringpost.cti(event="newCall", callId=f"u{n}", from_="447700900300", user="101") for n in range(6)]
    )
    pops = [await priya.next("screen_pop") for _ in range(6)]
    assert {pop["match"] for pop in pops} == {"unknown"}
    assert len({pop["customer"]["id"] for pop in pops}) == 1 and pops[0]["customer"]["provisional"]
    assert len({pop["ticket"]["id"] for pop in pops}) == 1
    assert sorted(pop["ticket"]["continued"] for pop in pops) == [False] + [True] * 5
    assert await ringpost.count("customers") == 1 and await ringpost.count("tickets") == 1


async def test_several_candidates_are_shown_and_a_click_teaches(ringpost: Ringpost) -> None:
    await ringpost.add_agent("priya", extension="101")
    await ringpost.add_agent("boss", queue=None, role="administrator")
    first = await customer(ringpost, "+447700900400", "Ann Lee")
    second = await customer(ringpost, "+447700900400", "Bob Lee")
    priya = await ringpost.socket("priya")
    await ringpost.cti(event="newCall", callId="m1", from_="447700900400", user="101")
    pop = await priya.next("screen_pop")
    assert pop["match"] == "ambiguous" and pop["customer"] is None
    assert {one["customer_id"] for one in pop["candidates"]} == {first, second}
    assert all(one["score"] > 0 and one["reason"] for one in pop["candidates"])
    await ringpost.api(
        "POST", f"/contacts/{pop['contact']['id']}/customer", "priya", json={"customer_id": second}
    )
    contact = await ringpost.api("GET", f"/contacts/{pop['contact']['id']}", "priya")
    assert contact["customer_id"] == second and contact["match"] == "matched"
    await ringpost.cti(event="hangup", callId="m1", from_="447700900400", cause="normalClearing")
    await ringpost.cti(event="newCall", callId="m2", from_="447700900400", user="101")
    pop = await priya.next("screen_pop")
    assert pop["match"] == "matched" and pop["customer"]["id"] == second


async def test_routing_picks_one_and_the_others_wait_for_the_next(ringpost: Ringpost) -> None:
    await ringpost.add_agent("priya", extension="101")
    priya = await ringpost.socket("priya")
    await ringpost.cti(event="newCall", callId="q1", from_="447700900501")
    first = await priya.next("screen_pop")
    assert first["contact"]["queue"] == "support"
    await ringpost.cti(event="newCall", callId="q2", from_="447700900502")
    assert await priya.quiet(), "a voice call blocks another"
    await ringpost.cti(event="hangup", callId="q1", from_="447700900501", cause="normalClearing")
    second = await priya.next("screen_pop")
    assert second["contact"]["linkedid"] == "q2"


async def test_nobody_available_waits_for_whoever_connects(ringpost: Ringpost) -> None:
    await ringpost.add_agent("priya", extension="101")
    await ringpost.cti(event="newCall", callId="n1", from_="447700900600")
    assert await ringpost.count("pops") == 0
    priya = await ringpost.stack.enter_async_context(await_socket(ringpost, "priya"))
    frames = [frame async for frame in take(priya, 2)]
    assert {frame["type"] for frame in frames} >= {"hello"}
    async with asyncio.timeout(5):
        while await ringpost.count("pops") == 0:
            await asyncio.sleep(0)


def await_socket(ringpost: Ringpost, name: str):  # type: ignore[no-untyped-def]
    from websockets.asyncio.client import connect

    url = f"ws://127.0.0.1:{ringpost.ctx.addresses['ws_port']}/agent"
    return connect(url, additional_headers={"Authorization": f"Bearer {ringpost.tokens[name]}"})


async def take(connection, count: int):  # type: ignore[no-untyped-def]
    import json

    for _ in range(count):
        yield json.loads(await asyncio.wait_for(connection.recv(), 5))


async def test_group_ringing_pops_to_everybody_available(ringpost: Ringpost) -> None:
    for name in ("ann", "ben", "cat"):
        await ringpost.add_agent(name)
    sockets = [await ringpost.socket(name) for name in ("ann", "ben")]
    cat = await ringpost.socket("cat")
    await cat.send({"type": "state", "state": "not_ready", "reason": "lunch"})
    await cat.next("state")
    await ringpost.cti("group", event="newCall", callId="g1", from_="447700900700")
    for socket in sockets:
        assert (await socket.next("screen_pop"))["contact"]["linkedid"] == "g1"
    assert await cat.quiet()


async def test_refusals(ringpost: Ringpost) -> None:
    async def status(source: str = "pbx", data: bytes = b"{}", **headers: str) -> int:
        answer = await ringpost.http.post(f"{ringpost.url}/hooks/calls/{source}", data=data, headers=headers)
        if answer.status >= 400:
            assert answer.content_type == "application/problem+json"
        return answer.status

    bearer = {"Authorization": "Bearer flow-cti-secret", "Content-Type": "application/json"}
    assert await status("nowhere", **bearer) == 404
    assert await status() == 401
    assert await status(**{**bearer, "Authorization": "Bearer wrong"}) == 401
    assert await status(data=b"{nonsense", **bearer) == 400
    assert await status(data=b'{"event":"newCall","callId":"b","direction":"sideways"}', **bearer) == 422
    assert await status(data=b" " * 1_100_000, **bearer) == 413
    assert await status("main", data=b"CallSid=CA1&CallStatus=ringing") == 403
    assert await ringpost.count("contacts") == 0 and await ringpost.count("tickets") == 0
    kept = await ringpost.ctx.pool.fetch("SELECT reason, raw FROM quarantine ORDER BY id")
    assert [bytes(row["raw"]) for row in kept][:1] == [b"{nonsense"] and len(kept) == 2
    old = await ringpost.cti(event="newCall", callId="o", from_="447700900800", secret="the-old-one")
    assert old.status == 200


async def test_who_calls_may_be_said_after_the_rest(ringpost: Ringpost) -> None:
    """An answer without a number first, then the ringing event that has it: the customer is known."""
    await ringpost.add_agent("priya", extension="101")
    await ringpost.add_agent("boss", queue=None, role="administrator")
    who = await customer(ringpost, "+447700900850")
    await ringpost.cti(event="answer", callId="l1", answeringNumber="101")
    await ringpost.cti(event="newCall", callId="l1", from_="447700900850", user="101")
    contact = (await ringpost.api("GET", "/contacts", "priya"))["items"][0]
    assert (contact["state"], contact["ani"], contact["customer_id"]) == ("answered", "+447700900850", who)
    ticket = await ringpost.api("GET", f"/tickets/{contact['ticket_id']}", "priya")
    assert ticket["customer_id"] == who


async def test_an_address_that_leads_nowhere(ringpost: Ringpost) -> None:
    async with ringpost.http.get(f"{ringpost.url}/nowhere", headers={"Accept": "text/html"}) as answer:
        assert (answer.status, answer.content_type) == (404, "text/html")
    async with ringpost.http.get(f"{ringpost.url}/api/v1/nowhere", headers={"Accept": "text/html"}) as answer:
        assert (answer.status, answer.content_type) == (404, "application/problem+json")
