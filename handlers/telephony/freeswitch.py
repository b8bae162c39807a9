"""FreeSWITCH over its event socket (mod_event_socket, "inbound": we connect to it, TCP 8021).

Source options: ``host`` (127.0.0.1), ``port`` (8021); the secrets are the event socket's password, the old
one beside the new. For commands ``dial`` (``user/{agent}``: how an agent's phone is rung), ``context``
(``default``: the dial plan of the agents) and ``gateway`` (empty: numbers outside go through the dial plan).
No client of others is used: the one that works on asyncio, genesis, brings a web framework, Redis and
tracing with it for the few hundred lines that are needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import structlog

from handlers.telephony.control import Command, CommandFailed, Deed
from handlers.telephony.esl_calls import EslCalls
from handlers.telephony.esl_commands import DEEDS, api_command, dialled_leg, read_dialling, reason_of
from handlers.telephony.esl_legs import read_channels
from handlers.telephony.esl_socket import GONE, Emission, EslSocket, Patience, log_in
from handlers.telephony.esl_wire import Event, Frame, read_event
from handlers.telephony.live import Link, LinkBroken, Session
from handlers.telephony.provider import CallSource
from server.domain.errors import Malformed
from server.settings import SettingsError

log = structlog.get_logger("freeswitch")

SUBSCRIBE = (
    "event plain CHANNEL_CREATE CHANNEL_PROGRESS CHANNEL_PROGRESS_MEDIA CHANNEL_ANSWER CHANNEL_BRIDGE"
    " CHANNEL_UNBRIDGE CHANNEL_HOLD CHANNEL_UNHOLD CHANNEL_HANGUP_COMPLETE RECORD_STOP BACKGROUND_JOB"
    " HEARTBEAT CUSTOM callcenter::info"
)
CHANNELS = "api show channels as json"
_MOST_JOBS = 200


class FreeswitchSession:
    """One connection's life. ``calls`` outlives it: what ended while nobody listened is then closed."""

    def __init__(self, source: CallSource, calls: EslCalls, patience: Patience | None = None) -> None:
        self._source = source
        self._calls = calls
        self._patience = patience or Patience()
        self._dialling = read_dialling(source)
        self._host = source.options.get("host", "127.0.0.1")
        self._port = _port(source)
        if not source.secrets or not all(secret and secret.isprintable() for secret in source.secrets):
            raise SettingsError(f"call_sources.{source.name}.secrets: must be the event socket's password")
        self._socket: EslSocket | None = None
        self._jobs: dict[str, asyncio.Future[str]] = {}  # by Job-UUID, and by the leg that a job makes
        self._since = _now()
        self._counted_at = 0.0
        self._in_step = False
        self._puzzled = False

    async def run(self, link: Link) -> None:
        socket = await log_in(self._host, self._port, self._source.secrets, self._patience)
        self._socket, self._since = socket, _now()
        try:
            socket.ask(SUBSCRIBE, self._subscribed)
            socket.ask(CHANNELS, self._caught_up)
            await self._follow(socket, link)
        finally:
            self._socket, self._in_step = None, False
            for done in self._jobs.values():
                _settle(done, "-ERR the connection to it broke")
            await socket.close()

    async def _follow(self, socket: EslSocket, link: Link) -> None:
        loop = asyncio.get_running_loop()
        announced = False
        heard_at = loop.time()
        while True:
            frames = await self._listen(socket)
            if frames:
                heard_at = loop.time()
            elif loop.time() - heard_at > self._patience.silence + self._patience.reply:
                raise LinkBroken("the switch sent a message without end")
            emissions = [self._handle(socket, frame) for frame in frames]
            await _emit(link, [one for one in emissions if one is not None and one[0]])
            if frames:
                heard_at = loop.time()  # while we were busy nobody listened: that is no silence
            if self._in_step and not announced:
                announced = True
                link.up(f"{len(self._calls.book)} channels")

    async def _listen(self, socket: EslSocket) -> list[Frame]:
        try:
            async with asyncio.timeout(self._patience.silence):
                return await socket.frames()
        except TimeoutError:
            socket.ask(CHANNELS, self._caught_up)
        try:
            async with asyncio.timeout(self._patience.reply):
                return await socket.frames()
        except TimeoutError:
            raise LinkBroken("the switch is silent: neither heartbeats nor answers") from None

    def _handle(self, socket: EslSocket, frame: Frame) -> Emission | None:
        if frame.kind in GONE:
            raise LinkBroken(GONE[frame.kind])
        if frame.kind in ("command/reply", "api/response"):
            return socket.answer(frame)
        try:
            event = read_event(frame)
            if event is None:
                return None
            self._hear(socket, event)
            return self._calls.take(event.headers, _now()), frame.body
        except Malformed as bad:
            if not self._puzzled:  # once in a connection: a flood of them must not fill the log
                log.warning("event not understood", source=self._source.name, reason=bad.detail)
            self._puzzled = True
            return None

    def _hear(self, socket: EslSocket, event: Event) -> None:
        """What an event means beside calls."""
        if event.name == "BACKGROUND_JOB":
            _settle(self._jobs.get(event.headers.get("Job-UUID", "")), event.body)
        elif event.name == "CHANNEL_CREATE":
            _settle(self._jobs.get(event.headers.get("Unique-ID", "")), "+OK")
        elif event.name == "HEARTBEAT":
            # Events that the switch lost (its queue has an end) show in its count of channels.
            counted = event.headers.get("Session-Count", "")
            now = asyncio.get_running_loop().time()
            due = now - self._counted_at >= self._patience.recount
            if due and counted not in ("", str(len(self._calls.book))):
                self._counted_at = now
                socket.ask(CHANNELS, self._caught_up)

    def _subscribed(self, frame: Frame) -> None:
        if not frame.text.startswith("+OK"):
            raise LinkBroken(f"the switch sends no events: {reason_of(frame.text)}")

    def _caught_up(self, frame: Frame) -> Emission:
        if frame.body[:1] == b"-":
            raise LinkBroken(f"the switch does not list its channels: {reason_of(frame.text)}")
        try:
            channels = read_channels(frame.body)
        except Malformed as bad:
            raise LinkBroken(bad.detail) from None
        now = _now()
        before = now - timedelta(seconds=self._patience.settle) if self._in_step else self._since
        self._in_step = True
        # The whole list would be kept with each of its events: they are told from others by its name.
        return self._calls.resume(channels, now, before), CHANNELS.encode()

    async def act(self, command: Command) -> str:
        leg = dialled_leg(self._source.name, command.key) if command.deed is Deed.DIAL else ""
        line = api_command(command, leg, self._dialling)
        socket = self._socket
        if socket is None or not self._in_step:
            raise CommandFailed("the telephone system is not connected")
        if leg and (self._calls.book.find(leg) is not None or leg in self._jobs):
            return leg  # the same request again: its call is there, or was
        if max(len(self._jobs), socket.waiting) >= _MOST_JOBS:
            raise CommandFailed("the telephone system has too much to do")
        job = str(uuid4())
        done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        # A phone that begins to ring is an answer too: whether it is picked up, its own events tell.
        names = [job, leg] if leg else [job]
        self._jobs |= dict.fromkeys(names, done)
        try:
            socket.ask(f"bgapi {line}", lambda frame: _refused(done, frame), Job_UUID=job)
            async with asyncio.timeout(self._patience.reply):
                said = await done
        except TimeoutError:
            raise CommandFailed("the telephone system gave no answer") from None
        except LinkBroken:
            raise CommandFailed("the telephone system is not connected") from None
        finally:
            for name in names:
                del self._jobs[name]
        if said.startswith("-"):
            raise CommandFailed(reason_of(said))
        return leg


class FreeswitchLive:
    """The ``LiveProvider`` of sources with ``provider = "freeswitch"``."""

    name = "freeswitch"
    deeds: frozenset[Deed] = DEEDS

    def __init__(self) -> None:
        self._calls: dict[str, EslCalls] = {}  # by source: as many as the settings have

    def session(self, source: CallSource) -> Session:
        return FreeswitchSession(source, self._calls.setdefault(source.name, EslCalls()))


def _settle(done: asyncio.Future[str] | None, said: str) -> None:
    if done is not None and not done.done():
        done.set_result(said.strip())


def _refused(done: asyncio.Future[str], frame: Frame) -> None:
    """The reply to ``bgapi`` only says whether the job began; how it ends, BACKGROUND_JOB says."""
    if frame.text.startswith("-"):
        _settle(done, frame.text)


async def _emit(link: Link, emissions: Sequence[Emission]) -> None:
    """What came in one piece shares a commit; each event keeps the message that it was read from."""
    if len(emissions) < 2:
        for events, raw in emissions:
            await link.emit(events, raw)
        return
    try:
        async with asyncio.TaskGroup() as group:
            for events, raw in emissions:
                group.create_task(link.emit(events, raw))
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None


def _port(source: CallSource) -> int:
    said = source.options.get("port", "8021")
    if not (said.isascii() and said.isdecimal() and len(said) <= 5 and 0 < int(said) < 65536):
        raise SettingsError(f"call_sources.{source.name}.port: must be a port number (8021)")
    return int(said)


def _now() -> datetime:
    return datetime.now(UTC)


LIVE = FreeswitchLive()
