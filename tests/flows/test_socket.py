"""The agent's socket: who may, resume after a lost connection, one session, the slow."""

from __future__ import annotations

import asyncio
import json

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.flows.conftest import PASSWORD, Ringpost


def url(ringpost: Ringpost, path: str = "/agent") -> str:
    return f"ws://127.0.0.1:{ringpost.ctx.addresses['ws_port']}{path}"


async def closed(connection) -> int:  # type: ignore[no-untyped-def]
    async with asyncio.timeout(10):
        with pytest.raises(ConnectionClosed) as end:
            while True:
                await connection.recv()
    assert end.value.rcvd is not None
    return int(end.value.rcvd.code)


async def test_not_authenticated(ringpost: Ringpost) -> None:
    for first in ('{"type":"auth","token":"rpt_nonsense"}', "[]", "{", '{"type":"ack","id":"1"}'):
        async with connect(url(ringpost)) as connection:
            await connection.send(first)
            assert await closed(connection) == 4401
    async with connect(url(ringpost), additional_headers={"Authorization": "Bearer rps_wrong"}) as connection:
        assert await closed(connection) == 4401
    with pytest.raises(InvalidStatus):
        await connect(url(ringpost, "/other"))
    with pytest.raises(InvalidStatus):
        await connect(url(ringpost), origin="http://evil.example")  # type: ignore[arg-type]


async def test_first_frame_and_cookie(ringpost: Ringpost) -> None:
    await ringpost.add_agent("priya", extension="101")
    async with connect(url(ringpost)) as connection:
        await connection.send(json.dumps({"type": "auth", "token": ringpost.tokens["priya"]}))
        hello = json.loads(await connection.recv())
        assert hello["type"] == "hello" and hello["agent"]["email"] == "priya@ringpost.test"


async def test_unacknowledged_pops_come_again_in_order(ringpost: Ringpost) -> None:
    await ringpost.add_agent("priya", extension="101")
    priya = await ringpost.socket("priya")
    for n in range(3):
        await ringpost.cti(event="newCall", callId=f"r{n}", from_=f"44770090090{n}", user="101")
    pops = [await priya.next("screen_pop") for _ in range(3)]
    await priya.send({"type": "ack", "id": pops[0]["id"]})
    await priya.quiet()
    await priya.connection.close()
    await ringpost.cti(event="newCall", callId="r3", from_="447700900903", user="101")
    async with connect(
        url(ringpost), additional_headers={"Authorization": f"Bearer {ringpost.tokens['priya']}"}
    ) as connection:
        frames = []
        async with asyncio.timeout(8):
            while len([frame for frame in frames if frame["type"] == "screen_pop"]) < 3:
                frames.append(json.loads(await connection.recv()))
        again = [frame for frame in frames if frame["type"] == "screen_pop"]
        assert [frame["id"] for frame in again[:2]] == [pops[1]["id"], pops[2]["id"]]
        assert again[2]["contact"]["linkedid"] == "r3"


async def test_a_newer_connection_replaces_the_older(ringpost: Ringpost) -> None:
    await ringpost.add_agent("priya")
    older = await ringpost.socket("priya")
    newer = await ringpost.socket("priya")
    assert await closed(older.connection) == 4409
    await ringpost.cti(event="newCall", callId="z1", from_="447700900910")
    assert (await newer.next("screen_pop"))["contact"]["linkedid"] == "z1"


async def test_what_is_not_understood_is_said(ringpost: Ringpost) -> None:
    await ringpost.add_agent("priya")
    priya = await ringpost.socket("priya")
    for message, code in (
        ({"type": "dance"}, "unknown_message"),
        ({"type": "ack", "id": "x"}, "invalid"),
        ({"type": "state", "state": "asleep"}, "invalid"),
    ):
        await priya.send(message)
        assert (await priya.next("error"))["code"] == code


async def test_the_slow_are_closed_and_lose_nothing(ringpost: Ringpost) -> None:
    agent_id = await ringpost.add_agent("priya")
    priya = await ringpost.socket("priya")
    session = ringpost.ctx.hub._sessions[agent_id]
    for n in range(session.limit + 1):
        session.send(json.dumps({"type": "announcement", "id": str(n)}))
    assert await closed(priya.connection) == 4408


async def test_password_gives_a_session(ringpost: Ringpost) -> None:
    agent_id = await ringpost.add_agent("priya")
    from server.services import agents

    await agents.set_password(ringpost.ctx.pool, ringpost.admin, agent_id, PASSWORD)
    answer = await ringpost.http.post(
        f"{ringpost.url}/api/v1/sessions", json={"email": "priya@ringpost.test", "password": PASSWORD}
    )
    assert answer.status < 300
    cookie = answer.cookies["ringpost_session"].value
    async with connect(
        url(ringpost),
        additional_headers={"Cookie": f"ringpost_session={cookie}"},
        origin=ringpost.url,  # type: ignore[arg-type]
    ) as connection:
        assert json.loads(await connection.recv())["type"] == "hello"
