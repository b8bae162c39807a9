"""Agents, queues and tokens from the command line."""

from __future__ import annotations

import asyncio

import asyncpg

from server.services.sessions import Authenticator, log_in
from server.store.pool import Pool
from tests.cli.conftest import Cli


async def add(cli: Cli, *more: str, stdin: str = "correct horse\n") -> None:
    said = await cli(
        "agent", "add", "mary@example.com", "--name", "Mary Shaw", *more, "--password-stdin", stdin=stdin
    )
    assert said.code == 0, said.err


async def test_an_agent_of_a_queue(cli: Cli, pool: Pool) -> None:
    said = await cli("queue", "add", "support", "--dnis", "020 7946 0100", "--dnis", "+442079460101")
    assert said.code == 0 and "support" in said.out
    await add(cli, "--role", "supervisor", "--extension", "201", "--queue", "support")
    said = await cli("agent", "list")
    assert (
        said.code == 0 and "mary@example.com" in said.out and "supervisor" in said.out and "201" in said.out
    )
    said = await cli("queue", "list")
    assert "+442079460100,+442079460101" in said.out
    _, actor = await log_in(pool, "Mary@example.com", "correct horse", client="127.0.0.1", hours=1)
    assert actor.role == "supervisor"


async def test_a_new_password(cli: Cli, pool: Pool) -> None:
    await add(cli)
    said = await cli("agent", "password", "mary@example.com", "--password-stdin", stdin="another one")
    assert said.code == 0
    await log_in(pool, "mary@example.com", "another one", client="127.0.0.2", hours=1)
    assert (await cli("agent", "password", "mary@example.com", "--password-stdin", stdin="short")).code == 2
    assert (await cli("agent", "password", "mary@example.com", "--password-stdin", stdin="")).code == 2
    assert (await cli("agent", "password", "mary@example.com")).code == 2


async def test_a_token_is_the_last_word_and_can_be_revoked(cli: Cli, pool: Pool) -> None:
    await add(cli)
    said = await cli("token", "add", "--agent", "mary@example.com", "--name", "reports")
    token = said.out.split()[-1]
    assert said.code == 0 and token.startswith("rpt_")
    actor = await Authenticator(pool).actor(token)
    assert actor is not None and actor.email == "mary@example.com"
    said = await cli("token", "list")
    assert "reports" in said.out and token not in said.out
    token_id = said.out.splitlines()[1].split()[0]
    assert (await cli("token", "revoke", token_id)).code == 0
    assert await Authenticator(pool).actor(token) is None
    assert (await cli("token", "revoke", token_id)).code == 1


async def test_a_disabled_agent(cli: Cli) -> None:
    await add(cli)
    assert (await cli("agent", "disable", "mary@example.com")).code == 0
    assert "disabled" in (await cli("agent", "list")).out


async def test_what_cannot_be(cli: Cli) -> None:
    for command in (
        ("token", "add", "--agent", "no@example.com", "--name", "x"),
        ("agent", "disable", "no@example.com"),
    ):
        said = await cli(*command)
        assert said.code == 1 and "no@example.com" in said.line
    said = await cli("agent", "add", "nonsense", "--name", "X")
    assert said.code == 2 and "email" in said.line
    said = await cli("agent", "add", "x@example.com", "--name", "X", "--queue", "nowhere")
    assert said.code == 2 and "nowhere" in said.line
    await add(cli)
    said = await cli("agent", "add", "MARY@example.com", "--name", "Other")
    assert said.code == 1 and "email" in said.line
    assert (await cli("agent", "add", "x@example.com", "--name", "X", "--role", "king")).code == 2
    assert (await cli("nothing")).code == 2


async def test_the_running_server_hears_of_it(cli: Cli, database: str) -> None:
    heard = asyncio.Event()
    connection = await asyncpg.connect(database)
    try:
        await connection.add_listener("ringpost_directory", lambda *_: heard.set())
        assert (await cli("queue", "add", "sales")).code == 0
        await asyncio.wait_for(heard.wait(), 5)
    finally:
        await connection.close()
