"""Connections: codecs, named SQL files, and the one place where SQLSTATEs become our errors."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg

from server.domain.errors import Conflict, Invalid, Unavailable

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]
    PoolConnection = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    Connection = asyncpg.Connection[asyncpg.Record] | PoolConnection
else:
    Pool = asyncpg.Pool
    PoolConnection = asyncpg.pool.PoolConnectionProxy
    Connection = asyncpg.Connection

NAME = re.compile(r"^-- name: *(\w+)[^\n]*\n", re.MULTILINE)


class Queries:
    """The statements of one .sql file as attributes. A name that is not there is an AttributeError."""

    def __init__(self, statements: dict[str, str]) -> None:
        self.__dict__.update(statements)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> str: ...


def load_sql(module_file: str) -> Queries:
    """Read ``<thing>.sql`` beside ``<thing>.py``: ``-- name: NAME``, comments, one statement each."""
    text = Path(module_file).with_suffix(".sql").read_text(encoding="utf-8")
    parts = NAME.split(text)
    return Queries(
        {name: body.strip().rstrip(";") for name, body in zip(parts[1::2], parts[2::2], strict=True)}
    )


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


async def set_codecs(connection: Connection) -> None:
    """jsonb as Python values; json stays text: it is stored to be passed on as it is."""
    await connection.set_type_codec("jsonb", encoder=_dump, decoder=json.loads, schema="pg_catalog")


async def open_pool(
    dsn: str,
    *,
    min_size: int = 1,
    max_size: int = 10,
    session: Mapping[str, str] | None = None,
    functions: Sequence[str] = (),
    reset: bool = True,
) -> Pool:
    """A pool of connections in UTC. ``session`` are settings of each; they survive a release.

    ``functions`` are statements that make what lives with the connection (``pg_temp``).

    ``reset=False`` leaves out the clean-up that a release costs (a round trip), for owners that
    leave nothing behind.
    """

    async def init(connection: Connection) -> None:
        await set_codecs(connection)
        for statement in functions:
            await connection.execute(statement)

    pool = await asyncpg.create_pool(
        dsn,
        min_size=min_size,
        max_size=max_size,
        init=init,
        server_settings={"timezone": "UTC", "application_name": "ringpost", **(session or {})},
        command_timeout=30,
        reset=None if reset else _leave,
    )
    assert pool is not None
    return pool


async def ping(pool: Pool) -> None:
    """Raises unless the database answers."""
    await pool.fetchval("SELECT 1")


async def _leave(connection: Connection) -> None:
    """Nothing was set, locked or listened to outside of a transaction."""


AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shutting down, crashed, starting, statement cancelled
    asyncpg.InsufficientResourcesError,  # disk full, too many connections
    asyncpg.TransactionRollbackError,  # deadlock, serialization
    asyncpg.ReadOnlySQLTransactionError,  # a standby
    asyncpg.InternalClientError,
    asyncpg.InterfaceError,
    OSError,  # TimeoutError and ConnectionError among them
)
BAD_VALUE = (
    asyncpg.DataError,  # out of range, NUL in a text, not a date; the client's own checks too
    asyncpg.ProgramLimitExceededError,  # longer than an index takes
    asyncpg.UntranslatableCharacterError,
    asyncpg.NotNullViolationError,
    asyncpg.CheckViolationError,
)


@contextlib.asynccontextmanager
async def transaction_errors() -> AsyncIterator[None]:
    """Around a use case: what the database says, in our words."""
    try:
        yield
    except (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError) as bad:
        raise Invalid("the text holds a character that cannot be stored (NUL)") from bad
    except BAD_VALUE as bad:
        column = getattr(bad, "constraint_name", None) or getattr(bad, "column_name", None)
        raise Invalid("a value cannot be stored" + (f" ({column})" if column else "")) from bad
    except asyncpg.UniqueViolationError as taken:
        raise Conflict(f"this exists already ({taken.constraint_name})") from taken
    except asyncpg.ForeignKeyViolationError as gone:
        raise Conflict(f"it refers to something that is not there ({gone.constraint_name})") from gone
    except AWAY as away:
        raise Unavailable(
            "the database is away: nothing was taken, send it again", retry_after_seconds=2
        ) from away
