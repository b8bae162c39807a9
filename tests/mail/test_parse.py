"""What a mail becomes, and what hostile ones do not do."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.domain.mail import ParsedMail
from server.mail.attachments import clean_file_name
from server.mail.parse import parse_mail

PIECES = st.sampled_from(
    [
        b"\r\n", b"\n", b"\r", b"\r\n\r\n", b": ", b";", b"=", b'"', b"<", b">", b"@", b",", b"(", b")",
        b"--", b"b", b"--b\r\n", b"--b--", b"\x00", b"\xff", b"\xe4\xbd\xa0", b"\x1b$B", b"+2AA-",
        b"=?utf-8?b?", b"=?gb2312?q?", b"?=", b"=E4=BD=A0", b"Subject: ", b"From: ", b"To: ", b"Date: ",
        b"Message-ID: ", b"References: ", b"Content-Type: ", b"multipart/mixed", b"multipart/alternative",
        b"; boundary=b", b"text/html", b"text/plain", b"; charset=", b"utf-7", b"utf-16", b"iso-2022-jp",
        b"punycode", b"message/rfc822", b"Content-Transfer-Encoding: ", b"base64", b"quoted-printable",
        b"x-uuencode", b"begin 644 a\n", b"\nend\n", b"name*0*=", b"filename*=utf-8''%",
        b"Content-Disposition: attachment", b"<a@b>", b"x", b" ", b"\t",
        b"Mon, 99 Nov 99999 25:61:61 +9999", b"<html><p>", b"</div>", b"&#0;", b"&#xD800;",
    ]
)  # fmt: skip


def check(mail: ParsedMail) -> None:
    for text in (
        mail.subject,
        mail.from_name,
        mail.from_address,
        mail.body_text,
        mail.body_html or "",
        mail.message_id,
    ):
        text.encode("utf-8")
        assert "\x00" not in text
    assert mail.message_id.startswith("<") and mail.message_id.endswith(">")
    assert not any("could not be read" in note for note in mail.defects), mail.defects
    for file in mail.attachments:
        assert file.name and len(file.name) <= 200 and "/" not in file.name
        file.name.encode("utf-8")


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=60).map(b"".join))
def test_any_bytes_become_a_mail(raw: bytes) -> None:
    check(parse_mail(raw))
    check(parse_mail(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + raw))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_any_header_and_body_bytes(raw: bytes) -> None:
    check(parse_mail(raw))
    check(
        parse_mail(b"From: " + raw + b"\r\nSubject: " + raw + b"\r\nContent-Type: text/html; charset=" + raw)
    )


def test_an_ordinary_mail(shared: Path) -> None:
    raw = (shared / "providers" / "samples" / "email" / "01-new-inquiry.txt").read_bytes()
    mail = parse_mail(raw, envelope_from="ada.larkin@customer.example", envelope_to=["support@example.com"])
    assert mail.message_id == "<20261116091500.1.ada@customer.example>"
    assert (mail.from_name, mail.from_address) == ("Ada Larkin", "ada.larkin@customer.example")
    assert mail.subject == "Rechnung 4711 – falscher Betrag"
    assert mail.date == datetime(2026, 11, 16, 9, 15, tzinfo=UTC)
    assert mail.body_text.startswith("Guten Tag,\nmeine Rechnung 4711 ist um 20\xa0€ zu hoch.")
    assert mail.body_html is not None and mail.body_html.startswith("<p>Guten Tag")
    assert not mail.auto_submitted and mail.may_auto_reply
    assert "dmarc=pass" in (mail.header("authentication-results") or "")


@pytest.mark.parametrize(
    ("name", "auto", "bounce", "many"),
    [
        ("03-out-of-office", True, False, False),
        ("05-mailing-list", False, False, True),
        ("07-dsn-delayed", True, True, False),
        ("09-arf-complaint", True, True, False),
    ],
)
def test_no_person_wrote_it(shared: Path, name: str, auto: bool, bounce: bool, many: bool) -> None:
    mail = parse_mail((shared / "providers" / "samples" / "email" / f"{name}.txt").read_bytes())
    assert (mail.auto_submitted, mail.bounce, mail.list_mail, mail.may_auto_reply) == (
        auto,
        bounce,
        many,
        False,
    )


def test_no_message_id_and_mixed_charsets(shared: Path) -> None:
    raw = (shared / "providers" / "samples" / "email" / "11-no-message-id-nested-charset.txt").read_bytes()
    mail = parse_mail(raw)
    assert mail.message_id.endswith("@no-message-id.invalid>")
    assert mail.message_id == parse_mail(raw).message_id
    assert mail.message_id != parse_mail(raw.replace(b"Preise", b"Preis")).message_id
    assert (mail.from_name, mail.subject) == ("Jörg Müller", "Anfrage über Preise")
    assert mail.date == datetime(2026, 11, 16, 13, 0, tzinfo=UTC)
    assert [file.name for file in mail.attachments] == ["Angebot für Sie.pdf"]
    assert mail.attachments[0].content.startswith(b"%PDF-1.4")


def test_threads() -> None:
    mail = parse_mail(
        b"Message-ID: < a b@c >\r\nIn-Reply-To: your mail of Monday <x@y>\r\n"
        b"References: <1@a>\r\n\t<2@a> junk <2@a><3\r\n @a> <broken\r\n\r\nhi"
    )
    assert mail.message_id == "<ab@c>"
    assert mail.in_reply_to == "<x@y>"
    assert mail.references == ("<1@a>", "<2@a>", "<3@a>")
    long = parse_mail(b"Message-ID: <" + b"x" * 950 + b"@a>\r\n\r\nhi")
    assert len(long.message_id) < 100


@pytest.mark.parametrize(
    ("header", "name", "address"),
    [
        ("Ann <a@b.example>", "Ann", "a@b.example"),
        ('"Ann, B. \\"Bee\\"" <a@b.example>', 'Ann, B. "Bee', "a@b.example"),
        ("a@b.example (Ann (of B))", "Ann (of B)", "a@b.example"),
        ("=?utf-8?B?546L5bCP5piO?= <wang@b.example>", "王小明", "wang@b.example"),
        ("=?gb2312?Q?=CD=F5=D0=A1=C3=F7?= <wang@b.example>", "王小明", "wang@b.example"),
        ("=?utf-8?Q?A=2C_evil=40x.example?= <a@b.example>", "A, evil@x.example", "a@b.example"),
        ("Staff: Ann <a@b.example>, c@d.example;", "Ann", "a@b.example"),
        ("<<a@b.example>>", "", "a@b.example"),
        ("<@relay.example:a@b.example>", "", "a@b.example"),
        ('"quoted local"@b.example', "", '"quoted local"@b.example'),
        ("Ann <a@b.example", "Ann", "a@b.example"),
        ("'Ann' <a@b.example>", "Ann", "a@b.example"),
        ("MAILER-DAEMON (Mail Delivery System)", "Mail Delivery System", ""),
        ("undisclosed-recipients:;", "undisclosed-recipients:;", ""),
    ],
)
def test_senders(header: str, name: str, address: str) -> None:
    mail = parse_mail(f"From: {header}\r\n\r\nhi".encode())
    assert (mail.from_name, mail.from_address) == (name, address)


@pytest.mark.parametrize(
    ("charset", "data"),
    [
        ("gb2312", "您好，这是朱镕基的发票".encode("gb18030")),
        ("big5", "您好，這是發票".encode("big5")),
        ("gbk", "您好，这是发票".encode()),  # the label lies
        ("x-no-such-charset", "您好，这是发票".encode()),
        ("us-ascii", "您好，这是发票".encode()),
        ("", "您好，请问我的发票在哪里？谢谢您的帮助。".encode("gb18030")),
    ],
)
def test_chinese_in_every_dress(charset: str, data: bytes) -> None:
    mail = parse_mail(b"Content-Type: text/plain; charset=" + charset.encode() + b"\r\n\r\n" + data)
    assert mail.body_text.startswith("您好")
    assert "发票" in mail.body_text or "發票" in mail.body_text


@pytest.mark.parametrize(
    ("given_name", "safe"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\x\\a.doc", "a.doc"),
        ("a\x00b\r\nc.pdf", "abc.pdf"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("..", "attachment-3.pdf"),
        ("", "attachment-3.pdf"),
        ("报价单 2026.xlsx", "报价单 2026.xlsx"),
        ("x" * 300 + ".pdf", "x" * 196 + ".pdf"),
        ("a<b>.txt", "a_b_.txt"),
    ],
)
def test_file_names(given_name: str, safe: str) -> None:
    assert clean_file_name(given_name, "application/pdf", 3) == safe


def test_alternatives_and_pictures() -> None:
    mail = parse_mail(
        b"Content-Type: multipart/related; boundary=r\r\n\r\n"
        b"--r\r\nContent-Type: multipart/alternative; boundary=a\r\n\r\n"
        b"--a\r\nContent-Type: text/plain\r\n\r\nplain\r\n"
        b"--a\r\nContent-Type: text/html\r\n\r\n<b>html</b><img src=cid:i@x>\r\n--a--\r\n"
        b"--r\r\nContent-Type: image/png\r\nContent-ID: <i@x>\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        b"iVBORw0K\r\n--r--\r\n"
    )
    assert mail.body_text == "plain" and mail.body_html == "<b>html</b><img src=cid:i@x>"
    assert [(a.name, a.content_id, a.inline) for a in mail.attachments] == [("attachment-1.png", "i@x", True)]
    assert mail.attachments[0].content == b"\x89PNG\r\n"


HOSTILE = {
    "headers": b"".join(b"X-%d: y\r\n" % number for number in range(10_000)) + b"\r\nhi",
    "nested": b"Content-Type: multipart/mixed; boundary=b0\r\n\r\n"
    + b"".join(
        b"--b%d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n" % (n, n + 1) for n in range(2_000)
    ),
    "parts": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 50_000,
    "folded": b"Subject: a\r\n" + b" b\r\n" * 50_000 + b"\r\nx",
    "words": b"Subject: " + b"=?utf-8?q?a" * 6_000 + b"\r\n\r\nx",
    "quotes": b"To: " + b'"\\' * 30_000 + b"\r\n\r\nx",
    "angles": b"To: " + b"<" * 60_000 + b"\r\n\r\nx",
    "comments": b"To: " + b"(" * 60_000 + b"\r\n\r\nx",
    "recipients": b"To: " + b"a@b," * 15_000 + b"\r\n\r\nx",
    "parameters": b"Content-Type: text/plain" + b'; a="' * 10_000 + b"\r\n\r\nx",
    "references": b"References: " + b"<a@b" * 15_000 + b"\r\n\r\nx",
    "uuencode": b"Subject: x\r\n\r\n" + b"begin 644 x\r\n" * 50_000 + b"end\r\n",
    "boundaries": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--bb\r\n" * 100_000,
    "deep html": b"Content-Type: text/html\r\n\r\n" + b"<div>" * 100_000,
    "open formatting": b"Content-Type: text/html\r\n\r\n" + b"<b id=1>" * 150 + b"<p>x" * 100_000,
    "junk": b"Subject: x\r\n\r\n" + bytes(range(128, 256)) * 20_000,
    "empty": b"",
    "zeros": b"\x00" * 10_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_mails_cost_little(name: str) -> None:
    started = time.process_time()
    check(parse_mail(HOSTILE[name]))
    assert (
        time.process_time() - started < 3.0
    )  # each takes some milliseconds; quadratic ones would take minutes
