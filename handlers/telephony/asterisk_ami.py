"""Asterisk over AMI: one live TCP or TLS connection, watched for calls and used for the agents' deeds.

Spoken here, without a third-party client: panoramisk's defaults drop bytes that are not ASCII.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from handlers.telephony.ami_calls import WANTED, AmiCalls
from handlers.telephony.ami_deeds import DEEDS, Action, action_for
from handlers.telephony.ami_options import Options, read_options
from handlers.telephony.ami_wire import BANNER, AmiFramer, Message, peek_event, read_message, write_action
from handlers.telephony.control import Command, CommandFailed
from handlers.telephony.live import Link, LinkBroken
from handlers.telephony.provider import CallSource
from server.domain.event import CallEvent

MAX_WAITING = 50_000
"""Messages read and not yet taken in; beyond that the connection is given up and brought in step anew."""
FIRST_SIGN_SECONDS = 2.0
LISTED = ("CoreShowChannelsComplete", "StatusComplete")
NOT_LISTED = "the calls that already went on are not known: add reporting to write= of the manager user"
UNREACHABLE = "the PBX cannot ring your phone: is it switched on and logged in?"
BROKEN = "the connection to the PBX broke"
_CHUNK = 65_536


@dataclass(slots=True)
class Kept:
    """What outlives one connection: the calls that go on, and what could not be handed over yet."""

    calls: AmiCalls
    unsent: deque[tuple[list[CallEvent], bytes]] = field(default_factory=deque)
    dialled: deque[str] = field(default_factory=lambda: deque(maxlen=1000))


class Refused(LinkBroken):
    """The PBX knows the user by another secret."""


class AmiSession:
    """One connection's life. What is read waits in ``_frames`` until it is taken in, in order."""

    def __init__(self, options: Options, kept: Kept) -> None:
        self._options = options
        self._kept = kept
        self._frames: asyncio.Queue[bytes | Exception] = asyncio.Queue()
        self._replies: dict[str, asyncio.Future[Message]] = {}
        self._dialling: dict[str, asyncio.Future[str]] = {}  # first channel -> "" when it exists, or why not
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._count = 0
        self._ready = False

    # -- the session's parts ---------------------------------------------------------------------

    async def run(self, link: Link) -> None:
        """Raises LinkBroken, OSError or TimeoutError when the connection ends."""
        try:
            await self._log_in()
            await self._hand_over(link)
            deadline = None
            if await self._ask_for_channels():
                deadline = asyncio.get_running_loop().time() + self._options.timeout_seconds
            else:
                link.up(NOT_LISTED)
            self._ready = True
            taken = 0
            while True:
                frame = await self._next(deadline)
                message = read_message(frame)
                events = self._kept.calls.take(message, datetime.now(UTC))
                if events:
                    self._kept.unsent.append((events, frame))
                    await self._hand_over(link)
                self._note_dialled()
                if message.event in LISTED:
                    deadline = None
                    link.up()
                taken += 1
                if taken % 100 == 0:
                    await asyncio.sleep(0)  # a flood leaves the loop to others too
        finally:
            await self._close()

    async def act(self, command: Command) -> str:
        """As ``Control.act``."""
        if not self._ready:
            raise CommandFailed("the PBX is not connected")
        calls = self._kept.calls
        action = action_for(command, self._options.plan, calls.name_of)
        if action.call_key and action.call_key in self._kept.dialled:
            return action.call_key
        try:
            if action.call_key:
                return await self._dial(action)
            reply = await self._ask(action.name, *action.fields)
        except (LinkBroken, OSError, TimeoutError):
            raise CommandFailed("the PBX does not answer") from None
        _check(reply)
        return ""

    async def _dial(self, action: Action) -> str:
        """Returns when the agent's phone is being called; it may take long until it is picked up."""
        uid = action.call_key
        self._kept.calls.expect(uid, action.target)
        self._kept.dialled.append(uid)
        sign = self._dialling[uid] = asyncio.get_running_loop().create_future()
        try:
            _check(await self._ask(action.name, *action.fields, action_id=uid))
            done, _ = await asyncio.wait({sign}, timeout=FIRST_SIGN_SECONDS)
            if done and sign.result():
                raise CommandFailed(sign.result())
        except BaseException:
            with suppress(ValueError):
                self._kept.dialled.remove(uid)  # it may be tried again
            raise
        finally:
            self._dialling.pop(uid, None)
        return uid

    def _note_dialled(self) -> None:
        for uid, sign in self._dialling.items():
            if not sign.done() and self._kept.calls.name_of(uid) is not None:
                sign.set_result("")

    # -- connecting ------------------------------------------------------------------------------

    async def _log_in(self) -> None:
        """A refusal ends the connection, so each secret (old and new ones are valid) has one of its own."""
        for secret in self._options.secrets:
            await self._connect()
            try:
                await self._present(secret)
            except Refused:
                await self._close()
                continue
            return
        raise LinkBroken(
            f"the PBX refused the login of {self._options.username!r}: check username and secrets"
        )

    async def _connect(self) -> None:
        options = self._options
        context = ssl.create_default_context(cafile=options.tls_ca or None) if options.tls else None
        framer = AmiFramer()
        async with asyncio.timeout(options.timeout_seconds):
            reader, self._writer = await asyncio.open_connection(options.host, options.port, ssl=context)
            while framer.banner is None:
                data = await reader.read(_CHUNK)
                if not data:
                    raise LinkBroken(
                        f"{options.host}:{options.port} closed the connection without a greeting"
                    )
                for frame in framer.feed(data):
                    self._sort(frame)
        if not framer.banner.startswith(BANNER):
            raise LinkBroken(f"{options.host}:{options.port} does not speak AMI: {framer.banner[:60]!r}")
        self._reading = asyncio.create_task(self._read(reader, framer), name="ami-reader")

    async def _present(self, secret: str) -> None:
        """Raises Refused."""
        options = self._options
        who = ("Username", options.username)
        if options.login == "md5":
            challenge = (await self._ask("Challenge", ("AuthType", "MD5"))).get("challenge")
            if not challenge:
                raise LinkBroken('the PBX offers no login by MD5: set login = "plain"')
            key = hashlib.md5((challenge + secret).encode(), usedforsecurity=False).hexdigest()
            proof: tuple[tuple[str, str], ...] = (("AuthType", "MD5"), who, ("Key", key))
        else:
            proof = (who, ("Secret", secret))
        reply = await self._ask("Login", *proof, ("Events", options.events))
        if reply.get("response") != "Success":
            raise Refused(reply.get("message"))

    async def _ask_for_channels(self) -> bool:
        """CoreShowChannels needs the privilege reporting, Status the privilege call."""
        self._kept.calls.begin_resync()
        for name in ("CoreShowChannels", "Status"):
            if (await self._ask(name)).get("response") == "Success":
                return True
        return False

    async def _close(self) -> None:
        self._ready = False
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})
            self._reading = None
        self._fail_waiting()
        if self._writer is not None:
            self._writer.close()
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(1):
                    await self._writer.wait_closed()
            self._writer = None
        self._frames = asyncio.Queue()

    # -- reading and writing ---------------------------------------------------------------------

    async def _read(self, reader: asyncio.StreamReader, framer: AmiFramer) -> None:
        """Reads until the connection breaks; why it broke comes last into ``_frames``."""
        try:
            await self._read_on(reader, framer)
        except Exception as broken:
            self._fail_waiting()
            self._frames.put_nowait(broken)

    async def _read_on(self, reader: asyncio.StreamReader, framer: AmiFramer) -> None:
        options, pinged = self._options, False
        while True:
            try:
                async with asyncio.timeout(options.timeout_seconds if pinged else options.ping_seconds):
                    data = await reader.read(_CHUNK)
            except TimeoutError:
                if pinged:
                    raise LinkBroken("the PBX is silent") from None
                pinged = True
                self._write("Ping", ("ActionID", "ping"))
                continue
            if not data:
                raise LinkBroken("the PBX closed the connection")
            pinged = False
            for frame in framer.feed(data):
                self._sort(frame)
            if self._frames.qsize() > MAX_WAITING:
                raise LinkBroken("the PBX tells more than can be taken in")
            await asyncio.sleep(0)

    def _sort(self, frame: bytes) -> None:
        event = peek_event(frame)
        if event in WANTED:
            if event != "Newexten" or b"voicemail" in frame.lower():
                self._frames.put_nowait(frame)
        elif event == "OriginateResponse":
            # An event with a Response field, which is no response.
            message = read_message(frame)
            sign = self._dialling.get(message.get("actionid"))
            if sign is not None and not sign.done():
                sign.set_result("" if message.get("response") == "Success" else UNREACHABLE)
        elif not event:
            message = read_message(frame)
            waiting = self._replies.get(message.get("actionid"))
            if waiting is not None and not waiting.done() and "response" in message.fields:
                waiting.set_result(message)

    async def _next(self, deadline: float | None) -> bytes:
        async with asyncio.timeout_at(deadline):
            item = await self._frames.get()
        if isinstance(item, Exception):
            raise item
        return item

    async def _ask(self, name: str, *fields: tuple[str, str], action_id: str = "") -> Message:
        """The reply to an action. Raises LinkBroken, OSError or TimeoutError."""
        self._count += 1
        action_id = action_id or f"ringpost-{self._count}"
        reply: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._replies[action_id] = reply
        try:
            async with asyncio.timeout(self._options.timeout_seconds):
                self._write(name, ("ActionID", action_id), *fields)
                if self._writer is not None:
                    await self._writer.drain()
                return await reply
        finally:
            self._replies.pop(action_id, None)

    def _write(self, name: str, *fields: tuple[str, str]) -> None:
        if self._writer is None or self._writer.is_closing():
            raise LinkBroken("the connection to the PBX is closed")
        self._writer.write(write_action(name, fields))

    def _fail_waiting(self) -> None:
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(LinkBroken(BROKEN))
        for sign in self._dialling.values():
            if not sign.done():
                sign.set_result(BROKEN)

    async def _hand_over(self, link: Link) -> None:
        """What was not taken when a connection broke is handed over first on the next: nothing is lost."""
        unsent = self._kept.unsent
        while unsent:
            events, raw = unsent[0]
            await link.emit(events, raw)
            unsent.popleft()


class AmiLive:
    """The ``LiveProvider`` of sources with ``provider = "asterisk_ami"``."""

    name = "asterisk_ami"
    deeds = DEEDS

    def __init__(self) -> None:
        self._kept: dict[tuple[str, ...], Kept] = {}

    def session(self, source: CallSource) -> AmiSession:
        options = read_options(source)
        trunk = source.options.get("trunk", "")
        # A connection that comes back must know which calls went on before, to close those that ended.
        key = (source.name, options.host, str(options.port), trunk)
        kept = self._kept.setdefault(key, Kept(AmiCalls(trunk)))
        return AmiSession(options, kept)


def _check(reply: Message) -> None:
    """Raises CommandFailed unless the PBX agreed."""
    if reply.get("response") == "Success":
        return
    said = reply.get("message") or "no"
    if said.lower().startswith("permission denied"):
        said += " (its manager user needs write = call,originate)"
    raise CommandFailed(f"the PBX said: {said[:200]}")


LIVE = AmiLive()
