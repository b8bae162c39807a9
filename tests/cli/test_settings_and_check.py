"""What a wrong setting says, and what ``check`` shows."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from handlers.cli import demo_settings
from tests.cli.conftest import Cli

COMMANDS = (
    "run", "serve", "migrate", "check", "demo", "simulate", "agent add", "agent list", "agent password",
    "agent disable", "queue add", "queue list", "token add", "token list", "token revoke", "import customers",
    "backup", "restore",
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
async def test_every_command_has_help_and_config(bare_cli: Cli, command: str) -> None:
    said = await bare_cli(*command.split(), "--help")
    assert said.code == 0 and "--config" in said.out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["serve", "--set", "server.http_port=x"], "setting server.http_port"),
        (["serve", "--set", "server.colour=red"], "setting server.colour: there is no such setting"),
        (["serve", "--http-port", "99999"], "setting server.http_port"),
        (["migrate", "--set", "nothing"], "--set nothing"),
        (["migrate", "--config", "/nowhere.toml"], "/nowhere.toml"),
        (["serve", "--set", "region.default_country=XX"], "setting region.default_country"),
    ],
)
async def test_a_wrong_setting_is_one_line_that_names_it(
    bare_cli: Cli, arguments: list[str], named: str
) -> None:
    said = await bare_cli(*arguments)
    assert said.code == 2 and named in said.line and said.out == ""


async def test_an_unknown_provider_stops_the_start(bare_cli: Cli, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('[call_sources.main]\nprovider = "twillio"\nsecrets = ["s3cret"]\n')
    said = await bare_cli("serve", "--config", str(config))
    assert said.code == 2 and "setting call_sources.main.provider" in said.line and "twilio" in said.line


async def test_the_environment_and_flags_are_read(bare_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGPOST_REGION__DEFAULT_COUNTRY", "CN")
    said = await bare_cli("check", "--set", "server.http_port=0")
    assert 'region.default_country = "CN"' in said.out and "server.http_port = 0" in said.out


async def test_check_masks_secrets_and_finds_what_is_wrong(bare_cli: Cli, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        config = tmp_path / "c.toml"
        config.write_text(
            f"""
            [server]
            http_port = {port}
            ws_port = 0
            smtp_port = 0
            [smtp]
            password = "topsecret1"
            [database]
            url = "postgresql://ringpost:topsecret2@127.0.0.1:9/none"
            [call_sources.main]
            provider = "nobody"
            secrets = ["topsecret3"]
            api_token = "topsecret4"
            [mailboxes.a]
            address = "same@example.com"
            [mailboxes.b]
            address = "Same@example.com"
            [forms.f]
            origins = ["www.example.com/path"]
            fields = [{{ name = "x", type = "select" }}, {{ name = "x" }}]
            """
        )
        said = await bare_cli("check", "--config", str(config))
    assert said.code == 1 and "topsecret" not in said.out + said.err
    wrong = "\n".join(re.findall("^wrong: .*$", said.out, re.M))
    for name in (
        "server.http_port", "call_sources.main.provider", "mailboxes.b.address", "forms.f.origins", "forms.f.fields",
        "database.url",
    ):  # fmt: skip
        assert name in wrong, name


async def test_check_of_good_settings(cli: Cli) -> None:
    ports = [part for name in ("http", "ws", "smtp") for part in ("--set", f"server.{name}_port=0")]
    said = await cli("check", *ports)
    assert said.code == 0 and "nothing is wrong" in said.out


async def test_the_demo_settings_have_secrets_of_their_own(tmp_path: Path) -> None:
    first = demo_settings.write_demo_settings(tmp_path / "a").read_text()
    second = demo_settings.write_demo_settings(tmp_path / "b").read_text()
    secrets = [set(re.findall(r'secrets = \["(\w+)"\]', text)) for text in (first, second)]
    assert len(secrets[0]) == len(secrets[1]) == 8 and not secrets[0] & secrets[1]
    assert "GENERATED" not in first
    assert demo_settings.write_demo_settings(tmp_path / "a").read_text() == first
    assert (tmp_path / "a" / "demo.toml").stat().st_mode & 0o077 == 0
