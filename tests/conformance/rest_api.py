"""A provider's REST API on the loopback: it notes what was asked and gives the answer that a test wants."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer


@dataclass
class RestApi:
    """``answers``: (method, path) -> (status, JSON or None); what is not named is 404."""

    answers: dict[tuple[str, str], tuple[int, Any]]
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    credentials: list[str] = field(default_factory=list)
    url: str = ""

    async def take(self, request: web.Request) -> web.Response:
        message = await request.json() if request.can_read_body else None
        self.asked.append((request.method, request.raw_path, message))
        self.credentials.append(request.headers.get("Authorization", ""))
        status, answer = self.answers.get((request.method, request.raw_path), (404, {"error": "not found"}))
        return web.Response(status=status) if answer is None else web.json_response(answer, status=status)


@asynccontextmanager
async def served(api: RestApi) -> AsyncIterator[tuple[RestApi, aiohttp.ClientSession]]:
    """``api`` under its ``url`` on a free port, and a client to ask it with."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", api.take)
    server = TestServer(application)
    await server.start_server()
    api.url = str(server.make_url("")).rstrip("/")
    try:
        async with aiohttp.ClientSession() as http:
            yield api, http
    finally:
        await server.close()
