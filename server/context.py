"""What the doors are given: the parts that ``server/app.py`` has put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol
from urllib.parse import urlsplit

from server.domain.event import CallEvent
from server.domain.outcome import CallOutcome
from server.domain.permission import Actor
from server.intake.batcher import Batcher
from server.push.hub import Hub
from server.services.directory import DirectoryKeeper
from server.services.presence import Presence
from server.services.sessions import Authenticator
from server.services.take_calls import CallItem, IntakeRules
from server.services.take_touches import FormItem, MailItem, TouchOutcome
from server.settings import Mailbox, Settings
from server.store import pops
from server.store.pool import Pool


class LinkState(StrEnum):
    CONNECTING = "connecting"
    UP = "up"
    WAITING = "waiting"  # broken or out of reach; tried again
    REFUSED = "refused"  # it answered and said no; tried again
    STANDBY = "standby"  # another node is connected


@dataclass(frozen=True, slots=True)
class Connection:
    """A live call source as this node sees it. ``since``: when it came up, went down or stood by.

    ``detail`` is for people: what it said when it came up, why it is down, or which node is connected.
    """

    name: str
    provider: str
    state: LinkState
    since: datetime
    detail: str = ""
    reconnects: int = 0
    last_event_at: datetime | None = None

    @property
    def is_down(self) -> bool:
        return self.state not in (LinkState.UP, LinkState.STANDBY)


class Telephony(Protocol):
    """The telephony behind the call sources: what is connected, and what may be asked of it."""

    @property
    def connections(self) -> Sequence[Connection]:
        """The live ones, by name."""

    def deeds(self, source: str) -> frozenset[str]:
        """What can be asked of a call of this source; empty when nothing."""

    async def act(self, source: str, command: Any) -> str:
        """Do it; as ``act`` of ``handlers/telephony/control.py``, for both kinds of sources."""

    def follow_up(self, source: str, events: Sequence[CallEvent], outcomes: Sequence[CallOutcome]) -> None:
        """Let the provider do what follows from events that were taken in; does not wait for it."""

    async def start(self, ctx: Context) -> None: ...

    async def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Context:
    settings: Settings
    pool: Pool
    hub: Hub
    authenticator: Authenticator
    directory: DirectoryKeeper
    presence: Presence
    rules: IntakeRules
    calls: Batcher[CallItem, CallOutcome]
    touches: Batcher[MailItem | FormItem, TouchOutcome]
    telephony: Telephony
    addresses: dict[str, int]  # what was bound: "http_port", "ws_port", "smtp_port"

    @property
    def public_url(self) -> str:
        server = self.settings.server
        return (
            server.public_url or f"http://{server.host}:{self.addresses.get('http_port', server.http_port)}"
        )

    @property
    def mailboxes(self) -> Mapping[str, Mailbox]:
        return self.settings.mailboxes

    def is_own_origin(self, origin: str, host: str) -> bool:
        """True for a page of this server: the public origin, or the host that was spoken to on our HTTP port."""
        said = urlsplit(origin)
        if origin == self.public_url:
            return True
        here = urlsplit(f"//{host}").hostname
        return said.scheme in ("http", "https") and said.hostname is not None and said.hostname == here

    async def agent_frame(self, actor: Actor) -> dict[str, Any]:
        """The agent of the socket's ``hello``: the agents resource's main fields and the present state."""
        known = self.directory.snapshot.agents.get(actor.agent_id)
        row = await pops.fetch_presence(self.pool, actor.agent_id)
        return {
            "id": str(actor.agent_id),
            "name": actor.name,
            "email": actor.email,
            "role": actor.role,
            "extension": known.extension if known is not None else None,
            "state": row["state"] if row is not None else "offline",
        }
