"""SMTP and LMTP on one port (RFC 5321, 2033): a mail is answered with 250 only after it is kept.

The client chooses by its greeting: EHLO or HELO is SMTP, LHLO is LMTP, which gets one reply for
each recipient. A database that is away, and any fault of ours, is 451: the sender keeps the mail
and comes again. aiosmtpd keeps the conversation; the data is read here, because it must be read in
large pieces (a line at a time costs more than the rest of the mail) and because a bare CR or LF in
it is refused (two servers that disagree about the end of the data let a second mail be smuggled in).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, cast

import structlog
from aiosmtpd.smtp import SMTP, Envelope, Session, syntax

from handlers.mail.bucket import Bucket
from server.domain.errors import TooLarge, Unavailable

logging.getLogger("mail.log").setLevel(logging.ERROR)  # it writes addresses and lines of mails
log = structlog.get_logger("smtp")

TakeIn = Callable[[bytes, str, list[str], str], Awaitable[None]]

MAX_RECIPIENTS = 100
COMMAND_TIMEOUT_SECONDS = 120.0
DATA_TIMEOUT_SECONDS = 600.0
COMMIT_TIMEOUT_SECONDS = 60.0
STOP_SECONDS = 5.0
_READ_BYTES = 1 << 20
_END = b"\r\n.\r\n"
_MAIL_PATH = re.compile(
    r'\s*<((?:@[^\s<>:]{1,255}:)?(?:"(?:[^"\\]|\\.){1,128}"|[^\s<>"@]{1,128})(?:@[^\s<>@"]{1,255})?)>(.*)\Z'
)
_BARE_PATH = re.compile(r"\s*([^\s<>@\"]{1,128}@[^\s<>@\"]{1,255})((?:\s.*)?)\Z")
_CONTROL = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_CODED = re.compile(r"([245]\d\d) (?![245]\.\d{1,3}\.\d{1,3}(?: |$))(.*)\Z", re.DOTALL)
# RFC 3463 codes for the replies that aiosmtpd writes without
_ENHANCED = {
    "250": "2.0.0",
    "251": "2.1.5",
    "252": "2.5.0",
    "221": "2.0.0",
    "451": "4.3.0",
    "500": "5.5.2",
    "501": "5.5.4",
    "502": "5.5.1",
    "503": "5.5.1",
    "550": "5.1.1",
    "552": "5.3.4",
    "553": "5.1.3",
    "554": "5.5.0",
    "555": "5.5.4",
}


class MailDoor:
    """The listener. ``take_in(raw, envelope_from, rcpt_to, peer)`` returns once the mail is committed;
    ``envelope_from`` is "" for the null sender. It may raise Unavailable (451), TooLarge (552) or
    anything else (451: never lost, never bounced for a fault of ours). It should read mails over
    256 KB in a thread."""

    def __init__(
        self,
        *,
        knows_recipient: Callable[[str], bool],
        take_in: TakeIn,
        max_bytes: int = 25 * 1024 * 1024,
        hostname: str = "ringpost",
        max_connections: int = 200,
        max_connections_per_peer: int = 50,
        mails_per_second: float = 20.0,
        burst: int = 200,
        trusted_peers: frozenset[str] = frozenset({"127.0.0.1", "::1", "local"}),
        command_timeout_seconds: float = COMMAND_TIMEOUT_SECONDS,
    ) -> None:
        """``trusted_peers`` (the mail server in front, as a rule on this machine) are not rate limited."""
        self.knows_recipient = knows_recipient
        self.take_in = take_in
        self.max_bytes = max_bytes
        self.hostname = hostname
        self.command_timeout_seconds = command_timeout_seconds
        self._max_connections = max_connections
        self._max_per_peer = max_connections_per_peer
        self._trusted = trusted_peers
        self._bucket = Bucket(mails_per_second, burst)
        self._open: set[_Conversation] = set()
        self._per_peer: Counter[str] = Counter()
        self._taking: set[asyncio.Task[None]] = set()
        self._answering = 0
        self._idle = asyncio.Event()
        self._server: asyncio.Server | None = None
        self.stopping = False

    async def start(self, host: str, port: int) -> int:
        """Listen; the port that was given out when ``port`` is 0."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Conversation(self, loop), host, port, backlog=256)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Take no new mail, finish what is being committed, say goodbye."""
        self.stopping = True
        if self._server is not None:
            self._server.close()
        if self._answering:
            self._idle.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), STOP_SECONDS)
        for conversation in list(self._open):
            conversation.say_goodbye("421 4.3.2 going down, come again")
        self._server = None

    def admit(self, conversation: _Conversation, peer: str) -> bool:
        """Count a new connection; False when there are too many."""
        trusted = peer in self._trusted
        full = len(self._open) >= self._max_connections
        if self.stopping or full or (not trusted and self._per_peer[peer] >= self._max_per_peer):
            return False
        self._open.add(conversation)
        self._per_peer[peer] += 1
        return True

    def leave(self, conversation: _Conversation, peer: str) -> None:
        if conversation in self._open:
            self._open.remove(conversation)
            self._per_peer[peer] -= 1
            if self._per_peer[peer] <= 0:
                del self._per_peer[peer]

    def may_send(self, peer: str) -> bool:
        return peer in self._trusted or self._bucket.take(peer, asyncio.get_running_loop().time())

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """From the end of the data to the reply; ``stop`` waits for it."""
        self._answering += 1
        try:
            yield
        finally:
            self._answering -= 1
            if self._answering == 0:
                self._idle.set()

    async def keep(self, raw: bytes, envelope_from: str, rcpt_to: list[str], peer: str) -> str:
        """The reply for one mail. The commit goes on when the client hangs up meanwhile: half a
        transaction helps nobody, and a repeated mail is known by its Message-ID."""
        task: asyncio.Task[None] = asyncio.ensure_future(self._take(raw, envelope_from, rcpt_to, peer))
        self._taking.add(task)
        task.add_done_callback(self._taking.discard)
        task.add_done_callback(_mark_seen)
        try:
            await asyncio.wait_for(asyncio.shield(task), COMMIT_TIMEOUT_SECONDS)
        except TooLarge as error:
            return f"552 5.3.4 {_one_line(error.detail)}"
        except (Unavailable, TimeoutError):
            return "451 4.3.2 cannot take mail now, come again"
        except Exception:
            log.exception("mail_not_taken")
            return "451 4.3.0 something went wrong here, come again"
        return "250 2.0.0 kept"

    async def _take(self, raw: bytes, envelope_from: str, rcpt_to: list[str], peer: str) -> None:
        await self.take_in(raw, envelope_from, rcpt_to, peer)


def _mark_seen(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()


def _one_line(text: str) -> str:
    return " ".join(text.split()).encode("ascii", "replace").decode()[:200]


class _Hooks:
    """What aiosmtpd asks: recipients one by one, and what to say when something breaks."""

    def __init__(self, door: MailDoor) -> None:
        self._door = door

    async def handle_MAIL(
        self, smtp: _Conversation, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self._door.stopping:
            return "421 4.3.2 going down, come again"
        if not self._door.may_send(smtp.peer):
            return "451 4.7.1 too many mails from you, come again later"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 sender ok"

    async def handle_RCPT(
        self, smtp: _Conversation, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if len(envelope.rcpt_tos) >= MAX_RECIPIENTS:
            return "452 4.5.3 too many recipients"
        if not self._door.knows_recipient(address):
            return "550 5.1.1 no such address here"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 recipient ok"

    async def handle_exception(self, error: Exception) -> str:
        log.error("smtp_conversation_failed", error=type(error).__name__, exc_info=error)
        return "451 4.3.0 something went wrong here, come again"


class _Conversation(SMTP):
    """One connection."""

    line_length_limit = 65_536  # the reader's buffer; a command's own limit is 512 and what EHLO adds

    def __init__(self, door: MailDoor, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            _Hooks(door),
            data_size_limit=door.max_bytes,
            enable_SMTPUTF8=True,
            hostname=door.hostname,  # or it would ask the resolver for the machine's name
            ident="Ringpost ready",
            timeout=door.command_timeout_seconds,
            command_call_limit={"*": 10_000, "NOOP": 100, "RSET": 10_000, "VRFY": 20, "HELP": 20, "EXPN": 20},
            loop=loop,
        )
        self._door = door
        self._lmtp = False
        self._refused = False
        self.peer = ""
        for verb in ("AUTH", "STARTTLS"):
            self._smtp_methods.pop(verb, None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        name = transport.get_extra_info("peername")
        self.peer = str(name[0]) if isinstance(name, tuple) and name else "local"
        if not self._door.admit(self, self.peer):
            self._refused = True
            cast(asyncio.WriteTransport, transport).write(b"421 4.7.0 too many connections, come again\r\n")
            transport.close()
            return
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if not self._refused:
            self._door.leave(self, self.peer)
            super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        if not self._refused:
            super().data_received(data)

    def eof_received(self) -> bool | None:
        return False if self._refused else super().eof_received()

    def say_goodbye(self, line: str) -> None:
        if isinstance(self.transport, asyncio.WriteTransport) and not self.transport.is_closing():
            self.transport.write(f"{line}\r\n".encode())
            self.transport.close()

    async def push(self, status: Any) -> None:
        """Every reply carries an enhanced status code (RFC 2034)."""
        if isinstance(status, str):
            match = _CODED.match(status)
            if match and not (match[1] == "250" and match[2] == self.hostname):
                code = _ENHANCED.get(match[1], f"{match[1][0]}.0.0")
                status = f"{match[1]} {code} {match[2]}"
            status = status.encode("ascii", "replace")
        await super().push(status)

    @syntax("EHLO hostname")
    async def smtp_EHLO(self, hostname: str) -> None:
        await self._greet(hostname, lmtp=False)

    @syntax("LHLO hostname")
    async def smtp_LHLO(self, hostname: str) -> None:
        await self._greet(hostname, lmtp=True)

    @syntax("HELO hostname")
    async def smtp_HELO(self, hostname: str) -> None:
        self._lmtp = False
        await super().smtp_HELO(hostname)

    async def _greet(self, hostname: str, *, lmtp: bool) -> None:
        if not hostname:
            await self.push(f"501 5.5.4 Syntax: {'LHLO' if lmtp else 'EHLO'} hostname")
            return
        self._set_rset_state()  # type: ignore[no-untyped-call]
        session = cast(Session, self.session)
        session.extended_smtp = True
        session.host_name = hostname
        self._lmtp = lmtp
        self.command_size_limits["MAIL"] = self.command_size_limit + 600
        self.command_size_limits["RCPT"] = self.command_size_limit + 600
        offers = ("PIPELINING", f"SIZE {self._door.max_bytes}", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")
        lines = [self.hostname, *offers]
        reply = "\r\n".join(f"250{' ' if line is lines[-1] else '-'}{line}" for line in lines)
        await super().push(reply.encode("ascii", "replace"))

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        """The path of MAIL or RCPT, without the slow general header parser; None when malformed."""
        if _CONTROL.search(arg):
            return None, None
        if arg.startswith("<>"):
            return "<>", arg[2:].strip()
        match = _MAIL_PATH.match(arg) or _BARE_PATH.match(arg)
        if match is None:
            return None, None
        path = match[1]
        return (path.rpartition(":")[2] if path.startswith("@") else path), match[2].strip()

    @syntax("VRFY <address>")
    async def smtp_VRFY(self, arg: str) -> None:
        await self.push("252 2.5.0 send it and see")

    @syntax("DATA")
    async def smtp_DATA(self, arg: str) -> None:
        if await self.check_helo_needed("LHLO" if self._lmtp else "EHLO"):
            return
        envelope = cast(Envelope, self.envelope)
        if not envelope.rcpt_tos:
            await self.push("503 5.5.1 no valid recipients")
            return
        if arg:
            await self.push("501 5.5.4 Syntax: DATA")
            return
        self._reset_timeout(DATA_TIMEOUT_SECONDS)
        await self.push("354 end with <CR><LF>.<CR><LF>")
        raw = await self._read_data()
        if self.transport is None:
            return
        with self._door.answering():
            await self._answer(raw, envelope)

    async def _answer(self, raw: bytes | None, envelope: Envelope) -> None:
        if raw is None:
            reply = f"552 5.3.4 larger than {self._door.max_bytes} bytes"
        elif raw.count(b"\r\n") != raw.count(b"\n") or raw.count(b"\r\n") != raw.count(b"\r"):
            reply = "554 5.5.2 bare CR or LF in the mail (RFC 5321 section 2.3.8)"
        else:
            self._reset_timeout(COMMIT_TIMEOUT_SECONDS + 10)
            sender = "" if envelope.mail_from in (None, "<>") else str(envelope.mail_from)
            recipients = list(dict.fromkeys(str(address) for address in envelope.rcpt_tos))
            reply = await self._door.keep(raw, sender, recipients, self.peer)
        replies = len(envelope.rcpt_tos) if self._lmtp else 1
        self._set_post_data_state()  # type: ignore[no-untyped-call]
        self._reset_timeout()
        for _ in range(replies):
            await self.push(reply)

    def _hang_up(self) -> None:
        if self.transport is not None:
            self.transport.close()

    async def _read_data(self) -> bytes | None:
        """The data, dots unstuffed; None when it was too large (it is read to its end all the same)."""
        limit = self._door.max_bytes
        pieces: list[bytes] = []
        size = 0
        tail = b"\r\n"  # the end of the DATA line is the first half of an empty mail's end
        too_large = False
        while True:
            piece = await self._reader.read(_READ_BYTES)
            if not piece:  # gone in the middle
                self._hang_up()
                return None
            window = tail + piece
            end = window.find(_END)
            if end != -1:
                # the buffer was emptied by the read: what belongs to the next command goes back
                rest = window[end + len(_END) :]
                if rest:
                    self._reader.feed_data(rest)
                # all of the end beyond what earlier pieces hold
                pieces.append(piece[: max(0, end + len(_END) - len(tail))])
                break
            tail = window[-(len(_END) - 1) :]
            size += len(piece)
            if size > limit + len(_END):
                too_large = True
                pieces.clear()
            if size > 4 * limit:  # whoever goes on and on is not waited for
                self._hang_up()
                return None
            if not too_large:
                pieces.append(piece)
        if too_large:
            return None
        data = b"".join(pieces)
        data = data[: -len(b".\r\n")]
        if data.startswith(b"."):
            data = data[1:]
        data = data.replace(b"\r\n.", b"\r\n")
        return data if len(data) <= limit else None
