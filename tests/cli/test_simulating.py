"""``simulate --provider`` as people type it: what it says, what it exits with, and the demo's settings."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tomllib
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from handlers.cli.demo_settings import demo_file, write_demo_settings
from handlers.cli.simulating import choose_sources
from handlers.simulate.script import discover_scripts
from handlers.simulate.sounds import served_sounds
from handlers.telephony.provider import discover
from server.domain.errors import Invalid
from server.domain.recording import sniff_audio
from server.settings import load_settings
from tests.cli.conftest import Cli

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = discover_scripts()
# As `make run` wrote it when there were two providers.
OLDER = """
[call_sources.main]
provider = "twilio"
secrets = ["the-old-secret"]

[call_sources.telnyx]
provider = "cti"
secrets = ["another"]

[forms.contact]
queue = "support"
"""


# -- the demo's settings ---------------------------------------------------------------------------


def test_every_webhook_provider_can_be_simulated() -> None:
    assert set(SCRIPTS) == set(discover())


def test_the_demo_has_a_source_of_each(tmp_path: Path) -> None:
    settings = load_settings([write_demo_settings(tmp_path)], {})
    played = choose_sources(settings, SCRIPTS, "all", pytest.fail)
    assert {settings.call_sources[name].provider for name in played} == set(SCRIPTS)
    assert sorted(played) == sorted(choose_sources(settings, SCRIPTS, "", pytest.fail))
    file = demo_file(tmp_path)
    assert file.stat().st_mode & 0o077 == 0
    assert "GENERATED" not in file.read_text() and "PRIVATE_KEY" not in file.read_text()
    again = file.read_text()
    assert write_demo_settings(tmp_path).read_text() == again
    other = write_demo_settings(tmp_path / "other").read_text()
    secrets = [
        one.secrets for one in load_settings([tmp_path / "other" / "demo.toml"], {}).call_sources.values()
    ]
    assert other != again and not {*secrets} & {one.secrets for one in settings.call_sources.values()}


def test_an_older_demo_gets_what_it_lacks(tmp_path: Path) -> None:
    demo_file(tmp_path).write_text(OLDER)
    text = write_demo_settings(tmp_path).read_text()
    assert text.startswith(OLDER)
    sources = load_settings([demo_file(tmp_path)], {}).call_sources
    assert sources["main"].secrets[0].get_secret_value() == "the-old-secret"
    assert sources["telnyx"].provider == "cti" and "pbx" not in sources
    # A name that is taken is left to its owner.
    assert {one.provider for one in sources.values()} == set(SCRIPTS) - {"telnyx"}
    assert write_demo_settings(tmp_path).read_text() == text


@pytest.mark.parametrize("text", ["no toml [", "call_sources = 5\n"])
def test_a_demo_that_cannot_be_read_is_left_alone(tmp_path: Path, text: str) -> None:
    demo_file(tmp_path).write_text(text)
    assert write_demo_settings(tmp_path).read_text() == text


def test_the_template_is_toml() -> None:
    assert tomllib.loads((ROOT / "config" / "demo.toml").read_text(encoding="utf-8"))


# -- which sources ---------------------------------------------------------------------------------


def test_what_to_add_for_one_that_is_missing(tmp_path: Path) -> None:
    demo_file(tmp_path).write_text(OLDER)
    settings, told = load_settings([demo_file(tmp_path)], {}), []
    with pytest.raises(Invalid, match=r"add \[call_sources.sipgate\].*simulation_key"):
        choose_sources(settings, SCRIPTS, "sipgate", told.append)
    assert choose_sources(settings, SCRIPTS, "all", told.append) == ["telnyx", "main"]
    assert len(told) == len(SCRIPTS) - 2 and all("add [call_sources." in line for line in told)


def test_a_source_that_telnyx_itself_signs_for_is_not_played(tmp_path: Path) -> None:
    file = tmp_path / "real.toml"
    file.write_text(
        '[call_sources.real]\nprovider = "telnyx"\nsecrets = ["its-public-key"]\napi_key = "KEY"\n[forms.contact]\n'
    )
    settings = load_settings([file], {})
    assert choose_sources(settings, SCRIPTS, "", pytest.fail) == []
    with pytest.raises(Invalid, match="simulation_key"):
        choose_sources(settings, SCRIPTS, "telnyx", pytest.fail)


async def test_wrong_words(cli: Cli) -> None:
    for argv, said in (
        (("--provider", "nobody"), "must be one of"),
        (("--provider", "telnyx"), "add [call_sources.telnyx]"),
        (("--provider", "all"), "'run.py run' makes one"),
        (("--rate", "fast"), "--rate fast"),
        (("--calls", "0"), "--calls"),
        (("--speed", "0"), "--speed"),
    ):
        got = await cli("simulate", *argv)
        assert got.code == 2 and said in got.line, (argv, got)


# -- recordings ------------------------------------------------------------------------------------


async def test_recordings_can_be_fetched_where_the_settings_allow_it(tmp_path: Path) -> None:
    settings = load_settings([write_demo_settings(tmp_path)], {})
    async with served_sounds(settings.recordings.allow_hosts) as sounds, aiohttp.ClientSession() as http:
        url = sounds.url("RE123")
        async with http.get(url) as answer:
            audio = await answer.read()
        assert sounds.missing == set()
        assert sniff_audio(audio) is not None and len(audio) > 40_000
    async with served_sounds(()) as sounds:
        assert sounds.url("RE123").startswith("https://") and ".example/" in sounds.url("RE123")


# -- how it ends -----------------------------------------------------------------------------------

Answer = Callable[[web.Request], Awaitable[web.Response]]


@pytest_asyncio.fixture
async def served() -> AsyncIterator[Callable[[int, str], Awaitable[str]]]:
    """A server that is alive and answers every webhook alike."""
    runners = []

    async def serve(status: int, text: str) -> str:
        async def health(request: web.Request) -> web.Response:
            return web.Response()

        async def answer(request: web.Request) -> web.Response:
            return web.Response(status=status, text=text)

        app = web.Application()
        app.router.add_get("/healthz", health)
        app.router.add_route("*", "/{tail:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    yield serve
    for runner in runners:
        await runner.cleanup()


CTI = '--set=call_sources.pbx={"provider": "cti", "secrets": ["secret"]}'
FAST = ("--provider", "cti", CTI, "--rate", "100/s", "--calls", "4", "--seed", "1")


@pytest.mark.parametrize(
    ("status", "text", "code", "said"),
    [
        (200, "{}", 0, "0 refused"),
        (200, "hello", 1, "expected {}, got 'hello'"),
        (422, "no such direction", 1, "422 from /hooks/calls/pbx: no such direction"),
        (500, "", 1, "500 from /hooks/calls/pbx"),
    ],
)
async def test_the_exit_code_says_whether_all_was_accepted(
    cli: Cli, served: Callable[[int, str], Awaitable[str]], status: int, text: str, code: int, said: str
) -> None:
    got = await cli("simulate", *FAST, "--http", await served(status, text))
    assert got.code == code and said in got.out, got
    assert got.out.rstrip().endswith("0 refused") == (code == 0)
    assert "p50" in got.out and "p99" in got.out and not got.err


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_server_that_runs_with_other_settings(
    cli: Cli, served: Callable[[int, str], Awaitable[str]], status: int
) -> None:
    got = await cli("simulate", *FAST, "--http", await served(status, ""))
    assert got.code == 1 and "it runs with other settings" in got.line


async def test_ctrl_c_ends_the_calls_and_says_how_it_went(
    database: str, tmp_path: Path, served: Callable[[int, str], Awaitable[str]]
) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RINGPOST_")}
    environ |= {"RINGPOST_DATABASE__URL": database, "RINGPOST_SERVER__DATA_DIR": str(tmp_path)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "run.py", "simulate", "--provider", "cti", CTI, "--speed", "0.001", "--rate", "100/s",
        "--http", await served(200, "{}"), cwd=ROOT, env=environ, stdout=PIPE, stderr=PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(40):
        while b"rings" not in await process.stdout.readline():
            pass
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    assert process.returncode == 0 and err == b"", err.decode()
    last = out.decode().rstrip().rpartition("\n")[2]
    assert " calls (" in last and last.endswith(", 0 refused"), out.decode()
