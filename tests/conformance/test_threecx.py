"""3CX: a finished call as several facts, CRM look-ups, what participants tell, the live socket, commands."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from multidict import CIMultiDict

from handlers.telephony.control import Command, CommandFailed, Control, Deed, LiveCall
from handlers.telephony.live import LinkBroken
from handlers.telephony.provider import CallSource, HookRequest
from handlers.telephony.threecx import PROVIDER, lookup_reply
from handlers.telephony.threecx_live import LIVE
from handlers.telephony.threecx_participants import Participants, read_participant
from server.domain.call import Call, apply_event
from server.domain.errors import Invalid, Malformed, NotAuthenticated
from server.domain.event import CallEvent, Direction, EventType
from server.settings import SettingsError

HOOK = "https://cti.example.com/hooks/calls/threecx"
SOURCE = CallSource("threecx", "threecx", ("new-one", "old-one"), "GB", "support", "one", HOOK)
STARTED = datetime(2026, 11, 16, 9, 15, tzinfo=UTC)
CALL = {
    "type": "Inbound",
    "number": "+447700900123",
    "agent": "101",
    "duration": "00:01:35",
    "started_utc": "2026-11-16T09:15:00Z",
}


def request(body: bytes, kind: str = "application/json", url: str = HOOK, **headers: str) -> HookRequest:
    return HookRequest("POST", url, CIMultiDict({"Content-Type": kind, **headers}), body)


def parse(fields: dict[str, Any]) -> list[CallEvent]:
    return list(PROVIDER.parse(SOURCE, request(json.dumps({"call": fields}).encode())))


def follow(events: Sequence[CallEvent]) -> Call:
    (key,) = {event.call_key for event in events}
    call = Call(key)
    for event in events:
        call = apply_event(call, event, STARTED + timedelta(hours=1))
    return call


# -- who may -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "query", "known"),
    [
        ({"X-Api-Key": "new-one"}, "", True),
        ({"x-api-key": "old-one"}, "", True),
        ({"Authorization": "Bearer old-one"}, "", True),
        ({}, "?token=new-one", True),
        ({"X-Api-Key": "new-on"}, "", False),
        ({"X-Api-Key": ""}, "", False),
        ({}, "?key=new-one", False),
        ({}, "", False),
    ],
)
def test_where_the_secret_may_be(headers: dict[str, str], query: str, known: bool) -> None:
    asked = HookRequest("POST", HOOK + query, CIMultiDict(headers), b"")
    if known:
        PROVIDER.verify(SOURCE, asked)
        return
    with pytest.raises(NotAuthenticated):
        PROVIDER.verify(SOURCE, asked)


# -- a finished call ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "state", "direction", "agent", "facts"),
    [
        ("Inbound", "ended", "inbound", "101", ["hangup", "ringing", "answered"]),
        ("Missed", "missed", "inbound", None, ["missed", "ringing"]),
        ("Outbound", "ended", "outbound", "101", ["hangup", "ringing", "answered"]),
        ("Notanswered", "ended", "outbound", None, ["hangup", "ringing"]),
    ],
)
def test_what_a_report_comes_to(
    said: str, state: str, direction: str, agent: str | None, facts: list[str]
) -> None:
    events = parse(CALL | {"type": said})
    assert [event.type.value for event in events] == facts
    assert len({event.event_key for event in events}) == len(facts)
    # The end comes first: whatever is known of it, nobody is popped for a call that is over.
    for known in range(1, len(events) + 1):
        assert follow(events[:known]).ended_at == STARTED + timedelta(seconds=95)
    call = follow(events)
    assert (call.state, call.direction, call.agent_ref) == (state, direction, agent)
    assert call.started_at == STARTED


def test_times_of_the_template_count_before_those_that_are_worked_out() -> None:
    more = {"answered_utc": "2026-11-16T10:15:20+01:00", "ended_utc": "2026-11-16T09:17:00"}
    call = follow(parse(CALL | more))
    assert call.answered_at == STARTED + timedelta(seconds=20)
    assert call.ended_at == STARTED + timedelta(seconds=120)
    empty = follow(parse(CALL | {"answered_utc": "", "ended_utc": "never"}))
    assert (empty.answered_at, empty.ended_at) == (STARTED, STARTED + timedelta(seconds=95))


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("00:01:35", 95), ("1.00:00:01", 86401), ("01:00:00.5000000", 3600), ("95", 95), ("soon", None), ("", None),
     ("99999999999", None)],
)  # fmt: skip
def test_how_long_it_took(said: str, seconds: int | None) -> None:
    assert parse(CALL | {"duration": said})[0].duration_seconds == seconds


def test_the_same_message_is_the_same_call_and_another_is_not() -> None:
    keys = {
        parse(CALL | change)[0].call_key
        for change in (
            {},
            {"duration": "00:09:00"},  # says nothing about which call it was
            {"agent": "102"},
            {"number": "+447700900124"},
            {"type": "Missed"},
            {"started_utc": "2026-11-16T09:15:01Z"},
        )
    }
    assert len(keys) == 5


def test_every_way_of_sending_it_is_the_same() -> None:
    theirs = {
        "CallType": "Inbound",
        "Number": "+447700900123",
        "Agent": 101,
        "Duration": "00:01:35",
        "CallStartTimeUTC": "2026-11-16T09:15:00Z",
        "EntityId": "4711",
    }
    wanted = parse(CALL)
    form = urlencode(CALL).encode()
    get = HookRequest("GET", f"{HOOK}/journal?{urlencode(CALL)}", CIMultiDict(), b"")
    for asked in (
        request(json.dumps(CALL).encode()),
        request(json.dumps({"call": theirs}).encode(), "text/plain"),
        request(form, "application/x-www-form-urlencoded"),
        get,
    ):
        assert list(PROVIDER.parse(SOURCE, asked)) == wanted


def test_a_queue_a_name_and_a_recording() -> None:
    more = {"name": "Ada Larkin", "queue": "800", "recording_url": "https://pbx.example.com/r/1"}
    end, ringing, answered = parse(CALL | more | {"number": "", "agent": ""})
    assert (end.ani, end.agent_refs, end.display_name, end.queue_ref) == (None, (), "Ada Larkin", "800")
    assert end.recording_url == "https://pbx.example.com/r/1"
    assert (ringing.recording_url, answered.duration_seconds, answered.ends_call) == (None, None, False)


@pytest.mark.parametrize(
    ("changes", "error", "named"),
    [
        ({"type": ""}, Malformed, "type"),
        ({"type": "Conference"}, Invalid, "type"),
        ({"started_utc": ""}, Malformed, "started_utc"),
        ({"started_utc": "x" * 1000}, Malformed, "started_utc"),
        ({"started_utc": "16.11.2026 09:15"}, Malformed, "started_utc"),
        ({"started_utc": "9999-12-31T23:59:59-23:59"}, Malformed, "started_utc"),
        ({"started_utc": "0001-01-01T00:00:00+14:00"}, Malformed, "started_utc"),
        ({"agent": {"id": 1}}, Malformed, "agent"),
        ({"number": True}, Malformed, "number"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], error: type[Invalid], named: str) -> None:
    with pytest.raises(error) as refusal:
        parse(CALL | changes)
    assert type(refusal.value) is error
    assert list(refusal.value.fields) == [named]


@pytest.mark.parametrize("body", [b"[]", b'{"call": []}', b"{", b"[" * 100_000, b'{"call":' * 5000, b"\xff"])
def test_json_that_cannot_be_read(body: bytes) -> None:
    with pytest.raises(Malformed):
        PROVIDER.parse(SOURCE, request(body))


# -- look-ups ----------------------------------------------------------------------------------------

ADA = {
    "name": "Ada Mary Larkin",
    "company": "Larkin & Sons",
    "phone": "+447700900123",
    "email": "ada@example.com",
    "number": 4711,
    "url": "https://cti.example.com/customers/4711",
}


def lookup(found: list[dict[str, Any]], url: str = HOOK, **headers: str) -> Any:
    reply = lookup_reply(SOURCE, HookRequest("GET", url, CIMultiDict(headers), b""), found)
    assert reply.status == 200
    if reply.content_type == "application/json":
        return json.loads(reply.body)
    assert reply.content_type == "application/xml"
    return [
        {field.tag: field.text or "" for field in contact} for contact in ElementTree.fromstring(reply.body)
    ]


def test_a_contact_has_what_the_template_reads(real_bytes: Callable[..., bytes]) -> None:
    template = ElementTree.fromstring(real_bytes("providers", "samples", "3cx", "01-crm-template.xml.txt"))
    paths = [variable.get("Path", "") for variable in template.iter("Variable")]
    assert len(paths) > 3
    (contact,) = lookup([ADA], Accept="application/json")["contacts"]
    assert {path.removeprefix("contacts.") for path in paths} <= set(contact)
    assert contact == {
        "id": "4711",
        "first_name": "Ada Mary",
        "last_name": "Larkin",
        "company": "Larkin & Sons",
        "phone": "+447700900123",
        "mobile": "+447700900123",
        "email": "ada@example.com",
        "url": "https://cti.example.com/customers/4711",
    }


def test_nobody_found(real_bytes: Callable[..., bytes]) -> None:
    assert lookup([]) == json.loads(real_bytes("providers", "samples", "3cx", "04-lookup-reply-none.json"))
    assert lookup([], f"{HOOK}?format=xml") == []


def test_xml_for_a_template_that_asks_for_it() -> None:
    hostile = ADA | {"name": "王小明", "company": "]]><contact a=\"'&\x00\ud800"}
    for url, headers in ((f"{HOOK}?format=XML", {}), (HOOK, {"Accept": "text/xml"})):
        first, second = lookup([ADA, hostile], url, **headers)
        assert (first["first_name"], first["company"]) == ("Ada Mary", "Larkin & Sons")
        assert (second["first_name"], second["last_name"]) == ("王小明", "")
        assert second["company"] == "]]><contact a=\"'&"
    assert "contacts" in lookup([ADA], Accept="application/json, text/xml")


def test_a_customer_of_whom_little_is_known() -> None:
    (contact,) = lookup([{"name": None, "number": "RP-7"}])["contacts"]
    assert contact == dict.fromkeys(contact, "") | {"id": "RP-7"}
    assert len(lookup([ADA] * 100)["contacts"]) == 20


def test_the_template_that_we_hand_out_speaks_our_language() -> None:
    template = ElementTree.parse(Path(__file__).parents[2] / "docs" / "3cx-crm-template.xml")
    (contact,) = lookup([ADA])["contacts"]
    paths = {variable.get("Path", "").removeprefix("contacts.") for variable in template.iter("Variable")}
    assert paths <= set(contact)
    asked = [request.get("Url", "") for request in template.iter("Request")]
    assert asked == ["[BaseUrl]/hooks/lookup/[Source]?number=[Number]", "[BaseUrl]/hooks/calls/[Source]"]
    (call,) = template.iter("PostValues")
    filled = {value.get("Key", ""): CALL.get(value.get("Key", ""), "x") for value in call}
    assert call.get("Key") == "call" and set(CALL) <= set(filled)
    end, *_ = parse(filled | {"answered_utc": "2026-11-16T09:15:05Z", "ended_utc": "2026-11-16T09:16:40Z"})
    assert (end.display_name, end.queue_ref) == ("x", "x")
    assert end.occurred_at == STARTED + timedelta(seconds=100)


# -- participants ------------------------------------------------------------------------------------


@pytest.fixture
def recorded(real_case: Callable[..., Any]) -> Callable[[str], tuple[dict[str, Any], dict[str, Any]]]:
    """A recorded message of the API, and the neutral event that must come of it."""

    def load(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
        folder = ("providers", "samples", "3cx")
        return real_case(*folder, f"{name}.json"), real_case(*folder, f"{name}.meta.json")["neutral"]

    return load


def state(**fields: Any) -> Any:
    participant = {"id": 37, "status": "Ringing", "dn": "101", "party_caller_id": "+447700900123",
                   "party_dn_type": "Wexternalline", "callid": 812, "legid": 1}  # fmt: skip
    return read_participant(participant | fields)


def assert_is(event: CallEvent, neutral: dict[str, Any]) -> None:
    assert event.type == neutral["type"]
    assert event.call_key == neutral["call_key"].partition(":")[2]
    assert event.leg_key == neutral["leg_key"]
    assert event.event_key == neutral["dedupe_key"].partition(":")[2]
    assert event.agent_refs == (neutral["agent_ref"],)
    assert event.direction == neutral.get("direction", event.direction)
    assert event.ani == neutral.get("from", event.ani)


def test_the_recorded_life_of_a_call(recorded: Any) -> None:
    """Ringing at 101, picked up, handed on to 102, and 101 leaves: one call, one event each."""
    participants, events = Participants(), []
    for path, name in (("p/37", "22-entity-ringing"), ("p/37", "24-entity-connected")):
        message, neutral = recorded(name)
        (event,) = participants.update(path, read_participant(message))
        assert_is(event, neutral)
        assert participants.update(path, read_participant(message)) == []
        events.append(event)
    message, neutral = recorded("43-entity-102-connected")
    handed_on, answered = participants.update("p/39", read_participant(message))
    assert_is(handed_on, neutral)
    assert (answered.type, answered.agent_refs) == (EventType.ANSWERED, ("102",))
    (left,) = participants.remove("p/37")
    assert_is(left, recorded("25-ws-remove")[1])
    call = follow([*events, handed_on, answered, left])
    assert (call.state, call.agent_ref, call.direction) == ("answered", "102", Direction.INBOUND)
    assert participants.remove("p/37") == []
    assert follow([*events, handed_on, answered, left, *participants.remove("p/39")]).state == "ended"


def test_gone_while_it_rang(recorded: Any) -> None:
    participants = Participants()
    participants.update("p/38", state(callid=813))
    (event,) = participants.remove("p/38")
    assert_is(event, recorded("31-ws-remove-while-ringing")[1])
    assert event.ends_call


def test_of_a_group_the_last_phone_to_stop_makes_it_missed() -> None:
    participants = Participants()
    events = [
        *participants.update("p/1", state(dn="101", legid=1)),
        *participants.update("p/2", state(dn="102", legid=2)),
        *participants.remove("p/1"),
        *participants.remove("p/2"),
    ]
    assert [event.type for event in events] == ["ringing", "ringing", "hangup", "missed"]
    assert follow(events[:3]).state == "ringing"
    assert follow(events).state == "missed"


def test_an_outgoing_call() -> None:
    participants = Participants()
    events = [
        *participants.update("p/1", state(status="Dialing")),
        *participants.update("p/1", state(status="Connected")),
        *participants.remove("p/1"),
    ]
    assert [event.type for event in events] == ["dialing", "answered", "hangup"]
    assert {(event.direction, event.ani, event.dnis) for event in events} == {
        (Direction.OUTBOUND, None, "+447700900123")
    }
    assert [event.type for event in (*participants.update("p/2", state(status="Dialing", callid=9)),
                                     *participants.remove("p/2"))] == ["dialing", "hangup"]  # fmt: skip


def test_a_colleague_is_no_customer() -> None:
    (event,) = Participants().update("p/1", state(party_dn_type="Wextension", party_caller_id="102"))
    assert event.direction is Direction.INTERNAL


def test_a_queue_that_picks_up_is_no_agent() -> None:
    participants = Participants({"800": "Wqueue", "101": "Wextension"})
    events = [
        *participants.update("p/1", state(dn="800", legid=1, status="Ringing")),
        *participants.update("p/1", state(dn="800", legid=1, status="Connected")),
        *participants.update("p/2", state(dn="101", legid=2, status="Ringing")),
    ]
    assert [event.type for event in events] == ["queued", "queued", "ringing"]
    assert [(event.agent_refs, event.queue_ref) for event in events] == [((), "800")] * 2 + [(("101",), None)]
    assert follow(events).state == "ringing"


def test_what_is_known_of_calls_is_bounded() -> None:
    participants = Participants(most_calls=3)
    for number in range(10):
        participants.update(f"p/{number}", state(callid=number, status="Ringing"))
        participants.update(f"p/{number}", state(callid=number, status="Connected"))
    assert len(participants._answered) == len(participants._directions) == 3


@pytest.mark.parametrize(
    "message", [None, [], "x", {}, {"callid": 1}, {"callid": 1, "legid": 2, "dn": "101"},
                {"callid": "x" * 500, "legid": 2, "dn": "101", "status": "Ringing"}]
)  # fmt: skip
def test_what_is_no_participant(message: Any) -> None:
    assert read_participant(message) is None


# -- a PBX on loopback -------------------------------------------------------------------------------


@dataclass
class Pbx:
    """As much of the Call Control API as is used: what it holds, what it was asked, its open sockets."""

    state: dict[str, Any] = field(default_factory=dict)
    asked: list[Any] = field(default_factory=list)
    sockets: list[web.WebSocketResponse] = field(default_factory=list)
    url: str = ""

    async def token(self, request: web.Request) -> web.Response:
        given = await request.post()
        if given["client_secret"] != "key":
            return web.json_response({"error": "invalid_client"}, status=400)
        assert (given["client_id"], given["grant_type"]) == ("901", "client_credentials")
        return web.json_response({"access_token": "T1", "token_type": "Bearer", "expires_in": 3600})

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        assert request.headers["Authorization"] == "Bearer T1"
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        async for _ in socket:
            pass
        return socket

    async def take(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer T1"
        if request.method == "GET":
            if request.raw_path not in self.state:
                return web.Response(status=404)
            return web.json_response(self.state[request.raw_path])
        message = await request.json()
        self.asked.append((request.raw_path, message))
        if message.get("destination") == "nobody":
            return web.json_response({"finalstatus": "Failed", "reasontext": "No such extension"})
        return web.json_response({"finalstatus": "Success", "result": {"id": 7, "callid": 900}})

    async def say(self, event_type: int, entity: str) -> None:
        event = {"event_type": event_type, "entity": entity, "attached_data": None}
        await self.sockets[-1].send_json({"sequence": 1, "event": event})


@pytest.fixture
async def pbx() -> AsyncIterator[Pbx]:
    pbx, app = Pbx(), web.Application()
    app.router.add_post("/connect/token", pbx.token)
    app.router.add_get("/callcontrol/ws", pbx.socket)
    app.router.add_route("*", "/{path:.*}", pbx.take)
    server = TestServer(app)
    await server.start_server()
    pbx.url = str(server.make_url("/"))
    yield pbx
    for socket in pbx.sockets:
        await socket.close()
    await server.close()


def source_at(pbx: Pbx, **options: str) -> CallSource:
    return replace(SOURCE, options={"api_url": pbx.url, "client_id": "901", "client_key": "key"} | options)


def command(deed: Deed, call: LiveCall | None = None, target: str = "102") -> Command:
    return Command(deed=deed, key="k1", agent="101", target=target, call=call)


CONNECTED = LiveCall("812", "812/1", "812/1", "inbound")


async def test_commands_as_the_api_wants_them(pbx: Pbx) -> None:
    assert isinstance(PROVIDER, Control)
    pbx.state["/callcontrol/101/participants"] = [{"id": 36, "callid": 811}, {"id": 37, "callid": 812}]
    async with aiohttp.ClientSession() as http:
        dialled = command(Deed.DIAL, target="+442079460000")
        assert await PROVIDER.act(source_at(pbx), dialled, http) == "900"
        assert await PROVIDER.act(source_at(pbx), command(Deed.TRANSFER, CONNECTED), http) == ""
        assert await PROVIDER.act(source_at(pbx), command(Deed.HANG_UP, CONNECTED), http) == ""
    assert pbx.asked == [
        ("/callcontrol/101/makecall", {"destination": "+442079460000"}),
        ("/callcontrol/101/participants/37/transferto", {"destination": "102"}),
        ("/callcontrol/101/participants/37/drop", {}),
    ]


async def test_what_an_agent_reads_when_it_fails(pbx: Pbx) -> None:
    pbx.state["/callcontrol/101/participants"] = [{"id": 37, "callid": 1}, None]
    async with aiohttp.ClientSession() as http:
        for source, what, words in (
            (source_at(pbx), command(Deed.DIAL, target="nobody"), "No such extension"),
            (source_at(pbx), command(Deed.HANG_UP, CONNECTED), "not on your phone"),
            (source_at(pbx), command(Deed.HANG_UP), "no call"),
            (source_at(pbx), command(Deed.HOLD, CONNECTED), "cannot hold"),
            (source_at(pbx, client_key="x"), command(Deed.DIAL), r"refused \(400: invalid_client\)"),
            (source_at(pbx, client_id=""), command(Deed.DIAL), "set api_url, client_id and client_key"),
            (source_at(pbx, api_url="http://127.0.0.1:1"), command(Deed.DIAL), "cannot be reached"),
        ):
            with pytest.raises(CommandFailed, match=words):
                await PROVIDER.act(source, what, http)


@dataclass
class Heard:
    """The link of a session: what it was given, in order."""

    events: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)

    def up(self, detail: str = "") -> None:
        self.events.put_nowait("up")

    async def emit(self, events: Sequence[CallEvent], raw: bytes) -> None:
        assert raw
        for event in events:
            self.events.put_nowait((event.type.value, event.call_key, event.agent_refs))

    async def next(self) -> Any:
        async with asyncio.timeout(5):
            return await self.events.get()


async def test_a_live_session(pbx: Pbx, recorded: Any) -> None:
    """The whole picture first, then each change; a phone that is gone before we ask is no fault."""
    path = "/callcontrol/101/participants/37"
    ringing, _ = recorded("22-entity-ringing")
    pbx.state["/callcontrol"] = [
        {"dn": "101", "type": "Wextension", "participants": [ringing]},
        {"dn": "800"},
        None,
    ]
    source = replace(source_at(pbx), options={"api_url": pbx.url, "client_id": "901"}, secrets=("key",))
    session, heard = LIVE.session(source), Heard()
    with pytest.raises(CommandFailed, match="not connected"):
        await session.act(command(Deed.DIAL))
    running = asyncio.create_task(session.run(heard))
    assert await heard.next() == ("ringing", "812", ("101",))
    assert await heard.next() == "up"
    pbx.state[path], _ = recorded("24-entity-connected")
    for kind, entity in (
        (0, "/callcontrol/102/participants/1"),
        (9, path),
        (2, path),
        (0, "/keepalive"),
        (0, path),
    ):
        await pbx.say(kind, entity)
    assert await heard.next() == ("answered", "812", ("101",))
    pbx.state["/callcontrol/101/participants"] = [pbx.state[path]]
    assert await session.act(command(Deed.HANG_UP, CONNECTED)) == ""
    await pbx.say(1, path)
    assert await heard.next() == ("hangup", "812", ("101",))
    await pbx.sockets[-1].close()
    with pytest.raises(LinkBroken, match="closed"):
        await running
    assert heard.events.empty()


async def test_a_live_session_that_cannot_go_on(pbx: Pbx) -> None:
    with pytest.raises(LinkBroken, match="404"):
        await LIVE.session(source_at(pbx)).run(Heard())  # the PBX lists nothing
    pbx.state["/callcontrol"] = []
    with pytest.raises(LinkBroken, match="invalid_client"):
        await LIVE.session(source_at(pbx, client_key="x")).run(Heard())
    heard = Heard()
    running = asyncio.create_task(LIVE.session(source_at(pbx)).run(heard))
    assert await heard.next() == "up"
    await pbx.sockets[-1].send_str("[" * 100_000)
    with pytest.raises(LinkBroken, match="no JSON"):
        await running


def test_settings_that_a_live_session_needs() -> None:
    with pytest.raises(SettingsError, match=r"call_sources\.threecx\.client_id"):
        LIVE.session(replace(SOURCE, options={"api_url": "https://pbx.example.com"}))
