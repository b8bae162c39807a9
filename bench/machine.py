"""What the machine says about processes: CPU and memory from /proc, children started and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")
LAST_WORDS = 4000


def allow_many_sockets(wanted: int = 16384) -> int:
    """Raise this process's open-file limit, and so its children's; gives the limit that it got."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    got = hard if hard != resource.RLIM_INFINITY and hard < wanted else max(soft, wanted)
    resource.setrlimit(resource.RLIMIT_NOFILE, (got, hard))
    return got


def cpu_seconds(pid: int) -> float:
    """CPU of a process and of its children that have ended; 0 when it is gone."""
    fields = _stat(pid)
    return sum(int(ticks) for ticks in fields[11:15]) / TICK if fields else 0.0


def parent_of(pid: int) -> int:
    return int(_stat(pid)[1])


def postgres_seconds(postmaster: int) -> float:
    """CPU of the postmaster, of every backend that lives and of every one that has ended."""
    total = cpu_seconds(postmaster)
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields and int(fields[1]) == postmaster:
                total += (int(fields[11]) + int(fields[12])) / TICK
    return total


def resident_bytes(pid: int) -> int:
    for line in (PROC / str(pid) / "status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the command's name: state, ppid, ...; empty when it is gone."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


@dataclass(slots=True)
class CpuClock:
    """CPU of the server and of PostgreSQL since ``start``."""

    server_pid: int
    postmaster: int
    _server: float = 0.0
    _postgres: float = 0.0

    def start(self) -> CpuClock:
        self._server = cpu_seconds(self.server_pid)
        self._postgres = postgres_seconds(self.postmaster)
        return self

    def spent(self) -> tuple[float, float]:
        """Seconds of the server, seconds of PostgreSQL."""
        return (
            cpu_seconds(self.server_pid) - self._server,
            postgres_seconds(self.postmaster) - self._postgres,
        )


class Child:
    """A Python process of ours that prints one line when it is ready."""

    def __init__(self, process: asyncio.subprocess.Process, ready: str, noise: Path) -> None:
        self._process = process
        self.ready = ready
        self.pid = process.pid
        self._noise = noise

    @classmethod
    async def start(
        cls,
        arguments: Sequence[str],
        ready_prefix: str,
        noise: Path,
        *,
        env: Mapping[str, str] | None = None,
        timeout_seconds: float = 60.0,
    ) -> Child:
        """Start ``python ARGUMENTS`` and wait for its line; its standard error goes to ``noise``."""
        with noise.open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **(env or {})},
                cwd=Path(__file__).resolve().parent.parent,
                start_new_session=True,
            )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(timeout_seconds):
                while line := (await process.stdout.readline()).decode():
                    if line.startswith(ready_prefix):
                        return cls(process, line.strip(), noise)
        except TimeoutError:
            pass
        _kill(process.pid)
        await process.wait()
        raise RuntimeError(f"{' '.join(arguments)} did not start:\n{_tail(noise)}")

    @property
    def last_words(self) -> str:
        return _tail(self._noise)

    async def stop(self) -> None:
        if self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), 12.0)
        except TimeoutError:
            _kill(self.pid)
            await self._process.wait()


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _tail(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")[-LAST_WORDS:]
