"""The event socket's framing and its texts, without I/O: bytes in, frames out; a command in, bytes out.

Source: libs/esl, mod_event_socket and switch_event.c of the switch. A frame is header lines ended by LF, a
blank line, then Content-Length bytes. An event is such a frame's body: again header lines (values
percent-encoded, an empty one as ``_undef_``, the event's own body after an inner Content-Length) or one
JSON object. Whatever comes, memory stays bounded, and the only errors are LinkBroken (the stream is out of
step and cannot go on) and Malformed (this one event makes no sense).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

import orjson

from handlers.telephony.control import CommandFailed
from handlers.telephony.live import LinkBroken
from server.domain.errors import Malformed

MAX_HEAD = 64 * 1024
"""Bytes of a frame's header lines; real ones have less than 200."""
MAX_EVENT = 1024 * 1024
"""Bytes of an event; real ones have 1 to 40 KiB."""
MAX_REPLY = 8 * 1024 * 1024
"""Bytes of the answer to ``api``: the list of some thousand channels."""
MAX_HEADERS = 5000

_CONTROL = re.compile("[\x00-\x1f\x7f]")
_UNDEFINED = "_undef_"


@dataclass(frozen=True, slots=True)
class Frame:
    """``headers`` by their names in lower case."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def kind(self) -> str:
        """auth/request, command/reply, api/response, text/event-plain, text/disconnect-notice, ..."""
        return self.headers["content-type"]

    @property
    def text(self) -> str:
        """What a reply says: ``+OK ...`` or ``-ERR ...``."""
        said = self.headers.get("reply-text") or self.body.decode(errors="replace")
        return said.strip()


@dataclass(frozen=True, slots=True)
class Event:
    headers: Mapping[str, str]
    body: str = ""

    @property
    def name(self) -> str:
        return self.headers.get("Event-Name", "")


class FrameReader:
    """Cuts a stream that comes in any pieces into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._head: Mapping[str, str] | None = None
        self._length = 0

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete now. Raises LinkBroken."""
        self._buffer += data
        frames = []
        while (frame := self._next()) is not None:
            frames.append(frame)
        return frames

    def _next(self) -> Frame | None:
        if self._head is None and not self._read_head():
            return None
        if len(self._buffer) < self._length:
            return None
        frame = Frame(self._head or {}, bytes(self._buffer[: self._length]))
        del self._buffer[: self._length]
        self._head = None
        return frame

    def _read_head(self) -> bool:
        buffer = self._buffer
        blank = 0
        while blank < len(buffer) and buffer[blank] in b"\r\n":
            blank += 1  # a line too many between two frames harms nobody
        if blank:
            del buffer[:blank]
            self._searched = 0
        end = buffer.find(b"\n\n", self._searched)
        if end > MAX_HEAD or (end < 0 and len(buffer) > MAX_HEAD):
            raise LinkBroken("the switch sent header lines without end")
        if end < 0:
            self._searched = max(0, len(buffer) - 1)
            return False
        self._head = _frame_headers(bytes(buffer[:end]))
        self._length = _body_length(self._head)
        del buffer[: end + 2]
        self._searched = 0
        return True


def _frame_headers(head: bytes) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for line in head.decode("latin-1").split("\n"):
        name, colon, value = line.partition(":")
        name = name.strip().lower()
        if not colon or not name:
            raise LinkBroken("the switch is out of step: a line of a frame's head has no name")
        if headers.setdefault(name, value.strip()) != value.strip() and name == "content-length":
            raise LinkBroken("the switch is out of step: two lengths for one frame")
    if not headers.get("content-type"):
        raise LinkBroken("the switch is out of step: a frame without Content-Type")
    return headers


def _body_length(headers: Mapping[str, str]) -> int:
    length = _count(headers.get("content-length", "0"))
    most = MAX_REPLY if headers["content-type"] == "api/response" else MAX_EVENT
    if length is None or length > most:
        raise LinkBroken(f"the switch sent a frame with an impossible length (at most {most} bytes)")
    return length


def _count(value: str) -> int | None:
    if not (value.isascii() and value.isdecimal() and len(value) <= 9):
        return None
    return int(value)


def read_event(frame: Frame) -> Event | None:
    """The event that a frame carries, None when it carries none. Raises Malformed."""
    if frame.kind == "text/event-plain":
        return _read_plain(frame.body)
    if frame.kind == "text/event-json":
        return _read_json(frame.body)
    return None


def _read_plain(body: bytes) -> Event:
    head, _, rest = body.lstrip(b"\n").partition(b"\n\n")
    lines = head.decode(errors="replace").split("\n")
    if len(lines) > MAX_HEADERS:
        raise Malformed(f"an event has more than {MAX_HEADERS} header lines")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise Malformed("a line of an event is no header")
        # unquote, not unquote_plus: a plus is a plus here.
        value = unquote(value.strip(), errors="replace")
        if value and value != _UNDEFINED:
            headers.setdefault(name.strip(), value)
    inner = headers.get("Content-Length")
    if inner is None:
        return Event(headers)
    length = _count(inner)
    if length is None or length > len(rest):
        raise Malformed("an event's own body is shorter than it says")
    return Event(headers, rest[:length].decode(errors="replace"))


def _read_json(body: bytes) -> Event:
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError as bad:
        raise Malformed(f"an event's JSON cannot be read: {bad}") from None
    if not isinstance(said, dict) or len(said) > MAX_HEADERS:
        raise Malformed("an event's JSON must be an object of header lines")
    headers = texts_of(said)
    return Event(headers, headers.pop("_body", ""))


def texts_of(said: Mapping[str, object]) -> dict[str, str]:
    """The texts and whole numbers of a JSON object; what is empty, ``_undef_`` or nested is left out."""
    found = {}
    for name, value in said.items():
        text = str(value) if isinstance(value, int) else value
        if isinstance(text, str) and text and text != _UNDEFINED:
            found[name] = text
    return found


def command(line: str, **headers: str) -> bytes:
    """A command as it goes out; a header's name is written ``Job_UUID``. Raises CommandFailed.

    No part of it may start a second command: what has a line break in it is refused.
    """
    lines = [line, *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    if not line or any(_CONTROL.search(one) for one in lines):
        raise CommandFailed("that cannot be said to the telephone system: it has control characters")
    return ("\n".join(lines) + "\n\n").encode(errors="replace")
