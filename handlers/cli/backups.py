"""``backup FILE`` and ``restore FILE``: the whole database, by PostgreSQL's own programs (custom format)."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg

from handlers.cli.command import AddCommand, Parsers, progress
from server.app import open_database
from server.domain.errors import Conflict, Invalid, NotFound, RingpostError
from server.settings import ROOT, Settings
from server.store import operation
from server.store.embedded import EmbeddedError
from server.store.migrations import migrate
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
            programs = await _programs(settings, dsn)
            await _run(
                programs / "pg_dump", dsn, "--format=custom", "--no-owner", "--no-privileges", f"--file={part}",
                f"--dbname={_conninfo(dsn)}",
            )  # fmt: skip
            os.chmod(part, 0o600)
            # Readable from end to end, before an older backup of that name is given up.
            await _run(programs / "pg_restore", dsn, "--list", str(part), quiet=True)
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
        programs = await _programs(settings, dsn)
        await _run(
            programs / "pg_restore", dsn, "--clean", "--if-exists", "--no-owner", "--no-privileges",
            "--single-transaction", "--exit-on-error", f"--dbname={_conninfo(dsn)}", str(source),
        )  # fmt: skip
        # A backup may be older than this version.
        connection = await asyncpg.connect(dsn)
        try:
            await migrate(connection, ROOT / "migrations", progress)
        finally:
            await connection.close()
    print(f"restored from {source}")
    return 0


async def _run(path: Path, dsn: str, *arguments: str, quiet: bool = False) -> None:
    """Run one of PostgreSQL's programs. The password goes by the environment: arguments are for all to see."""
    process = await asyncio.create_subprocess_exec(
        path,
        *arguments,
        env={**os.environ, **_password(dsn)},
        stdout=asyncio.subprocess.DEVNULL if quiet else None,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    if process.returncode:
        lines = said.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise RingpostError(f"{path.name} failed: {lines[0]}")


async def _programs(settings: Settings, dsn: str) -> Path:
    """The folder of pg_dump and pg_restore of the server's own major, else of the next newer one.

    Looked for in ``database.bin_dir``, on the PATH, among the embedded ones and where systems put them.
    """
    connection = await asyncpg.connect(dsn)
    try:
        wanted = connection.get_server_version().major
    finally:
        await connection.close()
    places = [Path(settings.database.bin_dir)] if settings.database.bin_dir else []
    on_path = shutil.which("pg_dump")
    places += [Path(on_path).parent] if on_path else []
    for major in (wanted, None):
        with contextlib.suppress(EmbeddedError):
            places.append(find_programs(None, major).bin_dir)
    found = [(major, place) for place in places if (major := _major_of(place)) >= wanted]
    if not found:
        raise NotFound(
            f"there is no pg_dump for PostgreSQL {wanted} here: install its client programs, or name their "
            "folder in database.bin_dir"
        )
    return min(found, key=lambda one: one[0])[1]


def _major_of(place: Path) -> int:
    """0 when there is no pg_dump that runs."""
    try:
        said = subprocess.run(
            [place / "pg_dump", "--version"], capture_output=True, text=True, timeout=20, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return 0
    number = re.search(r"(\d+)", said)
    return int(number[1]) if number else 0


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
