"""``simulate``: real signed webhooks, mails and form posts to the running server, a line for each."""

from __future__ import annotations

import argparse
import re
import secrets
import time

import aiohttp

from handlers.cli.command import AddCommand, Parsers, opened
from handlers.simulate.company import Company
from handlers.simulate.stage import Stage, WrongServer
from server.domain.errors import Invalid, RingpostError
from server.settings import Settings

_UNITS = {"": 60.0, "s": 1.0, "sec": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}


def add_commands(add: AddCommand, parsers: Parsers) -> None:
    command = add("simulate", simulate, "send real webhooks, mails and forms to the running server")
    command.add_argument(
        "--rate", default="20/min", help="new contacts, such as 20/min, 2/s (default: 20/min)"
    )
    command.add_argument("--duration", default="", help="such as 30s, 10m, 1h (default: until interrupted)")
    command.add_argument("--seed", type=int, default=None, help="the same seed plays the same people")
    command.add_argument("--speed", type=float, default=1.0, help="how much faster calls go by than in life")
    command.add_argument(
        "--http", default="", help="where the server is, else by the settings: http://HOST:PORT"
    )
    command.add_argument("--smtp", default="", help="where its mail port is: HOST:PORT")


async def simulate(args: argparse.Namespace, settings: Settings) -> int:
    rate = parse_rate(args.rate)
    seconds = parse_duration(args.duration) if args.duration else float("inf")
    if args.speed <= 0:
        raise Invalid("--speed must be more than 0")
    seed = args.seed if args.seed is not None else secrets.randbits(32)
    if not (settings.call_sources or settings.mailboxes or settings.forms):
        raise Invalid(
            "no call source, mailbox or form is configured: start the server with 'run', or give its --config"
        )
    server = settings.server
    http = args.http.rstrip("/") or f"http://{server.host}:{server.http_port}"
    smtp_host, _, smtp_port = (args.smtp or f"{server.host}:{server.smtp_port}").rpartition(":")
    if not smtp_port.isdigit():
        raise Invalid("--smtp must be HOST:PORT")
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
        await _require_server(session, http)
        async with opened(settings) as pool:
            # Everything by chance comes of the seed; what is sent must still be new to the server.
            company = Company(
                Stage(
                    session=session,
                    http=http,
                    public_url=server.public_url or http,
                    tell=_tell,
                    speed=args.speed,
                ),
                settings, pool, seed=seed, smtp=(smtp_host, int(smtp_port)),
            )  # fmt: skip
            await company.open()
            _tell(f"seed {seed}: {company.describe()}")
            try:
                await company.play(rate, seconds)
            except BaseExceptionGroup as several:
                refused = several.subgroup(WrongServer)
                if refused is None:
                    raise
                raise next(iter(refused.exceptions)) from None
    _tell(f"{company.contacts} contacts, {company.stage.sent} requests, {company.stage.refused} refused")
    return 0


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
