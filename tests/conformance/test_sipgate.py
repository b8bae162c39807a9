"""sipgate.io: one call over transfers and forwards, whose key counts, what the XML says, REST commands."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from multidict import CIMultiDict

from handlers.telephony.control import Command, CommandFailed, Control, Deed, LiveCall
from handlers.telephony.provider import CallSource, HookRequest
from handlers.telephony.sipgate import PROVIDER, SipgateProvider
from server.domain.call import Call, apply_event
from server.domain.errors import Forbidden, Invalid, Malformed
from server.domain.event import CallEvent, Direction, EventType
from server.domain.outcome import CallOutcome, RungAgent

HOOK = "https://cti.example.com/hooks/calls/sip"
SOURCE = CallSource("sip", "sipgate", (), "DE", "support", "one", HOOK)
FORM = CIMultiDict({"Content-Type": "application/x-www-form-urlencoded"})
CALL = {"event": "newCall", "direction": "in", "from": "49178000000", "to": "49203000000", "callId": "A1"}
BASE = datetime(2026, 11, 16, 9, 15, tzinfo=UTC)


def form(fields: dict[str, Any], url: str = HOOK) -> HookRequest:
    pairs: list[tuple[str, str]] = []
    for name, value in fields.items():
        if isinstance(value, list):
            pairs.extend((f"{name}[]", item) for item in value)
        else:
            pairs.append((name, str(value)))
    return HookRequest("POST", url, FORM, urlencode(pairs).encode())


def parse(fields: dict[str, Any], provider: SipgateProvider = PROVIDER, url: str = HOOK) -> CallEvent:
    (event,) = provider.parse(SOURCE, form(fields, url))
    return event


def follow(events: Sequence[CallEvent]) -> tuple[Call, list[str]]:
    """The one call that the events are, and its state after each of them."""
    assert len({event.call_key for event in events}) == 1
    call, states = Call(events[0].call_key), []
    for number, event in enumerate(events):
        # As intake does: the several names of one agent are one.
        call = apply_event(call, event, BASE + timedelta(seconds=number), event.agent_refs[:1])
        states.append(call.state.value)
    return call, states


def flow(*messages: dict[str, Any]) -> tuple[Call, list[str]]:
    provider = SipgateProvider()
    return follow([parse(fields, provider) for fields in messages])


# -- one call ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fixed_address", [False, True], ids=["as-subscribed", "fixed-address"])
def test_a_transfer_stays_one_call(samples_of: Callable[..., Any], fixed_address: bool) -> None:
    """The later messages go where our answer to newCall says, or to an address that knows of no call."""
    provider = SipgateProvider()
    samples, events, addresses = samples_of("sipgate"), [], dict[str, str]()
    for name in ("21-newcall-a", "22-answer-a", "23-newcall-b", "24-answer-b", "25-hangup-a", "26-hangup-b"):
        url = HOOK if fixed_address else addresses.get(name[-1], HOOK)
        request = HookRequest("POST", url, FORM, samples[name].request.body)
        if not fixed_address and "newcall" not in name:
            provider = SipgateProvider()  # started since: it remembers nothing
        found = provider.parse(SOURCE, request)
        events += found
        if "newcall" in name:
            answer = ElementTree.fromstring(provider.reply(SOURCE, request, found, []).body)
            assert answer.get("onAnswer") == answer.get("onHangup")
            addresses[name[-1]] = answer.get("onAnswer") or ""
    assert addresses == {"a": HOOK, "b": f"{HOOK}?call=898c7c272db752ebb1"}
    call, states = follow(events)
    assert states == ["ringing", "answered", "transferred", "answered", "answered", "ended"]
    assert call.agent_ref == "w1"
    assert sorted(call.legs) == ["898c7c272db752ebb1", "c984d61657568bb66c"]


def test_a_transfer_that_nobody_takes() -> None:
    handed_on = CALL | {"callId": "B1", "origCallId": "A1", "diversion": "492214710111", "userId": ["w1"]}
    call, states = flow(
        CALL | {"origCallId": "A1", "userId": ["w0"]},
        {"event": "answer", "direction": "in", "callId": "A1", "userId": "w0"},
        handed_on,
        {"event": "hangup", "direction": "in", "callId": "B1", "cause": "noAnswer"},
        {"event": "hangup", "direction": "in", "callId": "A1", "cause": "normalClearing"},
    )
    assert states == ["ringing", "answered", "transferred", "transferred", "ended"]
    assert call.agent_ref == "w0"


def test_a_forwarded_call_stays_one_call() -> None:
    """The call that was forwarded ends first; who picks up the second one has the customer."""
    call, states = flow(
        CALL | {"origCallId": "A1", "userId": ["w0"]},
        {"event": "hangup", "direction": "in", "callId": "A1", "cause": "forwarded"},
        CALL | {"callId": "B1", "origCallId": "A1", "diversion": "492214710111", "userId": ["w1"]},
        {"event": "answer", "direction": "in", "callId": "B1", "userId": "w1"},
        {"event": "hangup", "direction": "in", "callId": "B1", "cause": "normalClearing"},
    )
    assert states == ["ringing", "transferred", "transferred", "answered", "ended"]
    assert (call.key, call.agent_ref) == ("A1", "w1")


def test_a_call_handed_on_twice_is_still_the_first() -> None:
    provider = SipgateProvider()
    second = parse(CALL | {"callId": "B1", "origCallId": "A1", "diversion": "1"}, provider)
    third = parse(CALL | {"callId": "C1", "origCallId": "B1", "diversion": "1"}, provider)
    assert (second.call_key, third.call_key, third.leg_key) == ("A1", "A1", "C1")
    end = parse({"event": "hangup", "callId": "C1", "cause": "normalClearing"}, provider)
    assert (end.call_key, end.type) == ("A1", EventType.HANGUP)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handlers.telephony.sipgate._MAX_REMEMBERED", 3)
    provider = SipgateProvider()
    for number in range(10):
        parse(CALL | {"callId": f"B{number}", "origCallId": f"A{number}", "diversion": "1"}, provider)
    keys = [parse({"event": "hangup", "callId": f"B{number}"}, provider).call_key for number in range(10)]
    assert keys == [*(f"B{number}" for number in range(7)), "A7", "A8", "A9"]


def test_flows_of_real_complaints(real_case: Callable[..., Any]) -> None:
    cases = {case["id"]: case for case in real_case("cases", "cti", "sipgate_io_issue_flows.json")}

    def events_of(name: str) -> list[CallEvent]:
        provider = SipgateProvider()
        return [parse(fields, provider) for fields in cases[name]["events"]]

    # An extra incoming leg of an outgoing call: one call, going out, and nobody is to be found for it.
    extra = events_of("sgio-130-extra-in")
    call, states = follow(extra)
    assert (call.direction, states) == (Direction.OUTBOUND, ["ringing", "ringing"])
    assert (extra[1].leg_key, extra[1].parent_leg_key) == ("C2", "C1")
    # Nobody picked up but a queue: no agent answered, and who waited in vain was missed.
    _, states = follow(events_of("sgio-70-queue-answer-empty-user"))
    assert states == ["ringing", "ringing", "missed"]
    empty, withheld = events_of("sgio-56-empty-from-outgoing")
    assert (empty.ani, withheld.ani) == (None, "anonymous")
    assert empty.dnis == withheld.dnis == "4930998877"
    (unknown,) = events_of("sgio-102-anonymous-in")
    assert (unknown.ani, unknown.agent_refs) == ("anonymous", ("Bob",))
    # Its end never comes: that is for the sweep of calls.
    assert follow(events_of("sgio-93-no-hangup"))[1] == ["ringing"]


def test_request_sequences_of_the_caller_log(real_case: Callable[..., Any]) -> None:
    taken = 0
    for case in real_case("cases", "cti", "caller_log_cases.json"):
        for step in case["steps"]:
            if case["provider"] != "sipgate" or "request" not in step:
                continue
            body = step["request"]["body"]
            event = parse(body)
            taken += 1
            assert (event.type, event.call_key, event.leg_key) == (
                EventType.RINGING, body["callId"], body["callId"]
            )  # fmt: skip
            assert event.direction is (Direction.INBOUND if body["direction"] == "in" else Direction.OUTBOUND)
            assert (event.ani, event.dnis) == (body["from"], body["to"])
            assert event.agent_refs == tuple(body["user"])
    assert taken == 6


# -- fields ------------------------------------------------------------------------------------------


def test_agents_by_their_ids_before_numbers_and_names() -> None:
    ids = {
        "userId": ["w0", "w1"],
        "fullUserId": ["1234567w0", "1234567w1"],
        "user": ["Priya Raman", "Tomasz"],
    }
    assert parse(CALL | ids).agent_refs == ("w0", "w1", "1234567w0", "1234567w1", "Priya Raman", "Tomasz")
    answer = CALL | {
        "event": "answer",
        "user": "Priya Raman",
        "userId": "w0",
        "answeringNumber": "492214710111",
    }
    assert parse(answer).agent_refs == ("w0", "492214710111", "Priya Raman")
    # On the way out the number that answers is the customer's; a number alone is one that we dialled.
    assert parse(answer | {"direction": "out"}).agent_refs == ("w0", "Priya Raman")
    dialled = CALL | {"event": "answer", "answeringNumber": "4915799912345"}
    assert (parse(dialled).type, parse(dialled).agent_refs) == (EventType.ANSWERED, ("4915799912345",))
    mailbox = CALL | {"event": "answer", "user": "voicemail", "answeringNumber": "492214710111"}
    assert (parse(mailbox).type, parse(mailbox).agent_refs) == (EventType.VOICEMAIL, ())


def test_a_diversion_alone_or_empty_is_no_transfer() -> None:
    assert parse(CALL | {"origCallId": "A1", "diversion": "492214710111"}).type is EventType.RINGING
    beside = parse(CALL | {"callId": "B7", "origCallId": "A7", "diversion": ""}, SipgateProvider())
    assert (beside.type, beside.parent_leg_key) == (EventType.RINGING, "A7")


@pytest.mark.parametrize("key", ["x" * 1000, "a\x00b"])
def test_a_call_in_the_address_is_checked_like_any_key(key: str) -> None:
    url = f"{HOOK}?{urlencode({'call': key})}"
    with pytest.raises(Malformed):
        parse({"event": "hangup", "callId": "Z9"}, SipgateProvider(), url)


def test_only_what_is_signed_is_read() -> None:
    """Fields in the address are nobody's word, and JSON is none of this provider's."""
    get = HookRequest("GET", f"{HOOK}?{urlencode(CALL)}", CIMultiDict(), b"")
    json_body = HookRequest(
        "POST", HOOK, CIMultiDict({"Content-Type": "application/json"}), b'{"event":"newCall"}'
    )
    for request in (get, json_body):
        with pytest.raises(Malformed):
            PROVIDER.parse(SOURCE, request)
    with pytest.raises(Invalid):
        parse(CALL | {"event": "explode"})


# -- whose key counts --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keys() -> tuple[rsa.RSAPrivateKey, str]:
    private = rsa.generate_private_key(65537, 2048)
    pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return private, pem.decode()


def signed(private: rsa.RSAPrivateKey) -> HookRequest:
    body = b"event=newCall&callId=A1"
    signature = base64.b64encode(private.sign(body, padding.PKCS1v15(), SHA256())).decode()
    return HookRequest("POST", HOOK, CIMultiDict({"X-Sipgate-Signature": signature}), body)


def test_a_key_in_a_file_may_be_changed(keys: Any, tmp_path: Path) -> None:
    private, pem = keys
    file = tmp_path / "sipgate.pem"
    source = replace(SOURCE, secrets=("junk", str(file)))
    with pytest.raises(Forbidden):
        PROVIDER.verify(source, signed(private))
    file.write_text("none yet")
    with pytest.raises(Forbidden):
        PROVIDER.verify(source, signed(private))
    file.write_text(f"\n{pem}\n")
    PROVIDER.verify(source, signed(private))
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(Forbidden):
        PROVIDER.verify(source, signed(private))


def test_what_is_no_rsa_public_key_opens_nothing(keys: Any) -> None:
    private, pem = keys
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    elliptic = other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    broken = pem.replace("A", "B")
    for secret in ("", "junk", elliptic, broken, f"x{pem}", f"{pem}x", str(Path(__file__).parent / "no.pem")):
        with pytest.raises(Forbidden):
            PROVIDER.verify(replace(SOURCE, secrets=(secret,)), signed(private))
    PROVIDER.verify(replace(SOURCE, secrets=("junk", elliptic, pem)), signed(private))


# -- the answer --------------------------------------------------------------------------------------


def answer_to(
    fields: dict[str, Any],
    *agents: RungAgent,
    provider: SipgateProvider | None = None,
    is_closed: bool = False,
    **options: str,
) -> ElementTree.Element:
    provider, source = provider or SipgateProvider(), replace(SOURCE, options=options)
    request = form(fields)
    events = provider.parse(source, request)
    outcomes = [CallOutcome(1, "ringing", "support", agents, closed=is_closed) for _ in events]
    reply = provider.reply(source, request, events, outcomes)
    assert (reply.status, reply.content_type) == (200, "application/xml")
    return ElementTree.fromstring(reply.body)


def agent(number: int, extension: str | None) -> RungAgent:
    return RungAgent(number, f"Agent {number}", f"agent{number}@example.com", extension)


def shape(node: ElementTree.Element) -> Any:
    """Without the subscription: names, attributes, texts."""
    attributes = {name: value for name, value in node.attrib.items() if not name.startswith("on")}
    return (node.tag, attributes, node.text or "", [shape(child) for child in node])


def test_the_answer_subscribes_to_what_follows(real_bytes: Callable[..., bytes]) -> None:
    recorded = ElementTree.fromstring(real_bytes("providers", "samples", "sipgate", "02-newcall-reply.txt"))
    found = answer_to(CALL, agent(1, "4915799912345"))
    assert (found.tag, sorted(found.attrib), len(found)) == (recorded.tag, sorted(recorded.attrib), 0)
    assert found.attrib == {"onAnswer": HOOK, "onHangup": HOOK}
    for later in ("answer", "hangup", "dtmf"):
        assert shape(answer_to(CALL | {"event": later})) == ("Response", {}, "", [])


def test_chosen_agents_are_rung_when_asked_for() -> None:
    agents = [agent(1, "+4915799912345"), agent(2, "w1"), agent(3, None), agent(4, "492111234567")]
    agents += [agent(number, f"49221471010{number}") for number in range(5, 10)]
    dial = answer_to(CALL, *agents, dial="agents").find("Dial")
    assert dial is not None
    assert [number.text for number in dial] == [
        "4915799912345", "492111234567", "492214710105", "492214710106", "492214710107"
    ]  # fmt: skip
    # Whose phones have no number are rung by the routing of the account.
    assert len(answer_to(CALL, agent(2, "w1"), dial="agents")) == 0
    assert len(answer_to(CALL | {"direction": "out"}, agents[0], dial="agents")) == 0
    handed_on = CALL | {"callId": "B1", "origCallId": "A1", "diversion": "492214710111"}
    assert len(answer_to(handed_on, agents[0], dial="agents")) == 0


@pytest.mark.parametrize(
    ("nobody", "recorded"), [("voicemail", "13-reply-voicemail"), ("busy", "33-reply-reject-busy")]
)
def test_when_nobody_is_free(real_bytes: Callable[..., bytes], nobody: str, recorded: str) -> None:
    wanted = ElementTree.fromstring(real_bytes("providers", "samples", "sipgate", f"{recorded}.txt"))
    assert shape(answer_to(CALL, dial="agents", nobody=nobody)) == shape(wanted)
    assert len(answer_to(CALL, nobody=nobody)) == 0


def test_nobody_is_held_in_a_closed_queue() -> None:
    for options in ({}, {"nobody": "busy"}, {"closed": "voicemail"}):
        answer = answer_to(CALL, is_closed=True, dial="agents", **options)
        assert answer.find("Dial/Voicemail") is not None
    busy = answer_to(CALL, is_closed=True, dial="agents", closed="busy").find("Reject")
    assert busy is not None and busy.get("reason") == "busy"
    # Where sipgate's own routing rings, it is sipgate that knows the hours.
    assert len(answer_to(CALL, is_closed=True)) == 0
    assert len(answer_to(CALL, dial="agents")) == 0


# -- commands ----------------------------------------------------------------------------------------


@pytest.fixture
async def api() -> AsyncIterator[tuple[TestServer, list[Any]]]:
    """A server on loopback that writes down what it is asked, and answers as the REST API does."""
    asked: list[Any] = []

    async def take(request: web.Request) -> web.Response:
        message = await request.json() if request.can_read_body else None
        asked.append((request.method, request.raw_path, message, request.headers.get("Authorization")))
        if request.path.endswith("/sessions/calls"):
            return web.json_response({"sessionId": "S1"})
        if "gone" in request.path:
            return web.json_response({"message": "call not\n found"}, status=404)
        if "elsewhere" in request.path:
            raise web.HTTPFound("https://example.com/")
        return web.Response(status=204)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", take)
    server = TestServer(app)
    await server.start_server()
    yield server, asked
    await server.close()


def source_at(server: TestServer, **options: str) -> CallSource:
    given = {"api_url": str(server.make_url("/v2/")), "token_id": "token-ABC", "token": "s3cret"}
    return replace(SOURCE, options=given | options)


def command(deed: Deed, call: LiveCall | None = None, **fields: str) -> Command:
    given = {"key": "k1", "agent": "e0", "target": "+442079460000"} | fields
    return Command(deed=deed, call=call, **given)


LIVE = LiveCall("A1", "A1", "B/1", "inbound")


async def test_commands_as_the_api_wants_them(api: tuple[TestServer, list[Any]]) -> None:
    server, asked = api
    assert isinstance(PROVIDER, Control)
    auth = aiohttp.encode_basic_auth("token-ABC", "s3cret")
    source = source_at(server)
    async with aiohttp.ClientSession() as http:
        assert await PROVIDER.act(source, command(Deed.DIAL), http) == "S1"
        for deed in (Deed.HANG_UP, Deed.HOLD, Deed.UNHOLD, Deed.TRANSFER):
            assert await PROVIDER.act(source, command(deed, LIVE), http) == ""
    assert asked == [
        ("POST", "/v2/sessions/calls", {"caller": "e0", "callee": "+442079460000"}, auth),
        ("DELETE", "/v2/calls/B%2F1", None, auth),
        ("PUT", "/v2/calls/B%2F1/hold", {"value": True}, auth),
        ("PUT", "/v2/calls/B%2F1/hold", {"value": False}, auth),
        ("POST", "/v2/calls/B%2F1/transfer", {"attended": False, "phoneNumber": "+442079460000"}, auth),
    ]


async def test_which_device_dials(api: tuple[TestServer, list[Any]]) -> None:
    server, asked = api
    source = source_at(server, **{"devices.w0": "e7", "device_id": "p1"})
    async with aiohttp.ClientSession() as http:
        await PROVIDER.act(source, command(Deed.DIAL, agent="w0", caller_id="+49301234"), http)
    assert asked[0][2] == {
        "caller": "e7",
        "callee": "+442079460000",
        "callerId": "+49301234",
        "deviceId": "p1",
    }


async def test_what_an_agent_reads_when_it_fails(api: tuple[TestServer, list[Any]]) -> None:
    server, _ = api
    gone, elsewhere = (LiveCall(key, key, None, "inbound") for key in ("gone", "elsewhere"))
    async with aiohttp.ClientSession() as http:
        for source, what, words in (
            (source_at(server), command(Deed.HANG_UP, gone), r"refused \(404: call not found\)"),
            (source_at(server), command(Deed.HANG_UP, elsewhere), r"refused \(302\)"),
            (source_at(server), command(Deed.HANG_UP), "no call"),
            (source_at(server), command(Deed.ANSWER, LIVE), "cannot answer"),
            (
                source_at(server, token=""),
                command(Deed.DIAL),
                r"set token_id and token in \[call_sources.sip\]",
            ),
            (source_at(server, api_url="http://127.0.0.1:1"), command(Deed.DIAL), "cannot be reached"),
            (source_at(server, api_url="no address"), command(Deed.DIAL), "cannot be reached"),
        ):
            with pytest.raises(CommandFailed, match=words):
                await PROVIDER.act(source, what, http)
