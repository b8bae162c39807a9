"""Making a cluster, and starting PostgreSQL's programs as the account that owns it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from server.store.postgres_place import SYSTEM_PLACE, Place
from server.store.postgres_programs import EmbeddedError, Programs, bring_within_reach

ROLE = DATABASE = "ringpost"
LAUNCHER = Path(__file__).with_name("launch_postgres.py")


@dataclass(frozen=True, slots=True)
class Spawner:
    """Starts programs; ``home_fd`` is the open home where the account cannot enter by its path."""

    place: Place
    programs: Programs
    home_fd: int = -1

    @classmethod
    def reaching(cls, place: Place, programs: Programs, progress: Callable[[str], None]) -> Spawner:
        """See that the account reaches the programs and the cluster.

        Where a directory above is closed (root's own home, a temporary directory) nothing is opened up:
        the cluster is handed down as an open directory, the programs are copied.
        """
        within_reach = place.account.may_enter(place.home)
        if not place.account.may_enter(programs.bin_dir):
            programs = bring_within_reach(programs, place.home if within_reach else SYSTEM_PLACE, progress)
        if within_reach:
            return cls(place, programs)
        if not os.path.isdir("/proc/self/fd"):
            raise EmbeddedError(
                f"server.data_dir: the account of the embedded PostgreSQL cannot enter {place.data_dir}: "
                "use a directory below one that is open, or start as an ordinary account"
            )
        return cls(place, programs, os.open(place.home, os.O_RDONLY | os.O_DIRECTORY))

    def close(self) -> None:
        if self.home_fd >= 0:
            os.close(self.home_fd)

    def inside(self, name: str) -> str:
        """The path of something in the home, as the account sees it."""
        home = f"/proc/self/fd/{self.home_fd}" if self.home_fd >= 0 else str(self.place.home)
        return f"{home}/{name}"

    async def spawn(self, arguments: Sequence[str], output: IO[bytes]) -> asyncio.subprocess.Process:
        """Start the server program; it goes down with us."""
        return await self._start(
            "postgres", arguments, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output
        )

    async def run(self, program: str, *arguments: str, text: str = "") -> None:
        """Run a program to its end, with ``text`` as its input. Raises EmbeddedError with its last words."""
        pipe = asyncio.subprocess.PIPE
        child = await self._start(
            program, arguments, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT
        )
        said, _ = await child.communicate(text.encode())
        lines = said.decode(errors="replace").strip().splitlines()
        failed = [line for line in lines if "ERROR:" in line or "FATAL:" in line]
        if child.returncode or failed:
            shown = " / ".join((failed or lines)[-3:])
            raise EmbeddedError(f"PostgreSQL's {program} failed in {self.place.data_dir}: {shown}")

    async def _start(
        self, program: str, arguments: Sequence[str], **streams: Any
    ) -> asyncio.subprocess.Process:
        account = self.place.account
        who = (str(account.uid), str(account.gid), str(os.getpid()))
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(LAUNCHER), *who),
            str(self.programs.bin_dir / program),
            *arguments,
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
            pass_fds=(self.home_fd,) if self.home_fd >= 0 else (),
            # Out of reach of Ctrl-C at the terminal: the server stops it, after its own work is done.
            start_new_session=True,
            **streams,
        )


async def create_cluster(spawner: Spawner) -> None:
    """Build under another name and rename, so that a cluster is whole or not there."""
    place = spawner.place
    half = place.home / "cluster.new"
    shutil.rmtree(half, ignore_errors=True)
    superuser, password = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    place.write_secret(place.home / "superuser_password", superuser)
    place.write_secret(place.home / "password", password)
    await spawner.run(
        "initdb",
        f"--pgdata={spawner.inside('cluster.new')}",
        "--username=postgres",
        "--encoding=UTF8",
        "--locale=C.UTF-8",  # with plain C there are no Chinese trigrams and no lower case outside ASCII
        "--data-checksums",
        "--auth=scram-sha-256",
        f"--pwfile={spawner.inside('superuser_password')}",
    )
    # Trusted extensions (pg_trgm) need to own the database, not to be a superuser.
    await spawner.run(
        "postgres",
        "--single",
        "-D",
        spawner.inside("cluster.new"),
        "postgres",
        text=f"CREATE ROLE {ROLE} LOGIN CREATEDB PASSWORD '{password}'\n"
        f"CREATE DATABASE {DATABASE} OWNER {ROLE}\n",
    )
    half.rename(place.cluster)
    descriptor = os.open(place.home, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def small_server_settings() -> dict[str, str]:
    """For a machine that also runs the server. Durability is PostgreSQL's default: on."""
    memory_mb = _memory_bytes() // 1_048_576
    return {
        "listen_addresses": "",
        "port": "5432",
        "unix_socket_permissions": "0700",
        "fsync": "on",
        "max_connections": "250",
        "shared_buffers": f"{max(32, min(2048, memory_mb // 8))}MB",
        "effective_cache_size": f"{max(128, memory_mb // 2)}MB",
        "work_mem": "8MB",
        "maintenance_work_mem": f"{max(32, min(256, memory_mb // 16))}MB",
        "wal_buffers": "16MB",
        "min_wal_size": "256MB",
        "max_wal_size": "2GB",
        "checkpoint_timeout": "15min",
        "random_page_cost": "1.1",
        "jit": "off",
        # Parallel workers cost more than they bring here, and need a /dev/shm that containers make small.
        "max_parallel_workers_per_gather": "0",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "lc_messages": "C",
        # Errors reach the server as exceptions; a log line of them would hold names and numbers.
        "log_min_messages": "log",
        "log_min_error_statement": "panic",
        "log_error_verbosity": "terse",
        "log_checkpoints": "off",
        "log_line_prefix": "%m [%p] ",
        "cluster_name": "ringpost",
    }


def _memory_bytes() -> int:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError, ValueError):
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return total
