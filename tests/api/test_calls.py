"""Click to dial, and what an agent asks of a call that goes on. The telephony is a stand-in at the far edge."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp.test_utils import TestServer

from handlers.api.shapes import CommandedContact, ContactInFull, MadeCall
from handlers.doors import route_modules
from handlers.http import build_http_app
from handlers.telephony.control import Deed
from server.domain.call import apply_event, call_of, facts_of
from server.domain.event import CallEvent, Direction, EventType
from server.settings import load_settings
from tests.api.conftest import Api
from tests.api.test_contacts import touch
from tests.telephony import ALL, StandIn

NUMBER = "+442079460123"
CONFIG = """
[call_sources.silent]
provider = "cti"
secrets = ["one"]

[call_sources.main]
provider = "cti"
secrets = ["two"]

[call_sources.other]
provider = "cti"
secrets = ["three"]

[call_sources.live]
provider = "cti"
secrets = ["four"]
joins = "silent"
"""


@dataclass
class Phoned(Api):
    telephony: StandIn

    @property
    def me(self) -> int:
        return self.actors["agent"].agent_id

    async def post(self, path: str, body: Any, key: str, role: str = "agent") -> aiohttp.ClientResponse:
        return await self.raw("POST", path, role, json=body, headers={"Idempotency-Key": key})

    async def call_of(self, *events: CallEvent, **columns: Any) -> int:
        """A contact whose facts are these events."""
        call = call_of(events[0].call_key, {})
        for event in events:
            call = apply_event(call, event, datetime.now(UTC))
        row = {"legs": json.dumps(facts_of(call)), "state": call.state.value, "call_key": call.key}
        return await touch(self, **{"source": "main", "agent_id": self.me} | row | columns)


@pytest_asyncio.fixture
async def phoned(api: Api, tmp_path: Path, database: str) -> AsyncIterator[Phoned]:
    config = tmp_path / "calls.toml"
    config.write_text(CONFIG)
    settings = load_settings([config], {"RINGPOST_DATABASE__URL": database})
    telephony = StandIn({"main": ALL, "other": frozenset({Deed.DIAL, Deed.HANG_UP})})
    ctx = replace(api.ctx, settings=settings, telephony=telephony)
    for role, extension in (("agent", "101"), ("supervisor", "900")):
        agent = api.actors[role].agent_id
        await api.call("PATCH", f"/agents/{agent}", {"extension": extension}, role="administrator")
    await ctx.directory.reload()
    server = TestServer(build_http_app(ctx, route_modules()))
    await server.start_server()
    yield Phoned(str(server.make_url("")).rstrip("/"), ctx, api.http, api.tokens, api.actors, telephony)
    await server.close()


def ringing(leg: str = "L1", **more: Any) -> CallEvent:
    said = {"call_key": "C1", "leg_key": leg, "event_key": f"r{leg}", "direction": Direction.INBOUND}
    return CallEvent(type=EventType.RINGING, **said | more)


def answered(leg: str, agent: int, **more: Any) -> CallEvent:
    refs = (f"agent:{agent}",)
    said = {"call_key": "C1", "leg_key": leg, "event_key": f"a{leg}", "agent_refs": refs}
    return CallEvent(type=EventType.ANSWERED, **said | more)


async def audited(api: Api, action: str) -> list[dict[str, Any]]:
    rows = await api.ctx.pool.fetch("SELECT data FROM audit WHERE action = $1 ORDER BY at, id", action)
    return [row["data"] for row in rows]


# -- click to dial -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said", ["020 7946 0123", "+44 (0)20 7946-0123", "0044 20 79460123", "tel:+442079460123"]
)
async def test_a_number_in_any_spelling_is_dialled(phoned: Phoned, said: str) -> None:
    made = await phoned.call("POST", "/calls", {"number": said}, status=202)
    MadeCall.model_validate(made)
    assert made == {"call_key": "K-1", "source": "main"}
    ((source, command),) = phoned.telephony.asked
    assert (source, command.deed, command.agent, command.target) == ("main", Deed.DIAL, "101", NUMBER)
    told = await audited(phoned, "call.dial")
    assert [(one["outcome"], one["number"], one["source"]) for one in told] == [
        ("asked", NUMBER, "main"),
        ("done", NUMBER, "main"),
    ]


async def test_the_source_is_the_named_one_or_the_first_that_can(phoned: Phoned) -> None:
    await phoned.call("POST", "/calls", {"number": NUMBER, "source": "other"}, status=202)
    assert phoned.telephony.asked[0][0] == "other"
    for named in ("silent", "nowhere"):
        refused = await phoned.call("POST", "/calls", {"number": NUMBER, "source": named}, status=422)
        assert set(refused["fields"]) == {"source"}
    # A source that joins another: its events come in under that one's name.
    phoned.telephony.can = {"live": ALL}
    made = await phoned.call("POST", "/calls", {"number": NUMBER}, status=202)
    assert (phoned.telephony.asked[-1][0], made["source"]) == ("live", "silent")
    phoned.telephony.can = {}
    refused = await phoned.call("POST", "/calls", {"number": NUMBER}, status=422)
    assert "administrator" in refused["fields"]["source"]
    assert len(phoned.telephony.asked) == 2


async def test_what_is_wrong_is_named(phoned: Phoned) -> None:
    for body, field in (
        ({"number": "12"}, "number"), ({"number": ""}, "number"), ({"number": "hello"}, "number"),
        ({"number": "anonymous"}, "number"), ({}, "number"), ({"number": 5}, "number"), ({"number": "\0"}, "number"),
        ({"number": NUMBER, "customer_id": "999999"}, "customer_id"),
        ({"number": NUMBER, "customer_id": "x"}, "customer_id"),
        ({"number": NUMBER, "ticket_id": "999999"}, "ticket_id"),
        ({"number": NUMBER, "what": 1}, "what"), ({"number": NUMBER, "confirm": "yes"}, "confirm"),
    ):  # fmt: skip
        refused = await phoned.call("POST", "/calls", body, status=422)
        assert field in refused["fields"], (body, refused)
    both = await phoned.call("POST", "/calls", {"number": "x", "ticket_id": "999999"}, status=422)
    assert set(both["fields"]) == {"number", "ticket_id"}
    # Who has no phone is told the way out.
    refused = await phoned.call("POST", "/calls", {"number": NUMBER}, role="administrator", status=422)
    assert "Administration" in refused["fields"]["extension"]
    assert (await phoned.raw("POST", "/calls", "", json={"number": NUMBER})).status == 401
    assert phoned.telephony.asked == []


async def test_who_does_not_want_to_be_called_is_called_when_confirmed(phoned: Phoned) -> None:
    ann = await phoned.call(
        "POST", "/customers", {"name": "Ann", "phones": [{"number": NUMBER}], "do_not_contact": ["call"]}
    )
    # By the record and by the number alone.
    for body in ({"number": NUMBER, "customer_id": ann["id"]}, {"number": NUMBER}):
        refused = await phoned.call("POST", "/calls", body, status=422)
        assert set(refused["fields"]) == {"confirm"}
        await phoned.call("POST", "/calls", body | {"confirm": True}, status=202)
    assert len(phoned.telephony.asked) == 2
    # And by the ticket that the call is about.
    ticket = await phoned.call("POST", "/tickets", {"subject": "x", "customer_id": ann["id"]})
    body = {"number": "+442079460888", "ticket_id": ticket["id"]}
    assert set((await phoned.call("POST", "/calls", body, status=422))["fields"]) == {"confirm"}
    other = await phoned.call("POST", "/customers", {"name": "Mail only", "do_not_contact": ["email"]})
    await phoned.call("POST", "/calls", {"number": "+442079460999", "customer_id": other["id"]}, status=202)


async def test_who_is_blocked_is_not_called(phoned: Phoned) -> None:
    ann = await phoned.call(
        "POST", "/customers", {"name": "Ann", "phones": [{"number": NUMBER}], "blocked": True}
    )
    for body, field in (
        ({"number": NUMBER, "customer_id": ann["id"], "confirm": True}, "customer_id"),
        ({"number": NUMBER, "confirm": True}, "number"),
    ):
        refused = await phoned.call("POST", "/calls", body, status=422)
        assert set(refused["fields"]) == {field}
    # Of a number that several share, one who is not blocked may be meant.
    await phoned.call("POST", "/customers", {"name": "Ben", "phones": [{"number": NUMBER}]})
    await phoned.call("POST", "/calls", {"number": NUMBER}, status=202)


async def test_a_failure_of_the_telephony_is_told_in_words(phoned: Phoned) -> None:
    phoned.telephony.fault = "your phone is not registered"
    answer = await phoned.raw("POST", "/calls", json={"number": NUMBER})
    said = await answer.json()
    assert (answer.status, answer.content_type) == (502, "application/problem+json")
    assert (said["detail"], said["code"]) == ("your phone is not registered", "telephony_failed")
    assert [one["outcome"] for one in await audited(phoned, "call.dial")] == ["asked", "failed"]


async def test_a_repeated_request_dials_once(phoned: Phoned) -> None:
    first = await phoned.post("/calls", {"number": NUMBER}, "key-1")
    phoned.telephony.answer = "K-2"
    again = await phoned.post("/calls", {"number": "020 7946 0123"}, '"key-1"')
    assert (again.status, await again.json()) == (first.status, await first.json())
    assert len(phoned.telephony.asked) == 1
    other = await phoned.post("/calls", {"number": "+442079460999"}, "key-1")
    assert (other.status, set((await other.json())["fields"])) == (422, {"Idempotency-Key"})
    # Another agent's key is another key, to the provider as well.
    assert (await phoned.post("/calls", {"number": NUMBER}, "key-1", role="supervisor")).status == 202
    keys = [command.key for _, command in phoned.telephony.asked]
    assert len(set(keys)) == 2
    # What failed may be tried again, and is the same request to the provider.
    phoned.telephony.fault = "busy"
    assert (await phoned.post("/calls", {"number": NUMBER}, "key-2")).status == 502
    phoned.telephony.fault = ""
    assert (await phoned.post("/calls", {"number": NUMBER}, "key-2")).status == 202
    assert phoned.telephony.asked[-1][1].key == phoned.telephony.asked[-2][1].key
    for bad in ("", "x" * 121, "é"):
        assert (await phoned.post("/calls", {"number": NUMBER}, bad)).status == 422


async def test_the_same_request_at_once_dials_once(phoned: Phoned) -> None:
    phoned.telephony.pause = asyncio.Event()
    first = asyncio.create_task(phoned.post("/calls", {"number": NUMBER}, "key-1"))
    while not phoned.telephony.asked:
        await asyncio.sleep(0.01)
    assert (await phoned.post("/calls", {"number": NUMBER}, "key-1")).status == 409
    phoned.telephony.pause.set()
    assert (await first).status == 202
    assert len(phoned.telephony.asked) == 1


async def test_the_contact_is_told_what_the_number_does_not_tell(phoned: Phoned) -> None:
    ann = await phoned.call("POST", "/customers", {"name": "Ann"})
    ticket = await phoned.call("POST", "/tickets", {"subject": "the lamp", "customer_id": ann["id"]})
    await phoned.call("POST", "/calls", {"number": NUMBER, "ticket_id": ticket["id"]}, status=202)
    (contact,) = (await phoned.call("GET", "/contacts?linkedid=K-1"))["items"]
    wanted = {
        "direction": "outbound", "source": "main", "state": "ringing", "dnis": NUMBER, "match": "matched",
        "customer_id": ann["id"], "ticket_id": ticket["id"], "agent_id": str(phoned.me),
    }  # fmt: skip
    assert {name: contact[name] for name in wanted} == wanted
    # Its first event was faster: what it does not know is filled in.
    early = await phoned.call_of(
        ringing("K-2", call_key="K-2", direction=Direction.OUTBOUND),
        direction="outbound",
        dnis=NUMBER,
        ani=None,
    )
    phoned.telephony.answer = "K-2"
    await phoned.call("POST", "/calls", {"number": NUMBER, "customer_id": ann["id"]}, status=202)
    late = await phoned.call("GET", f"/contacts/{early}")
    assert (late["customer_id"], late["ticket_id"], late["match"]) == (ann["id"], None, "matched")
    # A number that is this customer's and nobody else's says it all: intake finds out.
    await phoned.call("PATCH", f"/customers/{ann['id']}", {"phones": [{"number": NUMBER}]})
    phoned.telephony.answer = "K-3"
    await phoned.call("POST", "/calls", {"number": NUMBER, "customer_id": ann["id"]}, status=202)
    assert (await phoned.call("GET", "/contacts?linkedid=K-3"))["items"] == []


# -- commands ----------------------------------------------------------------------------------------


async def test_what_can_be_asked_follows_the_state(phoned: Phoned) -> None:
    me = phoned.me
    for state, commands in (
        ("ringing", ["answer", "hang_up"]),
        ("answered", ["hang_up", "hold", "transfer", "attended"]),
        ("held", ["hang_up", "unhold", "transfer", "attended"]),
        ("transferred", ["hang_up"]), ("voicemail", []), ("missed", []),
    ):  # fmt: skip
        contact = await touch(phoned, source="main", state=state, agent_id=me)
        seen = await phoned.call("GET", f"/contacts/{contact}")
        ContactInFull.model_validate(seen)
        assert seen["commands"] == commands, state
    over = await touch(phoned, source="main", state="ended", agent_id=me, ended_at=datetime.now(UTC))
    out = await touch(phoned, source="main", state="ringing", agent_id=me, direction="outbound")
    mail = await touch(phoned, channel="email", source="main", agent_id=me)
    less = await touch(phoned, source="other", agent_id=me)
    none = await touch(phoned, source="silent", agent_id=me)
    gone = await touch(phoned, source="not-configured", agent_id=me)
    for contact, commands in (
        (over, []),
        (out, ["hang_up"]),
        (mail, []),
        (less, ["hang_up"]),
        (none, []),
        (gone, []),
    ):
        assert (await phoned.call("GET", f"/contacts/{contact}"))["commands"] == commands
    # A connection that joins the source tells of the same calls, and can do more with them.
    phoned.telephony.can["live"] = frozenset({Deed.HOLD})
    assert (await phoned.call("GET", f"/contacts/{none}"))["commands"] == ["hold"]
    await phoned.call("POST", f"/contacts/{none}/commands", {"do": "hold"}, status=202)
    assert phoned.telephony.asked[-1][0] == "live"


async def test_a_ringing_group_is_not_hung_up_by_one_of_it(phoned: Phoned) -> None:
    group = [phoned.me, phoned.actors["supervisor"].agent_id]
    contact = await touch(phoned, source="main", state="ringing", rung_agent_ids=group)
    assert (await phoned.call("GET", f"/contacts/{contact}"))["commands"] == ["answer"]
    await phoned.call("POST", f"/contacts/{contact}/commands", {"do": "hang_up"}, status=409)
    alone = await touch(phoned, source="main", state="ringing", rung_agent_ids=[phoned.me])
    assert (await phoned.call("GET", f"/contacts/{alone}"))["commands"] == ["answer", "hang_up"]


async def test_only_the_agent_on_the_call_or_a_supervisor(phoned: Phoned) -> None:
    theirs = await touch(phoned, source="main", agent_id=phoned.actors["administrator"].agent_id)
    assert (await phoned.call("GET", f"/contacts/{theirs}"))["commands"] == []
    await phoned.call("POST", f"/contacts/{theirs}/commands", {"do": "hang_up"}, status=403)
    mine = await touch(phoned, source="main", agent_id=phoned.me)
    seen = await phoned.call("GET", f"/contacts/{mine}", role="supervisor")
    assert seen["commands"] == ["hang_up", "hold", "transfer"]
    said = await phoned.call(
        "POST", f"/contacts/{mine}/commands", {"do": "hold"}, role="supervisor", status=202
    )
    CommandedContact.model_validate(said)
    # The phone is that of the agent on the call.
    assert (phoned.telephony.last.deed, phoned.telephony.last.agent) == (Deed.HOLD, "101")
    refused = await phoned.call("POST", f"/contacts/{mine}/commands", {"do": "attended", "target": "102"},
                                role="supervisor", status=409)  # fmt: skip
    assert "transfer" in refused["detail"]


async def test_the_call_is_told_as_its_provider_names_it(phoned: Phoned) -> None:
    me = phoned.me
    inbound = await phoned.call_of(
        ringing("C1", ani=NUMBER),
        ringing("L2", parent_leg_key="C1", agent_refs=("102",)),
        CallEvent(type=EventType.HANGUP, call_key="C1", leg_key="L2", event_key="h"),
        answered("L3", me, parent_leg_key="C1"),
        dnis="+442079460100",
    )
    await phoned.call("POST", f"/contacts/{inbound}/commands", {"do": "hold"}, status=202)
    call = phoned.telephony.last.call
    assert call is not None
    assert (call.call_key, call.customer_leg, call.agent_leg, call.direction) == ("C1", "C1", "L3", "inbound")
    assert dict(call.legs) == {"C1": None, "L3": "101"}
    assert (call.ani, call.dnis) == (NUMBER, "+442079460100")
    # A call out: the first leg is the agent's phone.
    outbound = await phoned.call_of(
        answered("D1", me, call_key="D1", direction=Direction.OUTBOUND),
        ringing("D2", call_key="D1", parent_leg_key="D1", direction=Direction.OUTBOUND),
        direction="outbound",
    )
    await phoned.call("POST", f"/contacts/{outbound}/commands", {"do": "hang_up"}, status=202)
    call = phoned.telephony.last.call
    assert call is not None
    assert (call.customer_leg, call.agent_leg, call.direction) == ("D2", "D1", "outbound")
    # A provider that knows one leg only has both ends in it.
    single = await phoned.call_of(
        ringing("E1", call_key="E1", ani=NUMBER), answered("E1", me, call_key="E1"), ani=NUMBER
    )
    await phoned.call("POST", f"/contacts/{single}/commands", {"do": "hang_up"}, status=202)
    call = phoned.telephony.last.call
    assert call is not None
    assert (call.customer_leg, call.agent_leg) == ("E1", "E1")


async def test_transfer_takes_any_kind_of_target(phoned: Phoned) -> None:
    await phoned.call("PATCH", f"/agents/{phoned.actors['supervisor'].agent_id}", {"extension": "client:boss"},
                      role="administrator")  # fmt: skip
    await phoned.ctx.directory.reload()
    contact = await touch(phoned, source="main", agent_id=phoned.me)
    path = f"/contacts/{contact}/commands"
    for said, target in (
        ("102", "102"), ("020 7946 0999", "+442079460999"), ("+49 151 12345678", "+4915112345678"),
        ("sip:desk@PBX.example.com;x=1", "sip:desk@pbx.example.com"), ("１０２", "102"), ("client:boss", "client:boss"),
        ("supervisor@ringpost.test", "client:boss"), ("*97", "*97"),
    ):  # fmt: skip
        await phoned.call("POST", path, {"do": "transfer", "target": said}, status=202)
        assert phoned.telephony.last.target == target, said
    for bad in ("", "   ", "nobody here", "sip:x%0d%0aAction: Originate@pbx.example.com", "a b\nc", None):
        refused = await phoned.call("POST", path, {"do": "transfer", "target": bad}, status=422)
        assert set(refused["fields"]) == {"target"}
    for body, field in (
        ({"do": "dial"}, "do"),
        ({"do": "sing"}, "do"),
        ({}, "do"),
        ({"do": "hold", "x": 1}, "x"),
    ):
        assert field in (await phoned.call("POST", path, body, status=422))["fields"]


async def test_speaking_first_is_completed(phoned: Phoned) -> None:
    contact = await touch(phoned, source="main", agent_id=phoned.me)
    path = f"/contacts/{contact}/commands"
    await phoned.call("POST", path, {"do": "complete"}, status=409)
    said = await phoned.call("POST", path, {"do": "attended", "target": "102"}, status=202)
    assert said["commands"] == ["hang_up", "hold", "transfer", "complete"]
    said = await phoned.call("POST", path, {"do": "hold"}, status=202)
    assert "complete" in said["commands"]  # the customer waits all the same
    said = await phoned.call("POST", path, {"do": "complete"}, status=202)
    assert "complete" not in said["commands"] and "attended" in said["commands"]


async def test_what_cannot_be_done_is_told_with_what_can(phoned: Phoned) -> None:
    contact = await touch(phoned, source="other", agent_id=phoned.me)
    refused = await phoned.call("POST", f"/contacts/{contact}/commands", {"do": "hold"}, status=409)
    assert "hang_up" in refused["detail"]
    over = await touch(phoned, source="main", state="ended", agent_id=phoned.me, ended_at=datetime.now(UTC))
    refused = await phoned.call("POST", f"/contacts/{over}/commands", {"do": "hang_up"}, status=409)
    assert refused["detail"] == "the call is over"
    mail = await touch(phoned, channel="email", source="main", agent_id=phoned.me)
    await phoned.call("POST", f"/contacts/{mail}/commands", {"do": "hang_up"}, status=409)
    await phoned.call("POST", "/contacts/999999/commands", {"do": "hang_up"}, status=404)
    phoned.telephony.fault = "the call is over"
    contact = await touch(phoned, source="main", agent_id=phoned.me)
    answer = await phoned.raw("POST", f"/contacts/{contact}/commands", json={"do": "hold"})
    assert (answer.status, (await answer.json())["detail"]) == (502, "the call is over")
    told = await audited(phoned, "call.command")
    assert [(one["do"], one["outcome"]) for one in told] == [("hold", "asked"), ("hold", "failed")]


async def test_a_repeated_command_is_done_once(phoned: Phoned) -> None:
    contact = await touch(phoned, source="main", agent_id=phoned.me)
    path = f"/contacts/{contact}/commands"
    assert (await phoned.post(path, {"do": "hang_up"}, "k")).status == 202
    await phoned.ctx.pool.execute(
        "UPDATE contacts SET state = 'ended', ended_at = now() WHERE id = $1", contact
    )
    assert (await phoned.post(path, {"do": "hang_up"}, "k")).status == 202
    assert len(phoned.telephony.asked) == 1
    assert (await phoned.post(path, {"do": "hold"}, "k")).status == 422
    assert (await phoned.post(path, {"do": "hang_up"}, "other")).status == 409


# -- the list's filters ------------------------------------------------------------------------------


async def test_contacts_are_found_by_number_and_search(phoned: Phoned) -> None:
    mary = await phoned.call("POST", "/customers", {"name": "Mary O'Connor"})
    inbound = await touch(phoned, ani=NUMBER, customer_id=int(mary["id"]), answered_at=datetime.now(UTC))
    outbound = await touch(phoned, ani="+442079460100", dnis=NUMBER, direction="outbound")
    foreign = await touch(phoned, ani="+4930901820", note="asks about the 100% offer_x")
    inside = await touch(phoned, ani=None, ani_raw="204", direction="internal")

    async def found(query: str) -> set[int]:
        return {int(one["id"]) for one in (await phoned.call("GET", f"/contacts?{query}"))["items"]}

    for query, expected in (
        ("number=020 7946 0123", {inbound, outbound}), ("number=%2B44 (0)20 7946-0123", {inbound, outbound}),
        ("number=0207946", {inbound, outbound}), ("number=%2B49 30 901820", {foreign}), ("number=030901820", set()),
        ("number=%2B4930", {foreign}), ("number=004930", {foreign}),
        ("answered=true", {inbound}), ("answered=false&channel=call", {outbound, foreign, inside}),
        ("q=o'connor", {inbound}), ("q=connor mary", {inbound}), ("q=100%25 offer_", {foreign}), ("q=offer%25x", set()),
        ("q=02079460123", {inbound, outbound}), (f"q={mary['number']}", {inbound}), ("q=nobody", set()),
        ("q=o'connor&direction=outbound", set()),
    ):  # fmt: skip
        assert await found(query) == expected, query
    refused = await phoned.call("GET", "/contacts?number=hello", status=422)
    assert set(refused["fields"]) == {"number"}
