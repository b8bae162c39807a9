"""Scenarios of the main job: intake, ring to pop, overload, growth (issue "Speed", calls)."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field

import asyncpg

from bench import events
from bench.bed import Bed
from bench.database import agent_token, clear_limits, clear_work
from bench.figures import median, percentile
from bench.load import HttpClient, Outcome, closed_loop, connect, open_loop
from bench.product import Target
from bench.sockets import AgentClient, PopBook, close_agents, connect_agents

CONNECTIONS = 64
RATES = (100, 500, 1500)
GROWTH = (10_000, 100_000, 1_000_000)
GROWTH_RATE = 300
OVERLOAD_CONNECTIONS = 5500
LIMITS = {"bare": "(a)", "statements": "(b)", "function": "(c)", "batches": "(d)"}


@dataclass(slots=True)
class Runs:
    """What several short runs of one target gave."""

    rates: list[float] = field(default_factory=list)
    server_us: list[float] = field(default_factory=list)
    postgres_us: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    lone_ms: list[float] = field(default_factory=list)
    done: int = 0
    trouble: list[str] = field(default_factory=list)

    @property
    def cpu_us(self) -> float:
        return median(a + b for a, b in zip(self.server_us, self.postgres_us, strict=True))


async def intake(bed: Bed) -> None:
    """Ringing events per second at 64 connections, CPU per event, and the latency of a lone one."""
    product = await bed.product()
    kinds = {kind: await bed.limit(kind) for kind in LIMITS}
    contenders: list[tuple[str, Target, events.Source]] = [
        ("cti", product, events.cti_source(bed.customers)),
        ("twilio", product, events.twilio_source(bed.customers)),
        *((kind, target, events.cti_source(bed.customers)) for kind, target in kinds.items()),
    ]
    runs = {name: Runs() for name, _, _ in contenders}
    before = await _count(product.dsn)
    clients: dict[str, list[HttpClient]] = {}
    for name, target, source in contenders:
        clients[name] = await connect("127.0.0.1", target.http_port, CONNECTIONS)
        warm = await closed_loop(clients[name], source, 0.5)
        runs[name].done += warm.done
    for _ in range(bed.rounds):
        for name, target, source in contenders:
            await _throughput(runs[name], target, clients[name], source, bed.seconds)
        for name, _, source in contenders:
            outcome = await closed_loop(clients[name][:1], source, 0.4)
            runs[name].lone_ms.append(1000 * percentile(outcome.latencies, 0.5))
            runs[name].done += outcome.done
    for group in clients.values():
        for client in group:
            client.close()
    _tell_intake(bed, runs)
    stored = await _count(product.dsn) - before
    answered = runs["cti"].done + runs["twilio"].done
    bed.report.add(
        "intake.answered_but_not_stored", float(max(0, answered - stored)), "events", goal="value <= 0"
    )
    await clear_work(product.dsn)
    await clear_limits(kinds["batches"].dsn)


async def _throughput(
    runs: Runs, target: Target, clients: list[HttpClient], source: events.Source, seconds: float
) -> None:
    clock = target.cpu()
    outcome = await closed_loop(clients, source, seconds)
    server, postgres = clock.spent()
    runs.rates.append(outcome.per_second)
    runs.server_us.append(1e6 * server / max(1, outcome.done))
    runs.postgres_us.append(1e6 * postgres / max(1, outcome.done))
    runs.p99_ms.append(1000 * percentile(outcome.latencies, 0.99))
    runs.done += outcome.done
    if outcome.trouble:
        runs.trouble.append(outcome.trouble)


def _tell_intake(bed: Bed, runs: dict[str, Runs]) -> None:
    add = bed.report.add
    for kind, letter in LIMITS.items():
        add(f"limit.{kind} {letter}", median(runs[kind].rates), "events/s")
        add(f"limit.{kind} {letter} cpu", runs[kind].cpu_us, "us/event")
    goals = {"bare": "", "statements": "ratio >= 3", "function": "ratio >= 1.5", "batches": "ratio >= 0.6"}
    for name in ("cti", "twilio"):
        run = runs[name]
        for kind, goal in goals.items():
            limit = median(runs[kind].rates)
            add(
                f"intake.{name} against {LIMITS[kind]}",
                median(run.rates),
                "events/s",
                limit=limit,
                goal=goal,
            )
        limit = runs["batches"].cpu_us
        add(f"intake.{name} cpu", run.cpu_us, "us/event", limit=limit, goal="value <= 350")
        add(f"intake.{name} cpu of the server", median(run.server_us), "us/event")
        add(f"intake.{name} cpu of postgres", median(run.postgres_us), "us/event")
        add(f"intake.{name} p99 at {CONNECTIONS} connections", median(run.p99_ms), "ms")
        lone = median(runs["function"].lone_ms)
        goal = "ratio <= 1.3"
        add(f"intake.{name} lone event against (c)", median(run.lone_ms), "ms", limit=lone, goal=goal)
        for trouble in run.trouble:
            bed.say(f"  {name}: {trouble}")


@dataclass(slots=True)
class Desk:
    """A target with its agents connected and its connections open."""

    target: Target
    clients: list[HttpClient]
    agents: list[AgentClient]
    book: PopBook

    @classmethod
    async def open(cls, target: Target, tokens: list[str], connections: int = 128) -> Desk:
        book = PopBook()
        agents = await connect_agents(target.ws_port, tokens, on_pop=book.note)
        return cls(target, await connect("127.0.0.1", target.http_port, connections), agents, book)

    async def run(
        self, source: events.Source, rate: float, seconds: float, seed: int
    ) -> tuple[list[float], int]:
        """Ring-to-pop times in milliseconds, and how many calls had no pop."""
        due: dict[bytes, float] = {}
        self.book.arrived.clear()
        outcome = await open_loop(self.clients, source, rate, seconds, seed=seed, due=due)
        await self.book.wait_for(outcome.done, 3.0)
        arrived = self.book.arrived
        times = [1000 * (arrived[key] - at) for key, at in due.items() if key in arrived]
        return times, len(due) - len(times)

    def close(self) -> None:
        close_agents(self.agents)
        for client in self.clients:
            client.close()


def _tokens() -> list[str]:
    return [agent_token(n) for n in range(events.AGENTS)]


async def ring_to_pop(bed: Bed) -> None:
    """From the intended sending of the webhook to the agent's socket, 500 agents, Poisson arrivals."""
    product, limit = await bed.product(), await bed.limit("batches")
    extensions = [events.extension(n) for n in range(events.AGENTS)]
    desks = {"product": await Desk.open(product, _tokens()), "limit": await Desk.open(limit, extensions)}
    source = events.cti_source(bed.customers, seed=11)
    for desk in desks.values():
        await desk.run(source, 300, 0.7, seed=0)
    goals = {100: (4, 12), 500: (4, 12), 1500: (None, 30)}
    lost = twice = 0
    for rate in RATES:
        p50: dict[str, list[float]] = defaultdict(list)
        p99: dict[str, list[float]] = defaultdict(list)
        seconds = bed.seconds * (1.5 if rate == min(RATES) else 1.0)
        for turn in range(bed.rounds):
            for name, desk in desks.items():
                times, missing = await desk.run(source, rate, seconds, seed=rate + turn)
                p50[name].append(percentile(times, 0.5))
                p99[name].append(percentile(times, 0.99))
                lost += missing if name == "product" else 0
        for share, found, goal in zip(("p50", "p99"), (p50, p99), goals[rate], strict=True):
            bed.report.add(
                f"ring_to_pop.{share} at {rate}/s",
                median(found["product"]),
                "ms",
                limit=median(found["limit"]),
                goal=f"value <= {goal}" if goal else "",
            )
    twice = desks["product"].book.twice
    bed.report.add("ring_to_pop.lost", float(lost), "pops", goal="value <= 0")
    bed.report.add("ring_to_pop.shown_twice", float(twice), "pops", goal="value <= 0")
    for desk in desks.values():
        desk.close()
    await clear_work(product.dsn)
    await clear_limits(limit.dsn)


async def overload(bed: Bed) -> None:
    """Twice the peak, sent whatever the server says: what is not taken gets 503 with Retry-After."""
    product = await bed.product()
    source = events.cti_source(bed.customers, seed=21)
    few = await connect("127.0.0.1", product.http_port, CONNECTIONS)
    await closed_loop(few, source, 0.5)
    peaks, rates, shares, waits = [], [], [], []
    refused = polite = unanswered = 0
    many = await connect("127.0.0.1", product.http_port, OVERLOAD_CONNECTIONS)
    for turn in range(bed.rounds):
        peaks.append((await closed_loop(few, source, bed.seconds)).per_second)
        # Long enough to fill what the server lets wait.
        outcome = await open_loop(many, source, 2 * median(peaks), 2 * bed.seconds, seed=100 + turn)
        rates.append(outcome.per_second)
        shares.append(1 - outcome.done / max(1, outcome.sent))
        waits.append(1000 * percentile(outcome.latencies, 0.99))
        refused += _refused(outcome)
        polite += outcome.with_retry_after if outcome.statuses[503] else 0
        unanswered += outcome.unanswered
        await asyncio.sleep(0.3)
    add = bed.report.add
    add(
        "overload.done at twice the peak", median(rates), "events/s", limit=median(peaks), goal="ratio >= 0.9"
    )
    add("overload.share refused", median(shares), "")
    add("overload.refused without 503 and Retry-After", float(refused - polite), "events", goal="value <= 0")
    add("overload.unanswered", float(unanswered), "events", goal="value <= 0")
    add("overload.p99 of what was taken", median(waits), "ms")
    for client in [*few, *many]:
        client.close()
    await clear_work(product.dsn)


def _refused(outcome: Outcome) -> int:
    return sum(outcome.statuses.values()) - outcome.done


async def growth(bed: Bed) -> None:
    """Ring-to-pop p50 as the customers grow, in turns, so that a noisy minute hits all alike."""
    sizes = [size for size in GROWTH if size <= bed.customers]
    desks = {size: await Desk.open(await bed.product(size), _tokens()) for size in sizes}
    sources = {size: events.cti_source(size, seed=31) for size in sizes}
    for size, desk in desks.items():
        await desk.run(sources[size], GROWTH_RATE, 0.7, seed=0)
    found: dict[int, list[float]] = defaultdict(list)
    for turn in range(bed.rounds):
        for size, desk in desks.items():
            times, _ = await desk.run(sources[size], GROWTH_RATE, bed.seconds, seed=turn)
            found[size].append(percentile(times, 0.5))
    for size in sizes:
        limit = median(found[sizes[0]])
        goal = "ratio <= 1.3" if size != sizes[0] else ""
        bed.report.add(
            f"growth.p50 with {size:,} customers", median(found[size]), "ms", limit=limit, goal=goal
        )
    for desk in desks.values():
        desk.close()
        await clear_work(desk.target.dsn)


async def _count(dsn: str) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM inbound_events"))
    finally:
        await connection.close()
