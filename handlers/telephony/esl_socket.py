"""A logged-in connection to the event socket: frames in, commands out, each reply to who asked."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from handlers.telephony.esl_wire import Frame, FrameReader, command
from handlers.telephony.live import LinkBroken
from server.domain.event import CallEvent

Emission = tuple[list[CallEvent], bytes]
"""Events and the message that they were read from."""
Answered = Callable[[Frame], Emission | None]

_CHUNK = 64 * 1024
GONE = {
    "text/disconnect-notice": "the switch ended the connection",
    "text/rude-rejection": "the switch refuses our address: see apply-inbound-acl in event_socket.conf.xml",
}


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds. The switch sends a HEARTBEAT every 20: ``silence`` without a message is answered by a
    question, ``reply`` more without one breaks the link.

    ``settle``: so far the switch's list of channels may run behind its events. ``recount``: between two
    looks at the list because a heartbeat counts otherwise than we do.
    """

    login: float = 10
    silence: float = 30
    reply: float = 10
    settle: float = 15
    recount: float = 60


class EslSocket:
    """Made by ``log_in``; to be closed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._cut = FrameReader()
        self._read: deque[Frame] = deque()
        self._asked: deque[Answered] = deque()  # replies come in the order in which was asked

    @property
    def waiting(self) -> int:
        """Replies that are still to come."""
        return len(self._asked)

    async def frames(self) -> list[Frame]:
        """What came next; empty when it completes no frame. Raises LinkBroken."""
        if not self._read:
            await self._receive()
        found = list(self._read)
        self._read.clear()
        return found

    async def next_frame(self) -> Frame:
        while not self._read:
            await self._receive()
        return self._read.popleft()

    async def _receive(self) -> None:
        await asyncio.sleep(0)  # in a flood nothing is waited for: the others get their turn here
        try:
            data = await self._reader.read(_CHUNK)
        except OSError as bad:
            raise LinkBroken(f"the connection to the switch broke: {bad.strerror or bad}") from None
        if not data:
            raise LinkBroken("the switch closed the connection")
        self._read.extend(self._cut.feed(data))

    def ask(self, line: str, answered: Answered, **headers: str) -> None:
        """Raises LinkBroken, and CommandFailed for what cannot be said."""
        said = command(line, **headers)
        self._write(said)
        self._asked.append(answered)

    def answer(self, frame: Frame) -> Emission | None:
        if not self._asked:
            raise LinkBroken("the switch is out of step: an answer that nobody asked for")
        return self._asked.popleft()(frame)

    def say_password(self, password: str) -> None:
        self._write(command(f"auth {password}"))

    def _write(self, said: bytes) -> None:
        if self._writer.is_closing():
            raise LinkBroken("the switch closed the connection")
        self._writer.write(said)

    async def close(self) -> None:
        self._writer.close()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(1):
                await self._writer.wait_closed()


async def log_in(host: str, port: int, passwords: Sequence[str], patience: Patience) -> EslSocket:
    """A wrong password ends the connection, so that each is tried on one of its own. Raises LinkBroken."""
    for password in passwords:
        socket = await _connect(host, port, patience)
        accepted = False
        try:
            async with asyncio.timeout(patience.login):
                await _expect(socket, "auth/request")
                socket.say_password(password)
                accepted = (await _expect(socket, "command/reply")).text.startswith("+OK")
            if accepted:
                return socket
        except TimeoutError:
            raise LinkBroken(f"{host}:{port} does not answer as an event socket does") from None
        finally:
            if not accepted:
                await socket.close()
    raise LinkBroken("the switch refuses the password: secrets must be that of event_socket.conf.xml")


async def _connect(host: str, port: int, patience: Patience) -> EslSocket:
    try:
        async with asyncio.timeout(patience.login):
            return EslSocket(*await asyncio.open_connection(host, port))
    except TimeoutError:
        raise LinkBroken(f"no connection to {host}:{port}: no answer in time") from None
    except OSError as bad:
        raise LinkBroken(f"no connection to {host}:{port}: {bad.strerror or bad}") from None


async def _expect(socket: EslSocket, kind: str) -> Frame:
    """The next frame, which must be of that kind: before the subscription nothing else comes."""
    frame = await socket.next_frame()
    if frame.kind != kind:
        raise LinkBroken(GONE.get(frame.kind, "what answers there is no event socket"))
    return frame
