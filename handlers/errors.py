"""Errors in the outside's language: RFC 9457 ``application/problem+json``; the one map to HTTP statuses."""

from __future__ import annotations

import json
from http import HTTPStatus

import structlog
from aiohttp import web

from server.domain.errors import RingpostError, TooMany, Unavailable

log = structlog.get_logger("http")


def problem(
    status: int,
    detail: str,
    *,
    code: str = "",
    fields: dict[str, str] | None = None,
    retry_after_seconds: int | None = None,
    request_id: str | None = None,
) -> web.Response:
    body: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if code:
        body["code"] = code
    if fields:
        body["fields"] = fields
    if request_id:
        body["request_id"] = request_id
    headers = {"Cache-Control": "no-store"}
    if retry_after_seconds is not None:
        headers["Retry-After"] = str(retry_after_seconds)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return web.Response(
        status=status,
        text=json.dumps(body, ensure_ascii=False),
        content_type="application/problem+json",
        headers=headers,
    )


def problem_response(request: web.Request, error: RingpostError) -> web.Response:
    """What one of our own errors says to the outside."""
    detail = error.detail
    if error.fields:
        detail = "; ".join(f"{name}: {what}" for name, what in error.fields.items())
    wait = error.retry_after_seconds if isinstance(error, TooMany | Unavailable) else None
    return problem(
        error.status, detail, code=error.code, fields=error.fields or None, retry_after_seconds=wait
    )


def fault_response(request: web.Request, error: Exception, request_id: str) -> web.Response:
    """Our own fault: logged once with the request's id; the sender may try again."""
    log.error("request_failed", path=request.path, request_id=request_id, exc_info=error)
    return problem(
        500, "the server failed: this is our fault, try again", code="fault", request_id=request_id
    )
