"""After a call: work first, then the next one; over when its time is, but not before what must be said is said."""

from __future__ import annotations

from typing import Any

from server.services import queues
from tests.flows.conftest import Ringpost, Socket

CODES = [{"code": "sold", "en": "Sold", "zh_CN": "已成交"}, {"code": "lost", "en": "Lost", "zh_CN": "未成交"}]
CALLER, NEXT = "447700900601", "447700900602"


async def set_up(ringpost: Ringpost, **settings: Any) -> Socket:
    """Priya sits in support, which has after-call work."""
    await ringpost.add_agent("priya", extension="101")
    found = await queues.list_queues(ringpost.ctx.pool)
    support = next(int(one["id"]) for one in found if one["name"] == "support")
    await queues.update_queue(ringpost.ctx.pool, ringpost.admin, support, settings)
    await ringpost.ctx.directory.reload()
    return await ringpost.socket("priya")


async def talk(ringpost: Ringpost, socket: Socket, call_id: str = "c1", number: str = CALLER) -> str:
    """A call that routing gives to priya, who picks it up; gives the contact's id."""
    await ringpost.cti(event="newCall", callId=call_id, from_=number)
    pop = await socket.next("screen_pop")
    await socket.send({"type": "ack", "id": pop["id"]})
    await ringpost.cti(event="answer", callId=call_id, from_=number, answeringNumber="101", user="Priya")
    return str(pop["contact"]["id"])


async def hang_up(ringpost: Ringpost, call_id: str = "c1", number: str = CALLER) -> None:
    await ringpost.cti(event="hangup", callId=call_id, from_=number, cause="normalClearing")


async def work_of(ringpost: Ringpost) -> Any:
    return await ringpost.api("GET", "/agents/me/wrap_up", "priya")


async def let_time_pass(ringpost: Ringpost, seconds: int = 2) -> None:
    """What a clock would do, without waiting for it; then the sweep that looks at it."""
    await ringpost.ctx.pool.execute(
        "UPDATE presence SET wrap_up_until = wrap_up_until - $1 * interval '1 second'", seconds
    )
    await ringpost.ctx.presence.end_wrap_ups()


async def test_the_next_call_comes_after_the_work(ringpost: Ringpost) -> None:
    priya = await set_up(ringpost, wrap_up_seconds=600, dispositions=CODES)
    first = await talk(ringpost, priya)
    assert await work_of(ringpost) is None, "not while the call is on"
    await hang_up(ringpost)
    await priya.next("presence_changed")
    work = await work_of(ringpost)
    assert (work["contact_id"], work["ani"], work["required"]) == (first, f"+{CALLER}", False)
    await ringpost.cti(event="newCall", callId="c2", from_=NEXT)
    assert await priya.quiet(), "nothing is offered meanwhile"
    (queue,) = (await ringpost.api("GET", "/queues", "priya"))["items"]
    assert (queue["waiting"], queue["agents"]["free"], queue["agents"]["wrap_up"]) == (1, 0, 1)
    done = await ringpost.api(
        "POST", f"/contacts/{first}/disposition", "priya", json={"disposition": "sold", "note": "Two of them"}
    )
    assert (done["disposition"], done["note"]) == ("sold", "Two of them")
    assert (await priya.next("screen_pop"))["contact"]["ani"] == f"+{NEXT}"
    assert await work_of(ringpost) is None
    # What the call was, is told with its times.
    told = await ringpost.api("GET", f"/contacts/{first}", "priya")
    assert [one["state"] for one in told["transitions"]] == ["ringing", "answered", "ended"]
    assert told["transitions"][1]["agent"] == "Priya"
    assert None not in (told["ring_seconds"], told["talk_seconds"], told["hold_seconds"])


async def test_the_time_is_over(ringpost: Ringpost) -> None:
    priya = await set_up(ringpost, wrap_up_seconds=1)
    first = await talk(ringpost, priya)
    await hang_up(ringpost)
    await ringpost.cti(event="newCall", callId="c2", from_=NEXT)
    await let_time_pass(ringpost)
    assert (await priya.next("screen_pop"))["contact"]["ani"] == f"+{NEXT}"
    told = await ringpost.api("GET", f"/contacts/{first}", "priya")
    assert told["wrapped_up_at"] is not None and told["disposition"] is None


async def test_what_is_required_outlasts_the_time(ringpost: Ringpost) -> None:
    priya = await set_up(ringpost, wrap_up_seconds=1, dispositions=CODES, disposition_required=True)
    first = await talk(ringpost, priya)
    await hang_up(ringpost)
    await ringpost.cti(event="newCall", callId="c2", from_=NEXT)
    await let_time_pass(ringpost)
    assert await priya.quiet(), "not before the disposition"
    refused = await ringpost.http.post(
        f"{ringpost.url}/api/v1/contacts/{first}/disposition",
        json={"disposition": None},
        headers={"Authorization": f"Bearer {ringpost.tokens['priya']}"},
    )
    assert refused.status == 422 and "disposition" in (await refused.json())["fields"]
    # Said, and nothing else: with the time over that is enough.
    said = {"disposition": "lost", "done": False}
    await ringpost.api("POST", f"/contacts/{first}/disposition", "priya", json=said)
    await let_time_pass(ringpost, 0)
    assert (await priya.next("screen_pop"))["contact"]["ani"] == f"+{NEXT}"


async def test_without_a_time_it_lasts_until_it_is_done(ringpost: Ringpost) -> None:
    priya = await set_up(ringpost, wrap_up_seconds=0, dispositions=CODES, disposition_required=True)
    first = await talk(ringpost, priya)
    await hang_up(ringpost)
    work = await work_of(ringpost)
    assert (work["until"], work["required"]) == (None, True)
    await let_time_pass(ringpost, 3600)
    assert await work_of(ringpost) is not None
    await ringpost.api("POST", f"/contacts/{first}/disposition", "priya", json={"disposition": "sold"})
    assert await work_of(ringpost) is None


async def test_a_call_that_nobody_took_is_no_work(ringpost: Ringpost) -> None:
    priya = await set_up(ringpost, wrap_up_seconds=600)
    await ringpost.cti(event="newCall", callId="c1", from_=CALLER)
    await priya.next("screen_pop")
    await ringpost.cti(event="hangup", callId="c1", from_=CALLER, cause="cancel")
    await priya.next("contact_changed")
    assert await work_of(ringpost) is None
