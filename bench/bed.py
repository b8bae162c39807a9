"""The test bed of one run: databases and servers, made when a scenario first asks for them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench.database import Database, Stopwatch
from bench.figures import Report
from bench.product import Target, start_limit, start_product

FULL, QUICK = 1_000_000, 100_000


@dataclass(slots=True)
class Bed:
    """``rounds`` short runs per figure, of ``seconds`` each."""

    stack: AsyncExitStack
    work: Path
    database: Database
    report: Report
    customers: int
    rounds: int
    seconds: float
    say: Callable[[str], None]
    _dsns: dict[str, str] = field(default_factory=dict)
    _targets: dict[str, Target] = field(default_factory=dict)

    async def product(self, customers: int | None = None, *, agents: int = 500) -> Target:
        """The real server over a database of that many customers, idle until asked for something."""
        size = self.customers if customers is None else customers
        name = f"bench_{size}_{agents}"
        if name not in self._targets:
            dsn = await self._filled(
                name,
                f"{size:,} customers, {agents} agents",
                lambda: self.database.product(name, size, agents=agents),
            )
            self._targets[name] = await start_product(self.stack, self.work, self.database, dsn, name)
        return self._targets[name]

    async def limit(self, kind: str) -> Target:
        """``bare``, ``statements``, ``function`` or ``batches`` of ``bench/references.py``."""
        if kind not in self._targets:
            dsn = await self.limits_dsn()
            self._targets[kind] = await start_limit(self.stack, self.work, self.database, dsn, kind)
        return self._targets[kind]

    async def limits_dsn(self) -> str:
        return await self._filled(
            "bench_limits",
            f"{self.customers:,} customers of the limits",
            lambda: self.database.limits(self.customers),
        )

    async def _filled(self, name: str, what: str, make: Callable[[], Awaitable[str]]) -> str:
        if name not in self._dsns:
            watch = Stopwatch()
            self._dsns[name] = await make()
            self.stack.push_async_callback(self.database.drop, name)
            self.say(f"  filled {name}: {what} in {watch}")
        return self._dsns[name]
