"""``simulate``: real signed webhooks, mails and form posts to the running server, a line for each.

Without ``--provider`` customers call, write and post as they like, for people to watch. With it a whole
day's calls of that provider are played and every answer is checked.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import secrets
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from math import ceil
from random import Random

import aiohttp
from pydantic import SecretStr

from handlers.cli.command import AddCommand, Parsers, opened
from handlers.simulate.calls import Calls
from handlers.simulate.company import Company
from handlers.simulate.day import CALLS, Day, speed_of
from handlers.simulate.people import People
from handlers.simulate.script import CallScript, discover_scripts
from handlers.simulate.sounds import served_sounds
from handlers.simulate.stage import Stage, WrongServer
from server.domain.errors import Invalid, RingpostError
from server.mail.transport import SmtpTransport
from server.settings import CallSourceSettings, Settings

MOST_CALLS = 100_000
ALL = "all"
_UNITS = {"": 60.0, "s": 1.0, "sec": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}


def add_commands(add: AddCommand, parsers: Parsers) -> None:
    command = add("simulate", simulate, "send real webhooks, mails and forms to the running server")
    command.add_argument(
        "--provider", default="", metavar="NAME",
        help=f"play a day's calls of this telephony provider; '{ALL}' goes round all of them",
    )  # fmt: skip
    command.add_argument(
        "--rate", default="20/min", help="new contacts, such as 20/min, 2/s (default: 20/min)"
    )
    command.add_argument(
        "--duration", default="", help="such as 30s, 10m, 1h (default: one day, or until interrupted)"
    )
    command.add_argument(
        "--calls", type=int, default=None, help=f"with --provider: how many (default: {CALLS}, a day)"
    )
    command.add_argument("--seed", type=int, default=None, help="the same seed plays the same people")
    command.add_argument(
        "--speed", type=float, default=None,
        help="how much faster calls go by than in life (default: 1; with --provider as the rate wants it)",
    )  # fmt: skip
    command.add_argument(
        "--http", default="", help="where the server is, else by the settings: http://HOST:PORT"
    )
    command.add_argument("--smtp", default="", help="where its mail port is: HOST:PORT")


async def simulate(args: argparse.Namespace, settings: Settings) -> int:
    rate = parse_rate(args.rate)
    seconds = parse_duration(args.duration) if args.duration else None
    if args.speed is not None and args.speed <= 0:
        raise Invalid("--speed must be more than 0")
    if args.calls is not None and not 1 <= args.calls <= MOST_CALLS:
        raise Invalid(f"--calls must be from 1 to {MOST_CALLS}")
    seed = args.seed if args.seed is not None else secrets.randbits(32)
    scripts = discover_scripts()
    sources = choose_sources(settings, scripts, args.provider, _tell)
    server = settings.server
    http = args.http.rstrip("/") or f"http://{server.host}:{server.http_port}"
    smtp_host, _, smtp_port = (args.smtp or f"{server.host}:{server.smtp_port}").rpartition(":")
    if not smtp_port.isdigit():
        raise Invalid("--smtp must be HOST:PORT")
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
        await _require_server(session, http)
        async with opened(settings) as pool, served_sounds(settings.recordings.allow_hosts) as sounds:
            # Everything by chance comes of the seed; what is sent is new to the server all the same.
            stage = Stage(
                session=session,
                http=http,
                public_url=server.public_url or http,
                tell=_tell,
                speed=args.speed or (speed_of(rate) if args.provider else 1.0),
                random=Random(seed),
                sounds=sounds,
            )
            people = People(settings, pool, stage.random, seed=seed, at_desk=not args.provider)
            await people.open()
            calls = Calls(stage, settings, people, scripts)
            show: Day | Company
            if args.provider:
                count = args.calls or (ceil(rate * seconds) if seconds else CALLS)
                show = Day(stage, calls, sources, rate=rate, count=min(count, MOST_CALLS))
            else:
                post = SmtpTransport(smtp_host, int(smtp_port), tls="none")
                show = Company(stage, settings, people, calls, sources, post, rate=rate, seconds=seconds)
            _tell(f"seed {seed}: {show.describe()}")
            with _ended_by_interrupt(stage):
                await _perform(show)
    _tell(f"{show.summary()}, {stage.tally}")
    return 1 if stage.tally.refused or calls.lost else 0


async def _perform(show: Day | Company) -> None:
    try:
        await show.play()
    except BaseExceptionGroup as several:
        refused = several.subgroup(WrongServer)
        if refused is None:
            raise
        raise next(iter(refused.exceptions)) from None


@contextlib.contextmanager
def _ended_by_interrupt(stage: Stage) -> Iterator[None]:
    """The first Ctrl-C lets the calls that go on end at once; the second ends everything."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def end() -> None:
        if stage.stopping.is_set() and task is not None:
            task.cancel()
            return
        _tell("the calls under way are brought to their end")
        stage.stop()

    try:
        loop.add_signal_handler(signal.SIGINT, end)
    except (NotImplementedError, RuntimeError, ValueError):  # not in this thread, not on this system
        yield
        return
    try:
        yield
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def choose_sources(
    settings: Settings, scripts: Mapping[str, CallScript], wanted: str, tell: Callable[[str], None]
) -> list[str]:
    """The call sources that are played: of the provider that is wanted, of each for ``all``, else every one.

    Raises Invalid, with what to add, when there is none.
    """
    if not wanted:
        known = [
            name
            for name, one in settings.call_sources.items()
            if one.provider in scripts and not scripts[one.provider].lack(one)
        ]
        if not (known or settings.mailboxes or settings.forms):
            raise Invalid(
                "no call source, mailbox or form can be played: start the server with 'run', or give its --config"
            )
        return known
    if wanted not in (*scripts, ALL):
        raise Invalid(f"--provider {wanted}: must be one of {', '.join(sorted(scripts))}, {ALL}")
    found = []
    for provider in sorted(scripts) if wanted == ALL else [wanted]:
        source, missing = _source_of(settings, scripts[provider])
        if source:
            found.append(source)
        elif wanted == ALL:
            tell(missing)
        else:
            raise Invalid(missing)
    if not found:
        raise Invalid("there is no call source that could be played: 'run.py run' makes one of each provider")
    return found


def _source_of(settings: Settings, script: CallScript) -> tuple[str, str]:
    """The provider's first source that can be played, or else what to add to the settings."""
    missing = ""
    for name, source in settings.call_sources.items():
        if source.provider == script.name:
            missing = script.lack(source)
            if not missing:
                return name, ""
    example = CallSourceSettings(provider=script.name, secrets=(SecretStr("..."),))
    setting = missing or script.lack(example)
    return "", (
        f"no source of {script.name} can be played: add [call_sources.{script.name}] with "
        f'provider = "{script.name}", secrets = ["..."]{", " if setting else ""}{setting}; '
        "'run.py run' adds one to its demo.toml"
    )


async def _require_server(session: aiohttp.ClientSession, http: str) -> None:
    try:
        async with session.get(f"{http}/healthz") as reply:
            if reply.status == 200:
                return
    except (aiohttp.ClientError, TimeoutError):
        pass
    raise RingpostError(f"no server answers at {http}: start one with 'run.py run', or name it with --http")


def parse_rate(text: str) -> float:
    """Contacts a second. ``20/min``, ``2/s``, ``20`` (a minute)."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(?:/(s|sec|m|min|h))?", text.strip())
    if found is None or float(found[1]) <= 0:
        raise Invalid(f"--rate {text}: must be such as 20/min or 2/s")
    rate = float(found[1]) / _UNITS[found[2] or ""]
    if rate > 200:
        raise Invalid(f"--rate {text}: at most 200/s; for load there is 'make bench'")
    return rate


def parse_duration(text: str) -> float:
    """Seconds of ``30s``, ``10m``, ``1h``, ``45``."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|sec|m|min|h)?", text.strip())
    if found is None:
        raise Invalid(f"--duration {text}: must be such as 30s, 10m or 1h")
    return float(found[1]) * _UNITS[found[2] or "s"]


def _tell(line: str) -> None:
    print(time.strftime("%H:%M:%S"), line, flush=True)
