"""Agents' commands to Vonage, against a real HTTP server in its place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from handlers.telephony.control import Command, CommandFailed, Control, Deed, LiveCall
from handlers.telephony.vonage import PROVIDER
from tests.conformance.rest_api import RestApi, served
from tests.conformance.vonage_requests import HOOK, source

KEY = RSAKey.generate_key(2048)
PEM, PUBLIC_PEM = KEY.as_pem(private=True).decode(), KEY.as_pem(private=False).decode()
CALL = LiveCall("CON-1", "leg caller", "leg-agent", "inbound", "+447700900123", "+442079460100")
MADE = {"uuid": "leg-1", "conversation_uuid": "CON-2", "status": "started", "direction": "outbound"}


def command(deed: Deed, target: str = "", call: LiveCall | None = CALL, **more: str) -> Command:
    return Command(deed=deed, key="k1", target=target, call=call, **({"agent": "+442079460111"} | more))


def options(api: RestApi, **more: str) -> dict[str, str]:
    own = {"api_url": api.url, "application_id": "app-1", "private_key": PEM, "number": "+442079460100"}
    return own | more


async def test_it_offers_what_it_can_do() -> None:
    assert isinstance(PROVIDER, Control)
    assert PROVIDER.deeds == {Deed.DIAL, Deed.HANG_UP, Deed.TRANSFER}


async def test_dial_as_the_recorded_request(real_bytes: Callable[..., bytes]) -> None:
    recorded = real_bytes("providers", "samples", "vonage", "41-api-create-call.http")
    expected = json.loads(recorded.partition(b"\r\n\r\n")[2] or recorded.partition(b"\n\n")[2])
    for name, tail in (
        ("answer_url", "/answer?customer=447700900456"),
        ("event_url", "/event?customer=447700900456"),
    ):
        expected[name] = [HOOK + tail]
    async with served(RestApi({("POST", "/v1/calls"): (201, MADE)})) as (api, http):
        asked = command(Deed.DIAL, "+447700900456", call=None)
        assert await PROVIDER.act(source(**options(api)), asked, http) == "CON-2"
        assert api.asked == [("POST", "/v1/calls", expected)]
        scheme, _, token = api.credentials[0].partition(" ")
        said = jwt.decode(token, KEY, algorithms=["RS256"])
        assert (scheme, said.header["alg"], said.claims["application_id"]) == ("Bearer", "RS256", "app-1")
        assert said.claims["exp"] - said.claims["iat"] == 300
        # A SIP phone, a user of the application; a number of the agent's choice is shown.
        for agent, endpoint in (
            ("sip:p@pbx.example.com", {"type": "sip", "uri": "sip:p@pbx.example.com"}),
            ("priya", {"type": "app", "user": "priya"}),
        ):
            asked = command(Deed.DIAL, "447700900456", call=None, agent=agent, caller_id="+442079460199")
            await PROVIDER.act(source(**options(api)), asked, http)
            assert api.asked[-1][2]["to"] == [endpoint]
            assert api.asked[-1][2]["from"]["number"] == "442079460199"
        tokens = [jwt.decode(one.partition(" ")[2], KEY, algorithms=["RS256"]) for one in api.credentials]
        assert len({one.claims["jti"] for one in tokens}) == 3


async def test_hang_up_and_transfer(tmp_path: Path) -> None:
    key_file = tmp_path / "private.key"
    key_file.write_text(PEM, encoding="ascii")
    path = "/v1/calls/leg%20caller"
    async with served(RestApi({("PUT", path): (204, None)})) as (api, http):
        own = source(**options(api, private_key="", private_key_file=str(key_file)))
        assert await PROVIDER.act(own, command(Deed.HANG_UP), http) == ""
        assert await PROVIDER.act(own, command(Deed.TRANSFER, "tomasz.nowak"), http) == ""
        url = f"{HOOK}/answer?target=tomasz.nowak&call=CON-1&first=leg+caller&line=442079460100"
        assert api.asked == [
            ("PUT", path, {"action": "hangup"}),
            ("PUT", path, {"action": "transfer", "destination": {"type": "ncco", "url": [url]}}),
        ]


@pytest.mark.parametrize(
    ("asked", "changes", "said"),
    [
        (command(Deed.HOLD), {}, "cannot hold"),
        (command(Deed.HANG_UP, call=None), {}, "no call"),
        (command(Deed.TRANSFER, " "), {}, "where to transfer"),
        (command(Deed.DIAL, "sip:x@y"), {}, "no number"),
        (command(Deed.DIAL, "+447700900456", agent=""), {}, "no phone"),
        (command(Deed.DIAL, "+447700900456"), {"number": ""}, "set number in [call_sources.main]"),
        (command(Deed.DIAL, "+447700900456"), {"number": "x"}, "number in [call_sources.main] is no number"),
        (command(Deed.HANG_UP), {"application_id": ""}, "set application_id"),
        (command(Deed.HANG_UP), {"private_key": ""}, "set private_key_file"),
        (command(Deed.HANG_UP), {"private_key": "", "private_key_file": "/nowhere"}, "No such file"),
        (command(Deed.HANG_UP), {"private_key": "no key"}, "is no private key"),
        (command(Deed.HANG_UP), {"private_key": PUBLIC_PEM}, "is no private key"),
        (command(Deed.HANG_UP), {}, "refused (404"),
        (command(Deed.HANG_UP), {"api_url": "http://127.0.0.1:1"}, "cannot be reached"),
    ],
)
async def test_what_an_agent_reads_when_it_fails(asked: Command, changes: dict[str, str], said: str) -> None:
    async with served(RestApi({})) as (api, http):
        with pytest.raises(CommandFailed) as failure:
            await PROVIDER.act(source(**options(api, **changes)), asked, http)
        assert said in str(failure.value)
        assert PEM not in str(failure.value)


async def test_an_answer_that_names_no_call(tmp_path: Path) -> None:
    answers: list[Any] = [None, [], {"conversation_uuid": 7}, {}]
    for answer in answers:
        async with served(RestApi({("POST", "/v1/calls"): (201, answer)})) as (api, http):
            assert isinstance(http, aiohttp.ClientSession)
            with pytest.raises(CommandFailed, match="which call"):
                await PROVIDER.act(source(**options(api)), command(Deed.DIAL, "+447700900456"), http)
