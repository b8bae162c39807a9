"""Real mails of many clients and the texts that must come out; scores a little below what was reached."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from server.domain.mail import ParsedMail
from server.mail.html import html_to_text
from server.mail.parse import parse_mail
from server.mail.reply import split_reply


class Score:
    def __init__(self) -> None:
        self.hits: Counter[str] = Counter()
        self.all: Counter[str] = Counter()

    def note(self, what: str, hit: bool) -> None:
        self.all[what] += 1
        self.hits[what] += hit

    def reaches(self, **least: int) -> None:
        short = {
            what: (self.hits[what], self.all[what]) for what, want in least.items() if self.hits[what] < want
        }
        assert not short, f"(reached, of all): {short}"

    def attachments(self, mail: ParsedMail, expected: list[dict[str, Any]]) -> None:
        self.note("attachments", len(mail.attachments) == len(expected))
        for got, want in zip(mail.attachments, expected, strict=False):
            if want.get("filename"):
                self.note("file_name", got.name == want["filename"])
            if want.get("sha256"):
                self.note("file_bytes", hashlib.sha256(got.content).hexdigest() == want["sha256"])


@pytest.fixture(scope="session")
def cases(shared: Path) -> Path:
    return shared / "cases" / "email"


def load(cases: Path, name: str) -> list[tuple[dict[str, Any], dict[str, Any], ParsedMail]]:
    entries = json.loads((cases / f"{name}.json").read_text(encoding="utf-8"))
    return [(one, one["expect"], parse_mail((cases / one["raw"]).read_bytes())) for one in entries]


def flat(text: str | None) -> str:
    return " ".join((text or "").split())


def test_no_mail_breaks_the_parser(cases: Path) -> None:
    paths = [path for path in sorted((cases / "raw").rglob("*")) if path.is_file()]
    assert len(paths) > 800
    for path in paths:
        mail = parse_mail(path.read_bytes())
        assert not any("could not be read" in note for note in mail.defects), path
        texts = [
            mail.body_text,
            mail.body_html or "",
            mail.subject,
            mail.from_name,
            *(a.name for a in mail.attachments),
        ]
        for text in texts:
            assert "\x00" not in text
            text.encode("utf-8")  # no lone surrogates


def test_zammad(cases: Path) -> None:
    score = Score()
    for _, expect, mail in load(cases, "zammad"):
        if "from_email" in expect:
            score.note("sender", mail.from_address.lower() == (expect["from_email"] or "").lower())
            score.note("name", mail.from_name == expect["from_display_name"])
        score.note("subject", flat(mail.subject) == flat(expect["subject"]))
        if "text_normalised" in expect:
            want = flat(expect["text_normalised"])
            read = {flat(mail.body_text), flat(html_to_text(mail.body_html or ""))}
            score.note(
                "text", want in read or want.replace(" ", "") in {one.replace(" ", "") for one in read}
            )
        if "attachments" in expect:
            score.attachments(mail, expect["attachments"])
    score.reaches(sender=35, name=35, subject=38, text=22, attachments=19, file_name=9, file_bytes=11)


def test_stalwart(cases: Path) -> None:
    score = Score()
    for _, expect, mail in load(cases, "stalwart"):
        if expect.get("from"):
            want = (expect["from"][0].get("name") or "", expect["from"][0].get("address") or "")
            score.note("sender", (mail.from_name, mail.from_address) == want)
        if "to" in expect:
            score.note("to", list(mail.to) == [one["address"] for one in expect["to"] if one.get("address")])
        if "subject" in expect:
            score.note("subject", flat(mail.subject) == flat(expect["subject"]))
        if "message_id" in expect:
            score.note("message_id", mail.message_id == f"<{expect['message_id']}>")
        for text in expect["text_parts"]:
            score.note("text", flat(text) in flat(mail.body_text))
        for text in expect["html_parts"]:
            score.note("html", flat(text) in flat(mail.body_html))
        score.attachments(mail, expect["attachments"])
    score.reaches(sender=35, to=33, subject=36, message_id=28, text=58, html=14, attachments=43, file_name=35)


def test_zbateson(cases: Path) -> None:
    score = Score()
    for _, expect, mail in load(cases, "zbateson"):
        score.note(
            "sender", (mail.from_name, mail.from_address) == (expect["from_name"] or "", expect["from_email"])
        )
        if "to" in expect:
            score.note("to", list(mail.to) == [one["address"] for one in expect["to"]])
        score.note("subject", flat(mail.subject) == flat(expect["subject"]))
        if "text_normalised" in expect:
            score.note("text", flat(mail.body_text) == flat(expect["text_normalised"]))
        if "attachment_count" in expect:
            score.note("attachments", len(mail.attachments) == expect["attachment_count"])
    score.reaches(sender=32, to=31, subject=32, text=23, attachments=14)


def test_mails_that_break_parsers(cases: Path) -> None:
    score = Score()
    for _, expect, mail in load(cases, "robust"):
        agreed = expect["consensus_stdlib_and_ruby_mail"]
        if "from_email" in agreed:
            score.note("sender", mail.from_address.lower() == agreed["from_email"].lower())
        if "from_name" in agreed:
            score.note("name", mail.from_name == agreed["from_name"])
        if "subject" in agreed:
            score.note("subject", flat(mail.subject) == flat(agreed["subject"]))
        if "text_normalised" in agreed:
            score.note("text", flat(mail.body_text) == flat(agreed["text_normalised"]))
        if "attachments" in agreed:
            score.attachments(mail, agreed["attachments"])
    score.reaches(sender=125, name=83, subject=122, text=87, attachments=31, file_name=60, file_bytes=65)


def test_machine_mail_is_known_as_such(cases: Path) -> None:
    score = Score()
    for name in ("bounce_sisimai", "bounce_flufl"):
        for _, _, mail in load(cases, name):
            score.note(name, mail.auto_submitted and not mail.may_auto_reply)
    for _, expect, mail in load(cases, "autoresp"):
        if "out_of_office" in expect:
            score.note("out_of_office", mail.auto_submitted == expect["out_of_office"])
        if "may_send_auto_response" in expect:
            score.note("silence", mail.may_auto_reply == expect["may_send_auto_response"])
    for name in ("stalwart", "zbateson"):
        for _, _, mail in load(cases, name):
            score.note("people", not mail.auto_submitted)
    score.reaches(bounce_sisimai=326, bounce_flufl=54, out_of_office=6, silence=4, people=86)


def test_new_text_without_its_quotes(cases: Path) -> None:
    score = Score()
    for one in json.loads((cases / "quote.json").read_text(encoding="utf-8")):
        raw = (cases / one["raw"]).read_text(encoding="utf-8", errors="replace")
        text = html_to_text(raw) if one["format"] == "html" else raw
        new, _ = split_reply(text)
        want = one["expect"]["reply"]
        score.note("exact", flat(new) == flat(want))
        # what matters more: no word that the customer wrote is missing
        score.note("kept", set(flat(want).split()) <= set(flat(new).split()))
    score.reaches(exact=91, kept=107)
