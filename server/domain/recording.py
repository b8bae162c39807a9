"""Recordings: from where one may be fetched, what it must be, and when a failed fetch is tried again."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class RecordingState(StrEnum):
    WAITING = "waiting"  # to be fetched, or to be tried again
    FETCHED = "fetched"
    LINKED = "linked"  # stays with the provider, as the settings say
    FAILED = "failed"  # given up
    DELETED = "deleted"  # kept as long as the settings say


class Fault(StrEnum):
    """Why a fetch failed. Kept as the word, with ``:number`` behind it where there is one."""

    STATUS = "status"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    CERTIFICATE = "certificate"
    INCOMPLETE = "incomplete"
    ADDRESS = "address"
    INSIDE = "inside"
    REDIRECTS = "redirects"
    TOO_LARGE = "too_large"
    WRONG_TYPE = "wrong_type"
    SETTINGS = "settings"
    STORAGE = "storage"
    INTERRUPTED = "interrupted"
    OURS = "ours"


_FAULTS: Mapping[str, str] = {
    Fault.STATUS: "the provider answered {n}",
    Fault.UNREACHABLE: "the provider cannot be reached",
    Fault.TIMEOUT: "the provider took too long",
    Fault.CERTIFICATE: "the provider's certificate is not valid",
    Fault.INCOMPLETE: "the connection broke in the middle",
    Fault.ADDRESS: "the recording's address is not one that can be fetched (https only)",
    Fault.INSIDE: "the recording's address lies inside of the network: list its host in recordings.allow_hosts",
    Fault.REDIRECTS: "the provider redirects without end",
    Fault.TOO_LARGE: "the recording is larger than recordings.max_bytes",
    Fault.WRONG_TYPE: "what came is no sound file (WAV, MP3, Ogg, FLAC and M4A are understood)",
    Fault.SETTINGS: "the call source's settings for recordings are wrong",
    Fault.STORAGE: "the file could not be written here",
    Fault.INTERRUPTED: "every try was cut off by a stop of the server",
    Fault.OURS: "the server failed: this is our fault",
}
# Another try would say the same: somebody has to change something first.
FINAL = frozenset(
    (Fault.ADDRESS, Fault.INSIDE, Fault.REDIRECTS, Fault.TOO_LARGE, Fault.WRONG_TYPE, Fault.SETTINGS)
)
_WAITS = (10, 60, 300, 1800, 7200, 21600)


def fault_text(error: str) -> str:
    """The kept error as a sentence; "" for none."""
    word, _, number = error.partition(":")
    return _FAULTS.get(word, "").replace("{n}", number)


def wait_seconds(attempt: int) -> int:
    """How long until the next try, after ``attempt`` tries: a recording is often announced a little early."""
    return _WAITS[min(max(attempt, 1), len(_WAITS)) - 1]


# -- where from ------------------------------------------------------------------------------------

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def is_public_address(text: str) -> bool:
    """Whether anybody on the Internet may have this address: not loopback, link-local, private, reserved.

    An IPv6 address that stands for an IPv4 one (RFC 4291 2.5.5, RFC 3056, RFC 6052) is judged by that.
    """
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public_address(str(address.ipv4_mapped))
        if address in _NAT64:
            return is_public_address(str(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)))
        if address.sixtofour is not None and not is_public_address(str(address.sixtofour)):
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


# -- what it is ------------------------------------------------------------------------------------

HEAD_BYTES = 512  # enough to tell what a file is


@dataclass(frozen=True, slots=True)
class Audio:
    content_type: str
    suffix: str


WAV = Audio("audio/wav", ".wav")
MP3 = Audio("audio/mpeg", ".mp3")
OGG = Audio("audio/ogg", ".ogg")
FLAC = Audio("audio/flac", ".flac")
M4A = Audio("audio/mp4", ".m4a")

_OGG_SOUND = (b"OpusHead", b"\x01vorbis", b"Speex   ", b"\x7fFLAC")
_M4A_BRANDS = (b"M4A ", b"M4B ", b"mp41", b"mp42", b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"dash")


def sniff_audio(head: bytes) -> Audio | None:
    """What a file is by its first bytes, whatever its sender calls it; None when it is no sound.

    WAV (RIFF, RF64), MP3 (ID3v2 or a frame of layer III), Ogg with a sound codec (RFC 3533), FLAC, MP4.
    """
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return WAV
    if head[:4] == b"fLaC":
        return FLAC
    if head[:4] == b"OggS" and len(head) > 27:
        return OGG if head[27 + head[26] :].startswith(_OGG_SOUND) else None
    if head[4:8] == b"ftyp":
        return M4A if head[8:12] in _M4A_BRANDS else None
    return MP3 if head[:3] == b"ID3" or is_mp3_frame(head) else None


def is_mp3_frame(data: bytes) -> bool:
    """A frame header of layer III (ISO/IEC 11172-3 2.4.1.3) with a bit rate and a sampling rate."""
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        return False
    version, layer = data[1] >> 3 & 3, data[1] >> 1 & 3
    return version != 1 and layer == 1 and data[2] >> 4 not in (0, 15) and data[2] >> 2 & 3 != 3
