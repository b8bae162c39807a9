"""Scenario of the caller-ID lookup: a PBX holds the ringing call until it has the name."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

from bench import events
from bench.bed import Bed
from bench.figures import median, percentile
from bench.load import closed_loop, connect, open_loop

CONNECTIONS = 32
RATE = 200  # lookups a second: a large PBX on its busiest morning
UNKNOWN = 5  # of how many callers one is nobody that we know


def lookup_source(customers: int, seed: int = 4) -> Callable[[], events.Ring]:
    """National and international spellings of known callers, and some unknown ones."""
    chance, numbers = random.Random(seed), itertools.count()

    def make() -> events.Ring:
        n = next(numbers)
        known = customers + n if n % UNKNOWN == 0 else chance.randrange(customers)
        number = events.phone(known)
        number = f"0{number[3:]}" if n % 2 else f"%2B{number[1:]}"
        request = (
            f"GET /hooks/lookup/pbx?number={number} HTTP/1.1\r\nHost: bench.example.com\r\nUser-Agent: bench\r\n"
            f"Authorization: Bearer {events.CTI_SECRET}\r\n\r\n"
        )
        return events.Ring(str(n).encode(), request.encode())

    return make


async def lookup(bed: Bed) -> None:
    """Latency at a steady rate, and what one server can do at most."""
    target = await bed.product()
    source = lookup_source(bed.customers)
    clients = await connect("127.0.0.1", target.http_port, CONNECTIONS)
    warm = await closed_loop(clients, source, 0.5)
    p50, p99, rates, server_us, postgres_us = [], [], [], [], []
    trouble = warm.trouble
    for turn in range(bed.rounds):
        steady = await open_loop(clients, source, RATE, bed.seconds, seed=turn)
        p50.append(1000 * percentile(steady.latencies, 0.5))
        p99.append(1000 * percentile(steady.latencies, 0.99))
        clock = target.cpu()
        most = await closed_loop(clients, source, bed.seconds)
        server, postgres = clock.spent()
        rates.append(most.per_second)
        server_us.append(1e6 * server / max(1, most.done))
        postgres_us.append(1e6 * postgres / max(1, most.done))
        trouble = trouble or steady.trouble or most.trouble
    if trouble:
        bed.say(f"  lookup: {trouble}")
    add = bed.report.add
    add(f"lookup.p50 at {RATE}/s", median(p50), "ms")
    add(f"lookup.p99 at {RATE}/s", median(p99), "ms", goal="value <= 10")
    add(f"lookup.rate at {CONNECTIONS} connections", median(rates), "lookups/s")
    add("lookup.cpu of the server", median(server_us), "us/lookup")
    add("lookup.cpu of postgres", median(postgres_us), "us/lookup")
    for client in clients:
        client.close()
