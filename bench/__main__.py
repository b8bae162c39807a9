"""``python -m bench [--only NAME]... [--quick]``: all scenarios, a table, and bench/results.jsonl."""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import uvloop

from bench import calls, lookups, others
from bench.bed import FULL, QUICK, Bed
from bench.database import Database, Stopwatch
from bench.figures import RESULTS, Report
from bench.machine import allow_many_sockets

SCENARIOS: dict[str, Callable[[Bed], Awaitable[None]]] = {
    "intake": calls.intake,
    "ring_to_pop": calls.ring_to_pop,
    "overload": calls.overload,
    "growth": calls.growth,
    "api": others.api,
    "mail": others.mail,
    "sockets": others.sockets,
    "lookup": lookups.lookup,
}
TIME_LIMIT_SECONDS = 900


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def run(said: argparse.Namespace) -> Report:
    report = Report(say)
    names = said.only or list(SCENARIOS)
    async with AsyncExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ringpost-bench-")))
        work.chmod(0o755)  # the embedded PostgreSQL may run under another account
        database = await Database.open(stack, work / "var", said.database_url, lambda line: say(f"  {line}"))
        bed = Bed(
            stack=stack,
            work=work,
            database=database,
            report=report,
            customers=said.customers or (QUICK if said.quick else FULL),
            rounds=3 if said.quick else 5,
            seconds=0.8 if said.quick else 2.0,
            say=say,
        )
        for name in names:
            watch = Stopwatch()
            say(f"{name}")
            gc.collect()
            gc.disable()  # the load generator must not pause; a scenario makes little garbage
            try:
                await SCENARIOS[name](bed)
            except (OSError, RuntimeError, TimeoutError) as broken:
                report.broken.append(f"{name}: {broken}")
                say(f"  {name} could not be measured: {broken}")
            finally:
                gc.enable()
            say(f"  ({watch})")
    return report


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--only", action="append", choices=tuple(SCENARIOS), help="this scenario; may be repeated"
    )
    parser.add_argument(
        "--quick", action="store_true", help=f"{QUICK:,} customers and shorter runs: a look, no proof"
    )
    parser.add_argument("--customers", type=int, default=0, help=f"instead of {FULL:,}")
    parser.add_argument("--database-url", default="", help="a local PostgreSQL instead of the embedded one")
    said = parser.parse_args()
    allow_many_sockets()
    watch = Stopwatch()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        report = runner.run(asyncio.wait_for(run(said), TIME_LIMIT_SECONDS))
    report.write()
    say("\n" + report.table())
    say(f"\n{len(report.figures)} figures in {watch}, appended to {RESULTS}")
    for figure in report.missed:
        say(f"missed: {figure.name}: {figure.goal}")
    for line in report.broken:
        say(f"not measured: {line}")
    return 1 if report.broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
