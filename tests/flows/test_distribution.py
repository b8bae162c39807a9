"""Distribution under any order of events, also at once: nobody twice, nobody forgotten, nobody starves."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.domain.event import CallEvent, Direction, EventType
from server.push.hub import Hub
from server.services import agents, queues
from server.services.directory import DirectoryKeeper
from server.services.presence import Presence
from server.services.take_calls import CallIntake, CallItem, IntakeRules, call_item
from server.store.intake import SESSION, SESSION_SQL
from server.store.pool import Pool, open_pool

AGENTS = 3
RULES = IntakeRules(timedelta(0), timedelta(hours=4), timedelta(hours=48))
WORK = "inbound_events, contacts, tickets, messages, attachments, outbox, pops, audit, recordings"
E = EventType


@dataclass
class House:
    """Intake and presence over one database, and what callers and phones do."""

    pool: Pool
    intake: CallIntake
    presence: Presence
    directory: DirectoryKeeper
    agent_ids: list[int]
    calls: list[str] = field(default_factory=list)
    freed: set[int] = field(default_factory=set)
    queues: set[int] = field(default_factory=set)
    number: int = 0

    async def event(
        self, kind: EventType, call: str, agent: int | None = None, cause: str | None = None
    ) -> None:
        self.number += 1
        leg = call if agent is None else f"{call}-{agent}"
        event = CallEvent(
            type=kind,
            call_key=call,
            leg_key=leg,
            parent_leg_key=None if agent is None else call,
            event_key=f"{leg}:{kind}:{self.number}",
            direction=Direction.INBOUND,
            ani=f"+447700{900_000 + zlib.crc32(call.encode()) % 999}",
            agent_refs=(f"agent:{agent}",) if agent is not None else (),
            cause=cause,
        )
        await self.intake.commit([self.item(event)])

    def item(self, event: CallEvent) -> CallItem:
        # Two queues with the same agents: an agent must not be chosen by both at once.
        queue = "sales" if event.call_key[0] == "c" and event.call_key[-1] in "13579" else "support"
        return call_item("pbx", "GB", queue, False, event, b"{}", datetime.now(UTC))

    async def settle(self) -> None:
        """What the server does after a commit, until nothing is left to do."""
        while self.freed or self.queues:
            while self.freed:
                await self.presence.offer_waiting(self.freed.pop())
            while self.queues:
                await self.presence.route_queue(self.queues.pop())

    async def live(self) -> list[tuple[str, int | None, str]]:
        rows = await self.pool.fetch(
            "SELECT call_key, agent_id, state FROM contacts WHERE ended_at IS NULL ORDER BY id"
        )
        return [(row["call_key"], row["agent_id"], row["state"]) for row in rows]

    async def do(self, deed: str, which: int) -> None:
        if deed == "call":
            self.calls.append(f"c{len(self.calls)}")
            await self.event(E.RINGING, self.calls[-1])
        elif deed in ("free", "away"):
            state = "available" if deed == "free" else "not_ready"
            await self.presence.set_state(self.agent_ids[which % AGENTS], state)
        else:
            live = [one for one in await self.live() if one[1] is not None or deed == "give_up"]
            if live:
                await self.end(deed, *live[which % len(live)])

    async def end(self, deed: str, call: str, agent: int | None, state: str) -> None:
        if deed == "give_up":
            await self.event(E.HANGUP, call, cause="cancel")
        elif deed == "answer" and state == "ringing":
            await self.event(E.ANSWERED, call, agent)
        elif deed == "ring_out" and state == "ringing":
            await self.event(E.HANGUP, call, agent, cause="no-answer")
        elif deed == "hang_up" and state == "answered":
            await self.event(E.HANGUP, call)

    async def check(self) -> None:
        twice = await self.pool.fetch(
            "SELECT agent_id FROM contacts WHERE ended_at IS NULL AND agent_id IS NOT NULL "
            "GROUP BY agent_id HAVING count(*) > 1"
        )
        assert not twice, "an agent has two calls"
        shared = await self.pool.fetch(
            "SELECT call_key FROM contacts WHERE ended_at IS NULL AND state = 'ringing' "
            "AND (cardinality(rung_agent_ids) > 1 OR (agent_id IS NULL) <> (rung_agent_ids = '{}'))"
        )
        assert not shared, "a call is offered to two agents"
        forgotten = await self.pool.fetch(
            "SELECT c.call_key, p.agent_id FROM contacts c, presence p "
            "WHERE c.ended_at IS NULL AND c.state = 'ringing' AND c.agent_id IS NULL "
            "AND p.state = 'available' AND p.call_id IS NULL AND p.wrap_up_contact_id IS NULL"
        )
        assert not forgotten, f"a call waits while an agent is free: {forgotten}"


@pytest.fixture
async def house(pool: Pool, database: str) -> AsyncIterator[House]:
    writers = await open_pool(
        database, min_size=4, max_size=4, session=SESSION, functions=SESSION_SQL, reset=False
    )
    hub = Hub()
    directory = DirectoryKeeper(pool, database)
    await queues.add_queue(pool, name="support", is_default=True)
    await queues.add_queue(pool, name="sales")
    made = [
        await agents.add_agent(pool, email=f"a{n}@example.com", name=f"A{n}", queues=["support", "sales"])
        for n in range(AGENTS)
    ]
    await directory.reload()
    presence = Presence(pool, hub, directory)
    intake = CallIntake(writers, directory, hub, RULES)
    found = House(pool, intake, presence, directory, [int(one["id"]) for one in made])
    intake.on_freed, intake.on_waiting = found.freed.update, found.queues.update
    yield found
    await intake.stop()
    await asyncio.wait_for(writers.close(), 10)


DEEDS = st.tuples(
    st.sampled_from(["call", "call", "free", "free", "away", "answer", "hang_up", "ring_out", "give_up"]),
    st.integers(0, 5),
)
STEPS = st.lists(st.lists(DEEDS, min_size=1, max_size=3), min_size=3, max_size=14)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(STEPS)
async def test_nobody_twice_nobody_forgotten_nobody_starves(
    house: House, steps: list[list[tuple[str, int]]]
) -> None:
    await house.pool.execute(f"TRUNCATE {WORK}")
    await house.pool.execute(
        "UPDATE presence SET state = 'not_ready', call_id = NULL, wrap_up_contact_id = NULL"
    )
    house.calls.clear()
    for at_once in steps:
        await asyncio.gather(*(house.do(*deed) for deed in at_once))
        await house.settle()
        await house.check()
    # One agent alone works on: whoever still waits gets through at last.
    await house.presence.set_state(house.agent_ids[0], "available")
    for _ in range(3 * len(house.calls) + 3):
        for call, agent, state in await house.live():
            if agent is not None:
                await house.end("answer" if state == "ringing" else "hang_up", call, agent, state)
        await house.settle()
        await house.check()
    assert await house.live() == []


async def test_tier_and_waiting_decide_who_is_next(house: House) -> None:
    """A VIP who came later goes first, but not for ever."""
    for call in ("k1", "k2", "k3"):
        await house.event(E.RINGING, call)
    await house.pool.execute(
        "UPDATE customers SET tier = 'vip', provisional = false "
        "WHERE id = (SELECT customer_id FROM contacts WHERE call_key = 'k3')"
    )
    await house.pool.execute(
        "UPDATE contacts SET queued_at = queued_at - interval '10 minutes' WHERE call_key = 'k2'"
    )
    order = []
    await house.presence.set_state(house.agent_ids[0], "available")
    for _ in range(3):
        ((call, agent, state),) = [one for one in await house.live() if one[1] is not None]
        order.append(call)
        await house.end("answer", call, agent, state)
        await house.end("hang_up", call, agent, "answered")
        await house.settle()
    assert order == ["k2", "k3", "k1"]


async def test_a_phone_that_rings_out_puts_its_agent_aside(house: House) -> None:
    first, second = house.agent_ids[:2]
    await house.presence.set_state(first, "available")
    await house.event(E.RINGING, "k1")
    await house.presence.set_state(second, "available")
    await house.event(E.HANGUP, "k1", first, cause="no-answer")
    await house.settle()
    assert await house.live() == [("k1", second, "ringing")]
    row = await house.pool.fetchrow("SELECT state, reason FROM presence WHERE agent_id = $1", first)
    assert row is not None and tuple(row) == ("not_ready", "no_answer")


async def test_skills_decide_who_is_asked(house: House) -> None:
    queue_id = await _support(house)
    actor = _actor()
    await queues.update_queue(house.pool, actor, queue_id, {"skills": {"french": 2}})
    for agent_id, skills in zip(house.agent_ids, (["french"], ["French:3"], []), strict=True):
        await agents.update_agent(house.pool, actor, agent_id, {"skills": skills})
    await house.directory.reload()
    for agent_id in house.agent_ids:
        await house.presence.set_state(agent_id, "available")
    await house.event(E.RINGING, "k1")
    await house.event(E.RINGING, "k2")
    assert await house.live() == [("k1", house.agent_ids[1], "ringing"), ("k2", None, "ringing")]


async def test_who_waits_too_long_overflows_once_round(house: House) -> None:
    actor = _actor()
    support = await _support(house)
    await queues.add_queue(house.pool, name="helpers", overflow_queue="support", overflow_after_seconds=10)
    await queues.update_queue(
        house.pool, actor, support, {"overflow_queue": "helpers", "overflow_after_seconds": 10}
    )
    helper = int(
        (await agents.add_agent(house.pool, email="h@example.com", name="H", queues=["helpers"]))["id"]
    )
    await house.directory.reload()
    await house.presence.set_state(helper, "available")
    await house.event(E.RINGING, "k1")
    assert await house.presence.overflow() == 0
    assert await house.live() == [("k1", None, "ringing")]
    await house.pool.execute("UPDATE contacts SET queued_at = queued_at - interval '11 seconds'")
    assert await house.presence.overflow() == 1
    assert await house.live() == [("k1", helper, "ringing")]


async def test_a_closed_queue_offers_nothing_until_it_opens(house: House) -> None:
    actor = _actor()
    support = await _support(house)
    today = datetime.now(UTC).date().isoformat()
    await queues.update_queue(house.pool, actor, support, {"holidays": [today]})
    await house.directory.reload()
    await house.presence.set_state(house.agent_ids[0], "available")
    await house.event(E.RINGING, "k1")
    await house.presence.open_queues()
    assert await house.live() == [("k1", None, "ringing")]
    await queues.update_queue(house.pool, actor, support, {"holidays": []})
    await house.directory.reload()
    await house.presence.open_queues()
    assert await house.live() == [("k1", house.agent_ids[0], "ringing")]


async def test_a_missed_call_is_a_callback_until_somebody_has_spoken(house: House) -> None:
    await house.event(E.RINGING, "k1")
    await house.event(E.HANGUP, "k1", cause="cancel")
    await house.event(E.RINGING, "k1b")  # the same caller again, and missed again
    await house.pool.execute("UPDATE contacts SET ani = ani")
    rows = await house.pool.fetch(
        "SELECT kind, status, subject, resolve_due_at FROM tickets WHERE merged_into IS NULL"
    )
    callback = next(row for row in rows if row["kind"] == "callback")
    assert callback["status"] == "open" and callback["resolve_due_at"] > datetime.now(UTC)
    assert callback["subject"].startswith("Missed call from")
    customer = await house.pool.fetchval("SELECT customer_id FROM contacts WHERE call_key = 'k1'")
    await house.presence.set_state(house.agent_ids[0], "available")
    call = CallEvent(
        type=E.ANSWERED,
        call_key="out",
        leg_key="out",
        event_key="out:1",
        direction=Direction.OUTBOUND,
        ani="+442079460100",
        dnis=await house.pool.fetchval("SELECT number FROM customer_phones WHERE customer_id = $1", customer),
        agent_refs=(f"agent:{house.agent_ids[0]}",),
    )
    await house.intake.commit([house.item(call)])
    states = await house.pool.fetch("SELECT status, assignee_agent_id FROM tickets WHERE kind = 'callback'")
    assert [tuple(row) for row in states] == [("resolved", house.agent_ids[0])]


async def test_two_missed_calls_are_one_callback(house: House) -> None:
    number = "+447700900555"
    for call in ("x", "y"):
        for kind in (E.RINGING, E.HANGUP):
            event = CallEvent(
                type=kind, call_key=call, leg_key=call, event_key=f"{call}:{kind}", ani=number,
                direction=Direction.INBOUND,
            )  # fmt: skip
            await house.intake.commit([house.item(event)])
    rows = await house.pool.fetch("SELECT id FROM tickets WHERE kind = 'callback' AND merged_into IS NULL")
    assert len(rows) == 1
    calls = await house.pool.fetch("SELECT DISTINCT ticket_id FROM contacts")
    assert [row["ticket_id"] for row in calls] == [rows[0]["id"]]


async def _support(house: House) -> int:
    found = await queues.list_queues(house.pool)
    return next(int(one["id"]) for one in found if one["name"] == "support")


def _actor():  # type: ignore[no-untyped-def]
    from server.domain.permission import Actor

    return Actor(agent_id=0, name="Admin", email="", role="administrator", language="en")
