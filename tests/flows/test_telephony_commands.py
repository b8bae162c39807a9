"""Providers of webhooks: what they do after their reply, what agents ask of them, and sources that join another."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from handlers.doors import HANDLERS
from handlers.telephony.control import Command, CommandFailed, Deed
from handlers.telephony.follow_up import FollowUps
from server.app import start
from server.domain.permission import Actor
from tests.conformance.rest_api import RestApi, served
from tests.conformance.telnyx_requests import CONTROL, PUBLIC, hook, signed
from tests.flows.conftest import Ringpost
from tests.flows.line_peer import until

ANSWER = ("POST", f"/v2/calls/{CONTROL}/actions/answer")
DIAL = ("POST", "/v2/calls")


@pytest.fixture
async def api() -> AsyncIterator[RestApi]:
    async with served(RestApi({ANSWER: (200, {"data": {}}), DIAL: (200, {"data": {}})})) as (made, _):
        yield made


@pytest.fixture
async def ringpost(settings_of: Callable[..., Any], api: RestApi) -> AsyncIterator[Ringpost]:
    sources = {
        "PHONE": {"PROVIDER": "telnyx", "SECRETS": json.dumps([PUBLIC]), "QUEUE": "support", "API_KEY": "KEY",
                  "API_URL": f"{api.url}/v2", "CONNECTION_ID": "77", "NUMBER": "+442079460100"},
        "SWITCH": {"PROVIDER": "freeswitch_cdr", "SECRETS": '["cdr-secret"]', "JOINS": "pbx"},
    }  # fmt: skip
    environ = {
        f"RINGPOST_CALL_SOURCES__{source}__{name}": value
        for source, options in sources.items()
        for name, value in options.items()
    }
    async with contextlib.AsyncExitStack() as stack:
        running = await start(settings_of(**environ), HANDLERS, stack)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        admin = Actor(agent_id=0, name="Admin", email="", role="administrator", language="en")
        yield Ringpost(running, http, stack, admin)


async def call_in(ringpost: Ringpost, key: str = "event-1") -> None:
    request = signed(hook("initiated", key=key, direction="incoming").body, datetime.now(UTC))
    async with ringpost.http.post(
        f"{ringpost.url}/hooks/calls/phone", data=request.body, headers=request.headers
    ) as answer:
        assert answer.status == 200, await answer.text()


async def test_what_follows_a_webhook_is_done_after_its_reply(ringpost: Ringpost, api: RestApi) -> None:
    await call_in(ringpost)
    await until(lambda: api.asked)
    ((method, path, _),) = api.asked
    assert (method, path) == ANSWER and api.credentials == ["Bearer KEY"]


async def test_what_fails_afterwards_harms_nobody(ringpost: Ringpost, api: RestApi) -> None:
    api.answers[ANSWER] = (422, {"errors": [{"code": "90015", "title": "no"}]})
    await call_in(ringpost)
    await until(lambda: api.asked)
    await call_in(ringpost, "event-2")
    await until(lambda: len(api.asked) == 2)


async def test_an_agents_command_goes_to_the_providers_api(ringpost: Ringpost, api: RestApi) -> None:
    telephony = ringpost.ctx.telephony
    assert telephony.deeds("phone") == {Deed.DIAL, Deed.HANG_UP, Deed.TRANSFER}
    await telephony.act("phone", Command(Deed.DIAL, "k1", "101", "+447700900123", "+442079460100"))
    assert [path for _, path, _ in api.asked] == ["/v2/calls"]
    api.answers[DIAL] = (403, None)
    with pytest.raises(CommandFailed):
        await telephony.act("phone", Command(Deed.DIAL, "k2", "101", "+447700900123", "+442079460100"))


async def test_one_call_in_its_order_calls_beside_each_other() -> None:
    done: list[str] = []
    gate = asyncio.Event()
    follow_ups = FollowUps(grace_seconds=0.05)

    async def held() -> None:
        await gate.wait()
        done.append("a1")

    async def note(what: str) -> None:
        done.append(what)

    follow_ups.add("phone", "a", held)
    follow_ups.add("phone", "a", lambda: note("a2"))
    follow_ups.add("phone", "b", lambda: note("b1"))
    await until(lambda: done)
    assert done == ["b1"]
    gate.set()
    await until(lambda: len(done) == 3)
    assert done == ["b1", "a1", "a2"]
    gate.clear()
    follow_ups.add("phone", "a", held)
    follow_ups.add("phone", "c", lambda: note("c1"))
    async with asyncio.timeout(1):
        await follow_ups.stop()
    assert done[3:] == ["c1"], "what is quick is finished, what is not is given up"


async def test_a_source_that_joins_another_tells_of_the_same_call(ringpost: Ringpost) -> None:
    answer = await ringpost.cti(event="newCall", callId="aaaa-1", from_="447700900123")
    assert answer.status == 200
    times = {
        "created_time": "1794820500000000", "profile_created_time": "1794820500000000",
        "answered_time": "0", "hangup_time": "1794820530000000",
    }  # fmt: skip
    record = {
        "core-uuid": "core", "channel_data": {"direction": "inbound"},
        "variables": {"uuid": "aaaa-1", "call_uuid": "aaaa-1", "direction": "inbound",
                      "hangup_cause": "ORIGINATOR_CANCEL", "billsec": "0"},
        "callflow": [{"caller_profile": {"uuid": "aaaa-1", "caller_id_number": "+447700900123",
                                         "destination_number": "+442079460100"}, "times": times}],
    }  # fmt: skip
    async with ringpost.http.post(
        f"{ringpost.url}/hooks/calls/switch",
        json=record,
        headers={"Authorization": "Bearer cdr-secret"},
    ) as answered:
        assert answered.status == 200, await answered.text()
    rows = await ringpost.ctx.pool.fetch("SELECT source, state FROM contacts")
    assert [tuple(row) for row in rows] == [("pbx", "missed")]
