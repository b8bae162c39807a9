"""How long a sound file plays, from its first and last bytes; None where it does not tell."""

from __future__ import annotations

from struct import error as TooShort
from struct import unpack_from

from server.domain.recording import FLAC, M4A, MP3, OGG, WAV, Audio, is_mp3_frame

PEEK_BYTES = 65_536
"""How much of a file's start and of its end is looked at."""
_LONGEST_SECONDS = 7 * 86_400  # beyond it the file's header is wrong

_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_KILOBITS = {
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def audio_seconds(audio: Audio, head: bytes, tail: bytes, size: int) -> float | None:
    """``head`` and ``tail`` are at most PEEK_BYTES of a file of ``size`` bytes; they may be the same bytes."""
    try:
        if audio == WAV:
            seconds = _wav(head, size)
        elif audio == MP3:
            seconds = _mp3(head, size)
        elif audio == OGG:
            seconds = _ogg(head, tail)
        elif audio == FLAC:
            seconds = _flac(head)
        else:
            seconds = _m4a(head, tail) if audio == M4A else None
    except (TooShort, IndexError, ValueError, ZeroDivisionError):
        return None
    rounded = round(seconds or 0.0, 2)
    return rounded if 0 < rounded < _LONGEST_SECONDS else None


def _wav(head: bytes, size: int) -> float | None:
    at, bytes_a_second = 12, 0
    while at + 8 <= len(head):
        name, length = head[at : at + 4], unpack_from("<I", head, at + 4)[0]
        if name == b"fmt ":
            bytes_a_second = unpack_from("<I", head, at + 16)[0]
        elif name == b"data":
            # A recorder that streams does not know the length yet, and says 0 or the most.
            there = size - at - 8
            return (length if 0 < length <= there else there) / bytes_a_second
        at += 8 + length + (length & 1)
    return None


def _mp3(head: bytes, size: int) -> float | None:
    """The frames that a Xing or Info header counts, else the size by the first frame's bit rate."""
    at = 0
    if head[:3] == b"ID3":
        a, b, c, d = head[6:10]
        at = 10 + (a << 21 | b << 14 | c << 7 | d)
    frame = head[at:]
    if not is_mp3_frame(frame):
        return None
    version, is_mono = frame[1] >> 3 & 3, frame[3] >> 6 == 3
    is_first = version == 3  # MPEG-1; 2 and 0 are MPEG-2 and 2.5 with half the samples
    rate = _RATES[version][frame[2] >> 2 & 3]
    side = (17 if is_mono else 32) if is_first else (9 if is_mono else 17)
    info = 4 + side
    if frame[info : info + 4] in (b"Xing", b"Info") and frame[info + 7] & 1:
        frames = unpack_from(">I", frame, info + 8)[0]
        return float(frames * (1152 if is_first else 576) / rate)
    return (size - at) * 8 / (_KILOBITS[is_first][frame[2] >> 4] * 1000)


def _ogg(head: bytes, tail: bytes) -> float | None:
    """The position of the last page (RFC 3533 6), in samples of its codec (Opus: RFC 7845 4)."""
    last = tail.rfind(b"OggS")
    if last < 0:
        return None
    position = unpack_from("<q", tail, last + 6)[0]
    first = 27 + head[26]
    if head[first : first + 8] == b"OpusHead":
        return float((position - unpack_from("<H", head, first + 10)[0]) / 48000)
    if head[first : first + 7] == b"\x01vorbis":
        return float(position / unpack_from("<I", head, first + 12)[0])
    if head[first : first + 8] == b"Speex   ":
        return float(position / unpack_from("<I", head, first + 36)[0])
    return None


def _flac(head: bytes) -> float:
    """STREAMINFO: 20 bits of sampling rate, 3 and 5 of others, 36 of samples."""
    bits = unpack_from(">Q", head, 18)[0]
    return float((bits & 0xFFFFFFFFF) / (bits >> 44))


def _m4a(head: bytes, tail: bytes) -> float | None:
    """The movie header (ISO/IEC 14496-12 8.2.2); it stands at the start or at the end."""
    for piece in (head, tail):
        at = piece.find(b"mvhd")
        if at < 0:
            continue
        if piece[at + 4] == 1:
            scale, length = unpack_from(">IQ", piece, at + 24)
        else:
            scale, length = unpack_from(">II", piece, at + 16)
        return float(length / scale)
    return None
