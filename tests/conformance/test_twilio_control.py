"""Twilio's call control against a real HTTP server on loopback that answers as Twilio's API does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from multidict import CIMultiDict

from handlers.telephony import twilio_control
from handlers.telephony.control import Command, CommandFailed, Control, Deed, LiveCall
from handlers.telephony.provider import CallSource, HookRequest
from handlers.telephony.twilio import PROVIDER
from server.domain.event import EventType

HOOK = "https://cti.example.com/hooks/calls/main"
SID = "CA" + "0" * 30 + "42"
CUSTOMER, LINE = "+447700900456", "+442079460100"
DIAL = Command(Deed.DIAL, "request-1", "priya", CUSTOMER)
CALL = LiveCall(call_key=SID, customer_leg=SID, agent_leg="CA43", direction="inbound")


@dataclass
class Api:
    """``answers``: what comes next, the last one for ever."""

    answers: list[tuple[int, Any]] = field(default_factory=lambda: [(201, {"sid": SID, "status": "queued"})])
    asked: list[tuple[str, list[tuple[str, str]], tuple[str, str]]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    async def take(self, request: web.Request) -> web.StreamResponse:
        login = aiohttp.BasicAuth.decode(request.headers["Authorization"])
        form = [(name, str(value)) for name, value in (await request.post()).items()]
        self.asked.append((f"{request.method} {request.path}", form, (login.login, login.password)))
        status, body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(body, bytes):
            return web.Response(status=status, body=body, headers=self.headers)
        return web.json_response(body, status=status, headers=self.headers)


@asynccontextmanager
async def served(api: Api, **options: str) -> AsyncIterator[tuple[CallSource, aiohttp.ClientSession]]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", api.take)
    server = TestServer(application)
    await server.start_server()
    source = CallSource(
        name="main", provider="twilio", secrets=("new-token", "old-token"), country="GB", queue="support",
        ring="one", hook_url=HOOK,
        options={"account": "AC12", "number": LINE, "api_url": str(server.make_url("/"))} | options,
    )  # fmt: skip
    try:
        async with aiohttp.ClientSession() as http:
            yield source, http
    finally:
        await server.close()


def told(url: str, **fields: str) -> tuple[Any, ElementTree.Element]:
    """What our own door makes of the request that Twilio then sends to ``url``."""
    body = urlencode(
        {"CallSid": SID, "CallStatus": "in-progress", "From": LINE, "To": "client:priya"} | fields
    )
    form = CIMultiDict({"Content-Type": "application/x-www-form-urlencoded"})
    request = HookRequest("POST", url, form, body.encode())
    source = CallSource("main", "twilio", ("t",), "GB", "support", "one", HOOK)
    (event,) = PROVIDER.parse(source, request)
    return event, ElementTree.fromstring(PROVIDER.reply(source, request, [event], []).body)


def test_the_provider_says_what_it_can() -> None:
    assert isinstance(PROVIDER, Control)
    assert PROVIDER.deeds == {Deed.DIAL, Deed.HANG_UP, Deed.TRANSFER}


@pytest.mark.parametrize("version", ["", "/2010-04-01", "/2010-04-01/"])
async def test_dial_rings_the_agent_first_and_then_the_customer(version: str) -> None:
    api = Api()
    async with served(api) as (source, http):
        address = source.options["api_url"].rstrip("/") + version
        source = replace(source, options={**source.options, "api_url": address})
        assert await PROVIDER.act(source, DIAL, http) == SID
    ((line, form, login),) = api.asked
    assert line == "POST /2010-04-01/Accounts/AC12/Calls.json"
    assert login == ("AC12", "new-token")
    fields = dict(form)
    assert (fields["To"], fields["From"]) == ("client:priya", LINE)
    assert fields["StatusCallback"] == HOOK
    events = [value for name, value in form if name == "StatusCallbackEvent"]
    assert events == ["initiated", "ringing", "answered", "completed"]
    assert fields["Url"] == HOOK + "?customer=%2B447700900456"
    event, document = told(fields["Url"], Direction="outbound-api")
    assert (event.type, event.call_key, event.dnis) == (EventType.DIALING, SID, CUSTOMER)
    number = document.find("Dial/Number")
    assert number is not None
    assert number.text == CUSTOMER


@pytest.mark.parametrize(
    ("agent", "to"),
    [("101", "client:101"), ("client:priya", "client:priya"), ("priya@example.com", "client:priya@example.com"),
     ("sip:101@pbx.example.com", "sip:101@pbx.example.com"), ("+447700900555", "+447700900555")],
)  # fmt: skip
async def test_the_agents_phone_is_addressed_as_our_documents_do(agent: str, to: str) -> None:
    api = Api()
    async with served(api) as (source, http):
        await PROVIDER.act(source, replace(DIAL, agent=agent, caller_id="+442079460101"), http)
    fields = dict(api.asked[0][1])
    assert (fields["To"], fields["From"]) == (to, "+442079460101")


async def test_hang_up_and_transfer() -> None:
    api = Api([(200, {"sid": SID})])
    async with served(api) as (source, http):
        assert await PROVIDER.act(source, Command(Deed.HANG_UP, "k", "priya", call=CALL), http) == ""
        moved = Command(Deed.TRANSFER, "k", "priya", "sip:tomasz@pbx.example.com", call=CALL)
        assert await PROVIDER.act(source, moved, http) == ""
    path = f"POST /2010-04-01/Accounts/AC12/Calls/{SID}.json"
    assert [line for line, _, _ in api.asked] == [path, path]
    assert api.asked[0][1] == [("Status", "completed")]
    fields = dict(api.asked[1][1])
    assert fields["Method"] == "POST"
    event, document = told(fields["Url"], Direction="inbound", From=CUSTOMER, To=LINE)
    assert (event.type, event.agent_refs) == (EventType.TRANSFERRED, ("sip:tomasz@pbx.example.com",))
    phone = document.find("Dial/Sip")
    assert phone is not None
    assert phone.text == "sip:tomasz@pbx.example.com"


async def test_the_old_token_counts_beside_the_new_one() -> None:
    refused = (401, {"code": 20003, "message": "Authenticate", "status": 401})
    api = Api([refused, (201, {"sid": SID})])
    async with served(api) as (source, http):
        assert await PROVIDER.act(source, DIAL, http) == SID
        assert [login[1] for _, _, login in api.asked] == ["new-token", "old-token"]
        api.answers[:] = [refused]
        with pytest.raises(CommandFailed, match="auth token") as why:
            await PROVIDER.act(source, DIAL, http)
    assert "token-" not in str(why.value)
    assert "new" not in str(why.value)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (
            400,
            {"code": 21211, "message": "The 'To' number is not valid", "status": 400},
            "no number that can be called",
        ),
        (400, {"code": 21210, "message": "x"}, "caller id is not a number of this account"),
        (404, {"code": 20404, "message": "not found"}, "the call is over"),
        (400, {"code": 21220, "message": "Call is not in-progress. Cannot redirect."}, "the call is over"),
        (429, {"code": 20429}, "try again"),
        (429, b"", "try again"),
        (403, b"<html>", "auth token"),
        (400, {"code": 99999, "message": "A new\x00 reason"}, "Twilio refused: A new reason"),
        (400, {"code": [1], "message": {"a": 1}}, "refused \\(400\\)"),
        (500, b"[" * 5000, "refused \\(500\\)"),
        (302, b"", "refused \\(302\\)"),
        (201, {"sid": 5}, "which call"),
        (201, {"sid": "CA/../x"}, "which call"),
        (201, b"null", "which call"),
        (200, b"x" * 200_000, "cannot be reached"),
    ],
)
async def test_errors_in_words(status: int, body: Any, words: str) -> None:
    api = Api([(status, body)], headers={"Location": "http://192.0.2.1/"} if status == 302 else {})
    async with served(api) as (source, http):
        with pytest.raises(CommandFailed, match=words):
            await PROVIDER.act(source, DIAL, http)


async def test_nobody_there_and_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(Api()) as (source, http):
        pass
    async with aiohttp.ClientSession() as http:
        with pytest.raises(CommandFailed, match="cannot be reached"):
            await PROVIDER.act(source, DIAL, http)
        with pytest.raises(CommandFailed, match="cannot be reached"):
            await PROVIDER.act(replace(source, options={**source.options, "api_url": "nowhere"}), DIAL, http)

    class Slow(Api):
        async def take(self, request: web.Request) -> web.StreamResponse:
            await asyncio.sleep(1)
            return await super().take(request)

    monkeypatch.setattr(twilio_control, "_TIMEOUT", aiohttp.ClientTimeout(total=0.05))
    async with served(Slow()) as (source, http):
        with pytest.raises(CommandFailed, match="cannot be reached"):
            await PROVIDER.act(source, DIAL, http)


@pytest.mark.parametrize(
    "asked",
    [
        replace(DIAL, target="020 7946 0100"),
        replace(DIAL, target="+44\n"),
        replace(DIAL, target=""),
        replace(DIAL, agent=""),
        replace(DIAL, agent="a b"),
        replace(DIAL, agent="sip:a b"),
        replace(DIAL, agent="+12"),
        replace(DIAL, caller_id="unknown"),
        Command(Deed.HANG_UP, "k", "priya"),
        Command(Deed.HANG_UP, "k", "priya", call=replace(CALL, call_key="../../Accounts")),
        Command(Deed.TRANSFER, "k", "priya", "tomasz", call=replace(CALL, customer_leg="CA1/x")),
        Command(Deed.TRANSFER, "k", "priya", "", call=CALL),
        Command(Deed.TRANSFER, "k", "priya", "a&b", call=CALL),
        Command(Deed.HOLD, "k", "priya", call=CALL),
    ],
)
async def test_what_makes_no_sense_is_not_sent(asked: Command) -> None:
    api = Api()
    async with served(api) as (source, http):
        with pytest.raises(CommandFailed):
            await PROVIDER.act(source, asked, http)
    assert api.asked == []


@pytest.mark.parametrize(("option", "words"), [("account", "set account"), ("number", "set number")])
async def test_missing_settings_are_named(option: str, words: str) -> None:
    async with served(Api(), **{option: ""}) as (source, http):
        with pytest.raises(CommandFailed, match=rf"{words} in \[call_sources\.main\]"):
            await PROVIDER.act(source, DIAL, http)
