"""The bytes of AMI, Asterisk's manager interface (main/manager.c, protocols 5 to 13), without any I/O.

The PBX greets with one line, ``Asterisk Call Manager/13.0.0``. After it everything is a message: lines
``Key: value`` ended by CR LF, and an empty line. Keys are read in any case; of a repeated key the first
value counts, so that nothing appended later can replace it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

MAX_FRAME = 64 * 1024
"""Of a longer message the first lines are kept; what a call needs stands in the first thousand bytes."""
MAX_LINES = 400
BANNER = "Asterisk Call Manager"

_FRAME_END = re.compile(rb"\n\r?\n")
_CONTROL = re.compile("[\x00-\x1f\x7f]")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ESCAPES |= {char: char for char in "\\\"'?"}


@dataclass(frozen=True, slots=True)
class Message:
    """One message; ``fields`` are by lower-case key, values trimmed."""

    raw: bytes
    fields: Mapping[str, str]

    @property
    def event(self) -> str:
        return self.fields.get("event", "")

    def get(self, key: str) -> str:
        return self.fields.get(key, "")


class AmiFramer:
    """Cuts a stream into messages, however it was split. Memory is bounded, garbage is no error."""

    def __init__(self, *, banner: bool = True) -> None:
        self.banner: str | None = None if banner else ""
        self._buffer = bytearray()
        self._scanned = 0
        self._head: bytes | None = None  # of a message that is too long, while its end is awaited

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that ``data`` completes, as raw bytes without their empty line."""
        buffer = self._buffer
        buffer += data
        if self.banner is None and not self._greeted():
            return []
        frames: list[bytes] = []
        start = 0
        while (end := _FRAME_END.search(buffer, max(start, self._scanned - 3))) is not None:
            frame = self._head if self._head is not None else bytes(buffer[start : end.start()])
            self._head = None
            start = self._scanned = end.end()
            if frame.strip():
                frames.append(frame)
        del buffer[:start]
        self._scanned = len(buffer)
        if len(buffer) > MAX_FRAME:
            if self._head is None:
                # The line that was cut is dropped with the rest.
                self._head = bytes(buffer[:MAX_FRAME]).rpartition(b"\n")[0]
            del buffer[:-3]
            self._scanned = len(buffer)
        return frames

    def _greeted(self) -> bool:
        """The greeting is one line without an empty line after it."""
        buffer = self._buffer
        end = buffer.find(b"\n", 0, 256)
        if end < 0 and len(buffer) < 256:
            return False
        self.banner = bytes(buffer[: end if end >= 0 else 256]).decode("latin-1").strip()
        del buffer[: end + 1]
        return True


def peek_event(frame: bytes) -> str:
    """The event's name, without reading the rest: most messages are of no interest. "" for a response."""
    if frame[:7].lower() != b"event: ":
        return read_message(frame).event
    return frame[7 : frame.find(b"\n") if b"\n" in frame else len(frame)].decode("latin-1").strip()


def read_message(frame: bytes) -> Message:
    fields: dict[str, str] = {}
    for line in frame.split(b"\n", MAX_LINES)[:MAX_LINES]:
        key, colon, value = line.partition(b":")
        if colon:
            fields.setdefault(key.decode("latin-1").strip().lower(), _text(value))
    return Message(frame, fields)


def _text(value: bytes) -> str:
    """UTF-8; what is none is taken for Latin-1, so that no letter of a name is lost."""
    try:
        return value.decode().strip()
    except UnicodeDecodeError:
        return value.decode("latin-1").strip()


def unescape(name: str) -> str:
    """A caller's name as it was before ``ast_escape_c``; line ends and other controls become spaces."""
    if "\\" in name:
        name = _ESCAPED.sub(lambda found: _ESCAPES.get(found[1], found[0]), name)
    return _CONTROL.sub(" ", name)


def write_action(name: str, fields: Iterable[tuple[str, str]]) -> bytes:
    """An action's bytes. Raises ValueError for a value that would start another line."""
    lines = [("Action", name), *fields]
    for key, value in lines:
        if _CONTROL.search(value):
            raise ValueError(f"{key} has control characters")
    return "".join(f"{key}: {value}\r\n" for key, value in lines).encode("utf-8", "replace") + b"\r\n"
