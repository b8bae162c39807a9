"""``backup FILE`` and ``restore FILE``: the whole database, by PostgreSQL's own programs (custom format)."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg

from handlers.cli.command import AddCommand, Parsers, progress
from server.app import open_database
from server.domain.errors import Conflict, Invalid, NotFound, RingpostError
from server.settings import Settings
from server.store import operation
from server.store.postgres_place import Account, Place
from server.store.postgres_programs import find_programs


def add_commands(add: AddCommand, parsers: Parsers) -> None:
    add("backup", backup, "write the whole database to FILE, while the server runs or not").add_argument(
        "file", type=Path, metavar="FILE"
    )
    restoring = add("restore", restore, "put a backup into an empty database; the server must not run")
    restoring.add_argument("file", type=Path, metavar="FILE")
    restoring.add_argument(
        "--force", action="store_true", help="into a database that is not empty: its data is lost"
    )


async def backup(args: argparse.Namespace, settings: Settings) -> int:
    target: Path = args.file
    if target.is_dir() or not target.absolute().parent.is_dir():
        raise Invalid(f"{target}: there is no such folder, or it is a folder itself")
    part = target.with_name(target.name + ".part")
    async with contextlib.AsyncExitStack() as stack:
        dsn = await open_database(settings, stack, progress, server=False)
        try:
            await _run(
                settings, dsn, "pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={part}"
            )
            os.chmod(part, 0o600)
            # Readable from end to end, before an older backup of that name is given up.
            await _run(settings, dsn, "pg_restore", "--list", str(part), quiet=True)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    print(f"{target}: {target.stat().st_size:,} bytes")
    return 0


async def restore(args: argparse.Namespace, settings: Settings) -> int:
    source: Path = args.file
    if not source.is_file():
        raise NotFound(f"{source}: there is no such file")
    if source.open("rb").read(5) != b"PGDMP":
        raise Invalid(f"{source} is no backup made by 'backup'")
    async with contextlib.AsyncExitStack() as stack:
        dsn = await open_database(settings, stack, progress, server=False)
        connection = await asyncpg.connect(dsn)
        try:
            others = await operation.count_other_clients(connection)
            if others:
                raise Conflict(f"{others} connections use this database: stop the server first")
            if not args.force and await operation.holds_data(connection):
                raise Conflict("the database is not empty: --force gives its data up for the backup's")
        finally:
            await connection.close()
        await _run(
            settings, dsn, "pg_restore", "--clean", "--if-exists", "--no-owner", "--no-privileges",
            "--single-transaction", "--exit-on-error", f"--dbname={_conninfo(dsn)}", str(source),
        )  # fmt: skip
        progress("restored; bringing the schema up to date")
        await open_database(settings, stack, progress, server=False)
    print(f"restored from {source}")
    return 0


async def _run(settings: Settings, dsn: str, program: str, *arguments: str, quiet: bool = False) -> None:
    """Run one of PostgreSQL's programs. The password goes by the environment: arguments are for all to see."""
    path = _program(settings, program)
    environment = {**os.environ, **_password(dsn)}
    if program == "pg_dump":
        arguments = (*arguments, f"--dbname={_conninfo(dsn)}")
    process = await asyncio.create_subprocess_exec(
        path,
        *arguments,
        env=environment,
        stdout=asyncio.subprocess.DEVNULL if quiet else None,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    if process.returncode:
        lines = said.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise RingpostError(f"{program} failed: {lines[0]}")


def _program(settings: Settings, program: str) -> str:
    """Of the embedded binaries, or of PATH when ``database.url`` names a server of one's own."""
    bin_dir = Path(settings.database.bin_dir) if settings.database.bin_dir else None
    if settings.database.url.get_secret_value() and bin_dir is None:
        found = shutil.which(program)
        if found is not None:
            return found
    major = Place(settings.server.data_dir.absolute(), Account()).cluster_major()
    return str(
        find_programs(bin_dir, None if settings.database.url.get_secret_value() else major).bin_dir / program
    )


def _password(dsn: str) -> dict[str, str]:
    password = urlsplit(dsn).password
    return {"PGPASSWORD": unquote(password)} if password else {}


def _conninfo(dsn: str) -> str:
    """The DSN for libpq, without its password."""
    parts = urlsplit(dsn)
    values = {
        "host": parts.hostname or "",
        "port": str(parts.port or ""),
        "user": unquote(parts.username or ""),
        "dbname": unquote(parts.path.lstrip("/")),
    }
    values |= {name: given[0] for name, given in parse_qs(parts.query).items() if name != "password"}
    quoted = {name: value.replace("\\", r"\\").replace("'", r"\'") for name, value in values.items() if value}
    return " ".join(f"{name}='{value}'" for name, value in quoted.items())
