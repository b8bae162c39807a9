"""Call sources in the settings: live ones, ones that join another, and what is shown of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Cli

LIVE = '[call_sources.pbx]\nprovider = "asterisk_ami"\nsecrets = ["s3cret-1"]\n'


async def checked(cli: Cli, folder: Path, text: str, command: str = "check") -> tuple[int, str]:
    config = folder / "c.toml"
    config.write_text(text)
    said = await cli(command, "--config", str(config), "--set", "server.http_port=0")
    return said.code, said.out + said.err


async def test_a_live_source_is_known_and_its_options_are_checked(bare_cli: Cli, tmp_path: Path) -> None:
    code, said = await checked(bare_cli, tmp_path, LIVE)
    assert code == 1 and "wrong: call_sources.pbx.host: is required" in said
    code, said = await checked(bare_cli, tmp_path, LIVE, "serve")
    assert code == 2 and "setting call_sources.pbx.host: is required" in said
    _, said = await checked(bare_cli, tmp_path, LIVE + 'host = "pbx.example.com"\nusername = "ringpost"\n')
    assert "wrong: call_sources" not in said and "s3cret" not in said


async def test_unknown_providers_are_told_of_both_kinds(bare_cli: Cli, tmp_path: Path) -> None:
    code, said = await checked(bare_cli, tmp_path, LIVE.replace("asterisk_ami", "asterix"))
    assert code == 1 and "asterisk_ami" in said and "twilio" in said


@pytest.mark.parametrize(
    ("joins", "wrong"),
    [("nobody", "there is no call source 'nobody'"), ("cdr", "joins no other"), ("pbx", "")],
)
async def test_a_source_joins_one_that_is_there(
    bare_cli: Cli, tmp_path: Path, joins: str, wrong: str
) -> None:
    more = f'[call_sources.cdr]\nprovider = "freeswitch_cdr"\nsecrets = ["x"]\njoins = "{joins}"\n'
    code, said = await checked(bare_cli, tmp_path, LIVE + more)
    if wrong:
        assert code == 2 and "setting call_sources.cdr.joins: " in said and wrong in said
    else:
        assert "joins:" not in said and 'call_sources.cdr.joins = "pbx"' in said


async def test_options_that_are_secret_by_their_name_are_masked(bare_cli: Cli, tmp_path: Path) -> None:
    names = (
        "auth_token", "api_key", "private_key", "client_key", "api_keys", "old_password", "client_secret_2", "KEY_ID",
    )  # fmt: skip
    options = "".join(f'{name} = "hidden-{name}"\n' for name in names)
    options += 'account = "shown-1"\nmade = 2026-11-16\ntokens = ["hidden-a", "hidden-b"]\n'
    options += '[call_sources.pbx.sip]\npassword = "hidden-sip"\ndomain = "shown-2"\n'
    options += '[call_sources.pbx.keys]\nfirst = "hidden-first"\n'
    _, said = await checked(bare_cli, tmp_path, LIVE + options)
    assert "hidden" not in said
    assert "shown-1" in said and "shown-2" in said and "2026-11-16" in said
