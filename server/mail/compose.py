"""Mails that leave: bytes with CRLF line ends, headers in ASCII, bodies that survive 7-bit relays.

Written out by hand rather than through ``email.message``: that one encodes long Message-IDs of a
References header as words (then no client finds the thread), and nothing here may depend on how
its policies change. No value can add a header: control characters never reach the output.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import quote

from server.domain.errors import Invalid
from server.domain.mail import Attachment

MAX_REFERENCES = 20
MAX_SUBJECT = 240
MAX_BODY_LINE = 990

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_TEXT_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,900}>")
_REPLY_PREFIX = re.compile(
    r"(?:\s*(?:re|aw|antw|sv|vs|ref|odp|wg|tr|rif|rv|res|回复|回覆|答复|答覆|转发|轉寄|fwd?)(?:\[\d{1,3}\])?\s*[:：])+\s*",
    re.IGNORECASE,
)
_ATOMS = re.compile(r"[A-Za-z0-9 !#$%&'*+/^_`{|}~-]{1,100}\Z")
_LOCAL = re.compile(r'(?:[^\s"(),:;<>@\[\\\]]{1,64}|"[^"\\]{1,64}")\Z')
_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,253}[A-Za-z0-9])?\Z|\[[0-9A-Fa-f.:IPv]{2,50}\]\Z")


def make_message_id(domain: str, *, ticket_number: str = "") -> str:
    """A new Message-ID under our domain, with the ticket's number in it for people who read logs."""
    label = re.sub(r"[^A-Za-z0-9-]", "", ticket_number).lower()
    return f"<{label + '.' if label else ''}{secrets.token_hex(12)}@{_domain(domain, 'domain')}>"


def compose_reply(
    *,
    message_id: str,
    mail_from: str,
    from_name: str,
    to: Sequence[str],
    subject: str,
    body_text: str,
    in_reply_to: str | None,
    references: Sequence[str],
    ticket_number: str,
    date: datetime,
    cc: Sequence[str] = (),
    attachments: Sequence[Attachment] = (),
    automatic: bool = False,
) -> bytes:
    """One mail of a ticket. ``in_reply_to`` is the Message-ID answered and ``references`` the References
    of that mail; the new References are made from both. ``automatic`` marks an answer that no person
    wrote (RFC 3834). Raises Invalid, with the field, for an address that cannot be written to.
    """
    recipients = [write_address(address, "to") for address in to]
    copies = [write_address(address, "cc") for address in cc]
    if not recipients:
        raise Invalid("a mail needs a recipient", fields={"to": "is empty"})
    own_id = _ids([message_id])
    if not own_id:
        raise Invalid("a mail needs a Message-ID", fields={"message_id": "must look like <id@host>"})
    head = [
        _folded("From", [_mailbox(from_name, write_address(mail_from, "mail_from"))], ""),
        _folded("To", recipients, ","),
        *([_folded("Cc", copies, ",")] if copies else []),
        _folded("Subject", _words(subject_of(subject, ticket_number, answer=in_reply_to is not None)), ""),
        f"Date: {format_datetime(date.astimezone(UTC))}",
        f"Message-ID: {own_id[0]}",
    ]
    if parent := _ids([in_reply_to] if in_reply_to else []):
        head.append(f"In-Reply-To: {parent[0]}")
    if thread := references_of(references, in_reply_to):
        head.append(_folded("References", thread, ""))
    if automatic:
        head += ["Auto-Submitted: auto-replied", "X-Auto-Response-Suppress: All", "Precedence: bulk"]
    head.append("MIME-Version: 1.0")
    part_head, part_body = _text_part(body_text)
    if not attachments:
        return "\r\n".join([*head, *part_head, "", ""]).encode() + part_body
    files = [_file_part(one) for one in attachments]
    boundary = _boundary(message_id, [part_body])
    pieces = ["\r\n".join([*head, f'Content-Type: multipart/mixed; boundary="{boundary}"', "", ""]).encode()]
    for part, body in [(part_head, part_body), *files]:
        pieces.append("\r\n".join([f"--{boundary}", *part, "", ""]).encode() + body)
        if not body.endswith(b"\r\n"):
            pieces.append(b"\r\n")
    pieces.append(f"--{boundary}--\r\n".encode())
    return b"".join(pieces)


def subject_of(subject: str, ticket_number: str, *, answer: bool = True) -> str:
    """``Re: [RP-000123] what it is about``: tag and prefix once, however often it went to and fro."""
    text = _CONTROL.sub(" ", subject)
    tag = f"[{_CONTROL.sub('', ticket_number)}]" if ticket_number else ""
    if tag:
        text = re.sub(re.escape(tag), " ", text, flags=re.IGNORECASE)
    text = " ".join(text.split())[:2_000]
    match = _REPLY_PREFIX.match(text)
    if match:
        text = text[match.end() :]
    return " ".join(piece for piece in ("Re:" if answer else "", tag, text[:MAX_SUBJECT].strip()) if piece)


def references_of(references: Sequence[str], in_reply_to: str | None) -> list[str]:
    """The parent's References and the parent itself, the first and the last ones when there are many."""
    found = _ids([*references, *([in_reply_to] if in_reply_to else [])])
    if in_reply_to and (parent := _ids([in_reply_to])) and found[-1] != parent[0]:
        found.remove(parent[0])
        found.append(parent[0])
    return found if len(found) <= MAX_REFERENCES else found[:1] + found[-(MAX_REFERENCES - 1) :]


def write_address(address: str, field: str) -> str:
    """An address fit for a header and an envelope: the domain in ASCII (IDNA). Raises Invalid."""
    plain = address.strip()
    local, at, domain = plain.rpartition("@")
    if not at or not _LOCAL.match(local) or _CONTROL.search(plain) or len(plain) > 320:
        raise Invalid(
            f"{plain[:100]!r} is no mail address",
            fields={field: "must be one address such as name@example.com"},
        )
    return f"{local}@{_domain(domain, field)}"


def _domain(domain: str, field: str) -> str:
    name = domain.strip().rstrip(".")
    if not name.isascii():
        try:
            name = name.encode("idna").decode("ascii")
        except UnicodeError:
            name = ""
    if not _DOMAIN.match(name):
        raise Invalid(
            f"{domain[:100]!r} is no mail domain", fields={field: "its domain cannot be written to"}
        )
    return name


def _ids(values: Sequence[str]) -> list[str]:
    seen: dict[str, None] = {}
    for value in values:
        text = "".join(value.split())
        text = text if text.startswith("<") else f"<{text}>"
        if _MESSAGE_ID.fullmatch(text):
            seen.setdefault(text)
    return list(seen)


def _mailbox(name: str, address: str) -> str:
    text = " ".join(_CONTROL.sub(" ", name).split())[:150]
    if not text:
        return address
    if _ATOMS.match(text):
        return f"{text} <{address}>"
    if text.isascii() and "=?" not in text:
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}" <{address}>'
    return "\r\n ".join([*_words(text), f"<{address}>"])


def _words(text: str) -> list[str]:
    """A header's text as pieces to be joined by folds; encoded words (RFC 2047) when not plain ASCII."""
    if text.isascii() and "=?" not in text:
        return text.split(" ")
    words: list[str] = []
    piece = b""
    for char in text:
        data = char.encode("utf-8", "replace")
        if len(piece) + len(data) > 42:  # 56 characters of base64, 68 with the frame
            words.append(_encoded(piece))
            piece = b""
        piece += data
    words.append(_encoded(piece))
    return words


def _encoded(data: bytes) -> str:
    return f"=?utf-8?B?{base64.b64encode(data).decode()}?="


def _folded(name: str, pieces: Sequence[str], separator: str) -> str:
    """``Name: piece piece``, folded before a line grows over 76 characters."""
    lines = [f"{name}:"]
    for place, piece in enumerate(pieces):
        text = piece + (separator if place < len(pieces) - 1 else "")
        if len(lines[-1]) + len(text) + 1 > 76 and place:
            lines.append("")
        lines[-1] += f" {text}"
    return "\r\n".join(lines)


def _text_part(text: str) -> tuple[list[str], bytes]:
    plain = _TEXT_CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    plain = plain if plain.endswith("\n") else f"{plain}\n"
    data = plain.encode("utf-8", "replace")
    lines = data.split(b"\n")
    kind = "Content-Type: text/plain; charset=utf-8"
    if data.isascii() and max(map(len, lines)) <= MAX_BODY_LINE:
        return [kind, "Content-Transfer-Encoding: 7bit"], b"\r\n".join(lines)
    if sum(byte > 127 for byte in data[:20_000]) * 4 > len(data[:20_000]):  # Chinese, say: a third shorter
        return [kind, "Content-Transfer-Encoding: base64"], _base64_lines(data.replace(b"\n", b"\r\n"))
    quoted = binascii.b2a_qp(data, istext=True).replace(b"\n", b"\r\n")
    return [kind, "Content-Transfer-Encoding: quoted-printable"], quoted


def _base64_lines(data: bytes) -> bytes:
    return base64.encodebytes(data).replace(b"\n", b"\r\n")


def _file_part(file: Attachment) -> tuple[list[str], bytes]:
    kind = (
        file.content_type
        if re.fullmatch(r"[\w.+-]{1,60}/[\w.+-]{1,100}", file.content_type, re.ASCII)
        else ""
    )
    if not kind or kind.startswith(("multipart/", "message/")):
        kind = "application/octet-stream"
    head = [
        f"Content-Type: {kind}",
        "Content-Transfer-Encoding: base64",
        f"Content-Disposition: attachment;\r\n {_file_name(file.name)}",
    ]
    return head, _base64_lines(file.content)


def _file_name(name: str) -> str:
    text = _CONTROL.sub("", name).replace("/", "_").replace("\\", "_")[:200] or "attachment"
    if text.isascii() and '"' not in text and len(text) < 60:
        return f'filename="{text}"'
    coded = quote(text.encode("utf-8", "replace"), safe="")
    pieces: list[str] = []
    while coded:
        cut = 57  # never inside of a %XX
        piece = coded[:cut]
        if len(coded) > cut and "%" in piece[-2:]:
            piece = piece[: piece.rindex("%")]
        pieces.append(piece)
        coded = coded[len(piece) :]
    return ";\r\n ".join(
        f"filename*{number}*={'utf-8' + chr(39) * 2 if number == 0 else ''}{piece}"
        for number, piece in enumerate(pieces)
    )


def _boundary(seed: str, bodies: Sequence[bytes]) -> str:
    for number in range(100):
        name = "=_" + hashlib.sha256(f"{seed}{number}".encode("utf-8", "replace")).hexdigest()[:32]
        if not any(name.encode() in body for body in bodies):
            return name
    return "=_" + secrets.token_hex(16)
