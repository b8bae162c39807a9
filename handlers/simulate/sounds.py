"""Recordings that can be listened to: a web server beside the simulation, with a soft tone at every address."""

from __future__ import annotations

import asyncio
import io
import math
import struct
import wave
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

from aiohttp import web

HOST = "127.0.0.1"
NOWHERE = "https://recordings.ringpost.example"
"""For a server whose settings do not let it fetch from here: this name leads nowhere (RFC 2606)."""
_RATE, _SECONDS, _HERTZ = 8000, 3, 330
_PATIENCE_SECONDS = 5.0


class Sounds:
    """Where recordings are. ``url`` makes a new address; ``missing`` are those that nobody fetched yet."""

    def __init__(self, origin: str = NOWHERE) -> None:
        self._origin = origin
        self.missing: set[str] = set()

    def url(self, name: str) -> str:
        if self._origin != NOWHERE:
            self.missing.add(name)
        return f"{self._origin}/{name}.wav"


@asynccontextmanager
async def served_sounds(allowed_hosts: Iterable[str]) -> AsyncIterator[Sounds]:
    """At the end the server gets a few seconds to fetch what it was told of last."""
    if HOST not in allowed_hosts:
        yield Sounds()
        return
    body = _tone()

    async def give(request: web.Request) -> web.Response:
        sounds.missing.discard(request.match_info["name"])
        return web.Response(body=body, content_type="audio/wav")

    app = web.Application()
    app.router.add_get("/{name}.wav", give)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, 0).start()
        sounds = Sounds(f"http://{HOST}:{runner.addresses[0][1]}")
        yield sounds
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_SECONDS):
                while sounds.missing:
                    await asyncio.sleep(0.1)
    finally:
        await runner.cleanup()


def _tone() -> bytes:
    """A WAV file that swells and fades."""
    count = _RATE * _SECONDS
    swell = (math.sin(math.pi * i / count) * math.sin(2 * math.pi * _HERTZ * i / _RATE) for i in range(count))
    frames = b"".join(struct.pack("<h", round(6000 * level)) for level in swell)
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(_RATE)
        out.writeframes(frames)
    return file.getvalue()
