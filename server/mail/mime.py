"""A lean MIME splitter: one pass over the bytes, no header decoded that nobody asks for.

The standard library's parser spends most of a mail's time on lines; this one searches boundaries
in the whole body. Limits hold against hostile mails: depth, parts and headers are counted, what
lies beyond them stays undivided in the part that holds it.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass, field

from server.mail.headers import decode_base64, parse_params

MAX_DEPTH = 40
MAX_PARTS = 1_000
MAX_HEADERS = 1_000
MAX_HEADER_BYTES = 512 * 1024

_BLANK = re.compile(rb"\r?\n\r?\n")
_HEADER = re.compile(r"([!-9;-~]{1,200})[ \t]*:[ \t]*")
_LOOKS_LIKE_BOUNDARY = re.compile(rb"(?:^|\n)--([^\s-][^\r\n]{0,199}?)[ \t]{0,20}(?=\r?\n)")
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/= \t\r\n"
_BASE64_RUN = re.compile(rb"[A-Za-z0-9+/\s]{4,}={0,2}")
_UU_BEGIN = re.compile(rb"(?:^|\n)begin [0-7]{3,4} ([^\r\n]{1,200})\r?\n")
MAX_UU_FILES = 50


@dataclass(slots=True)
class Part:
    """``headers`` are (lower-case name, raw value) in order; ``body`` is still encoded."""

    headers: list[tuple[str, str]]
    body: bytes
    content_type: str = "text/plain"
    params: dict[str, str] = field(default_factory=dict)
    disposition: str = ""
    disposition_params: dict[str, str] = field(default_factory=dict)
    typed: bool = False
    children: list[Part] = field(default_factory=list)

    def first(self, name: str) -> str | None:
        for key, value in self.headers:
            if key == name:
                return value
        return None

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]


def split_mime(raw: bytes, defects: list[str]) -> Part:
    """The tree of parts of one message."""
    if b"\n" not in raw and b"\r" in raw:
        raw = raw.replace(b"\r", b"\n")
    raw = raw.lstrip(b"\r\n \t\x00\xef\xbb\xbf") if raw[:1] in b"\r\n \t\x00\xef" else raw
    root = _part(raw, defects, "text/plain")
    budget = [MAX_PARTS]
    _divide(root, 0, budget, defects)
    return root


def _part(raw: bytes, defects: list[str], default_type: str) -> Part:
    head, body = _cut_head(raw)
    headers, rest = _headers(head, defects)
    if rest:
        body = rest + (b"\n\n" if body else b"") + body
    part = Part(headers, body, default_type)
    for name, value in headers:
        if name == "content-type" and not part.typed:
            kind, part.params = parse_params(value)
            part.typed = True
            if re.fullmatch(r"[^\s/;]+/[^\s/;]+", kind):
                part.content_type = kind
            elif kind in ("text", "html", "plain"):
                part.content_type = "text/html" if kind == "html" else "text/plain"
            elif kind == "multipart":
                part.content_type = "multipart/mixed"
            elif kind:
                defects.append(f"content type {kind[:60]!r} is none")
                part.typed = False
        elif name == "content-disposition" and not part.disposition:
            part.disposition, part.disposition_params = parse_params(value)
    return part


def _cut_head(raw: bytes) -> tuple[bytes, bytes]:
    if raw[:1] == b"\n":
        return b"", raw[1:]
    if raw[:2] == b"\r\n":
        return b"", raw[2:]
    match = _BLANK.search(raw)
    if match is None:
        return raw, b""
    return raw[: match.start()], raw[match.end() :]


def _headers(head: bytes, defects: list[str]) -> tuple[list[tuple[str, str]], bytes]:
    """Headers, and what turned out to be body because the blank line was forgotten."""
    if len(head) > MAX_HEADER_BYTES:
        defects.append("headers are longer than allowed, the rest was left out")
        head = head[:MAX_HEADER_BYTES]
    headers: list[tuple[str, str]] = []
    lines = head.decode("ascii", "surrogateescape").split("\n")
    strange: list[int] = []
    for number, whole in enumerate(lines):
        line = whole.rstrip("\r")
        if line[:1] in (" ", "\t") and headers:
            name, value = headers[-1]
            if len(value) < 65_536:
                headers[-1] = (name, f"{value}\n{line}")
            continue
        match = _HEADER.match(line)
        if match is None and headers and headers[-1][1].endswith(";") and "=" in line:
            headers[-1] = (headers[-1][0], f"{headers[-1][1]} {line}")  # folded without the space
            continue
        if match is None:
            if line.strip() and not (number == 0 and line.startswith(("From ", ">From "))):
                strange.append(number)
            continue
        if len(headers) >= MAX_HEADERS:
            defects.append("too many headers, the rest was left out")
            break
        headers.append((match[1].lower(), line[match.end() :].rstrip()))
    if not strange:
        return headers, b""
    defects.append("a line among the headers is no header")
    first = strange[0]
    if len(strange) * 2 > len(lines) - first:
        # mostly no headers from here on: the blank line was forgotten
        kept = _headers("\n".join(lines[:first]).encode("ascii", "surrogateescape"), [])[0] if first else []
        return kept, "\n".join(lines[first:]).encode("ascii", "surrogateescape")
    return headers, b""


def _divide(part: Part, depth: int, budget: list[int], defects: list[str]) -> None:
    if not part.content_type.startswith("multipart/"):
        return
    if depth >= MAX_DEPTH:
        defects.append("parts nested too deep, the innermost stay undivided")
        part.content_type = "application/octet-stream"
        return
    pieces = _pieces(part, defects)
    if not pieces:
        defects.append("multipart without parts")
        part.content_type = "text/plain" if part.body.strip() else part.content_type
        return
    default = "message/rfc822" if part.content_type == "multipart/digest" else "text/plain"
    part.body = b""
    pieces.reverse()
    while pieces:
        if budget[0] <= 0:
            defects.append("too many parts, the rest was left out")
            break
        budget[0] -= 1
        child = _part(pieces.pop(), defects, default)
        part.children.append(child)
        _divide(child, depth + 1, budget, defects)


def _pieces(part: Part, defects: list[str]) -> list[bytes]:
    boundary = part.params.get("boundary", "").rstrip()
    body = part.body
    if boundary:
        found = _cut_at(body, boundary.encode("utf-8", "surrogateescape"), defects)
        if found:
            return found
    guess = _LOOKS_LIKE_BOUNDARY.search(body)
    if guess is not None:
        defects.append("the multipart's boundary is missing or wrong")
        return _cut_at(body, guess[1], defects)
    return []


def _cut_at(body: bytes, boundary: bytes, defects: list[str]) -> list[bytes]:
    marker = b"--" + boundary
    size = len(marker)
    pieces: list[bytes] = []
    start = -1  # of the current piece
    position = body.find(marker)
    while position != -1:
        end = position + size
        if position and body[position - 1] != 10:
            position = body.find(marker, position + 1)
            continue
        close = body[end : end + 2] == b"--"
        line_end = body.find(b"\n", end)
        tail = body[end + 2 if close else end : line_end if line_end != -1 else len(body)]
        if tail.strip() and (not close or tail.strip(b"- \t\r")):
            position = body.find(marker, end)  # a longer boundary that starts alike
            continue
        if start >= 0:
            stop = position - 1
            if stop > start and body[stop - 1] == 13:
                stop -= 1
            pieces.append(body[start : max(start, stop)])
        if close or line_end == -1:
            return pieces
        start = line_end + 1
        position = body.find(marker, start)
        if len(pieces) > MAX_PARTS:
            return pieces
    if start >= 0:
        defects.append("the multipart's end is missing")
        pieces.append(body[start:])
    return pieces


def decode_body(part: Part, defects: list[str]) -> bytes:
    """The part's bytes with the transfer encoding undone; wrong encodings are left as they are."""
    encoding = (part.first("content-transfer-encoding") or "").strip().strip("\"';").lower()
    encoding = encoding.partition(";")[0].strip()
    body = part.body
    if encoding in ("", "7bit", "8bit", "binary", "7-bit", "8-bit"):
        return body
    if encoding == "base64":
        foreign = len(body.translate(None, _BASE64))
        if foreign * 20 > len(body):  # words in place of base64, or base64 with words after it
            run = _BASE64_RUN.match(body)
            body = run[0] if run and len(b"".join(run[0].split())) % 4 == 0 else b""
        data = decode_base64(body)
        if not data and part.body.strip():
            defects.append("base64 that cannot be read")
            return part.body
        return data
    if encoding in ("quoted-printable", "quoted_printable", "quotedprintable", "qp"):
        return binascii.a2b_qp(body)
    if encoding in ("x-uuencode", "uuencode", "x-uue", "uue"):
        found = cut_uuencoded(body)[1]
        if found:
            return found[0][1]
    defects.append(f"transfer encoding {encoding[:40]!r} is unknown")
    return body


def cut_uuencoded(body: bytes) -> tuple[bytes, list[tuple[str, bytes]]]:
    """Files that stand uuencoded in a text -> (the text without them, [(name, bytes)])."""
    if b"begin " not in body or b"\nend" not in body:
        return body, []
    files: list[tuple[str, bytes]] = []
    kept: list[bytes] = []
    position = 0
    for _ in range(MAX_UU_FILES):
        match = _UU_BEGIN.search(body, position)
        end = body.find(b"\nend", match.end() - 1) if match else -1
        if match is None or end == -1:
            break
        try:
            data = b"".join(_uu_line(line) for line in body[match.end() : end].splitlines() if line.strip())
        except (binascii.Error, ValueError, IndexError):
            kept.append(body[position : match.end()])
            position = match.end()
            continue
        kept.append(body[position : match.start()])
        files.append((match[1].decode("utf-8", "replace").strip(), data))
        position = end + 4
    kept.append(body[position:])
    return (b"".join(kept), files) if files else (body, [])


def _uu_line(line: bytes) -> bytes:
    try:
        return binascii.a2b_uu(line)
    except binascii.Error:  # trailing garbage of broken encoders
        size = (((line[0] - 32) & 63) * 4 + 5) // 3
        return binascii.a2b_uu(line[:size])
