"""The telephony of one server: live connections to PBXs, commands to every provider, and what follows from events.

Made once per server and started last, when the intake takes events; stopped before the intake is.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from functools import partial

import aiohttp
import structlog

from handlers.telephony.control import Command, CommandFailed, Control, Deed
from handlers.telephony.follow_up import FollowsHooks, FollowUps, by_call
from handlers.telephony.live import LinkBroken, LiveProvider
from handlers.telephony.live_keeper import LiveKeeper, Pace
from handlers.telephony.sources import call_source, live_providers, providers
from server.context import Connection, Context
from server.domain.errors import RingpostError
from server.domain.event import CallEvent
from server.domain.outcome import CallOutcome
from server.jobs.supervise import Supervisor

log = structlog.get_logger("telephony")
ACT_SECONDS = 15.0
"""How long an agent waits for an answer at the most; providers' own patience is shorter."""
HTTP_TIMEOUT = aiohttp.ClientTimeout(total=10, sock_connect=4)


def _able(control: Control, options: Mapping[str, str]) -> frozenset[Deed]:
    """What the provider can do with the settings that this source has."""

    def has(names: Sequence[str]) -> bool:
        return all(any(options.get(name) for name in one.split("|")) for one in names)

    if not has(control.needs):
        return frozenset()
    return control.deeds if has(control.needs_to_dial) else control.deeds - {Deed.DIAL}


class Telephony:
    """``server.context.Telephony``. ``live`` and ``pace`` are for tests."""

    def __init__(
        self, dsn: str, *, live: Mapping[str, LiveProvider] | None = None, pace: Pace | None = None
    ) -> None:
        self._dsn = dsn
        self._live = live_providers() if live is None else live
        self._pace = pace or Pace()
        self._ctx: Context | None = None
        self._http: aiohttp.ClientSession | None = None
        self._keepers: dict[str, LiveKeeper] = {}
        # By source, where its provider of webhooks can do more than take them.
        self._controls: dict[str, Control] = {}
        self._followers: dict[str, FollowsHooks] = {}
        self._jobs = Supervisor()
        self._follow_ups = FollowUps()

    async def start(self, ctx: Context) -> None:
        self._ctx = ctx
        self._http = aiohttp.ClientSession(timeout=HTTP_TIMEOUT, cookie_jar=aiohttp.DummyCookieJar())
        node = socket.gethostname()
        for name, said in sorted(ctx.settings.call_sources.items()):
            if said.provider in self._live:
                keeper = LiveKeeper(
                    name, self._live[said.provider], ctx, self._dsn, node, self._follow_ups, self._pace
                )
                self._keepers[name] = keeper
                self._jobs.start(f"connection {name}", keeper.run)
                continue
            provider: object = providers().get(said.provider)
            if isinstance(provider, Control):
                self._controls[name] = provider
            if isinstance(provider, FollowsHooks):
                self._followers[name] = provider

    async def stop(self) -> None:
        """Connections end, what follows from the last events is finished where that is quick."""
        self._ctx = None
        await asyncio.gather(self._jobs.stop(), self._follow_ups.stop())
        if self._http is not None:
            await self._http.close()

    @property
    def connections(self) -> list[Connection]:
        return [keeper.connection for keeper in self._keepers.values()]

    # -- commands --------------------------------------------------------------------------------

    def deeds(self, source: str) -> frozenset[Deed]:
        if source in self._keepers:
            return self._keepers[source].provider.deeds
        if source not in self._controls or self._ctx is None:
            return frozenset()
        return _able(self._controls[source], call_source(self._ctx, source).options)

    async def act(self, source: str, command: Command) -> str:
        """The key of the call that was made (DIAL), else "". Raises CommandFailed."""
        try:
            async with asyncio.timeout(ACT_SECONDS):
                return await self._act(source, command)
        except (CommandFailed, RingpostError):
            raise
        except TimeoutError:
            raise CommandFailed("the telephone system gave no answer") from None
        except (LinkBroken, aiohttp.ClientError, OSError):
            raise CommandFailed("the telephone system cannot be reached") from None
        except Exception as bad:
            log.error("command_failed", source=source, deed=command.deed, exc_info=bad)
            raise CommandFailed("this could not be done: it is our fault") from bad

    async def _act(self, source: str, command: Command) -> str:
        if self._ctx is None or self._http is None:
            raise CommandFailed("the server is stopping")
        if command.deed not in self.deeds(source):
            raise CommandFailed(f"this telephone system cannot {command.deed.replace('_', ' ')}")
        if source in self._keepers:
            return await self._keepers[source].act(command)
        return await self._controls[source].act(call_source(self._ctx, source), command, self._http)

    # -- what follows from events ----------------------------------------------------------------

    def follow_up(self, source: str, events: Sequence[CallEvent], outcomes: Sequence[CallOutcome]) -> None:
        """After the reply to a webhook; live sessions do this on their own."""
        provider = self._followers.get(source)
        if provider is None or self._ctx is None or self._http is None:
            return
        said = call_source(self._ctx, source)
        for call_key, (its_events, its_outcomes) in by_call(events, outcomes).items():
            work = partial(provider.follow_up, said, its_events, its_outcomes, self._http)
            self._follow_ups.add(source, call_key, work)
