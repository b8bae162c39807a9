"""Fetches one recording over HTTP into a file: bounded, and never from inside of our own network.

The address comes from outside. So: https only, and connections to public addresses only, judged when the
socket is made, so that no name can lie about where it leads; redirects are followed by hand and judged the
same way. The hosts of ``Limits.allow_hosts`` are exempt from both: a PBX next door often speaks plain HTTP.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import aiohttp
from yarl import URL

from server.domain.audio_length import PEEK_BYTES, audio_seconds
from server.domain.recording import HEAD_BYTES, Audio, Fault, is_public_address, sniff_audio

MAX_REDIRECTS = 5
_CHUNK = 256 * 1024
_REDIRECTS = (301, 302, 303, 307, 308)
_REFUSED = (401, 403)


@dataclass(frozen=True, slots=True)
class MediaRequest:
    """``credentials`` are values of ``Authorization``: the next is tried when one is refused."""

    url: str
    credentials: tuple[str, ...] = ()


AskMedia = Callable[[str, str], MediaRequest]
"""Source and address of a recording -> how it is asked for. Raises FetchFailed."""


def plain_media(source: str, url: str) -> MediaRequest:
    return MediaRequest(url)


@dataclass(frozen=True, slots=True)
class Limits:
    """``allow_hosts``: names in lower case, or addresses."""

    max_bytes: int
    timeout_seconds: float
    allow_hosts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Media:
    """What lies in the file now, safe on the disk."""

    audio: Audio
    size: int
    duration_seconds: float | None


class FetchFailed(Exception):
    """``fault`` says why; ``number`` is the HTTP status where that is the reason."""

    def __init__(self, fault: Fault, number: int | None = None) -> None:
        self.fault, self.number = fault, number
        super().__init__(self.kept)

    @property
    def kept(self) -> str:
        """As the database keeps it."""
        return str(self.fault) if self.number is None else f"{self.fault}:{self.number}"


async def fetch_media(asked: MediaRequest, file: Path, limits: Limits) -> Media:
    """Raises FetchFailed, and OSError when the file cannot be written. What is in ``file`` then is nothing."""
    try:
        async with asyncio.timeout(limits.timeout_seconds):
            for credential in asked.credentials[:-1]:
                try:
                    return await _follow(asked.url, credential, file, limits)
                except FetchFailed as failed:
                    if failed.number not in _REFUSED:
                        raise
            return await _follow(asked.url, "".join(asked.credentials[-1:]), file, limits)
    except TimeoutError:
        raise FetchFailed(Fault.TIMEOUT) from None


async def _follow(address: str, credential: str, file: Path, limits: Limits) -> Media:
    url = _read_url(address)
    for _ in range(MAX_REDIRECTS + 1):
        answer = await _get(url, credential, file, limits)
        if isinstance(answer, Media):
            return answer
        try:
            there = url.join(_read_url(answer, relative=True))
            if there.origin() != url.origin():
                credential = ""  # meant for the first host only
        except ValueError:
            raise FetchFailed(Fault.ADDRESS) from None
        url = there
    raise FetchFailed(Fault.REDIRECTS)


def _read_url(address: str, *, relative: bool = False) -> URL:
    """As it came, to the letter: a signed address must not be written anew."""
    as_it_is = address.isascii() and address.isprintable() and " " not in address
    try:
        url = URL(address, encoded=as_it_is)
        if relative or (url.scheme in ("http", "https") and url.host):
            return url
    except ValueError:
        pass
    raise FetchFailed(Fault.ADDRESS)


async def _get(url: URL, credential: str, file: Path, limits: Limits) -> Media | str:
    """One request: the recording, or where the answer says that it is."""
    is_allowed = (url.host or "").rstrip(".").lower() in limits.allow_hosts
    if url.scheme != "https" and not (url.scheme == "http" and is_allowed):
        raise FetchFailed(Fault.ADDRESS)
    gate = _Gate(inside=is_allowed)
    headers = {"Accept": "audio/*, */*;q=0.5", "Accept-Encoding": "identity", "User-Agent": "Ringpost"}
    if credential:
        headers["Authorization"] = credential
        url = url.with_user(None) if url.user is not None else url
    try:
        async with (
            aiohttp.ClientSession(
                # Without its cache of names, which would outlive a cancelled request in a task of its own.
                connector=aiohttp.TCPConnector(
                    socket_factory=gate.open, force_close=True, use_dns_cache=False
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),  # the caller's clock covers all of it
                auto_decompress=False,
            ) as http,
            http.get(url, headers=headers, allow_redirects=False) as answer,
        ):
            if answer.status in _REDIRECTS and answer.headers.get("Location"):
                return answer.headers["Location"]
            if answer.status != 200:
                raise FetchFailed(Fault.STATUS, answer.status)
            return await _receive(answer, file, limits.max_bytes)
    except aiohttp.ClientPayloadError:
        raise FetchFailed(Fault.INCOMPLETE) from None
    except aiohttp.ClientSSLError:
        raise FetchFailed(Fault.CERTIFICATE) from None
    except (aiohttp.InvalidURL, ValueError):
        raise FetchFailed(Fault.ADDRESS) from None
    except aiohttp.ClientError:
        raise FetchFailed(Fault.INSIDE if gate.refused else Fault.UNREACHABLE) from None


class _Gate:
    """Makes the sockets of one request: none that would lead inside, unless that was allowed."""

    def __init__(self, *, inside: bool) -> None:
        self._inside = inside
        self.refused = False

    def open(self, info: tuple[Any, ...]) -> socket.socket:
        family, kind, proto, _, address = info
        if not self._inside and not is_public_address(str(address[0])):
            self.refused = True
            raise OSError(errno.EACCES, "an address inside of the network")
        return socket.socket(family, kind, proto)


async def _receive(answer: aiohttp.ClientResponse, file: Path, max_bytes: int) -> Media:
    """Into the file while it comes; what is too much or no sound is cut off at once."""
    if (answer.content_length or 0) > max_bytes:
        raise FetchFailed(Fault.TOO_LARGE)
    audio: Audio | None = None
    start, size = b"", 0
    with await asyncio.to_thread(file.open, "wb") as out:
        async for chunk in answer.content.iter_chunked(_CHUNK):
            size += len(chunk)
            if size > max_bytes:
                raise FetchFailed(Fault.TOO_LARGE)
            if audio is None:
                start += chunk
                audio = sniff_audio(start)
                if audio is None and len(start) >= HEAD_BYTES:
                    raise FetchFailed(Fault.WRONG_TYPE)
            await asyncio.to_thread(out.write, chunk)
        if audio is None:
            raise FetchFailed(Fault.WRONG_TYPE)
        await asyncio.to_thread(_to_disk, out)
    head, tail = await asyncio.to_thread(_peek, file, size)
    return Media(audio, size, audio_seconds(audio, head, tail, size))


def _to_disk(out: BinaryIO) -> None:
    out.flush()
    os.fsync(out.fileno())


def _peek(file: Path, size: int) -> Sequence[bytes]:
    with file.open("rb") as read:
        head = read.read(PEEK_BYTES)
        read.seek(max(0, size - PEEK_BYTES))
        return head, read.read(PEEK_BYTES)
