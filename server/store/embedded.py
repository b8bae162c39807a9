"""The embedded PostgreSQL: the programs of a pip package, run as a child of ours in ``server.data_dir``.

It listens on a unix socket only, with a password; it is durable (fsync, checksums) and goes down with
the process that started it, however that dies. Whoever comes next on the directory:

- a second *server* is refused (``DataDirBusy``);
- a *command* beside a running server connects to the server's PostgreSQL and leaves it running;
- a *command* alone starts PostgreSQL and stops it; a server that starts meanwhile waits for it.

While it is held it is watched: a postmaster that dies is started again under the same address, so that
a pool finds it again by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

import asyncpg
import structlog

from server.store import postgres_process as processes
from server.store.postgres_cluster import DATABASE, ROLE, Spawner, create_cluster, small_server_settings
from server.store.postgres_place import (
    DataDirBusy,
    Lock,
    Place,
    clear_socket_directory,
    prepare_place,
    remove_socket_directory,
    socket_directory,
)
from server.store.postgres_programs import EmbeddedError, find_programs

__all__ = ["DataDirBusy", "EmbeddedError", "EmbeddedPostgres"]

log = structlog.get_logger("postgres")

LOG_BYTES_MAX = 10_000_000
ORPHAN_SECONDS = 3.0  # how long the PostgreSQL of a dead server may take to leave by itself
COMMAND_SECONDS = 60.0  # how long to wait for a command that holds the directory
START_SECONDS = 600.0  # recovery after a crash may take long; the process is watched meanwhile
STOP_SECONDS = 5.0


class EmbeddedPostgres:
    """``start`` gives a DSN for asyncpg; ``stop`` gives the directory free again."""

    def __init__(
        self,
        data_dir: Path,
        bin_dir: Path | None = None,
        progress: Callable[[str], None] = lambda line: None,
        *,
        server: bool = True,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """``settings`` go over our own, by PostgreSQL's names (tests turn fsync off)."""
        self._data_dir = data_dir.absolute()
        self._bin_dir = bin_dir
        self._progress = progress
        self._server = server
        self._settings = {**small_server_settings(), **(settings or {})}
        self._server_lock = Lock(self._data_dir / "server.lock")
        self._postgres_lock = Lock(self._data_dir / "postgres.lock")
        self._child: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self._place: Place
        self._spawner: Spawner | None = None
        self._socket_dir: Path | None = None

    async def start(self) -> str:
        """Raises EmbeddedError (one line that says the way out)."""
        self._place = prepare_place(self._data_dir)
        try:
            if not await self._take_locks():
                return await self._attach()
            programs = find_programs(self._bin_dir, self._place.cluster_major())
            self._spawner = Spawner.reaching(self._place, programs, self._progress)
            if self._place.cluster_major() is None:
                self._progress(f"creating the database (PostgreSQL {programs.version})")
                await create_cluster(self._spawner)
            await self._clear_up()
            # Written down first: PostgreSQL forgets it when it ends, and the directory would stay.
            self._socket_dir = socket_directory(self._place)
            self._place.socket_note.write_text(str(self._socket_dir), encoding="utf-8")
            await self._launch()
        except BaseException:
            await self.stop()
            raise
        self._watch = asyncio.create_task(self._keep_running(), name="embedded postgres")
        return self._dsn(self._socket_dir)

    async def stop(self) -> None:
        """Shut PostgreSQL down, if it was ours; safe to call twice."""
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
            self._watch = None
        if self._child is not None:
            await self._end_child(self._child)
            self._child = None
        if self._socket_dir is not None:
            remove_socket_directory(self._socket_dir)
            self._socket_dir = None
        if self._spawner is not None:
            self._spawner.close()
            self._spawner = None
        self._postgres_lock.release()
        self._server_lock.release()

    # -- who may use the directory

    async def _take_locks(self) -> bool:
        """True: PostgreSQL is ours to start. False: connect to that of the running server."""
        if self._server and not await self._retry(self._server_lock.take, 0.5):
            raise DataDirBusy(
                f"another server (pid {self._server_lock.holder()}) is using {self._data_dir}: stop it, or give "
                "this one a directory of its own in server.data_dir"
            )
        if self._postgres_lock.take():
            return True
        if not self._server and self._served():
            return False
        self._progress("waiting for another command to finish with the database")

        def free_or_served() -> bool:
            return self._postgres_lock.take() or (not self._server and self._served())

        if not await self._retry(free_or_served, COMMAND_SECONDS):
            raise DataDirBusy(
                f"another command (pid {self._postgres_lock.holder()}) is using {self._data_dir}: wait for it to end"
            )
        return self._server or not self._served()

    def _served(self) -> bool:
        """Whether a server lives. Looking takes its lock for a moment; a server that starts tries again."""
        with Lock(self._data_dir / "server.lock") as probe:
            return not probe.take()

    async def _attach(self) -> str:
        """The address of the running server's PostgreSQL, once that takes connections."""
        found: list[Path] = []

        def ready() -> bool:
            socket = processes.postmaster_socket(self._place.cluster)
            found[:] = [socket] if socket else []
            return bool(found)

        if not await self._retry(ready, COMMAND_SECONDS):
            raise EmbeddedError(
                f"the server that uses {self._data_dir} has no PostgreSQL running; look at its log"
            )
        return self._dsn(found[0])

    @staticmethod
    async def _retry(attempt: Callable[[], bool], seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not attempt():
            if time.monotonic() > end:
                return False
            await asyncio.sleep(processes.POLL_SECONDS)
        return True

    # -- the process

    async def _clear_up(self) -> None:
        """After a death without farewell: wait for what it left, and take its traces away."""
        cluster = self._place.cluster
        if await processes.end_processes(cluster, ORPHAN_SECONDS):
            log.info("postgres of a dead server has ended")
        processes.forget_postmaster(cluster)
        with contextlib.suppress(OSError):
            left = Path(self._place.socket_note.read_text(encoding="utf-8"))
            forget = clear_socket_directory if left == self._socket_dir else remove_socket_directory
            forget(left)

    async def _launch(self) -> None:
        place, socket_dir, spawner = self._place, self._socket_dir, self._spawner
        assert socket_dir is not None and spawner is not None
        if place.log.exists() and place.log.stat().st_size > LOG_BYTES_MAX:
            place.log.replace(place.log.with_suffix(".log.1"))
        options = {**self._settings, "unix_socket_directories": str(socket_dir)}
        arguments = ["-D", spawner.inside("cluster")]
        for name, value in options.items():
            arguments += ["-c", f"{name}={value}"]
        with place.log.open("ab") as output:
            place.give(place.log, 0o600)
            position = output.tell()
            self._child = await spawner.spawn(arguments, output)
        await self._until_ready(self._child, position)

    async def _until_ready(self, child: asyncio.subprocess.Process, position: int) -> None:
        start = time.monotonic()
        told = start
        assert self._socket_dir is not None
        while True:
            if child.returncode is not None:
                raise EmbeddedError(
                    f"PostgreSQL did not start in {self._data_dir}: {self._log_after(position)}"
                )
            now = time.monotonic()
            if now - told > 5:
                told = now
                self._progress("waiting for PostgreSQL (recovering after a crash)")
            if now - start > START_SECONDS:
                raise EmbeddedError(
                    f"PostgreSQL is not ready after {START_SECONDS:.0f} s; see {self._place.log}"
                )
            try:
                connection = await asyncpg.connect(self._dsn(self._socket_dir), timeout=10)
            except asyncpg.InvalidAuthorizationSpecificationError as bad:
                raise EmbeddedError(
                    f"{self._place.home / 'password'} does not open the database: {bad}"
                ) from None
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await asyncio.sleep(processes.POLL_SECONDS)  # starting, recovering, or dying again
            else:
                await connection.close()
                return

    def _log_after(self, position: int) -> str:
        with self._place.log.open("rb") as file:
            file.seek(position)
            lines = file.read().decode(errors="replace").strip().splitlines()
        telling = [line for line in lines if "FATAL" in line or "PANIC" in line or "rror" in line] or lines
        return " / ".join(telling[-2:]) or "no reason was given"

    async def _keep_running(self) -> None:
        """Start it again whenever it dies; the address stays."""
        pause = 0.0
        while True:
            assert self._child is not None
            code = await self._child.wait()
            log.error("postgres died, starting it again", exit_code=code)
            while True:
                await asyncio.sleep(pause)
                try:
                    await self._clear_up()
                    began = time.monotonic()
                    await self._launch()
                    log.info("postgres is back", after_seconds=round(time.monotonic() - began, 2))
                    pause = 0.0
                    break
                except Exception as bad:  # whatever it is, it is tried again
                    pause = min(10.0, pause * 2 or 0.25)
                    log.error("postgres does not start", error=str(bad), again_in_seconds=pause)

    async def _end_child(self, child: asyncio.subprocess.Process) -> None:
        for sign in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(sign)
            try:
                await asyncio.wait_for(child.wait(), STOP_SECONDS if sign == signal.SIGINT else 2.0)
            except TimeoutError:
                continue
            return

    def _dsn(self, socket_dir: Path) -> str:
        try:
            password = (self._place.home / "password").read_text(encoding="ascii").strip()
        except OSError as bad:
            raise EmbeddedError(
                f"{self._place.home / 'password'} cannot be read ({bad.strerror}): use the account that runs the "
                "server, or root"
            ) from None
        return f"postgresql://{ROLE}:{quote(password)}@/{DATABASE}?host={quote(str(socket_dir), safe='')}&port=5432"
