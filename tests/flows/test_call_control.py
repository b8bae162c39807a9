"""Click to dial and commands on a whole server: the PBX's events come in beside them; the far edge is a stand-in."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import pytest

from handlers.doors import HANDLERS
from handlers.telephony.control import Deed
from server.app import start
from server.domain.permission import Actor
from tests.flows.conftest import Ringpost
from tests.telephony import ALL, StandIn

NUMBER = "+442079460123"


@dataclass
class Phoned:
    ringpost: Ringpost
    telephony: StandIn


@pytest.fixture
async def phoned(settings_of: Callable[..., Any]) -> AsyncIterator[Phoned]:
    telephony = StandIn({"pbx": ALL})
    async with contextlib.AsyncExitStack() as stack:
        running = await start(settings_of(), replace(HANDLERS, telephony=lambda _: telephony), stack)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        admin = Actor(agent_id=0, name="Admin", email="", role="administrator", language="en")
        yield Phoned(Ringpost(running, http, stack, admin), telephony)


async def test_a_dialled_call_is_the_one_that_the_pbx_tells_of(phoned: Phoned) -> None:
    server = phoned.ringpost
    priya = await server.add_agent("priya", extension="101")
    mary = await server.api("POST", "/customers", "priya", json={"name": "Mary"})
    ticket = await server.api(
        "POST", "/tickets", "priya", json={"subject": "the lamp", "customer_id": mary["id"]}
    )
    socket = await server.socket("priya")
    body = {"number": "020 7946 0123", "ticket_id": ticket["id"]}
    made = await server.api("POST", "/calls", "priya", json=body)
    assert made == {"call_key": "K-1", "source": "pbx"}
    contact_id = (await socket.next("contact_changed"))["id"]
    out = {"callId": "K-1", "direction": "out", "from_": "101", "to": "442079460123", "user": "101"}
    await server.cti(event="newCall", **out)
    await server.cti(event="answer", **out)
    seen = await server.api("GET", f"/contacts/{contact_id}", "priya")
    wanted = {
        "state": "answered", "direction": "outbound", "dnis": NUMBER, "customer_id": mary["id"],
        "ticket_id": ticket["id"], "agent_id": str(priya), "match": "matched",
    }  # fmt: skip
    assert {name: seen[name] for name in wanted} == wanted
    assert seen["commands"] == ["hang_up", "hold", "transfer", "attended"]
    assert await server.count("contacts") == 1
    # It is their own call: nothing pops up to say that it rings.
    assert await socket.quiet()
    await server.api("POST", f"/contacts/{contact_id}/commands", "priya", json={"do": "hang_up"})
    assert (phoned.telephony.last.deed, phoned.telephony.last.agent) == (Deed.HANG_UP, "101")
    await server.cti(event="hangup", cause="normalClearing", **out)
    over = await server.api("GET", f"/contacts/{contact_id}", "priya")
    assert (over["state"], over["commands"]) == ("ended", [])


async def test_the_events_may_be_faster_than_the_answer(phoned: Phoned) -> None:
    server = phoned.ringpost
    await server.add_agent("priya", extension="101")
    mary = await server.api("POST", "/customers", "priya", json={"name": "Mary"})
    out = {"callId": "K-1", "direction": "out", "from_": "101", "to": "442079460123", "user": "101"}
    await server.cti(event="newCall", **out)
    body = {"number": NUMBER, "customer_id": mary["id"]}
    await server.api("POST", "/calls", "priya", json=body)
    (contact,) = (await server.api("GET", "/contacts?linkedid=K-1", "priya"))["items"]
    assert (contact["customer_id"], contact["match"], contact["state"]) == (mary["id"], "matched", "ringing")


async def test_an_inbound_call_is_answered_held_and_handed_over(phoned: Phoned) -> None:
    server = phoned.ringpost
    await server.add_agent("priya", extension="101")
    await server.add_agent("boss", role="supervisor", extension="900")
    await server.cti(event="newCall", callId="c1", from_="442079460123", user="101")
    (contact,) = (await server.api("GET", "/contacts?live=true", "priya"))["items"]
    path = f"/contacts/{contact['id']}"
    assert (await server.api("GET", path, "priya"))["commands"] == ["answer", "hang_up"]
    assert (await server.api("GET", path, "boss"))["commands"] == ["hang_up"]
    await server.api("POST", f"{path}/commands", "priya", json={"do": "answer"})
    assert phoned.telephony.last.deed is Deed.ANSWER
    await server.cti(event="answer", callId="c1", from_="442079460123", user="Priya", answeringNumber="101")
    await server.api(
        "POST", f"{path}/commands", "priya", json={"do": "transfer", "target": "boss@ringpost.test"}
    )
    call = phoned.telephony.last.call
    assert call is not None
    assert (phoned.telephony.last.target, call.call_key, call.agent_leg) == ("900", "c1", "c1")
