"""Codecs, named statements, and SQLSTATEs in our words."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from server.domain.errors import Conflict, Invalid, RingpostError, Unavailable
from server.store.pool import Pool, load_sql, open_pool, transaction_errors


async def test_json_stays_text_and_jsonb_becomes_values(pool: Pool) -> None:
    row = await pool.fetchrow("SELECT $1::jsonb AS b, $2::json AS j", {"名": [1, None]}, '{"a":  1}')
    assert row is not None
    assert (row["b"], row["j"]) == ({"名": [1, None]}, '{"a":  1}')


async def test_times_are_utc(pool: Pool) -> None:
    assert await pool.fetchval("SHOW timezone") == "UTC"
    at = dt.datetime(2026, 3, 29, 1, 30, tzinfo=dt.UTC)
    assert await pool.fetchval("SELECT $1::timestamptz", at) == at


@pytest.mark.parametrize(
    ("statement", "arguments", "ours"),
    [
        ("INSERT INTO things VALUES (1), (1)", (), Conflict),
        ("INSERT INTO parts VALUES (99)", (), Conflict),
        ("INSERT INTO things VALUES (-1)", (), Invalid),
        ("INSERT INTO things VALUES (NULL)", (), Invalid),
        ("SELECT $1::text", ("a\0b",), Invalid),
        ("SELECT $1::int", (2**40,), Invalid),
        ("SELECT 'x'::date", (), Invalid),
        ("SELECT pg_terminate_backend(pg_backend_pid())", (), Unavailable),
    ],
)
async def test_sqlstates_in_our_words(
    pool: Pool, statement: str, arguments: tuple[Any, ...], ours: type[RingpostError]
) -> None:
    await pool.execute("CREATE TABLE things (id int PRIMARY KEY CHECK (id > 0))")
    await pool.execute("CREATE TABLE parts (thing int REFERENCES things)")
    with pytest.raises(ours) as said:
        async with transaction_errors():
            await pool.execute(statement, *arguments)
    assert type(said.value) is ours
    assert await pool.fetchval("SELECT 1") == 1


async def test_a_wrong_statement_is_our_fault(pool: Pool) -> None:
    with pytest.raises(asyncpg.UndefinedTableError):
        async with transaction_errors():
            await pool.execute("SELECT * FROM no_such_table")


async def test_no_database_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        async with transaction_errors():
            await open_pool(f"postgresql://nobody@/none?host={tmp_path}")


def test_named_statements(tmp_path: Path) -> None:
    (tmp_path / "thing.sql").write_text(
        "-- name: fetch_thing\n-- why\nSELECT 1;\n\n-- name: other\nSELECT\n    2;\n", encoding="utf-8"
    )
    sql = load_sql(str(tmp_path / "thing.py"))
    assert sql.fetch_thing == "-- why\nSELECT 1"
    assert sql.other == "SELECT\n    2"
    with pytest.raises(AttributeError):
        _ = sql.missing
