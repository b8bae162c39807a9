"""Logs show no secret, no body and no full number, whoever writes the line."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from server.logs import mask_text, set_up_logs


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


@pytest.mark.parametrize("format", ["text", "json"])
def test_what_is_private_stays_private(stream: io.StringIO, format: str) -> None:
    set_up_logs("info", format, stream)
    log = structlog.get_logger("test")
    with structlog.contextvars.bound_contextvars(request_id="abc-1"):
        log.info(
            "call_taken", ani="+447700900123", password="hunter2", api_token="rpt_x", body="Dear all", raw=b"raw",
            nested={"secrets": ["s3cret"], "dnis": "020 7946 0123"}, port=8080, contact_id=1234567890123,
            url="postgresql://me:s3cret@host/db", path="/hooks/calls/pbx?token=s3cret&a=1",
        )  # fmt: skip
        logging.getLogger("library").warning("to %s with Authorization", "+44 7700 900123")
        try:
            raise ValueError("no such number: 00447700900123")
        except ValueError:
            log.exception("failed")
    text = stream.getvalue()
    for private in ("7700900123", "7946 0123", "hunter2", "rpt_x", "Dear all", "s3cret", "900123"):
        assert private not in text, private
    assert "…123" in text and "8080" in text and "1234567890123" in text and "abc-1" in text
    if format == "json":
        lines = [json.loads(line) for line in text.splitlines()]
        assert [line["level"] for line in lines] == ["info", "warning", "error"]
        assert all(line["request_id"] == "abc-1" and line["timestamp"] for line in lines)


def test_the_level_holds(stream: io.StringIO) -> None:
    set_up_logs("warning", "text", stream)
    structlog.get_logger("test").info("quiet")
    structlog.get_logger("test").warning("loud")
    assert "quiet" not in stream.getvalue() and "loud" in stream.getvalue()


@pytest.mark.parametrize(
    "text",
    ["2026-11-24T01:18:18+00:00", "127.0.0.1:8080", "RP-000123", "took 1234.5678 ms", "PostgreSQL 18.6"],
)
def test_what_only_looks_like_a_number_is_kept(text: str) -> None:
    assert mask_text(text) == text
