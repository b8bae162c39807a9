"""``/healthz``, ``/readyz``, ``/metrics``: for supervisors of processes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from handlers.http import route
from server.context import Connection, Context, LinkState
from server.domain.permission import Actor, Permission
from server.store.pool import ping

READY_SECONDS = 2.0
DOWN_FOR = timedelta(seconds=30)


@route("GET", "/healthz", Permission.PUBLIC)
async def healthz(request: web.Request, ctx: Context, actor: Actor | None) -> web.StreamResponse:
    return web.json_response({"status": "alive"})


@route("GET", "/readyz", Permission.PUBLIC)
async def readyz(request: web.Request, ctx: Context, actor: Actor | None) -> web.StreamResponse:
    reasons = {}
    try:
        async with asyncio.timeout(READY_SECONDS):
            await ping(ctx.pool)
    except Exception as away:
        reasons["database"] = f"no answer ({type(away).__name__})"
    if ctx.calls.waiting >= ctx.settings.intake.waiting_max:
        reasons["intake"] = "full: events are refused with 503"
    body = {
        "status": "not ready" if reasons else "ready",
        "reasons": reasons,
        "degraded": _degraded(ctx.telephony.connections, datetime.now(UTC)),
    }
    return web.json_response(body, status=503 if reasons else 200, dumps=json.dumps)


def _degraded(connections: Iterable[Connection], now: datetime) -> dict[str, str]:
    """Live connections that are down: work goes on without them. Why they are is not for everybody to read."""
    return {
        one.name: f"{one.state.value}, not connected for {(now - one.since).total_seconds():.0f} s"
        for one in connections
        if one.is_down and now - one.since > DOWN_FOR
    }


class _Connections(Collector):
    def __init__(self, connections: Iterable[Connection]) -> None:
        self._connections = connections

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily(
            "ringpost_connection_up",
            "1 while this node is connected to the live call source",
            labels=["source"],
        )
        again = CounterMetricFamily(
            "ringpost_connection_reconnects", "Times that the connection came up again", labels=["source"]
        )
        for one in self._connections:
            up.add_metric([one.name], one.state is LinkState.UP)
            again.add_metric([one.name], one.reconnects)
        yield from (up, again)


@route("GET", "/metrics", Permission.PUBLIC)
async def metrics(request: web.Request, ctx: Context, actor: Actor | None) -> web.StreamResponse:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    for name, text, value in (
        ("ringpost_agents_connected", "Agents with a live socket here", len(ctx.hub)),
        ("ringpost_intake_waiting", "Call events that wait for a batch", ctx.calls.waiting),
        ("ringpost_intake_batches", "Batches committed since the start", ctx.calls.batches),
        ("ringpost_touches_waiting", "Mails and forms that wait for a batch", ctx.touches.waiting),
        ("ringpost_database_connections", "Open connections of the pool", ctx.pool.get_size()),
    ):
        Gauge(name, text, registry=registry).set(value)
    registry.register(_Connections(ctx.telephony.connections))
    return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
