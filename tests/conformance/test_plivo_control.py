"""Agents' commands to Plivo, against a real HTTP server in its place."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from handlers.telephony.control import Command, CommandFailed, Control, Deed, LiveCall
from handlers.telephony.plivo import PROVIDER
from handlers.telephony.provider import CallSource
from tests.conformance.rest_api import RestApi, served

HOOK = "https://cti.example.com/hooks/calls/main"
ACCOUNT = "/Account/MA1"
INBOUND = LiveCall("A 1", "A 1", "B1", "inbound", "+447700900123", "+442079460100")
OUTBOUND = LiveCall("A1", "B1", "A1", "outbound", "+442079460100", "+447700900456")


def source(api: RestApi, **changes: str) -> CallSource:
    options = {"api_url": api.url, "account": "MA1", "number": "+442079460100"} | changes
    return CallSource("main", "plivo", ("token-1", "token-2"), "GB", None, "one", HOOK, options)


def command(deed: Deed, target: str = "", call: LiveCall | None = INBOUND, **more: str) -> Command:
    return Command(deed=deed, key="k1", target=target, call=call, **({"agent": "priya.raman"} | more))


async def test_it_offers_what_it_can_do() -> None:
    assert isinstance(PROVIDER, Control)
    assert PROVIDER.deeds == {Deed.DIAL, Deed.HANG_UP, Deed.TRANSFER}


async def test_dial_as_the_recorded_request(real_bytes: Callable[..., bytes]) -> None:
    recorded = real_bytes("providers", "samples", "plivo", "31-api-create-call.http")
    expected: dict[str, Any] = json.loads(recorded[recorded.index(b"{") :])
    url = HOOK + "?customer=447700900456"
    expected |= {
        "answer_url": url,
        "ring_url": url,
        "hangup_url": url,
        "ring_method": "POST",
        "hangup_method": "POST",
    }
    answers = {("POST", f"{ACCOUNT}/Call/"): (201, {"message": "call fired", "request_uuid": "R1"})}
    async with served(RestApi(answers)) as (api, http):
        asked = command(Deed.DIAL, "+447700900456", call=None)
        assert await PROVIDER.act(source(api), asked, http) == "R1"
        assert api.asked == [("POST", f"{ACCOUNT}/Call/", expected)]
        assert api.credentials == ["Basic " + base64.b64encode(b"MA1:token-1").decode()]
        asked = command(
            Deed.DIAL, "447700900456", call=None, agent="+447700900555", caller_id="+442079460199"
        )
        await PROVIDER.act(source(api, auth_token="token-3"), asked, http)
        assert (api.asked[-1][2]["to"], api.asked[-1][2]["from"]) == ("447700900555", "442079460199")
        assert api.credentials[-1] == "Basic " + base64.b64encode(b"MA1:token-3").decode()


async def test_transfer_of_the_customers_leg() -> None:
    answers = {
        ("POST", f"{ACCOUNT}/Call/{key}/"): (202, {"message": "call transferred"}) for key in ("A%201", "A1")
    }
    async with served(RestApi(answers)) as (api, http):
        assert await PROVIDER.act(source(api), command(Deed.TRANSFER, "tomasz.nowak"), http) == ""
        await PROVIDER.act(source(api), command(Deed.TRANSFER, "+447700900555", call=OUTBOUND), http)
    a_url, b_url = f"{HOOK}?target=tomasz.nowak&call=A+1", f"{HOOK}?target=%2B447700900555&call=A1"
    assert [message for _, _, message in api.asked] == [
        {"legs": "aleg", "aleg_url": a_url, "aleg_method": "POST"},
        {"legs": "bleg", "bleg_url": b_url, "bleg_method": "POST"},
    ]


async def test_hang_up_a_call_or_one_that_is_only_asked_for() -> None:
    call, wish = ("DELETE", f"{ACCOUNT}/Call/A1/"), ("DELETE", f"{ACCOUNT}/Request/A1/")
    for answers, asked in (({call: (204, None)}, [call]), ({wish: (204, None)}, [call, wish])):
        async with served(RestApi(dict(answers))) as (api, http):
            assert await PROVIDER.act(source(api), command(Deed.HANG_UP, call=OUTBOUND), http) == ""
            assert [(method, path) for method, path, _ in api.asked] == asked


@pytest.mark.parametrize(
    ("asked", "changes", "said"),
    [
        (command(Deed.HOLD), {}, "cannot hold"),
        (command(Deed.HANG_UP, call=None), {}, "no call"),
        (command(Deed.TRANSFER, "sip:<x>"), {}, "where to transfer"),
        (command(Deed.DIAL, "447700900456<447700900457"), {}, "no number"),
        (command(Deed.DIAL, "+447700900456", agent="sip:a<b@c"), {}, "no phone"),
        (command(Deed.DIAL, "+447700900456"), {"number": ""}, "set number in [call_sources.main]"),
        (command(Deed.DIAL, "+447700900456"), {"number": "x"}, "number in [call_sources.main] is no number"),
        (command(Deed.HANG_UP), {"account": ""}, "set account"),
        (command(Deed.HANG_UP), {}, "refused (404: not found)"),
        (command(Deed.HANG_UP), {"api_url": "http://127.0.0.1:1"}, "cannot be reached"),
    ],
)
async def test_what_an_agent_reads_when_it_fails(asked: Command, changes: dict[str, str], said: str) -> None:
    async with served(RestApi({})) as (api, http):
        with pytest.raises(CommandFailed) as failure:
            await PROVIDER.act(source(api, **changes), asked, http)
        assert said in str(failure.value)


async def test_an_answer_that_names_no_call() -> None:
    for answer in (None, [], {"request_uuid": ["R1", "R2"]}, {}):
        async with served(RestApi({("POST", f"{ACCOUNT}/Call/"): (201, answer)})) as (api, http):
            with pytest.raises(CommandFailed, match="which call"):
                await PROVIDER.act(source(api), command(Deed.DIAL, "+447700900456"), http)
