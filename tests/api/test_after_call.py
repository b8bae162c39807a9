"""After-call work over the API: what is to be finished, by whom, and what a queue's settings may be."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import TypeAdapter

from handlers.api.shapes import ContactInFull, Queue, WrapUpOrNull
from server.domain.call import Call, apply_event, facts_of
from server.domain.event import CallEvent, Direction, EventType
from server.services import after_call
from server.store.pool import Pool
from tests.api.conftest import Api
from tests.api.test_contacts import NUMBER, touch

CODES = [
    {"code": "sold", "en": "Sold", "zh_CN": "已成交"},
    {"code": "lost", "en": "Lost", "zh_CN": "未成交"},
]
BASE = datetime(2026, 11, 16, 9, 15, tzinfo=UTC)


async def queue_with(api: Api, **settings: Any) -> dict[str, Any]:
    listed = (await api.call("GET", "/queues"))["items"]
    queue_id = next(one["id"] for one in listed if one["name"] == "support")
    return dict(await api.call("PATCH", f"/queues/{queue_id}", settings, "administrator"))


async def ended_call(api: Api, queue_id: str, **columns: Any) -> int:
    now = datetime.now(UTC)
    ended = {"state": "ended", "answered_at": now, "ended_at": now} | columns
    return await touch(api, queue_id=int(queue_id), agent_id=api.actors["agent"].agent_id, **ended)


async def wrap_up(pool: Pool, agent_id: int, contact_id: int, seconds: float | None = 60) -> None:
    """The agent has after-call work of the contact, as intake sets it."""
    until = datetime.now(UTC) + timedelta(seconds=seconds) if seconds is not None else None
    await pool.execute(
        "INSERT INTO presence (agent_id, state, since, idle_since, wrap_up_contact_id, wrap_up_until) "
        "VALUES ($1, 'available', now(), now(), $2, $3) ON CONFLICT (agent_id) DO UPDATE "
        "SET wrap_up_contact_id = excluded.wrap_up_contact_id, wrap_up_until = excluded.wrap_up_until",
        agent_id,
        contact_id,
        until,
    )


async def work_of(api: Api, role: str = "agent") -> Any:
    work = await api.call("GET", "/agents/me/wrap_up", role=role)
    WrapUpOrNull.model_validate(work)
    return work


async def test_null_without_any(api: Api) -> None:
    assert await work_of(api) is None


async def test_finished_with_a_code(api: Api) -> None:
    queue = await queue_with(api, wrap_up_seconds=60, dispositions=CODES, disposition_required=True)
    customer = await api.call("POST", "/customers", {"name": "Ann"})
    contact = await ended_call(api, queue["id"], customer_id=int(customer["id"]))
    me = api.actors["agent"].agent_id
    await wrap_up(api.ctx.pool, me, contact)
    work = await work_of(api)
    assert (work["contact_id"], work["customer_name"], work["ani"]) == (str(contact), "Ann", NUMBER)
    assert (work["dispositions"], work["required"], work["disposition"]) == (CODES, True, None)
    assert work["until"].endswith("Z")
    figures = (await api.call("GET", f"/queues/{queue['id']}"))["agents"]
    assert (figures["free"], figures["wrap_up"]) == (0, 1)
    path = f"/contacts/{contact}/disposition"
    for said in (None, "gone", ""):
        refused = await api.call("POST", path, {"disposition": said}, status=422)
        assert list(refused["fields"]) == ["disposition"]
    # Kept as far as it is: the work goes on.
    await api.call("POST", path, {"disposition": "lost", "note": "Line one\nline two", "done": False})
    work = await work_of(api)
    assert (work["disposition"], work["note"]) == ("lost", "Line one\nline two")
    done = await api.call("POST", path, {"disposition": "sold"})
    assert (done["disposition"], done["note"]) == ("sold", "Line one\nline two")
    assert done["wrapped_up_at"] is not None
    assert await work_of(api) is None
    assert (await api.call("GET", f"/queues/{queue['id']}"))["agents"]["free"] == 1
    # Later it may be set right all the same.
    assert (await api.call("POST", path, {"disposition": "lost"}))["disposition"] == "lost"


async def test_another_agents_work_is_theirs(api: Api) -> None:
    queue = await queue_with(api, wrap_up_seconds=60)
    contact = await ended_call(api, queue["id"])
    await wrap_up(api.ctx.pool, api.actors["supervisor"].agent_id, contact)
    path = f"/contacts/{contact}/disposition"
    await api.call("POST", path, {"disposition": "in words"}, status=403)
    assert await work_of(api, "supervisor") is not None
    await wrap_up(api.ctx.pool, api.actors["agent"].agent_id, contact)
    await api.ctx.pool.execute(
        "UPDATE presence SET wrap_up_contact_id = NULL WHERE agent_id = $1", api.actors["supervisor"].agent_id
    )
    # A supervisor may end it for the agent; a queue without codes takes words.
    await api.call("POST", path, {"disposition": "in words"}, "supervisor")
    assert await work_of(api) is None


async def test_a_state_of_ones_own_ends_it_when_nothing_lacks(api: Api) -> None:
    queue = await queue_with(api, wrap_up_seconds=60, dispositions=CODES, disposition_required=True)
    contact = await ended_call(api, queue["id"])
    ctx, actor = api.ctx, api.actors["agent"]
    await wrap_up(ctx.pool, actor.agent_id, contact)
    waiting = await touch(api, queue_id=int(queue["id"]), state="ringing")

    async def say(state: str) -> None:
        await after_call.set_own_state(ctx.pool, ctx.hub, ctx.presence, actor, state, "lunch")

    with pytest.raises(Exception, match="say what came of it: sold, lost"):
        await say("not_ready")
    assert await ctx.pool.fetchval("SELECT state FROM presence") == "available"
    assert await work_of(api) is not None
    await api.call("POST", f"/contacts/{contact}/disposition", {"disposition": "sold", "done": False})
    await say("not_ready")
    assert await work_of(api) is None
    # Who goes to lunch is not offered what waits on the way out.
    assert (await api.call("GET", f"/contacts/{waiting}"))["agent_id"] is None
    await say("available")
    assert (await api.call("GET", f"/contacts/{waiting}"))["agent_id"] == str(actor.agent_id)


async def test_the_course_of_a_call(api: Api) -> None:
    call = Call("k1")
    me = api.actors["agent"]
    for seconds, kind, more in (
        (0, EventType.RINGING, {}),
        (4, EventType.ANSWERED, {"agent_refs": (f"agent:{me.agent_id}",)}),
        (10, EventType.HELD, {}),
        (15, EventType.UNHELD, {}),
        (16, EventType.TRANSFERRED, {"agent_refs": ("sip:other@pbx",)}),
        (30, EventType.HANGUP, {"ends_call": True}),
    ):
        event = CallEvent(
            type=kind, call_key="k1", leg_key="k1", event_key=f"k1:{seconds}", direction=Direction.INBOUND,
            occurred_at=BASE + timedelta(seconds=seconds), sequence=seconds, **more,
        )  # fmt: skip
        call = apply_event(call, event, BASE)
    await api.ctx.directory.reload()
    contact = await touch(api, call_key="k1", legs=json.dumps(facts_of(call)), stir="A", hold_seconds=5)
    told = await api.call("GET", f"/contacts/{contact}")
    ContactInFull.model_validate(told)
    course = [(one["state"], one["at"][17:19], one["agent"]) for one in told["transitions"]]
    assert course == [
        ("ringing", "00", None), ("answered", "04", "Agent"), ("held", "10", "Agent"),
        ("answered", "15", "Agent"), ("transferred", "16", "sip:other@pbx"), ("ended", "30", "Agent"),
    ]  # fmt: skip
    assert told["transitions"][1]["agent_id"] == str(me.agent_id)
    assert (told["stir"], told["hold_seconds"]) == ("A", 5)
    mail = await touch(api, channel="email", state="answered")
    assert (await api.call("GET", f"/contacts/{mail}"))["transitions"] == []


async def test_settings_of_a_queue(api: Api) -> None:
    told = await queue_with(
        api,
        skills={"french": 2},
        dispositions=CODES,
        hours={"mon": [["09:00", "12:00"], ["13:00", "17:30"]]},
        holidays=["2026-12-25"],
        time_zone="Asia/Shanghai",
        overflow_after_seconds=60,
        overflow_queue="售后",
        callback_due_seconds=900,
    )
    TypeAdapter(Queue).validate_python(told)
    assert told["overflow_queue"] == "售后" and told["dispositions"] == CODES
    path = f"/queues/{told['id']}"
    for field, wrong in (
        ("skills", {"french": 11}),
        ("dispositions", [{"code": "a"}, {"code": "a"}]),
        ("hours", {"mon": [["17:00", "09:00"]]}),
        ("holidays", ["2026-13-01"]),
        ("time_zone", "Mars/Olympus"),
        ("overflow_queue", "support"),
        ("wrap_up_seconds", 3601),
    ):
        refused = await api.call("PATCH", path, {field: wrong}, "administrator", status=422)
        assert next(iter(refused["fields"])).startswith(field), (field, refused["fields"])
    await api.call("PATCH", path, {"skills": {}}, "agent", status=403)
