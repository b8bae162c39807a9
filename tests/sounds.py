"""Recordings for tests: sound files of every kind, and a provider on loopback that serves them."""

from __future__ import annotations

import asyncio
import io
import math
import ssl
import struct
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.test_utils import TestServer


def wav(seconds: float = 1.0, hertz: int = 440, rate: int = 8000) -> bytes:
    """A tone, 16 bits, one channel."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        tone = (int(9000 * math.sin(math.tau * hertz * n / rate)) for n in range(int(seconds * rate)))
        file.writeframes(b"".join(struct.pack("<h", sample) for sample in tone))
    return out.getvalue()


def mp3(frames: int = 100, *, xing: bool = False, id3: bytes = b"") -> bytes:
    """Silent frames of MPEG-1 layer III, 64 kbit/s, 44.1 kHz, one channel."""
    header, length = bytes((0xFF, 0xFB, 0x50, 0xC0)), 144 * 64000 // 44100
    first = header + bytes(length - 4)
    if xing:
        first = header + bytes(17) + b"Xing" + struct.pack(">II", 1, frames)
        first += bytes(length - len(first))
    if id3:
        size = len(id3)
        tag = bytes((size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127))
        id3 = b"ID3\x04\0\0" + tag + id3
    return id3 + first + (header + bytes(length - 4)) * (frames - 1)


def ogg(seconds: float = 2.0, codec: bytes = b"OpusHead") -> bytes:
    """The first and the last page; what lies between is nobody's concern here."""
    heads = {
        b"OpusHead": (
            b"OpusHead" + struct.pack("<BBHIHB", 1, 1, 312, 48000, 0, 0),
            int(seconds * 48000) + 312,
        ),
        b"vorbis": (b"\x01vorbis" + struct.pack("<IBI", 0, 1, 44100) + bytes(14), int(seconds * 44100)),
        b"theora": (b"\x80theora" + bytes(30), 1),
    }
    payload, position = heads[codec]
    return _page(payload, 0) + _page(bytes(200), position)


def _page(payload: bytes, position: int) -> bytes:
    return b"OggS\0\0" + struct.pack("<qIII", position, 1, 0, 0) + bytes((1, len(payload))) + payload


def flac(seconds: int = 3) -> bytes:
    packed = 8000 << 44 | 0 << 41 | 15 << 36 | seconds * 8000
    return b"fLaC\x80\0\0\x22" + bytes(10) + struct.pack(">Q", packed) + bytes(16 + 400)


def m4a(seconds: int = 4, brand: bytes = b"M4A ", *, at_end: bool = True) -> bytes:
    start = struct.pack(">I", 20) + b"ftyp" + brand + bytes(4) + b"isom"
    movie = struct.pack(">I", 40) + b"mvhd" + bytes(12) + struct.pack(">II", 1000, seconds * 1000) + bytes(12)
    sound = struct.pack(">I", 70_008) + b"mdat" + bytes(70_000)
    return start + (sound + movie if at_end else movie + sound)


@dataclass(slots=True)
class Asked:
    path: str
    authorization: str | None


@dataclass(slots=True)
class MediaServer:
    """``files`` by path; ``answers`` are statuses that come first; ``demands`` is the Authorization it wants."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    answers: dict[str, list[int]] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    demands: str | None = None
    stalls: asyncio.Event | None = None  # set: the second half of every file waits for it
    cuts: bool = False  # the connection breaks in the middle
    chunked: bool = False  # the length is not said beforehand
    content_type: str = "application/octet-stream"
    asked: list[Asked] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        self.asked.append(Asked(path, request.headers.get("Authorization")))
        if path in self.redirects:
            return web.Response(status=302, headers={"Location": self.redirects[path]})
        if self.answers.get(path):
            return web.Response(status=self.answers[path].pop(0))
        if self.demands is not None and request.headers.get("Authorization") != self.demands:
            return web.Response(status=401)
        if path not in self.files:
            return web.Response(status=404)
        body = self.files[path]
        if self.stalls is None and not self.cuts and not self.chunked:
            return web.Response(body=body, content_type=self.content_type)
        answer = web.StreamResponse(headers={} if self.chunked else {"Content-Length": str(len(body))})
        await answer.prepare(request)
        await answer.write(body[: len(body) // 2])
        if self.cuts:
            assert request.transport is not None
            request.transport.close()
            return answer
        if self.stalls is not None:
            await self.stalls.wait()
        await answer.write(body[len(body) // 2 :])
        return answer


@asynccontextmanager
async def media_server(tls: ssl.SSLContext | None = None) -> AsyncIterator[MediaServer]:
    media = MediaServer()
    app = web.Application()
    app.router.add_get("/{path:.*}", media.handle)
    server = TestServer(app, scheme="https" if tls is not None else "http")
    await server.start_server(ssl=tls)
    media.url = str(server.make_url("")).rstrip("/")
    try:
        yield media
    finally:
        if media.stalls is not None:
            media.stalls.set()
        await server.close()
