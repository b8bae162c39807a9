"""SMTP load, and its limit: a bare aiosmtpd sink (``python -m bench.mails``) that takes and forgets."""

from __future__ import annotations

import asyncio
import base64
import itertools
import secrets
import signal
from collections.abc import Callable
from time import monotonic
from typing import Any

from bench.load import Outcome

MAIL_BYTES = 20_000


def mail_source(recipient: str, customers: int) -> Callable[[], tuple[bytes, bytes]]:
    """Gives (sender, message) of a new mail each time: 20 KB, multipart/mixed with an alternative inside."""
    numbers, run = itertools.count(), secrets.token_hex(4)
    plain = "The parcel has not arrived. Could you look where it is, please?\r\n" * 45
    rich = "<p>The parcel has not arrived. <b>Could you look where it is, please?</b></p>\r\n" * 45
    picture = base64.encodebytes(bytes(range(256)) * 36).decode().replace("\n", "\r\n")
    body = (
        "--outer\r\nContent-Type: multipart/alternative; boundary=inner\r\n\r\n"
        f"--inner\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{plain}\r\n"
        f"--inner\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{rich}\r\n--inner--\r\n"
        "--outer\r\nContent-Type: image/png; name=photo.png\r\nContent-Transfer-Encoding: base64\r\n"
        f"Content-Disposition: attachment; filename=photo.png\r\n\r\n{picture}\r\n--outer--\r\n"
    )
    assert 0.9 * MAIL_BYTES < len(body) < 1.1 * MAIL_BYTES, len(body)

    def make() -> tuple[bytes, bytes]:
        n = next(numbers)
        sender = f"customer{n * 7919 % customers}@example.org"
        head = (
            f"From: Customer {n} <{sender}>\r\nTo: Support <{recipient}>\r\nSubject: Parcel {n} of {run}\r\n"
            f"Message-ID: <{run}.{n}@example.org>\r\nDate: Mon, 02 Nov 2026 10:00:00 +0000\r\n"
            "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=outer\r\n\r\n"
        )
        return sender.encode(), (head + body).encode() + b".\r\n"

    return make


class SmtpClient(asyncio.Protocol):
    """One SMTP session that sends mail after mail, each answer awaited (no pipelining)."""

    def __init__(self, recipient: str) -> None:
        self.done: Callable[[SmtpClient, int], None] | None = None
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sent_at = 0.0
        self._recipient = recipient.encode()
        self._transport: Any = None
        self._steps: list[bytes] = []
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ready.done():
            self.ready.set_exception(ConnectionError("the SMTP connection was refused"))
        elif self.done is not None:
            self.done(self, 0)

    def send(self, mail: tuple[bytes, bytes]) -> None:
        sender, message = mail
        self.sent_at = monotonic()
        self._steps = [message, b"DATA\r\n", b"RCPT TO:<" + self._recipient + b">\r\n"]
        self._transport.write(b"MAIL FROM:<" + sender + b">\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n")) >= 0:
            line, self._buffer = self._buffer[:end], self._buffer[end + 2 :]
            if line[3:4] != b"-":
                self._answered(int(line[:3]))

    def _answered(self, code: int) -> None:
        if not self.ready.done():
            if code == 220:
                self._transport.write(b"EHLO bench.example.org\r\n")
            else:
                self.ready.set_result(None)
        elif code >= 400 or not self._steps:
            self._steps = []
            if self.done is not None:
                self.done(self, code)
        else:
            self._transport.write(self._steps.pop())

    def close(self) -> None:
        self.done = None
        self._transport.close()


async def connect_smtp(port: int, count: int, recipient: str) -> list[SmtpClient]:
    loop = asyncio.get_running_loop()
    clients = []
    for _ in range(count):
        _, client = await loop.create_connection(lambda: SmtpClient(recipient), "127.0.0.1", port)
        await asyncio.wait_for(client.ready, 10)
        clients.append(client)
    return clients


async def send_mails(
    clients: list[SmtpClient], source: Callable[[], tuple[bytes, bytes]], seconds: float
) -> Outcome:
    """Closed loop for ``seconds``; 250 after the data counts as 2xx."""
    outcome = Outcome()
    started = ended = monotonic()
    until, busy, over = started + seconds, len(clients), asyncio.Event()

    def done(client: SmtpClient, code: int) -> None:
        nonlocal busy, ended
        ended = monotonic()
        outcome.statuses[code] += 1
        if 200 <= code < 300:
            outcome.latencies.append(ended - client.sent_at)
            if ended < until:
                outcome.sent += 1
                client.send(source())
                return
        client.done = None
        busy -= 1
        if not busy:
            over.set()

    for client in clients:
        client.done = done
        outcome.sent += 1
        client.send(source())
    try:
        await asyncio.wait_for(over.wait(), seconds + 20)
    except TimeoutError:
        outcome.unanswered = busy
    outcome.seconds = max(ended - started, 0.001)
    return outcome


class Sink:
    """Takes every mail and forgets it."""

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        return "250 OK"


async def run_sink() -> None:
    from aiosmtpd.smtp import SMTP

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    server = await loop.create_server(lambda: SMTP(Sink(), hostname="sink", loop=loop), "127.0.0.1", 0)
    print(f"ready smtp={server.sockets[0].getsockname()[1]}", flush=True)
    await stop.wait()


if __name__ == "__main__":
    asyncio.run(run_sink())
