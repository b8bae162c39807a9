"""The call sources of the settings, as providers and the intake are given them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from handlers.telephony.live import LiveProvider
from handlers.telephony.provider import CallSource, Provider, discover, discover_live
from server.context import Context
from server.domain.errors import NotFound
from server.domain.event import CallEvent
from server.services.take_calls import CallItem, call_item
from server.settings import Settings


@lru_cache(maxsize=1)
def providers() -> Mapping[str, Provider]:
    return discover()


@lru_cache(maxsize=1)
def live_providers() -> Mapping[str, LiveProvider]:
    return discover_live()


def call_source(ctx: Context, name: str) -> CallSource:
    """The configured source of that name. Raises NotFound."""
    found = _sources(ctx).get(name)
    if found is None:
        raise NotFound(f"there is no call source {name[:64]!r}: configure [call_sources.{name[:64]}]")
    return found


def sources_of(settings: Settings, origin: str) -> dict[str, CallSource]:
    """Every source by its name. What one that joins another does not say itself, it has from that one."""
    region = settings.region.default_country
    found = {}
    for name, said in settings.call_sources.items():
        joined = settings.call_sources.get(said.joins, said)
        found[name] = CallSource(
            name=name,
            provider=said.provider,
            secrets=tuple(secret.get_secret_value() for secret in said.secrets),
            country=said.country or joined.country or region,
            queue=said.queue or joined.queue,
            ring=said.ring or joined.ring or _usual_ring(joined.provider),
            hook_url=f"{origin}/hooks/calls/{name}",
            options=dict(_flat(said.model_extra or {})),
            joins=said.joins,
        )
    return found


def _usual_ring(provider: str) -> str:
    """Whether Ringpost chooses the agent, or the PBX behind that provider does, unless the source says otherwise."""
    if provider in live_providers():
        return "pbx"
    return getattr(providers().get(provider), "ring", "one")


def item_of(source: CallSource, event: CallEvent, raw: bytes, now: datetime) -> CallItem:
    """The event on its way into the intake."""
    return call_item(
        source.calls_of,
        source.country,
        source.queue,
        source.ring == "group",
        event,
        raw,
        now,
        routed=source.ring != "pbx",
    )


_made: tuple[Settings, str, dict[str, CallSource]] | None = None


def _sources(ctx: Context) -> dict[str, CallSource]:
    """Made once: the settings are frozen, the public address is known from the start."""
    global _made  # noqa: PLW0603
    origin = ctx.public_url
    if _made is not None and _made[0] is ctx.settings and _made[1] == origin:
        return _made[2]
    sources = sources_of(ctx.settings, origin)
    _made = (ctx.settings, origin, sources)
    return sources


def _flat(extra: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in extra.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, str(value)
