"""Where the embedded PostgreSQL lives in ``server.data_dir``, as whom it runs, and who may start it.

``data_dir/server.lock``    held by the one server of this directory, as long as it lives
``data_dir/postgres.lock``  held by the process that started PostgreSQL: the server, or one command
``data_dir/postgres/``      the cluster, its passwords and its log, closed to other accounts

The locks are ``flock``s: the kernel drops them with the process that held them, however it died.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from server.store.postgres_programs import EmbeddedError

SOCKET_PATH_MAX = 100  # bytes; sockaddr_un takes 107
SOCKET_NAME = ".s.PGSQL.5432"
SYSTEM_PLACE = Path("/var/lib/ringpost")


class DataDirBusy(EmbeddedError):
    """Another server uses the directory."""


@dataclass(frozen=True, slots=True)
class Account:
    """As whom PostgreSQL runs; ``uid`` -1 means as ourselves. PostgreSQL refuses to run as root."""

    uid: int = -1
    gid: int = -1

    def may_enter(self, path: Path) -> bool:
        """Whether every directory on the way to ``path``, and ``path`` itself, lets the account in."""
        return self.uid < 0 or self.closed_at(path) is None

    def closed_at(self, path: Path) -> Path | None:
        for part in (path, *path.parents):
            found = part.stat()
            shift = 6 if found.st_uid == self.uid else 3 if found.st_gid == self.gid else 0
            if not found.st_mode >> shift & 1:
                return part
        return None


def choose_account(data_dir: Path) -> Account:
    """Ourselves, or, for root, somebody less: the cluster's owner, an account ``ringpost``, or ``nobody``.

    Below a closed directory that belongs to a person (``sudo`` in a home directory) it is that person.
    """
    if os.geteuid() != 0:
        return Account()
    home = data_dir / "postgres"
    if home.exists() and home.stat().st_uid != 0:
        return Account(home.stat().st_uid, home.stat().st_gid)
    for name in ("ringpost", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            account = Account(entry.pw_uid, entry.pw_gid)
            closed = account.closed_at(data_dir.parent)
            owner = closed.stat().st_uid if closed is not None else 0
            if owner != 0:
                with contextlib.suppress(KeyError):
                    entry = pwd.getpwuid(owner)
                    return Account(entry.pw_uid, entry.pw_gid)
            return account
    raise EmbeddedError("PostgreSQL does not run as root, and there is no account `nobody` to run it as")


@dataclass(frozen=True, slots=True)
class Place:
    data_dir: Path
    account: Account

    @property
    def home(self) -> Path:
        return self.data_dir / "postgres"

    @property
    def cluster(self) -> Path:
        return self.home / "cluster"

    @property
    def log(self) -> Path:
        return self.home / "postgres.log"

    @property
    def socket_note(self) -> Path:
        """Where the last socket directory is written down."""
        return self.home / "socket_directory"

    def cluster_major(self) -> int | None:
        try:
            return int((self.cluster / "PG_VERSION").read_text(encoding="ascii"))
        except FileNotFoundError:
            return None

    def give(self, path: Path, mode: int) -> None:
        """Hand a file or directory of ours to the account."""
        path.chmod(mode)
        if self.account.uid >= 0:
            os.chown(path, self.account.uid, self.account.gid)

    def write_secret(self, path: Path, secret: str) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secret + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.give(path, 0o600)


def prepare_place(data_dir: Path) -> Place:
    """Make the directories. Raises EmbeddedError when they cannot be made or belong to somebody else."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        account = choose_account(data_dir)
        if not account.may_enter(data_dir) and data_dir.stat().st_uid == os.geteuid():
            data_dir.chmod(data_dir.stat().st_mode | 0o111)
        place = Place(data_dir, account)
        if not place.home.exists():
            place.home.mkdir(mode=0o700)
            place.give(place.home, 0o700)
        if account.uid < 0 and place.home.stat().st_uid != os.geteuid():
            owner = place.home.stat().st_uid
            raise EmbeddedError(
                f"server.data_dir: {place.home} belongs to uid {owner}: start as that account or as root"
            )
    except OSError as bad:
        raise EmbeddedError(f"server.data_dir: cannot use {data_dir}: {bad.strerror}") from None
    return place


def socket_directory(place: Place) -> Path:
    """``data_dir/postgres/run``, or a short one of our own where that is too long or out of reach."""
    direct = place.home / "run"
    if len(os.fsencode(direct / SOCKET_NAME)) <= SOCKET_PATH_MAX and place.account.may_enter(place.home):
        direct.mkdir(mode=0o700, exist_ok=True)
        place.give(direct, 0o700)
        return direct
    base = "/run" if os.geteuid() == 0 and os.path.isdir("/run") else "/tmp"
    short = Path(tempfile.mkdtemp(prefix="ringpost-", dir=base))
    place.give(short, 0o700)
    return short


def clear_socket_directory(path: Path) -> None:
    """Remove the socket of a dead PostgreSQL and its lock file, which names a pid that may be in use again."""
    if path.is_symlink():  # somebody else's idea, after a restart of the machine
        return
    for name in (SOCKET_NAME, SOCKET_NAME + ".lock"):
        (path / name).unlink(missing_ok=True)


def remove_socket_directory(path: Path) -> None:
    """Clear it, and remove it if it is a short one made above."""
    clear_socket_directory(path)
    if path.name.startswith("ringpost-") and path.parent in (Path("/run"), Path("/tmp")):
        with contextlib.suppress(OSError):
            path.rmdir()


class Lock:
    """An exclusive lock on a file, dropped by ``release`` or with the process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def take(self) -> bool:
        """Try once. Raises EmbeddedError when the file cannot be opened."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as bad:
            raise EmbeddedError(f"server.data_dir: cannot open {self._path}: {bad.strerror}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor
        return True

    def holder(self) -> str:
        """The pid that last took it, for a message."""
        with contextlib.suppress(OSError):
            return self._path.read_text(encoding="ascii").strip()
        return ""

    def release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
