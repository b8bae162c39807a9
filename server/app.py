"""Builds the application, and the order in which its parts start and stop.

Start: database, migrations, what the settings name, services, intake, doors; only then "ready".
Stop, on SIGTERM: doors close, what was accepted is finished, sockets are told to reconnect, jobs
end, the database last.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import asyncpg
import structlog
from aiohttp import web

from server.context import Context, Telephony
from server.intake.batcher import Batcher
from server.jobs.media import AskMedia, Limits, plain_media
from server.jobs.outbox import OutboxSender, Transport
from server.jobs.recordings import RecordingKeeper, RecordingRules
from server.jobs.supervise import Supervisor
from server.mail.transport import ConsoleTransport, SmtpTransport
from server.push.hub import Hub
from server.services import kept_event, quarantine
from server.services.directory import DirectoryKeeper
from server.services.presence import Presence
from server.services.sessions import Authenticator
from server.services.take_calls import CallIntake, CallItem, IntakeRules
from server.services.take_touches import FormItem, MailItem, TouchIntake
from server.settings import ROOT, Settings, Smtp
from server.store import directory as directory_store
from server.store.embedded import EmbeddedPostgres
from server.store.intake import SESSION, SESSION_SQL
from server.store.migrations import migrate
from server.store.pool import Pool, open_pool

log = structlog.get_logger("app")
STOP_SECONDS = 9.0


class Door(Protocol):
    async def start(self, host: str, port: int) -> int: ...

    async def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Handlers:
    """The doors, as ``run.py`` hands them in: ``server`` never imports ``handlers``."""

    http: Callable[[Context], web.Application]
    socket: Callable[[Context], Door]
    mail: Callable[[Context], Door]
    telephony: Callable[[str], Telephony]  # from the database's DSN
    media: Callable[[Context], AskMedia] = lambda ctx: plain_media


async def serve(
    settings: Settings,
    handlers: Handlers,
    *,
    ready: Callable[[str], None],
    progress: Callable[[str], None] = lambda line: None,
    before: Callable[[Pool], Awaitable[None]] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT. ``before`` runs once the schema is there (demo data)."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        running = await start(settings, handlers, stack, progress=progress, before=before)
        ready(running.ready_line())
        await stop.wait()
        log.info("stopping")


@dataclass(frozen=True, slots=True)
class Running:
    """A started server, for tests and for ``serve``."""

    ctx: Context
    dsn: str

    def ready_line(self) -> str:
        host, bound = self.ctx.settings.server.host, self.ctx.addresses
        return (
            f"ringpost ready http=http://{host}:{bound['http_port']} ws=ws://{host}:{bound['ws_port']} "
            f"smtp={host}:{bound['smtp_port']}"
        )


async def start(
    settings: Settings,
    handlers: Handlers,
    stack: contextlib.AsyncExitStack,
    *,
    progress: Callable[[str], None] = lambda line: None,
    before: Callable[[Pool], Awaitable[None]] | None = None,
) -> Running:
    """Start every part; ``stack`` stops them in the reverse order."""
    dsn = await open_database(settings, stack, progress, server=True)
    pool = await open_pool(dsn, min_size=2, max_size=settings.database.pool_size, reset=False)
    stack.push_async_callback(_close_pool, pool)
    # Writers have connections of their own: their plans are index look-ups, whatever the statistics say.
    # One more than there are writers for mails, and one that is still giving its locks back.
    writers = await open_pool(
        dsn,
        min_size=settings.intake.writers + 2,
        max_size=settings.intake.writers + 2,
        session=SESSION,
        functions=SESSION_SQL,
        reset=False,
    )
    stack.push_async_callback(_close_pool, writers)
    await directory_store.insert_queues(pool, queues_named(settings))
    if before is not None:
        await before(pool)

    hub = Hub()
    directory = DirectoryKeeper(pool, dsn, settings.region.timezone)
    await directory.reload()
    presence = Presence(pool, hub, directory, settings.region.language)
    rules = IntakeRules(
        continue_window=timedelta(seconds=settings.tickets.continue_window_seconds),
        first_response=timedelta(seconds=settings.tickets.first_response_seconds),
        resolve=timedelta(seconds=settings.tickets.resolve_seconds),
        language=settings.region.language,
    )
    jobs = Supervisor()
    stack.push_async_callback(jobs.stop)
    call_intake = CallIntake(writers, directory, hub, rules)
    freed = Freed(presence)
    call_intake.on_freed = freed.add
    call_intake.on_waiting = freed.add_queues
    limits = settings.intake

    async def quarantine_call(item: CallItem, bad: Exception) -> None:
        reason, meta = f"could not be taken in ({type(bad).__name__})", kept_event.meta_of(item.event)
        await quarantine.put(pool, "call", item.source, reason, meta, item.raw)

    async def quarantine_touch(item: MailItem | FormItem, bad: Exception) -> None:
        door, source = ("email", item.mailbox) if isinstance(item, MailItem) else ("form", item.form)
        await quarantine.put(
            pool, door, source, f"could not be taken in ({type(bad).__name__})", {}, item.raw
        )

    calls = Batcher(
        call_intake.commit,
        quarantine_call,
        writers=limits.writers,
        batch_max=limits.batch_max,
        waiting_max=limits.waiting_max,
    )
    touches = Batcher(
        TouchIntake(writers, directory, hub, rules).commit,
        quarantine_touch,
        writers=1,
        batch_max=32,
        waiting_max=limits.waiting_max,
    )
    addresses: dict[str, int] = {}
    telephony = handlers.telephony(dsn)
    ctx = Context(
        settings=settings,
        pool=pool,
        hub=hub,
        authenticator=Authenticator(pool),
        directory=directory,
        presence=presence,
        rules=rules,
        calls=calls,
        touches=touches,
        telephony=telephony,
        addresses=addresses,
    )
    transports = {"": transport_of(settings.smtp, settings.server.data_dir)} | {
        name: transport_of(box.smtp, settings.server.data_dir)
        for name, box in settings.mailboxes.items()
        if box.smtp is not None
    }
    jobs.start("directory", directory.run)
    jobs.start("offers", freed.run)
    jobs.start("outbox", OutboxSender(pool, hub, transports, settings.smtp.attempts).run)
    recordings = RecordingKeeper(pool, hub, recording_rules(settings), handlers.media(ctx))
    jobs.start("recordings", recordings.run)
    jobs.every("recordings-kept", 3600.0, recordings.sweep)
    sweep_after = timedelta(seconds=settings.calls.sweep_after_seconds)
    jobs.every("wrap-up", 1.0, presence.end_wrap_ups)
    jobs.every("overflow", 2.0, presence.overflow)
    jobs.every("open-queues", 15.0, presence.open_queues)
    ringing_after = timedelta(seconds=settings.calls.ringing_sweep_seconds)
    jobs.every("sweep", 30.0, lambda: presence.sweep_calls(sweep_after, ringing_after))

    stack.push_async_callback(call_intake.stop)
    calls.start()
    stack.push_async_callback(calls.stop)
    touches.start()
    stack.push_async_callback(touches.stop)
    stack.push_async_callback(telephony.stop)

    # Bound before served, so that the addresses are known to the first request.
    server = settings.server
    socket_door = handlers.socket(ctx)
    addresses["ws_port"] = await socket_door.start(server.host, server.ws_port)
    stack.push_async_callback(socket_door.stop)
    mail_door = handlers.mail(ctx)
    addresses["smtp_port"] = await mail_door.start(server.host, server.smtp_port)
    stack.push_async_callback(mail_door.stop)
    runner = web.AppRunner(
        handlers.http(ctx),
        access_log=None,
        handle_signals=False,
        shutdown_timeout=3.0,
        keepalive_timeout=75.0,
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, server.host, server.http_port, backlog=1024)
    await site.start()
    addresses["http_port"] = int(runner.addresses[0][1])
    await telephony.start(ctx)
    # What is here now stays: the collector need not look at it again, nor at every burst of events.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    return Running(ctx, dsn)


class Freed:
    """Agents whose call ended, queues where a caller waits again: offered outside of the intake's transaction."""

    def __init__(self, presence: Presence) -> None:
        self._presence = presence
        self._waiting: set[int] = set()
        self._queues: set[int] = set()
        self._wake = asyncio.Event()

    def add_queues(self, queue_ids: Iterable[int]) -> None:
        self._queues.update(queue_ids)
        self._wake.set()

    def add(self, agent_ids: Iterable[int]) -> None:
        self._waiting.update(agent_ids)
        self._wake.set()

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                await self._presence.offer_waiting(self._waiting.pop())
            while self._queues:
                await self._presence.route_queue(self._queues.pop())


async def open_database(
    settings: Settings, stack: contextlib.AsyncExitStack, progress: Callable[[str], None], *, server: bool
) -> str:
    """The DSN of a database with the present schema: the embedded one, or that of ``database.url``."""
    dsn = settings.database.url.get_secret_value()
    if not dsn:
        bin_dir = Path(settings.database.bin_dir) if settings.database.bin_dir else None
        embedded = EmbeddedPostgres(settings.server.data_dir.absolute(), bin_dir, progress, server=server)
        dsn = await embedded.start()
        stack.push_async_callback(embedded.stop)
    connection = await asyncpg.connect(dsn)
    try:
        await migrate(connection, ROOT / "migrations", progress)
    finally:
        await connection.close()
    return dsn


def queues_named(settings: Settings) -> list[str]:
    named = [
        one.queue
        for group in (settings.call_sources, settings.mailboxes, settings.forms)
        for one in group.values()
    ]
    return sorted({name for name in named if name})


def recording_rules(settings: Settings) -> RecordingRules:
    said = settings.recordings
    return RecordingRules(
        folder=settings.recordings_dir,
        fetches=said.store == "fetch",
        attempts=said.attempts,
        keep_days=said.keep_days,
        limits=Limits(said.max_bytes, said.timeout_seconds, frozenset(said.allow_hosts)),
    )


def transport_of(smtp: Smtp, data_dir: Path) -> Transport:
    if not smtp.host:
        return ConsoleTransport(data_dir / "outgoing")
    return SmtpTransport(smtp.host, smtp.port, smtp.username, smtp.password.get_secret_value(), smtp.tls)


async def _close_pool(pool: Pool) -> None:
    try:
        await asyncio.wait_for(pool.close(), 3.0)
    except TimeoutError:
        pool.terminate()
