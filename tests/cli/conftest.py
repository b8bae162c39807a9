"""Commands run in this process, in a thread with a loop of their own, on the test's own database."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import structlog

import run


@dataclass(frozen=True, slots=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line that a wrong input gets."""
        assert self.err.count("\n") == 1, self.err
        return self.err.strip()


Cli = Callable[..., Coroutine[Any, Any, Said]]


@pytest_asyncio.fixture
async def bare_cli(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Cli]:
    """``await cli("agent", "list", stdin="...")`` without a database."""
    for name in ("RINGPOST_CONFIG", "RINGPOST_DATABASE__URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RINGPOST_SERVER__DATA_DIR", str(tmp_path / "var"))
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    async def call(*argv: str, stdin: str = "") -> Said:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        capsys.readouterr()
        try:
            code = await asyncio.to_thread(run.main, list(argv))
        except SystemExit as left:  # argparse
            code = int(left.code or 0)
        read = capsys.readouterr()
        return Said(code, read.out, read.err)

    yield call
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


@pytest_asyncio.fixture
async def cli(bare_cli: Cli, database: str, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("RINGPOST_DATABASE__URL", database)
    return bare_cli
