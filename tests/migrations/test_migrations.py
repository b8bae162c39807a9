"""Migrations: many nodes at once, fresh equals step by step, refusals."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

from server.store.migrations import MigrationError, SchemaTooNew, migrate, read_migrations, split_statements
from tests.migrations.schema import dump_schema
from tests.postgres import MIGRATIONS, create_database, drop_database


async def test_four_nodes_at_once(empty_database: str) -> None:
    async def node() -> list[str]:
        connection = await asyncpg.connect(empty_database)
        try:
            return await migrate(connection, MIGRATIONS)
        finally:
            await connection.close()

    done = await asyncio.gather(*(node() for _ in range(4)))
    assert sorted(len(files) for files in done) == [0, 0, 0, len(read_migrations(MIGRATIONS))]


async def test_concurrent_index_does_not_deadlock(empty_database: str, tmp_path: Path) -> None:
    (tmp_path / "0001_thing.sql").write_text("CREATE TABLE things (id int);")
    (tmp_path / "0002_index.sql").write_text(
        "-- no transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS a ON things (id); -- one\n"
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS b ON things (id);\n-- the end; really\n"
    )
    connections = [await asyncpg.connect(empty_database) for _ in range(3)]
    try:
        async with asyncio.timeout(20):
            done = await asyncio.gather(*(migrate(one, tmp_path) for one in connections))
        assert sum(map(len, done)) == 2
        assert (
            await connections[0].fetchval("SELECT count(*) FROM pg_indexes WHERE tablename = 'things'") == 2
        )
    finally:
        for one in connections:
            await one.close()


async def test_fresh_equals_step_by_step(postgres_dsn: str, database: str, tmp_path: Path) -> None:
    stepped = await create_database(postgres_dsn)
    try:
        connection = await asyncpg.connect(stepped)
        for migration in read_migrations(MIGRATIONS):
            (tmp_path / migration.file).write_text(migration.text, encoding="utf-8")
            assert await migrate(connection, tmp_path) == [migration.file]
        one_by_one = await dump_schema(connection)
        await connection.close()
    finally:
        await drop_database(postgres_dsn, stepped)
    connection = await asyncpg.connect(database)
    try:
        at_once = await dump_schema(connection)
    finally:
        await connection.close()
    assert "table schema_migrations" in "\n".join(at_once)
    assert at_once == one_by_one


async def test_twice_does_nothing(database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        assert await migrate(connection, MIGRATIONS) == []
    finally:
        await connection.close()


async def test_newer_schema_is_refused(database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        await connection.execute(
            "INSERT INTO schema_migrations (version, name, checksum) VALUES (9999, 'x', '')"
        )
        with pytest.raises(SchemaTooNew, match="9999"):
            await migrate(connection, MIGRATIONS)
    finally:
        await connection.close()


async def test_edited_file_is_refused(empty_database: str, tmp_path: Path) -> None:
    file = tmp_path / "0001_thing.sql"
    file.write_text("CREATE TABLE things (id int);")
    connection = await asyncpg.connect(empty_database)
    try:
        await migrate(connection, tmp_path)
        file.write_text("CREATE TABLE things (id bigint);")
        with pytest.raises(MigrationError, match="0001_thing"):
            await migrate(connection, tmp_path)
    finally:
        await connection.close()


async def test_failing_file_leaves_nothing(empty_database: str, tmp_path: Path) -> None:
    (tmp_path / "0001_thing.sql").write_text("CREATE TABLE things (id int);")
    (tmp_path / "0002_bad.sql").write_text("CREATE TABLE others (id int); SELECT 1 / 0;")
    connection = await asyncpg.connect(empty_database)
    try:
        with pytest.raises(MigrationError, match="0002_bad"):
            await migrate(connection, tmp_path)
        assert await connection.fetchval("SELECT to_regclass('others') IS NULL")
        assert await connection.fetchval("SELECT max(version) FROM schema_migrations") == 1
        locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        assert await connection.fetchval(locks) == 0
    finally:
        await connection.close()


@pytest.mark.parametrize("names", [["1_x.sql"], ["0002_x.sql"], ["0001_x.sql", "0001_y.sql"], []])
def test_wrong_files_are_named(names: list[str], tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(MigrationError):
        read_migrations(tmp_path)


def test_split_statements() -> None:
    text = """-- first; comment
    CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $body$ SELECT 1; SELECT 2 $body$;
    SELECT 'a;b''c;', "d;e" /* f; */; DO $$ BEGIN NULL; END $$; -- last; comment
    """
    assert [statement[:2] for statement in split_statements(text)] == ["--", "SE", "DO"]
