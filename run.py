#!/usr/bin/env python3
"""Ringpost's command line, and the composition root: the only file that knows the doors and the server.

``run.py run`` serves with demo data on the first start, ``run.py serve`` without; the other commands
are for those who operate it. Exit codes: 0 done, 1 could not (not found, in the way, database away),
2 wrong settings or input, with one line that names it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import structlog
import uvloop

from handlers.cli import backups, checking, demo_settings, imports, people, simulating
from handlers.cli.command import opened, progress
from handlers.doors import HANDLERS
from server.app import serve
from server.domain.errors import Invalid, NotFound, RingpostError
from server.logs import set_up_logs
from server.services.agents import find_agent
from server.services.demo import fill_demo, is_fresh
from server.services.demo_words import AGENTS, PASSWORD
from server.settings import PREFIX, Settings, SettingsError, load_settings
from server.store.embedded import EmbeddedError
from server.store.pool import Pool

Run = Callable[[argparse.Namespace, Settings], Awaitable[int]]

FLAGS = {
    "host": ("server.host", str, "address to listen on"),
    "http_port": (
        "server.http_port",
        int,
        "port of web hooks, API and console; 0 = any free one, here and below",
    ),
    "ws_port": ("server.ws_port", int, "port of the agents' sockets"),
    "smtp_port": ("server.smtp_port", int, "port that mail comes in on"),
    "public_url": ("server.public_url", str, "the origin that providers call"),
}
EVERYWHERE = {
    "data_dir": ("server.data_dir", str, "where the embedded database and the demo's files live"),
    "database_url": ("database.url", str, "postgresql://...; empty = embedded"),
    "log_level": ("log.level", str, "debug, info, warning or error"),
}


def main(argv: list[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    try:
        settings = read_settings(args, os.environ)
        set_up_logs(settings.log.level, settings.log.format)
        loop_factory = uvloop.new_event_loop if args.command in ("run", "serve") else None
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return int(runner.run(args.run(args, settings)))
    except SettingsError as wrong:
        return fail(2, str(wrong))
    except RingpostError as wrong:
        fields = "".join(f"; {name}: {text}" for name, text in wrong.fields.items())
        return fail(2 if isinstance(wrong, Invalid) else 1, wrong.detail + fields)
    except EmbeddedError as wrong:
        return fail(1, str(wrong))
    except (asyncpg.PostgresError, asyncpg.InterfaceError, ConnectionError, TimeoutError) as away:
        return fail(1, f"the database is away: {type(away).__name__}: {away}")
    except OSError as bad:
        return fail(1, str(bad))
    except KeyboardInterrupt:
        return 130


def fail(code: int, line: str) -> int:
    print("ringpost: " + " ".join(line.split()), file=sys.stderr)
    return code


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="run.py", description="Ringpost: calls, mails and forms become tickets and screen pops."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run: Run, help: str, parsers: Any = None) -> argparse.ArgumentParser:
        command: argparse.ArgumentParser = (parsers or commands).add_parser(name, help=help, description=help)
        command.set_defaults(run=run)
        command.add_argument(
            "--config", action="append", default=[], metavar="FILE",
            help="settings file over config/default.toml; may be given several times (else RINGPOST_CONFIG)",
        )  # fmt: skip
        command.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="SECTION.KEY=VALUE",
            help="one setting, over everything else",
        )
        add_flags(command, EVERYWHERE)
        return command

    add_flags(add("run", run_demo, "serve, with demo data put in on the first start"), FLAGS)
    add_flags(add("serve", run_server, "serve, without demo data"), FLAGS)
    add("migrate", migrate, "bring the database to the present schema")
    add("demo", demo, "put demo data into an empty database").add_argument(
        "--seed", type=int, default=None, help="another seed gives another demo"
    )
    for module in (checking, simulating, people, imports, backups):
        module.add_commands(add, commands)
    return parser


def add_flags(parser: argparse.ArgumentParser, flags: Mapping[str, tuple[str, type, str]]) -> None:
    for name, (_, kind, help) in flags.items():
        parser.add_argument(
            "--" + name.replace("_", "-"), type=kind, default=None, help=help, metavar=name.upper()
        )


def read_settings(args: argparse.Namespace, environ: Mapping[str, str]) -> Settings:
    """As the command wants them: ``run`` and ``simulate`` use the demo's settings when no file is named."""
    flags: dict[str, Any] = {
        dotted: getattr(args, name, None) for name, (dotted, _, _) in {**FLAGS, **EVERYWHERE}.items()
    }
    for given in args.set:
        dotted, equals, value = given.partition("=")
        if not equals or "." not in dotted:
            raise SettingsError(f"--set {given}: must be SECTION.KEY=VALUE, such as server.http_port=9080")
        flags[dotted] = json.loads(value) if value[:1] in ("[", "{") and is_json(value) else value
    settings = load_settings(args.config, environ, flags)
    if args.config or environ.get(PREFIX + "CONFIG") or args.command not in ("run", "simulate"):
        return settings
    demo_file = demo_settings.demo_file(settings.server.data_dir)
    if args.command == "run":
        demo_file = demo_settings.write_demo_settings(settings.server.data_dir)
    return load_settings([demo_file], environ, flags) if demo_file.exists() else settings


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


# -- serving ---------------------------------------------------------------------------------------


async def run_demo(args: argparse.Namespace, settings: Settings) -> int:
    async def first_start(pool: Pool) -> None:
        if await is_fresh(pool):
            progress("first start: putting demo data in")
            await fill(pool, settings, None)
        with contextlib.suppress(NotFound):
            await find_agent(pool, AGENTS[0].email)
            print_logins()

    return await serve_until_told(settings, first_start)


async def run_server(args: argparse.Namespace, settings: Settings) -> int:
    return await serve_until_told(settings, None)


async def serve_until_told(settings: Settings, before: Callable[[Pool], Awaitable[None]] | None) -> int:
    checking.require_known_names(settings)
    try:
        await serve(settings, HANDLERS, ready=announce, progress=progress, before=before)
    except OSError as bad:
        for line in checking.wrong_ports(settings):
            raise SettingsError(f"setting {line}") from bad
        raise
    structlog.get_logger("app").info("stopped")
    return 0


def announce(line: str) -> None:
    print(line, flush=True)


# -- the database ----------------------------------------------------------------------------------


async def migrate(args: argparse.Namespace, settings: Settings) -> int:
    async with opened(settings) as pool, pool.acquire() as connection:
        version = connection.get_server_version()
    print(f"the schema is up to date (PostgreSQL {version.major})")
    return 0


async def demo(args: argparse.Namespace, settings: Settings) -> int:
    async with opened(settings) as pool:
        made = await fill(pool, settings, args.seed)
    print(
        f"{made.customers} customers, {made.tickets} tickets, {made.contacts} contacts, {made.messages} messages"
    )
    print_logins()
    return 0


async def fill(pool: Pool, settings: Settings, seed: int | None) -> Any:
    options: dict[str, Any] = {} if seed is None else {"seed": seed}
    return await fill_demo(
        pool,
        datetime.now(UTC),
        first_response=timedelta(seconds=settings.tickets.first_response_seconds),
        resolve=timedelta(seconds=settings.tickets.resolve_seconds),
        **options,
    )


def print_logins() -> None:
    """On standard error: standard output tells programs when the server is ready, and nothing else."""
    progress(f"demo log-ins, all with the password {PASSWORD}")
    for agent in AGENTS:
        progress(f"  {agent.email:<26} {agent.role:<14} {agent.name}")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    sys.exit(main())
