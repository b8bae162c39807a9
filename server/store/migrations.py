"""Forward migrations: ``migrations/NNNN_name.sql``, plain SQL, applied once, in order, by one node at a time.

Each file runs in a transaction of its own together with its line in ``schema_migrations``. A file whose
first line is ``-- no transaction`` (CREATE INDEX CONCURRENTLY) runs statement by statement; as it may stop
in the middle, write it so that it can run again (IF NOT EXISTS). An applied file is never edited.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from server.domain.errors import RingpostError
from server.store.pool import Connection, load_sql

SQL = load_sql(__file__)
LOCK = 0x52696E67  # "Ring"
POLL_SECONDS = 0.1
FILE_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")


class MigrationError(RingpostError):
    """The schema cannot be brought up to date; the text is one line and says the way out."""


class SchemaTooNew(MigrationError):
    """A newer Ringpost has been here."""


@dataclass(frozen=True, slots=True)
class Migration:
    version: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def file(self) -> str:
        return f"{self.version:04}_{self.name}.sql"

    @property
    def in_transaction(self) -> bool:
        return self.text.split("\n", 1)[0].strip() != "-- no transaction"


def read_migrations(directory: Path) -> list[Migration]:
    """The files in order. Raises MigrationError on a wrong name, a gap or a number used twice."""
    found = []
    for path in sorted(directory.glob("*.sql")):
        named = FILE_NAME.fullmatch(path.name)
        if named is None:
            raise MigrationError(f"{path.name}: a migration is named NNNN_what_it_does.sql")
        found.append(Migration(int(named[1]), named[2], path.read_text(encoding="utf-8")))
    for wanted, migration in enumerate(found, 1):
        if migration.version != wanted:
            raise MigrationError(f"{migration.file}: the next migration is number {wanted:04}")
    if not found:
        raise MigrationError(f"no migrations in {directory}")
    return found


async def migrate(
    connection: Connection, directory: Path, progress: Callable[[str], None] = lambda line: None
) -> list[str]:
    """Apply what is missing; gives the names of the files applied. Safe from many nodes at once."""
    migrations = read_migrations(directory)
    if not _missing(migrations, await _applied(connection)):
        return []
    waiting = False
    while not await connection.fetchval(SQL.try_lock, LOCK):
        if not waiting:
            progress("another node is migrating the database; waiting for it")
            waiting = True
        await asyncio.sleep(POLL_SECONDS)
    done = []
    try:
        await connection.execute(SQL.create_history)
        for migration in _missing(migrations, await _applied(connection)):
            progress(f"migrating the database: {migration.file}")
            await _apply(connection, migration)
            done.append(migration.file)
    finally:
        if not connection.is_closed():
            await connection.execute("RESET ALL")  # what a file SETs for itself must not outlive it
            await connection.fetchval(SQL.unlock, LOCK)
    return done


async def _applied(connection: Connection) -> list[asyncpg.Record]:
    if not await connection.fetchval(SQL.history_exists):
        return []
    return await connection.fetch(SQL.fetch_applied)


def _missing(migrations: Sequence[Migration], applied: Sequence[asyncpg.Record]) -> list[Migration]:
    """What is still to be done. Raises when the database and the files tell different stories."""
    here = {migration.version: migration for migration in migrations}
    for row in applied:
        migration = here.get(row["version"])
        if migration is None:
            raise SchemaTooNew(
                f"the database has schema version {applied[-1]['version']} ({applied[-1]['name']}), and this "
                f"Ringpost knows up to {migrations[-1].version}: start the newer Ringpost that has been here, "
                "or restore a backup made before it"
            )
        if migration.checksum != row["checksum"]:
            raise MigrationError(
                f"{migration.file} is not the file that was applied to this database: put the old text back "
                "and write the change as a new migration"
            )
    done = {row["version"] for row in applied}
    return [migration for migration in migrations if migration.version not in done]


async def _apply(connection: Connection, migration: Migration) -> None:
    line = (migration.version, migration.name, migration.checksum)
    try:
        if migration.in_transaction:
            async with connection.transaction():
                await connection.execute(migration.text)
                await connection.execute(SQL.insert_applied, *line)
        else:
            for statement in split_statements(migration.text):
                await connection.execute(statement)
            await connection.execute(SQL.insert_applied, *line)
    except asyncpg.PostgresError as bad:
        raise MigrationError(f"{migration.file} failed and was not recorded: {bad}") from bad


TOKEN = re.compile(
    r"""
      --[^\n]*                              # comment to the end of the line
    | /\*.*?\*/                             # comment
    | '(?:[^']|'')*'                        # text
    | "(?:[^"]|"")*"                        # name
    | (?P<tag>\$(?:[A-Za-z_]\w*)?\$).*?(?P=tag)   # function body
    | ;
    """,
    re.VERBOSE | re.DOTALL,
)


def split_statements(text: str) -> Iterator[str]:
    """Statements without their semicolons. No nested comments, no E'' texts with an escaped quote."""
    start = 0
    for token in TOKEN.finditer(text):
        if token[0] == ";":
            if statement := text[start : token.start()].strip():
                yield statement
            start = token.end()
    rest = text[start:].strip()
    if rest and TOKEN.sub("", rest).strip():
        yield rest
