"""The event socket's framing: any pieces, garbage, wrong lengths, percent-encoding."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.telephony.control import CommandFailed
from handlers.telephony.esl_calls import EslCalls
from handlers.telephony.esl_wire import MAX_HEAD, FrameReader, command, read_event
from handlers.telephony.live import LinkBroken
from server.domain.errors import Malformed
from server.domain.event import EventType
from tests.conformance.esl_peer import frame, pieces
from tests.conformance.esl_streams import NOW, STREAMS, quick, stream


@quick
@given(sizes=st.lists(st.integers(1, 700), min_size=1, max_size=20), name=st.sampled_from(STREAMS))
def test_a_stream_in_any_pieces_is_the_same_frames(sizes: list[int], name: str) -> None:
    data, reader = stream(name), FrameReader()
    assert [one for piece in pieces(data, sizes) for one in reader.feed(piece)] == FrameReader().feed(data)


def test_byte_by_byte() -> None:
    data, reader = stream("03-bgapi-reply-and-job"), FrameReader()
    found = [one for piece in pieces(data, [1]) for one in reader.feed(piece)]
    assert [one.kind for one in found] == ["command/reply", "text/event-plain"]
    event = read_event(found[1])
    assert event is not None
    assert event.name == "BACKGROUND_JOB"
    assert event.body.strip() == "+OK d5c83476-dd0d-4e85-a1b5-8141fa873dc5"


def test_values_are_percent_decoded_and_undefined_ones_left_out() -> None:
    text = "Event-Name: X\nA: %2B44%20%C3%A9+b\nB: _undef_\nC: %FF\nD:\n\n"
    event = read_event(FrameReader().feed(frame("text/event-plain", text))[0])
    assert event is not None
    assert event.headers == {"Event-Name": "X", "A": "+44 é+b", "C": "\ufffd"}


def test_json_events_are_not_percent_decoded() -> None:
    (found,) = FrameReader().feed(stream("41-event-json"))
    event = read_event(found)
    assert event is not None
    assert event.headers["Caller-Caller-ID-Name"] == "José"
    (answered,) = EslCalls().take(event.headers, NOW)
    assert (answered.type, answered.call_key, answered.agent_refs) == (
        EventType.ANSWERED, "91295477-50d3-44f7-bd62-2cb37f2dccd8", ("101",)
    )  # fmt: skip


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n" + b"\n\n",
        b"SSH-2.0-OpenSSH_9.6\n\n",
        b"Content-Length: 5\n\nhello",
        b"Content-Type: x\nContent-Length: -1\n\n",
        b"Content-Type: x\nContent-Length: 1e3\n\n",
        b"Content-Type: x\nContent-Length: 99999999999\n\n",
        b"Content-Type: text/event-plain\nContent-Length: 2000000\n\n",
        b"Content-Type: api/response\nContent-Length: 900000000\n\n",
        b"Content-Type: x\nContent-Length: 1\nContent-Length: 2\n\n",
        b"Content-Type: x\n: y\n\n",
        b"A: " + b"x" * (MAX_HEAD + 10),
        b"A: b\n" * MAX_HEAD,
        "Content-Type: x\nContent-Length: \u0663\n\n".encode(),
    ],
)
def test_what_is_out_of_step_breaks_the_link(data: bytes) -> None:
    for size in (1, 7, 5000, len(data)):
        reader = FrameReader()
        with pytest.raises(LinkBroken):
            for piece in pieces(data + b"Content-Type: text/event-plain\n\n", [size]):
                reader.feed(piece)


@quick
@given(data=st.binary(max_size=400), sizes=st.lists(st.integers(1, 50), min_size=1))
def test_garbage_breaks_the_link_or_waits(data: bytes, sizes: list[int]) -> None:
    reader = FrameReader()
    try:
        for piece in pieces(data, sizes):
            for one in reader.feed(piece):
                read_event(one)
    except (LinkBroken, Malformed):
        pass


@quick
@given(body=st.binary(max_size=400) | st.text(max_size=200).map(str.encode), plain=st.booleans())
def test_a_garbled_event_harms_itself_only(body: bytes, plain: bool) -> None:
    reader = FrameReader()
    kind = "text/event-plain" if plain else "text/event-json"
    found = reader.feed(frame(kind, b" " + body) + frame("command/reply", Reply_Text="+OK"))
    try:
        event = read_event(found[0])
        if event is not None:
            EslCalls().take(event.headers, NOW)
    except Malformed:
        pass
    assert found[1].text == "+OK"


def test_an_inner_length_that_is_wrong() -> None:
    for length in ("999", "-1", "x"):
        text = f"Event-Name: BACKGROUND_JOB\nContent-Length: {length}\n\nshort"
        with pytest.raises(Malformed):
            read_event(FrameReader().feed(frame("text/event-plain", text))[0])


@pytest.mark.parametrize("line", ["auth a\nexit", "api x\r", "bgapi \x00", ""])
def test_a_command_is_one_line(line: str) -> None:
    with pytest.raises(CommandFailed):
        command(line)
    with pytest.raises(CommandFailed):
        command("api x", Job_UUID=line + "\n")
