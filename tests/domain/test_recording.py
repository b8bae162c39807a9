"""What a recording is by its bytes, how long it plays, and from where it may come."""

from __future__ import annotations

import random

import pytest

from server.domain.audio_length import PEEK_BYTES, audio_seconds
from server.domain.recording import (
    FINAL,
    FLAC,
    HEAD_BYTES,
    M4A,
    MP3,
    OGG,
    WAV,
    Audio,
    Fault,
    fault_text,
    is_public_address,
    sniff_audio,
    wait_seconds,
)
from tests import sounds

FILES = [
    (sounds.wav(1.5), WAV, 1.5),
    (b"RF64" + sounds.wav(0.5)[4:], WAV, 0.5),
    (sounds.wav(2)[:40] + bytes(4) + sounds.wav(2)[44:], WAV, 2.0),  # the recorder did not know the length
    (sounds.mp3(100), MP3, 2.6),
    (sounds.mp3(1000, xing=True), MP3, 26.12),
    (sounds.mp3(100, id3=bytes(3000)), MP3, 2.6),
    (sounds.mp3(100, id3=bytes(PEEK_BYTES)), MP3, None),
    (sounds.ogg(2.0), OGG, 2.0),
    (sounds.ogg(2.0, b"vorbis"), OGG, 2.0),
    (sounds.flac(3), FLAC, 3.0),
    (sounds.m4a(4), M4A, 4.0),
    (sounds.m4a(4, b"mp42", at_end=False), M4A, 4.0),
]


@pytest.mark.parametrize(("file", "audio", "seconds"), FILES)
def test_a_sound_file_is_known_by_its_bytes(file: bytes, audio: Audio, seconds: float | None) -> None:
    assert sniff_audio(file[:HEAD_BYTES]) == audio
    assert audio_seconds(audio, file[:PEEK_BYTES], file[-PEEK_BYTES:], len(file)) == seconds


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"<html><body>log in first</body></html>",
        b'{"message": "not ready"}',
        b"<?xml version='1.0'?><TwilioResponse/>",
        b"%PDF-1.7",
        b"\x89PNG\r\n\x1a\n",
        b"RIFF\0\0\0\0AVI LIST",
        b"\xff\xf1\x50\x80" + bytes(100),  # AAC in ADTS has the same start as MP3
        b"\xff\xfb\xf0\xc0",
        b"\xff\xfe<\0h\0t\0m\0l\0",  # UTF-16
        sounds.ogg(1, b"theora"),
        sounds.m4a(1, b"qt  "),
        b"OggS",
        b"ID",
    ],
)
def test_what_is_no_sound_is_refused(file: bytes) -> None:
    assert sniff_audio(file[:HEAD_BYTES]) is None


def test_a_broken_file_has_no_length_and_no_exception() -> None:
    chance = random.Random(5)
    for file, audio, _ in FILES:
        for _ in range(300):
            start = bytearray(file[: chance.randrange(4, 200)])
            for _ in range(chance.randrange(8)):
                start[chance.randrange(len(start))] = chance.randrange(256)
            seconds = audio_seconds(audio, bytes(start), bytes(start), chance.choice((len(start), 10**9)))
            assert seconds is None or seconds > 0


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "203.0.114.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"],
)
def test_public_addresses(address: str) -> None:
    assert is_public_address(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254",
        "100.64.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1",
        "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2002:a00:1::1", "::127.0.0.1",
        "", "localhost", "127.1", "2130706433",
    ],
)  # fmt: skip
def test_addresses_inside(address: str) -> None:
    assert not is_public_address(address)


def test_each_fault_has_words() -> None:
    for fault in Fault:
        assert fault_text(fault) or fault is Fault.STATUS
    assert fault_text("status:404") == "the provider answered 404"
    assert fault_text("") == fault_text("unheard of") == ""
    assert set(Fault) > FINAL


def test_waits_grow() -> None:
    waits = [wait_seconds(attempt) for attempt in range(12)]
    assert waits == sorted(waits)
    assert waits[0] > 0 and waits[-1] <= 86_400
