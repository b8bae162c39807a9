"""Which processes still work on a cluster, and how they are ended: what a dead server may have left."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path

POLL_SECONDS = 0.02


def postmaster_pid(cluster: Path) -> int | None:
    """The pid in postmaster.pid when that process lives and is of this cluster."""
    lines = _pid_file(cluster)
    pid = int(lines[0]) if lines and lines[0].isdigit() else None
    if pid is None or not _lives(pid):
        return None
    if os.path.isdir("/proc/self"):
        return pid if pid in _working_on(cluster) else None
    return pid


def postmaster_socket(cluster: Path) -> Path | None:
    """The socket directory that the running postmaster wrote down, once it is ready for connections."""
    lines = _pid_file(cluster)
    if len(lines) < 8 or not lines[7].startswith("ready") or not lines[4]:
        return None
    return Path(lines[4])


def forget_postmaster(cluster: Path) -> None:
    """Remove the pid file of a dead postmaster: its pid may be a zombie or belong to somebody else by now.

    PostgreSQL would refuse to start on it. Its own guard against living sessions of the dead postmaster
    is the shared memory block, and that stays.
    """
    (cluster / "postmaster.pid").unlink(missing_ok=True)


async def end_processes(cluster: Path, patience_seconds: float) -> bool:
    """End whatever still works on the cluster; False when there was nothing.

    A postmaster whose server died is on its way out by itself (its death signal); so are the sessions
    of a postmaster that was killed. Whoever is still there after ``patience_seconds`` is asked, then told.
    """
    start = time.monotonic()
    found = False
    sent: signal.Signals | None = None
    while pids := _of_cluster(cluster):
        found = True
        waited = time.monotonic() - start
        wanted = (
            None
            if waited < patience_seconds
            else signal.SIGINT
            if waited < patience_seconds + 8
            else signal.SIGQUIT
            if waited < patience_seconds + 12
            else signal.SIGKILL
        )
        if wanted is not None and wanted != sent:
            sent = wanted
            head = postmaster_pid(cluster)
            for pid in [head] if head and wanted != signal.SIGKILL else pids:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, wanted)
        await asyncio.sleep(POLL_SECONDS)
    return found


def _of_cluster(cluster: Path) -> set[int]:
    if os.path.isdir("/proc/self"):
        return _working_on(cluster)
    pid = postmaster_pid(cluster)
    return {pid} if pid else set()


def _working_on(cluster: Path) -> set[int]:
    """Every PostgreSQL process works in its cluster's directory."""
    found: set[int] = set()
    try:
        place = cluster.stat()
    except FileNotFoundError:
        return found
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError):
            if not Path(f"/proc/{entry}/comm").read_text(encoding="utf-8").startswith("postgres"):
                continue
            here = os.stat(f"/proc/{entry}/cwd")
            if (here.st_dev, here.st_ino) == (place.st_dev, place.st_ino) and _lives(int(entry)):
                found.add(int(entry))
    return found


def _lives(pid: int) -> bool:
    """A zombie does not live: it is only waiting for its parent to look."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] not in "ZX"
    return True


def _pid_file(cluster: Path) -> list[str]:
    try:
        return [
            line.strip() for line in (cluster / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        ]
    except (OSError, UnicodeDecodeError):
        return []
