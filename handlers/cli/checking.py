"""``check``: the effective settings with secrets masked, and what is wrong with them."""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import asyncpg

from handlers.cli.command import AddCommand, Parsers
from handlers.telephony.provider import CallSource
from handlers.telephony.sources import live_providers, providers, sources_of
from server.settings import Settings, SettingsError, masked

_SECRET = re.compile(r"passw|secret|token|key$", re.IGNORECASE)
_PLAIN_NAME = re.compile(r"[\w.-]{1,64}")


def add_commands(add: AddCommand, parsers: Parsers) -> None:
    add("check", check, "show the effective settings, secrets masked, and what is wrong with them")


async def check(args: argparse.Namespace, settings: Settings) -> int:
    for name, value in _flat(masked(settings)):
        print(f"{name} = {json.dumps(value, ensure_ascii=False)}")
    wrong = [*wrong_names(settings), *wrong_ports(settings), *_wrong_places(settings)]
    wrong += await _wrong_database(settings)
    print()
    for line in wrong:
        print(f"wrong: {line}")
    for line in _hints(settings):
        print(f"note: {line}")
    if not wrong:
        print("nothing is wrong")
    return 1 if wrong else 0


def require_known_names(settings: Settings) -> None:
    """What only the doors know, checked before the server starts. Raises SettingsError for the first."""
    for line in wrong_names(settings):
        raise SettingsError(f"setting {line}")


def wrong_names(settings: Settings) -> Iterator[str]:
    """Names that nobody answers to: providers, doors, queues."""
    yield from _wrong_sources(sources_of(settings, settings.server.public_url).values())
    for section in ("call_sources", "mailboxes", "forms"):
        for name, door in getattr(settings, section).items():
            if not _PLAIN_NAME.fullmatch(name):
                yield f"{section}.{name}: a name has letters, digits, '_', '-' and '.', as it stands in a URL"
            if door.queue is not None and not door.queue.strip():
                yield f"{section}.{name}.queue: is empty"
    seen: dict[str, str] = {}
    for name, box in settings.mailboxes.items():
        for address in (box.address, *box.aliases):
            first = seen.setdefault(address.casefold(), name)
            if first != name:
                yield f"mailboxes.{name}.address: {address} belongs to mailboxes.{first} already"
    for name, form in settings.forms.items():
        names = [field.name for field in form.fields]
        if len(set(names)) != len(names):
            yield f"forms.{name}.fields: two fields have the same name"
        for field in form.fields:
            if field.type == "select" and not field.choices:
                yield f"forms.{name}.fields: {field.name} is a select without choices"
        for origin in form.origins:
            if not re.fullmatch(r"https?://[A-Za-z0-9.:\[\]-]+", origin):
                yield f"forms.{name}.origins: {origin} is no origin, such as https://www.example.com"


def _wrong_sources(sources: Iterable[CallSource]) -> Iterator[str]:
    """Unknown providers, and live connections that lack an option."""
    hooks, live = providers(), live_providers()
    for source in sources:
        if source.provider in live:
            try:
                live[source.provider].session(source)
            except SettingsError as wrong:
                yield str(wrong)
        elif source.provider not in hooks:
            known = ", ".join(sorted({*hooks, *live}))
            yield (
                f"call_sources.{source.name}.provider: there is no provider {source.provider!r}"
                f" (known: {known})"
            )


def wrong_ports(settings: Settings) -> Iterator[str]:
    taken: dict[int, str] = {}
    for name in ("http_port", "ws_port", "smtp_port"):
        port: int = getattr(settings.server, name)
        if port == 0:
            continue
        if port in taken:
            yield f"server.{name}: {port} is server.{taken[port]} too"
            continue
        taken[port] = name
        try:
            family, kind, _, _, address = socket.getaddrinfo(
                settings.server.host, port, type=socket.SOCK_STREAM
            )[0]
            with socket.socket(family, kind) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except OSError as bad:
            yield f"server.{name}: {settings.server.host}:{port} cannot be had ({bad.strerror or bad})"


def _wrong_places(settings: Settings) -> Iterator[str]:
    place = settings.server.data_dir.absolute()
    while not place.exists():
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK):
        yield f"server.data_dir: {place} cannot be written to"


async def _wrong_database(settings: Settings) -> list[str]:
    url = settings.database.url.get_secret_value()
    if not url:
        return []
    try:
        connection = await asyncpg.connect(url, timeout=5)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError, TimeoutError) as bad:
        return [f"database.url: {type(bad).__name__}: {bad}"]
    try:
        version = connection.get_server_version()
    finally:
        await connection.close()
    return (
        []
        if version.major >= 14
        else [f"database.url: PostgreSQL {version.major} is too old, 14 is the first"]
    )


def _hints(settings: Settings) -> Iterator[str]:
    if not settings.server.public_url and settings.call_sources:
        yield "server.public_url is empty: signatures are checked against the address here, only this machine can call"
    if not settings.smtp.host and settings.mailboxes:
        yield f"smtp.host is empty: replies are written to {settings.server.data_dir / 'outgoing'}, nothing is sent"
    if not (settings.call_sources or settings.mailboxes or settings.forms):
        yield "no call source, mailbox or form is configured: nothing can come in"


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """``section.key`` and value; keys that look secret are masked whatever their model says."""
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{name}.")
        elif _SECRET.search(key) and value:
            yield name, ["***"] * len(value) if isinstance(value, list) else "***"
        else:
            yield name, value
