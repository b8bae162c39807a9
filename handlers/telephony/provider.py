"""What a telephony provider's file offers, and what it is given.

A provider is one module in this package with a module-level ``PROVIDER`` object; ``discover``
finds it, the route ``/hooks/calls/{source}`` and the conformance suite come with that. A live
connection to a PBX is one with a ``LIVE`` object (``live.py``), found by ``discover_live``.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qsl, urlsplit

from handlers.telephony.fields import read_form
from server.domain.event import CallEvent
from server.domain.outcome import CallOutcome

if TYPE_CHECKING:
    from handlers.telephony.live import LiveProvider


@dataclass(frozen=True, slots=True)
class CallSource:
    """One ``[call_sources.NAME]`` of the settings. ``hook_url`` is its public URL.

    ``options`` are the settings that only this provider knows; a table's are named ``table.key``.
    ``joins`` is the source whose calls this one tells of as well, "" for calls of its own.
    """

    name: str
    provider: str
    secrets: tuple[str, ...]
    country: str
    queue: str | None
    ring: str  # "one": routing picks; "group": every available agent of the queue; "pbx": the PBX chooses
    hook_url: str
    options: Mapping[str, str] = field(default_factory=dict)
    joins: str = ""

    def is_off(self, option: str) -> bool:
        """Whether an option that is on by itself was switched off; TOML's ``false`` comes as a text."""
        return self.options.get(option, "").lower() in ("off", "false", "no", "0")

    @property
    def takes_voicemail(self) -> bool:
        return not self.is_off("voicemail")

    @property
    def calls_of(self) -> str:
        """The name under which its calls are kept."""
        return self.joins or self.name


@dataclass(frozen=True)
class HookRequest:
    """A webhook as it came: nothing decoded, nothing re-encoded.

    ``url`` is ``server.public_url`` + the raw request target, as the provider signed it.
    """

    method: str
    url: str
    headers: Mapping[str, str]  # case-insensitive
    body: bytes
    peer: str = ""
    received_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @cached_property
    def query(self) -> list[tuple[str, str]]:
        return parse_qsl(urlsplit(self.url).query, keep_blank_values=True)

    @cached_property
    def form(self) -> list[tuple[str, str]]:
        """The urlencoded body with blank values kept (signatures cover them). RFC 1866 8.2.1."""
        return read_form(self.body)


@dataclass(frozen=True, slots=True)
class HookReply:
    status: int = 200
    body: str = ""
    content_type: str = "text/plain"


class Provider(Protocol):
    """Verify over the raw bytes, parse into neutral events, reply in the provider's language.

    One whose PBX chooses the agent says so with a class attribute ``ring = "pbx"``; one whose secrets are
    public keys with ``public_secrets = True``.
    """

    name: str

    def verify(self, source: CallSource, request: HookRequest) -> None:
        """Raise NotAuthenticated or Forbidden unless one of ``source.secrets`` signed it."""

    def parse(self, source: CallSource, request: HookRequest) -> Sequence[CallEvent]:
        """Raise Malformed or Invalid for what cannot be understood; empty when nothing matters."""

    def reply(
        self,
        source: CallSource,
        request: HookRequest,
        events: Sequence[CallEvent],
        outcomes: Sequence[CallOutcome],
    ) -> HookReply: ...


def discover() -> dict[str, Provider]:
    """Every provider of webhooks in this package, by its name."""
    return {provider.name: provider for provider in _offered("PROVIDER")}


def discover_live() -> dict[str, LiveProvider]:
    """Every provider of live connections in this package, by its name."""
    return {provider.name: provider for provider in _offered("LIVE")}


def _offered(attribute: str) -> Iterator[Any]:
    package = importlib.import_module(__package__ or "handlers.telephony")
    for module in pkgutil.iter_modules(package.__path__):
        provider = getattr(importlib.import_module(f"{package.__name__}.{module.name}"), attribute, None)
        if provider is not None:
            yield provider
