"""AMI's bytes, hostile ones among them, and what a channel's name tells."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.telephony.ami_calls import WANTED, AmiCalls
from handlers.telephony.ami_channels import Kind, Lines, dialled_number
from handlers.telephony.ami_wire import (
    MAX_FRAME,
    AmiFramer,
    Message,
    peek_event,
    read_message,
    unescape,
    write_action,
)
from tests.conformance.ami_peer import frames_of, odd_pieces

NOW = datetime(2026, 11, 22, 11, tzinfo=UTC)


def test_greeting_replies_and_events(real_bytes: Callable[..., bytes]) -> None:
    stream = real_bytes("providers", "samples", "asterisk-ami", "01-banner-and-login-replies.txt")
    for most in (1, 3, 1000):
        framer = AmiFramer()
        frames = [raw for piece in odd_pieces(stream, 1, most) for raw in framer.feed(piece)]
        assert framer.banner == "Asterisk Call Manager/13.0.0"
        assert [peek_event(raw) for raw in frames] == ["", "FullyBooted"]
        assert read_message(frames[0]).get("message") == "Authentication accepted"


def test_an_event_with_a_response_in_it_is_an_event(real_bytes: Callable[..., bytes]) -> None:
    stream = real_bytes("providers", "samples", "asterisk-ami", "03-action-replies.txt")
    assert [peek_event(raw) for raw in frames_of(stream)] == ["", "", "OriginateResponse", "", ""]


def test_fields() -> None:
    raw = b"EVENT:  VarSet \r\nno colon\r\n: no key\r\nCallerIDnum: 1\r\n"
    raw += b"Value: a: b\r\nvalue: second\r\nName: J\xf6rg\xff"
    message = read_message(raw)
    assert (message.event, peek_event(raw), message.get("calleridnum")) == ("VarSet", "VarSet", "1")
    assert (message.get("value"), message.get("name"), message.get("absent")) == ("a: b", "Jörg\xff", "")
    assert read_message("CallerIDName: Zoë Müller 李".encode()).get("calleridname") == "Zoë Müller 李"


def test_names_are_unescaped() -> None:
    assert unescape(r"O\'Neil \"JJ\" \\ who\?") == 'O\'Neil "JJ" \\ who?'
    assert unescape(r"a\r\nb\tc\q") == "a  b c\\q"
    assert unescape("trailing\\") == "trailing\\"


def test_what_is_too_long_is_cut_and_the_next_is_whole() -> None:
    for size in (MAX_FRAME * 2, MAX_FRAME * 5):
        framer = AmiFramer(banner=False)
        stream = b"Event: VarSet\r\nUniqueid: 1\r\nValue: " + b"x" * size + b"\r\n\r\nEvent: Next\r\n\r\n"
        frames = [raw for piece in odd_pieces(stream, 3, 4096) for raw in framer.feed(piece)]
        assert [peek_event(raw) for raw in frames] == ["VarSet", "Next"]
        assert read_message(frames[0]).get("uniqueid") == "1"
        assert all(len(raw) <= MAX_FRAME for raw in frames)


def test_an_action_is_one_action() -> None:
    assert write_action("Ping", [("ActionID", "1")]) == b"Action: Ping\r\nActionID: 1\r\n\r\n"
    for value in ("a\r\nAction: Command", "a\nb", "a\x00"):
        with pytest.raises(ValueError, match="control"):
            write_action("Hangup", [("Channel", value)])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=400), max_size=8))
def test_garbage_is_no_error(pieces: list[bytes]) -> None:
    framer, calls = AmiFramer(), AmiCalls()
    for piece in pieces:
        for raw in framer.feed(piece):
            peek_event(raw)
            calls.take(read_message(raw), NOW)


VALUES = st.sampled_from(
    ["", "1", "2", "3", "PJSIP/trunk-1", "PJSIP/101-2", "Local/x@y-1;1", "Local/x@y-1;2", "6", "5", "4", "0", "ANSWER",
     "RINGING", "CANCEL", "Success", "1e999", "nan", "-5", "9" * 50, "\x00", "é", "support", "x" * 500, "/.*/"]
)  # fmt: skip
KEYS = [
    f"{prefix}{name}"
    for prefix in ("", "dest", "transferee", "transferer", "origtransferer", "secondtransferer", "transfertarget")
    for name in ("uniqueid", "linkedid", "channel", "channelstate", "calleridnum")
] + ["bridgeuniqueid", "swapuniqueid", "dialstatus", "result", "queue", "timestamp", "talktime", "bridgeid", "mailbox",
     "new", "application", "appdata", "extension", "exten", "context", "cause"]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(WANTED)), st.dictionaries(st.sampled_from(KEYS), VALUES)),
        max_size=30,
    )
)
def test_whatever_an_event_holds(messages: list[tuple[str, dict[str, str]]]) -> None:
    calls = AmiCalls()
    for name, fields in messages:
        for event in calls.take(Message(b"x", {"event": name, **fields}), NOW):
            for text in (
                event.call_key,
                event.leg_key,
                event.event_key,
                event.ani,
                event.dnis,
                *event.agent_refs,
            ):
                assert "\x00" not in (text or "")
                assert len(text or "") <= 400


# -- trunks and phones -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "context", "number", "incoming", "kind"),
    [
        ("PJSIP/trunk-00000001", "from-trunk", "+12025550123", True, Kind.TRUNK),
        ("SIP/dev_37_0-0000001a", "from-extern", "042302", True, Kind.TRUNK),
        ("PJSIP/sip-provider-0000001a", "from-agent", "", False, Kind.TRUNK),
        ("DAHDI/i1/03012345-7", "default", "03012345", True, Kind.TRUNK),
        ("PJSIP/x7-00000001", "default", "", False, Kind.TRUNK),
        ("PJSIP/101-00000002", "from-agent", "101", False, Kind.PHONE),
        ("SIP/1045-0000001f", "default", "Elès", True, Kind.PHONE),
        ("PJSIP/cul113qn-0000000c", "mycontext", "1603", True, Kind.PHONE),
        ("PJSIP/w6hpvj79-00000001", "internal", "", False, Kind.PHONE),
        ("Local/102@from-agent-00000001;1", "from-agent", "", False, Kind.INNER),
        ("Surrogate/PJSIP/101-00000001", "", "", False, Kind.INNER),
        ("nonsense", "", "", False, Kind.INNER),
    ],
)
def test_which_channel_is_what(name: str, context: str, number: str, incoming: bool, kind: Kind) -> None:
    assert Lines().kind_of(name, context, number, incoming=incoming, fresh=True) is kind


def test_the_setting_decides_where_it_is_set() -> None:
    lines = Lines("PJSIP/2*, DAHDI/*")
    assert lines.kind_of("PJSIP/2345678-00000001", "", "", incoming=True, fresh=True) is Kind.TRUNK
    assert lines.kind_of("PJSIP/trunk-00000001", "from-trunk", "", incoming=True, fresh=True) is Kind.PHONE


def test_what_was_learned_counts_when_the_context_has_changed() -> None:
    lines = Lines()
    assert lines.kind_of("PJSIP/abc-1", "from-pstn", "", incoming=True, fresh=True) is Kind.TRUNK
    assert lines.kind_of("PJSIP/abc-2", "from-internal", "101", incoming=True, fresh=False) is Kind.TRUNK


def test_the_number_dialled() -> None:
    assert dialled_number("+4930123456@trunk", "<unknown>", "0+4930123456") == "+4930123456"
    assert dialled_number("trunk/sip:0049301234567@host", "x", "") == "0049301234567"
    assert dialled_number("g1/030123456", "", "") == "030123456"
    assert dialled_number("102", "030123456", "s") == "030123456"
    assert dialled_number("trunk", "<unknown>", "s") == ""
