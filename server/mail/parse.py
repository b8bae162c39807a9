"""One mail in, one ``ParsedMail`` out; never an exception, whatever the bytes.

A 20 KB multipart takes a fraction of a millisecond; a mail of many megabytes takes longer, so who
holds an event loop calls this in a thread from 256 KB on.
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from server.domain.mail import Attachment, ParsedMail
from server.mail import machine
from server.mail.attachments import attachment_of, clean_file_name, file_name_of
from server.mail.charset import clean_text, decode_text
from server.mail.headers import (
    decode_header,
    message_ids,
    parse_addresses,
    parse_date,
    single_message_id,
)
from server.mail.html import html_to_text
from server.mail.mime import Part, cut_uuencoded, decode_body, split_mime

MAX_SUBJECT = 998
MAX_NAME = 200
MAX_REFERENCES = 200
MAX_MESSAGE_ID = 900  # longer ones become a hash: an index cannot hold them
MAX_DEFECTS = 20

_KEPT = (
    "Return-Path Authentication-Results ARC-Authentication-Results Auto-Submitted Precedence List-Id "
    "List-Unsubscribe X-Auto-Response-Suppress X-Autoreply X-Autorespond X-Loop Feedback-ID X-Failed- "
    "Recipients Sender X-Original-Sender X-Original-To X-Original-From Delivered-To Envelope-To "
    "X-Forwarded-To X-Forwarded-For Importance Priority X-Priority X-Mailer User-Agent X-Spam-Flag "
    "X-Spam-Status Content-Language Thread-Topic X-Envelope-From Resent-From X-Ringpost-Ticket "
)
_SELECTED = {name.lower(): name for name in _KEPT.split()}
MAX_SELECTED = 60
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}charset\s{0,5}=\s{0,5}[\"']?([\w.:-]{2,40})", re.IGNORECASE)


@dataclass(slots=True)
class _Block:
    """One piece of what is read from top to bottom: alternatives of the same words."""

    texts: list[str] = field(default_factory=list)
    htmls: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Content:
    blocks: list[_Block] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    types: set[str] = field(default_factory=set)
    defects: list[str] = field(default_factory=list)


def parse_mail(
    raw: bytes, *, envelope_from: str | None = None, envelope_to: Sequence[str] = ()
) -> ParsedMail:
    """Read one RFC 5322 message. ``envelope_from``: "" (or "<>") is the null sender, None means unknown."""
    try:
        return _parse(raw, envelope_from, envelope_to)
    except Exception as error:  # a mail must never be lost for a bug of ours: it comes through as text
        return _last_resort(raw, envelope_from, envelope_to, f"could not be read: {type(error).__name__}")


def _parse(raw: bytes, envelope_from: str | None, envelope_to: Sequence[str]) -> ParsedMail:
    content = _Content()
    root = split_mime(raw, content.defects)
    headers: dict[str, str] = {}
    for name, value in root.headers:
        if name not in headers or not headers[name].strip():
            headers[name] = value
    hint = _charset_hint(root)

    sender = parse_addresses(headers.get("from", ""), hint)
    if not sender and "from" in headers:
        content.defects.append("no address in From")
        shown = _without_address(decode_header(headers["from"], hint))
        fallback = parse_addresses(headers.get("reply-to", ""), hint) or parse_addresses(
            headers.get("sender", ""), hint
        )
        sender = [(shown, fallback[0][1] if fallback else "")]
    for name in ("sender", "reply-to", "return-path"):
        sender = sender or parse_addresses(headers.get(name, ""), hint)
    from_name, from_address = sender[0] if sender else ("", "")
    subject = decode_header(headers.get("subject", ""), hint)[:MAX_SUBJECT]

    _walk(root, None, content, first=True, parent="")
    body_text, body_html = _bodies(content)
    report = root.params.get("report-type", "").lower() if root.content_type == "multipart/report" else ""
    nature = machine.judge(
        {name: (value if value.isascii() else "") for name, value in headers.items()},
        content_type=root.content_type,
        report_type=report,
        part_types=frozenset(content.types),
        from_address=from_address,
        from_name=from_name,
        subject=subject,
        body_start=body_text[:4000],
        envelope_from=envelope_from,
    )
    message_id = single_message_id(headers["message-id"]) if "message-id" in headers else None
    if message_id is None or len(message_id) > MAX_MESSAGE_ID:
        message_id = _hashed_id(
            [message_id or "", *(headers.get(n, "") for n in ("date", "from", "to", "subject")), body_text]
        )
    answered = message_ids(headers.get("in-reply-to", ""))
    return ParsedMail(
        message_id=message_id,
        in_reply_to=answered[0] if answered and len(answered[0]) <= MAX_MESSAGE_ID else None,
        references=tuple(_references(headers.get("references", ""), answered)),
        from_address=from_address,
        from_name=from_name[:MAX_NAME],
        reply_to=_only_addresses(root.all("reply-to"), hint),
        to=_only_addresses(root.all("to"), hint),
        cc=_only_addresses(root.all("cc"), hint),
        subject=subject,
        date=parse_date(headers["date"]) if "date" in headers else None,
        body_text=body_text,
        body_html=body_html,
        attachments=tuple(content.attachments),
        auto_submitted=nature.auto_submitted,
        bounce=nature.bounce,
        list_mail=nature.list_mail,
        may_auto_reply=nature.may_auto_reply,
        envelope_from=_envelope(envelope_from),
        envelope_to=tuple(clean_text(address) for address in envelope_to),
        headers_selected=_selected(root, hint),
        defects=tuple(dict.fromkeys(content.defects))[:MAX_DEFECTS],
    )


def _walk(part: Part, block: _Block | None, content: _Content, *, first: bool, parent: str) -> None:
    """Put a part where it belongs: the text, the HTML or the attachments (RFC 8621 section 4.1.4)."""
    kind = part.content_type
    if part.children:
        if kind == "multipart/alternative" and block is None:
            block = _Block()
            content.blocks.append(block)
        for place, child in enumerate(part.children):
            _walk(
                child,
                block,
                content,
                first=place == 0 and (first or kind != "multipart/related"),
                parent=kind,
            )
        return
    content.types.add(kind)
    if kind.startswith("multipart/") and not part.body.strip():
        return
    data = decode_body(part, content.defects)
    name = file_name_of(part)
    readable = kind in ("text/plain", "text/html") or (
        kind in ("text/enriched", "text/richtext") and parent == ""
    )
    if (
        not readable
        or part.disposition == "attachment"
        or (name and not (first and parent != "multipart/mixed" and not part.disposition))
    ):
        if kind == "text/x-amp-html" and parent == "multipart/alternative":
            return
        content.attachments.append(attachment_of(part, data, name, len(content.attachments) + 1))
        return
    files: list[tuple[str, bytes]] = []
    if kind != "text/html" and b"begin " in data:
        data, files = cut_uuencoded(data)
    label = part.params.get("charset")
    if kind == "text/html" and not label:
        meta = _META_CHARSET.search(data, 0, 4096)
        label = meta[1].decode("ascii", "replace") if meta else None
    text, note = decode_text(data, label)
    if note:
        content.defects.append(note)
    text = clean_text(text)
    target = block
    if target is None:
        target = _Block()
        content.blocks.append(target)
    (target.htmls if kind == "text/html" else target.texts).append(text)
    for file_name, file_data in files:
        content.attachments.append(
            Attachment(
                clean_file_name(file_name, "application/octet-stream", 0),
                "application/octet-stream",
                file_data,
            )
        )


def _bodies(content: _Content) -> tuple[str, str | None]:
    texts: list[str] = []
    htmls: list[str] = []
    any_html = any(block.htmls for block in content.blocks)
    for block in content.blocks:
        text = "\n".join(block.texts)
        if not text.strip() and block.htmls:
            text = "\n".join(html_to_text(piece) for piece in block.htmls)
        if text.strip():
            texts.append(text)
        if any_html:
            htmls.append(
                "\n".join(block.htmls)
                if block.htmls
                else f"<pre>{html.escape(text)}</pre>"
                if text.strip()
                else ""
            )
    joined = texts[0] if len(texts) == 1 else "\n\n".join(text.strip("\n") for text in texts)
    return joined.strip("\n"), "\n".join(piece for piece in htmls if piece) if any_html else None


def _only_addresses(values: list[str], hint: str | None) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for value in values[:20]:
        for _, address in parse_addresses(value, hint):
            if "@" in address:
                found.setdefault(address)
    return tuple(found)


def _references(raw: str, answered: list[str]) -> list[str]:
    found = [ref for ref in message_ids(raw) if len(ref) <= MAX_MESSAGE_ID]
    found.extend(ref for ref in answered[1:] if ref not in found and len(ref) <= MAX_MESSAGE_ID)
    return found if len(found) <= MAX_REFERENCES else found[:1] + found[-(MAX_REFERENCES - 1) :]


def _charset_hint(root: Part) -> str | None:
    """What the first text part calls its charset, for headers that carry naked bytes."""
    part = root
    for _ in range(10):
        if not part.children:
            break
        part = part.children[0]
    return part.params.get("charset")


def _selected(root: Part, hint: str | None) -> tuple[tuple[str, str], ...]:
    chosen: list[tuple[str, str]] = []
    for name, value in root.headers:
        shown = _SELECTED.get(name)
        if shown is not None and len(chosen) < MAX_SELECTED:
            chosen.append((shown, decode_header(value[:4000], hint)))
    return tuple(chosen)


def _without_address(shown: str) -> str:
    """``MAILER-DAEMON (Mail Delivery System)`` -> the name in the brackets, else all that stands there."""
    match = re.fullmatch(r"[^\s()]{1,100}\s{0,5}\(([^()]{1,200})\)", shown)
    return (match[1] if match else shown).strip("<>\"' ")


def _envelope(address: str | None) -> str | None:
    return None if address is None else "" if address == "<>" else clean_text(address)


def _hashed_id(pieces: list[str]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(" ".join(piece.split()).encode("utf-8", "surrogateescape") + b"\x00")
    return f"<{digest.hexdigest()[:40]}@no-message-id.invalid>"


def _last_resort(raw: bytes, envelope_from: str | None, envelope_to: Sequence[str], note: str) -> ParsedMail:
    text = clean_text(raw[:1_000_000].decode("utf-8", "replace"))
    sender = _envelope(envelope_from)
    return ParsedMail(
        message_id=f"<{hashlib.sha256(raw).hexdigest()[:40]}@no-message-id.invalid>",
        in_reply_to=None,
        references=(),
        from_address=sender or "",
        from_name="",
        reply_to=(),
        to=tuple(clean_text(address) for address in envelope_to),
        cc=(),
        subject="",
        date=None,
        body_text=text,
        body_html=None,
        attachments=(Attachment("original.eml", "message/rfc822", raw),),
        auto_submitted=sender == "",
        bounce=False,
        list_mail=False,
        may_auto_reply=False,
        envelope_from=sender,
        envelope_to=tuple(clean_text(address) for address in envelope_to),
        headers_selected=(),
        defects=(note,),
    )
