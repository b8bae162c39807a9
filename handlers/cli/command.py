"""What every command has: its options, a database, and a way to tell how far it is."""

from __future__ import annotations

import argparse
import contextlib
import getpass
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from server.app import open_database
from server.domain.errors import Invalid
from server.domain.permission import Actor
from server.settings import Settings
from server.store.pool import Pool, open_pool

Run = Callable[[argparse.Namespace, Settings], Awaitable[int]]
Parsers = Any  # argparse's sub-parsers action has no public type
AddCommand = Callable[..., argparse.ArgumentParser]
"""``add(name, run, help, parsers=None)``: a parser with the options that every command has."""

OPERATOR = Actor(agent_id=0, name="command line", email="", role="administrator", language="en")
"""Whoever may run commands on the machine may do everything."""


def progress(line: str) -> None:
    """For a person who watches; standard output is for answers."""
    print(line, file=sys.stderr, flush=True)


@contextlib.asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Pool]:
    """A pool on the database with the present schema; an embedded one runs for as long as this, or longer
    when a server is using it."""
    async with contextlib.AsyncExitStack() as stack:
        dsn = await open_database(settings, stack, progress, server=False)
        pool = await open_pool(dsn, min_size=1, max_size=2)
        stack.push_async_callback(pool.close)
        yield pool


def read_password(from_stdin: bool) -> str:
    """From standard input, without its line end; else asked for twice at a terminal."""
    if from_stdin:
        password = sys.stdin.read().removesuffix("\n").removesuffix("\r")
    elif sys.stdin.isatty():
        password = getpass.getpass("password: ")
        if getpass.getpass("again: ") != password:
            raise Invalid("the two passwords differ")
    else:
        raise Invalid("give the password on standard input, with --password-stdin")
    if not password:
        raise Invalid("the password is empty")
    return password


def print_table(rows: list[tuple[str, ...]]) -> None:
    """Columns as wide as they need be; wide characters count twice."""
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def _width(text: str) -> int:
    return sum(2 if "\u2e80" <= character <= "\uffdc" else 1 for character in text)
