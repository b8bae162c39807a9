"""How a source's recordings are asked for: the address as it came, with what the source's settings say.

Source options of every provider: ``recording_username`` and ``recording_password`` (HTTP Basic, RFC 7617) or
``recording_token`` (Bearer, RFC 6750). A provider that needs more has a module ``<provider>_media.py`` with a
``MEDIA`` object; ``discover_media`` finds it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Protocol

import aiohttp

from handlers.telephony.provider import CallSource
from handlers.telephony.sources import call_source
from server.context import Context
from server.jobs.media import AskMedia, MediaRequest


class MediaProvider(Protocol):
    """A module's ``MEDIA`` object."""

    name: str

    def request(self, source: CallSource, url: str) -> MediaRequest:
        """``url`` is what the provider's event said. Raises FetchFailed when the settings do not suffice."""


def ask_media(ctx: Context) -> AskMedia:
    """For the job that fetches. A source that the settings no longer name has no credentials."""

    def ask(source_name: str, url: str) -> MediaRequest:
        for source in _tellers(ctx, source_name):
            provider, own = _providers().get(source.provider), credentials_of(source)
            if provider is not None or own:
                asked = provider.request(source, url) if provider is not None else MediaRequest(url)
                return replace(asked, credentials=own) if own else asked
        return MediaRequest(url)

    return ask


def _tellers(ctx: Context, name: str) -> list[CallSource]:
    """The source under whose name calls are kept, and those that tell of the same calls."""
    told = [other for other, said in ctx.settings.call_sources.items() if name in (other, said.joins)]
    return [call_source(ctx, one) for one in sorted(told, key=lambda other: other != name)]


def credentials_of(source: CallSource) -> tuple[str, ...]:
    """What the source's options say; empty when they say nothing."""
    options = source.options
    if options.get("recording_token"):
        return (f"Bearer {options['recording_token']}",)
    password = options.get("recording_password", "")
    username = options.get("recording_username", "")
    if not (username or password) or ":" in username:
        return ()
    return (aiohttp.encode_basic_auth(username, password),)


def discover_media() -> dict[str, MediaProvider]:
    """Every ``MEDIA`` object of this package, by its provider's name."""
    package = importlib.import_module(__package__ or "handlers.telephony")
    names = [one.name for one in pkgutil.iter_modules(package.__path__) if one.name.endswith("_media")]
    found = [importlib.import_module(f"{package.__name__}.{name}").MEDIA for name in names]
    return {provider.name: provider for provider in found}


@lru_cache(maxsize=1)
def _providers() -> Mapping[str, MediaProvider]:
    return discover_media()
