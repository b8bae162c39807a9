"""``/healthz``, ``/readyz``, ``/metrics``: for supervisors of processes."""

from __future__ import annotations

import asyncio
import json

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from handlers.http import route
from server.context import Context
from server.domain.permission import Actor, Permission
from server.store.pool import ping

READY_SECONDS = 2.0


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
    body = {"status": "not ready" if reasons else "ready", "reasons": reasons}
    return web.json_response(body, status=503 if reasons else 200, dumps=json.dumps)


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
    return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
