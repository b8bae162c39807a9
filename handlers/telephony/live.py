"""What the file of a live PBX connection offers: one session after the other, each until it breaks.

The supervisor (``handlers/telephony/connections.py``) holds the connection on one node, waits with backoff
between sessions and shows the state. A session reads, translates and emits; it never waits for long
without reading, and raises LinkBroken, OSError or TimeoutError when the peer is gone or makes no sense.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from handlers.telephony.control import Command, Deed
from handlers.telephony.provider import CallSource
from server.domain.event import CallEvent


class LinkBroken(Exception):
    """The connection cannot go on: refused, out of step, silent. The text is shown to administrators."""


class Link(Protocol):
    """What a session is given."""

    def up(self, detail: str = "") -> None:
        """Logged in and in step with the calls that go on."""

    async def emit(self, events: Sequence[CallEvent], raw: bytes) -> None:
        """Returns after commit; waits while the intake is full, so that nothing is dropped."""


class Session(Protocol):
    """One connection's life."""

    async def run(self, link: Link) -> None:
        """Connect, log in, read which calls go on, then translate until the connection ends (raises)."""

    async def act(self, command: Command) -> str:
        """As ``Control.act``, over this connection. Raises CommandFailed."""


class LiveProvider(Protocol):
    """A module's ``LIVE`` object."""

    name: str
    deeds: frozenset[Deed]

    def session(self, source: CallSource) -> Session:
        """``source.options`` has host, port, username, url, app, as the provider needs. Raises SettingsError."""
