"""Structured logs on standard error: text or JSON, with the id of the request, without what is private.

Nothing that passes here shows a secret, a message body or a full number, whoever wrote the line:
the last processors before rendering mask values by the name of their key and numbers by their look.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

HIDDEN = "***"
_SECRET = re.compile(
    r"passw|secret|token|authori[sz]ation|cookie|credential|signature|api_?key", re.IGNORECASE
)
_BODY = frozenset(
    {"body", "body_text", "body_html", "raw", "payload", "message_body", "content", "quoted_text"}
)
# A plus and seven digits, or ten and more without one: long enough not to be an id, a port or a date.
_NUMBER = re.compile(
    r"\+\d[\d ().-]{5,18}\d|(?<![\w.:+-])(?:00|0)\d[\d ().-]{6,16}\d(?![\w:])|(?<![\w.:-])\d{10,15}(?![\w.:-])"
)
_USERINFO = re.compile(r"(?<=://)[^/\s:@]*:[^/\s@]*(?=@)")
_QUERY_SECRET = re.compile(r"(?<=[?&])((?:token|secret|password|key|sig)=)[^&\s\"']+", re.IGNORECASE)
_STANDARD = frozenset({"event", "level", "timestamp", "logger", "request_id"})
_DEEPEST = 4


def set_up_logs(level: str = "info", format: str = "text", stream: TextIO | None = None) -> None:
    """Every logger of the process, those of libraries included, writes one line per event to ``stream``.

    ``level`` and ``format`` are ``log.level`` and ``log.format`` of the settings; may be called again.
    """
    stream = sys.stderr if stream is None else stream
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,  # the request's id, bound by the HTTP door
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(),
    ]
    render: list[Processor]
    if format == "json":
        render = [
            structlog.processors.format_exc_info,
            mask_private,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ]
    else:
        render = [
            structlog.processors.format_exc_info,
            mask_private,
            structlog.dev.ConsoleRenderer(colors=stream.isatty(), pad_event_to=0, sort_keys=False),
        ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # These tell of every connection and line of protocol, which are their own business at "info".
    for chatty in ("asyncio", "aiohttp.access", "websockets", "mail.log", "mail.debug", "aiosmtpd"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared[:-1],
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def mask_private(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Secrets and bodies by the name of their key, numbers down to their last three digits."""
    for key, value in event.items():
        if key not in _STANDARD:
            event[key] = _masked(key, value, 0)
        elif key == "event" and isinstance(value, str):
            event[key] = mask_text(value)
    return event


def mask_text(text: str) -> str:
    """A text without full numbers, passwords in URLs and tokens in queries."""
    if "://" in text:
        text = _USERINFO.sub(HIDDEN, text)
    if "=" in text:
        text = _QUERY_SECRET.sub(rf"\1{HIDDEN}", text)
    return _NUMBER.sub(_masked_number, text)


def _masked_number(found: re.Match[str]) -> str:
    digits = [character for character in found.group() if character.isdigit()]
    return "…" + "".join(digits[-3:])


def _masked(key: str, value: Any, depth: int) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if _SECRET.search(key):
        return HIDDEN
    if key in _BODY:
        return f"({len(value)} long)" if isinstance(value, (str, bytes)) else HIDDEN
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, bytes):
        return f"({len(value)} bytes)"
    if depth >= _DEEPEST:
        return HIDDEN
    if isinstance(value, Mapping):
        return {name: _masked(str(name), inner, depth + 1) for name, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_masked(key, inner, depth + 1) for inner in value]
    return mask_text(str(value))
