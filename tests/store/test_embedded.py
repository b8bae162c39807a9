"""The embedded PostgreSQL through its deaths: each test has a directory and processes of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from server.store import postgres_process
from server.store.embedded import DataDirBusy, EmbeddedError, EmbeddedPostgres
from server.store.pool import open_pool

ROOT = Path(__file__).resolve().parents[2]
# Another process on the directory: says its DSN, then stays until its input ends.
HOLDER = """
import asyncio, sys
from pathlib import Path
from server.store.embedded import EmbeddedError, EmbeddedPostgres
async def main():
    embedded = EmbeddedPostgres(Path(sys.argv[1]), server=sys.argv[2] == "server")
    try:
        print(await embedded.start(), flush=True)
    except EmbeddedError as refused:
        print(f"{type(refused).__name__}: {refused}", flush=True)
        return
    await asyncio.to_thread(sys.stdin.read)
    await embedded.stop()
asyncio.run(main())
"""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="death signals are Linux's")


@pytest_asyncio.fixture(scope="module")
async def made() -> AsyncIterator[Path]:
    """A data directory made once: copying it is quicker than making it."""
    with tempfile.TemporaryDirectory(prefix="ringpost-embedded-") as name:
        data_dir = Path(name) / "var"
        embedded = EmbeddedPostgres(data_dir)
        connection = await asyncpg.connect(await embedded.start())
        await connection.execute("CREATE TABLE kept (note text)")
        await connection.close()
        await embedded.stop()
        yield data_dir


@pytest_asyncio.fixture
async def data_dir(made: Path) -> AsyncIterator[Path]:
    """A copy of it, in a directory that is closed to other accounts."""
    with tempfile.TemporaryDirectory(prefix="ringpost-embedded-") as name:
        await _command("cp", "-a", str(made), f"{name}/var")
        yield Path(name) / "var"
        await postgres_process.end_processes(Path(name) / "var/postgres/cluster", 0)


async def _command(*words: str) -> None:
    child = await asyncio.create_subprocess_exec(*words)
    assert await child.wait() == 0


@contextlib.asynccontextmanager
async def another(data_dir: Path, role: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Another process on the directory, and the first line that it said."""
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, str(data_dir), role, cwd=ROOT, stdin=pipe, stdout=pipe
    )
    assert child.stdout is not None and child.stdin is not None
    try:
        yield child, (await asyncio.wait_for(child.stdout.readline(), 30)).decode().strip()
    finally:
        child.stdin.close()
        try:
            await asyncio.wait_for(child.wait(), 15)
        except TimeoutError:
            child.kill()
            await child.wait()


async def ask(dsn: str, question: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


def postmaster(data_dir: Path) -> int | None:
    return postgres_process.postmaster_pid(data_dir / "postgres" / "cluster")


async def test_is_durable_closed_and_reads_chinese(data_dir: Path) -> None:
    embedded = EmbeddedPostgres(data_dir)
    dsn = await embedded.start()
    try:
        for setting in ("fsync", "full_page_writes", "synchronous_commit", "data_checksums"):
            assert await ask(dsn, f"SHOW {setting}") == "on"
        assert await ask(dsn, "SHOW listen_addresses") == ""
        assert await ask(dsn, "SELECT NOT rolsuper FROM pg_roles WHERE rolname = current_user")
        await ask(dsn, "CREATE EXTENSION pg_trgm")
        assert await ask(dsn, "SELECT show_trgm('王小明')")
        assert await ask(dsn, "SELECT lower('É')") == "é"
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(dsn, password="wrong")
        home = data_dir / "postgres"
        assert {path.stat().st_mode & 0o077 for path in (home, home / "cluster", home / "password")} == {0}
    finally:
        await embedded.stop()
    assert postmaster(data_dir) is None


async def test_killed_postmaster_comes_back_under_the_same_address(data_dir: Path) -> None:
    embedded = EmbeddedPostgres(data_dir)
    pool = await open_pool(await embedded.start(), min_size=2, max_size=4)
    try:
        await pool.execute("INSERT INTO kept VALUES ('before')")
        for _ in range(2):
            first = postmaster(data_dir)
            assert first is not None
            os.kill(first, signal.SIGKILL)
            async with asyncio.timeout(20):
                while postmaster(data_dir) in (None, first):
                    await asyncio.sleep(0.02)
                while True:
                    try:
                        assert await pool.fetchval("SELECT note FROM kept") == "before"
                        break
                    except (
                        OSError,
                        asyncpg.PostgresError,
                        asyncpg.InterfaceError,
                        asyncpg.InternalClientError,
                    ):
                        await asyncio.sleep(0.02)
    finally:
        pool.terminate()
        await embedded.stop()
    assert postmaster(data_dir) is None


async def test_killed_server_takes_its_postgres_along_and_the_next_starts(data_dir: Path) -> None:
    async with another(data_dir, "server") as (child, dsn):
        await ask(dsn, "INSERT INTO kept VALUES ('committed') RETURNING 1")
        child.kill()
        await child.wait()
        embedded = EmbeddedPostgres(data_dir)
        try:
            assert await ask(await embedded.start(), "SELECT note FROM kept") == "committed"
        finally:
            await embedded.stop()


async def test_both_killed_at_once(data_dir: Path) -> None:
    async with another(data_dir, "server") as (child, dsn):
        await ask(dsn, "INSERT INTO kept VALUES ('committed') RETURNING 1")
        first = postmaster(data_dir)
        assert first is not None
        child.kill()
        os.kill(first, signal.SIGKILL)
        embedded = EmbeddedPostgres(data_dir)
        try:
            assert await ask(await embedded.start(), "SELECT note FROM kept") == "committed"
        finally:
            await embedded.stop()


async def test_second_server_is_refused_and_a_command_joins(data_dir: Path) -> None:
    embedded = EmbeddedPostgres(data_dir)
    dsn = await embedded.start()
    try:
        async with another(data_dir, "server") as (_, said):
            assert said.startswith("DataDirBusy: ") and str(data_dir) in said and str(os.getpid()) in said
        first = postmaster(data_dir)
        async with another(data_dir, "command") as (_, said):
            assert said == dsn
        assert postmaster(data_dir) == first
        assert await ask(dsn, "SELECT 1") == 1
        with pytest.raises(DataDirBusy):
            await EmbeddedPostgres(data_dir).start()
        assert await ask(dsn, "SELECT 1") == 1
    finally:
        await embedded.stop()


async def test_command_alone_starts_and_stops_it_and_a_server_waits(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir)
    async with another(data_dir, "command") as (child, dsn):
        assert await ask(dsn, "SELECT 1") == 1
        starting = asyncio.create_task(server.start())
        assert child.stdin is not None
        child.stdin.close()
        await child.wait()
    try:
        assert await ask(await starting, "SELECT 1") == 1
    finally:
        await server.stop()
    assert postmaster(data_dir) is None


async def test_foreign_pid_in_the_pid_file(data_dir: Path) -> None:
    """After a restart of the machine the old pid may be anybody's."""
    (data_dir / "postgres/cluster/postmaster.pid").write_text(f"{os.getpid()}\n{data_dir}\n0\n5432\n/tmp\n\n")
    embedded = EmbeddedPostgres(data_dir)
    try:
        assert await ask(await embedded.start(), "SELECT 1") == 1
    finally:
        await embedded.stop()


async def test_long_path(data_dir: Path) -> None:
    deep = data_dir.parent / ("d" * 120)
    data_dir.rename(deep)
    embedded = EmbeddedPostgres(deep)
    try:
        dsn = await embedded.start()
        assert await ask(dsn, "SELECT 1") == 1
        async with another(deep, "command") as (_, said):
            assert said == dsn
    finally:
        await embedded.stop()


async def test_half_made_cluster_is_made_anew() -> None:
    with tempfile.TemporaryDirectory(prefix="ringpost-embedded-") as name:
        (Path(name) / "postgres/cluster.new/base").mkdir(parents=True)
        if os.geteuid() == 0:
            shutil.chown(Path(name) / "postgres", "nobody")
        told: list[str] = []
        embedded = EmbeddedPostgres(Path(name), progress=told.append)
        try:
            assert await ask(await embedded.start(), "SELECT 1") == 1
        finally:
            await embedded.stop()
        assert any("creating the database" in line for line in told)


async def test_foreign_major_is_refused_with_the_way_out(data_dir: Path) -> None:
    (data_dir / "postgres/cluster/PG_VERSION").write_text("12\n")
    with pytest.raises(EmbeddedError, match=r"made by PostgreSQL 12.*database\.bin_dir"):
        await EmbeddedPostgres(data_dir).start()


async def test_wrong_bin_dir_is_named(data_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match=r"database\.bin_dir"):
        await EmbeddedPostgres(data_dir, tmp_path).start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands its work to another account")
async def test_root_opens_no_directory(data_dir: Path) -> None:
    above = data_dir.parent
    embedded = EmbeddedPostgres(data_dir)
    try:
        await embedded.start()
        pid = postmaster(data_dir)
        assert Path(f"/proc/{pid}").stat().st_uid != 0
        assert above.stat().st_mode & 0o777 == 0o700
    finally:
        await embedded.stop()
