"""Mails that leave come back as what they were, and no value can add a header."""

from __future__ import annotations

import email
import email.policy
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.domain.errors import Invalid
from server.domain.mail import Attachment
from server.mail.compose import compose_reply, make_message_id, references_of, subject_of
from server.mail.parse import parse_mail

NOW = datetime(2026, 11, 3, 10, 20, 30, tzinfo=UTC)


def compose(**changes: Any) -> bytes:
    values: dict[str, Any] = {
        "message_id": "<m1@example.com>",
        "mail_from": "support@example.com",
        "from_name": "Support",
        "to": ["ann@example.net"],
        "subject": "Broken",
        "body_text": "Hello\n",
        "in_reply_to": "<q1@example.net>",
        "references": ["<q0@example.net>"],
        "ticket_number": "RP-000123",
        "date": NOW,
    }
    return compose_reply(**(values | changes))


def test_there_and_back() -> None:
    body = "您好，\n您的发票已更正。\n.\nFrom here on 谢谢！\n"
    file = Attachment("报价单 „neu“ 2026.pdf", "application/pdf", bytes(range(256)) * 10)
    raw = compose(
        from_name='客服 "A" 团队',
        to=["wang@example.net", "b@bücher.example"],
        subject="Re: AW: 发票 [RP-000123]",
        body_text=body,
        attachments=[file],
    )
    assert raw.isascii() and b"\n" not in raw.replace(b"\r\n", b"")
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    mail = parse_mail(raw)
    assert (mail.from_name, mail.from_address) == ('客服 "A" 团队', "support@example.com")
    assert mail.to == ("wang@example.net", "b@xn--bcher-kva.example")
    assert mail.subject == "Re: [RP-000123] 发票"
    assert mail.body_text == body.rstrip("\n")
    assert mail.date == NOW and mail.message_id == "<m1@example.com>"
    assert mail.in_reply_to == "<q1@example.net>" and mail.references == (
        "<q0@example.net>",
        "<q1@example.net>",
    )
    assert [(one.name, one.content) for one in mail.attachments] == [(file.name, file.content)]
    assert not mail.defects and mail.may_auto_reply
    standard = email.message_from_bytes(raw, policy=email.policy.default)
    assert (
        standard["subject"] == mail.subject and standard["from"].addresses[0].display_name == mail.from_name
    )
    assert [part.get_filename() for part in standard.iter_attachments()] == [file.name]


@pytest.mark.parametrize(
    "body",
    ["plain ascii", "Grüße aus Köln", "汉字" * 3_000, "x" * 5_000, "trailing \n\ttab\t\n", "a\x00b\x1b", ""],
)
def test_bodies(body: str) -> None:
    raw = compose(body_text=body)
    assert raw.isascii() and max(map(len, raw.split(b"\r\n"))) <= 998
    assert parse_mail(raw).body_text == body.replace("\x00", "").replace("\x1b", "").rstrip("\n")


def test_a_thread_goes_to_and_fro() -> None:
    references: list[str] = []
    parent: str | None = None
    first = ""
    for number in range(30):
        message_id = make_message_id("example.com", ticket_number="RP-000123")
        raw = compose(
            message_id=message_id,
            in_reply_to=parent,
            references=references,
            subject=f"Re: Re[{number}]: Broken",
        )
        mail = parse_mail(raw)
        first = first or message_id
        assert mail.message_id == message_id and mail.in_reply_to == parent
        if parent is not None:
            assert (
                mail.references[0] == first and mail.references[-1] == parent and len(mail.references) <= 20
            )
            assert mail.subject == "Re: [RP-000123] Broken"
        references, parent = list(mail.references), message_id
    assert b"=?" not in raw.split(b"\r\n\r\n")[0]


@pytest.mark.parametrize(
    ("subject", "answer"),
    [
        ("Broken", "Re: [RP-000123] Broken"),
        ("RE: aw: Re[2]: Broken", "Re: [RP-000123] Broken"),
        ("回复：答复: 发票", "Re: [RP-000123] 发票"),
        ("Re: [RP-000123] Re: [rp-000123] Broken", "Re: [RP-000123] Re: Broken"),
        ("", "Re: [RP-000123]"),
        ("a\r\nBcc: x@y", "Re: [RP-000123] a Bcc: x@y"),
        ("Reset: how?", "Re: [RP-000123] Reset: how?"),
    ],
)
def test_subjects(subject: str, answer: str) -> None:
    once = subject_of(subject, "RP-000123")
    if "rp-000123" not in subject:
        assert once == answer
    assert once.count("[RP-000123]") == 1
    assert subject_of(once, "RP-000123") == subject_of(subject_of(once, "RP-000123"), "RP-000123")


def test_references_are_trimmed_and_cleaned() -> None:
    many = [f"<{number}@x>" for number in range(50)]
    assert references_of(many, "<p@x>") == ["<0@x>", *many[-18:], "<p@x>"]
    assert references_of(["<a@x>", "<b@x>"], "<a@x>") == ["<b@x>", "<a@x>"]
    assert references_of(["<a@x>\r\nBcc: y", "no brackets@x", "汉@x"], None) == ["<nobrackets@x>"]


@settings(max_examples=120, deadline=None)
@given(
    st.text(max_size=80),
    st.text(max_size=300),
    st.text(max_size=300),
    st.lists(st.text(max_size=60), max_size=4),
    st.text(max_size=250),
)
def test_no_value_adds_a_header(name: str, subject: str, body: str, references: list[str], file: str) -> None:
    raw = compose(
        from_name=name + "\r\nBcc: evil@x.example",
        subject=subject + "\nBcc: evil@x.example",
        body_text=body,
        references=[*references, "<a@b>\r\nBcc: evil@x.example"],
        attachments=[Attachment(file, "x/y\r\nBcc: z", b"1")],
    )
    message = email.message_from_bytes(raw)
    assert message["bcc"] is None
    allowed = [
        "from",
        "to",
        "subject",
        "date",
        "message-id",
        "in-reply-to",
        "references",
        "mime-version",
        "content-type",
    ]
    assert {key.lower() for key in message} <= set(allowed)
    mail = parse_mail(raw)
    assert len(mail.attachments) == 1 and mail.to == ("ann@example.net",)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "nobody",
        "a@b\r\nBcc: c@d",
        "a@b, c@d",
        "a b@c",
        "<a@b>",
        "a@",
        "@b",
        "a@b..c" + "d" * 300,
        "a@-b-",
    ],
)
def test_addresses_that_cannot_be_written_to(address: str) -> None:
    with pytest.raises(Invalid) as caught:
        compose(to=[address])
    assert "to" in caught.value.fields
