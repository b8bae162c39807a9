"""Header values as mails really carry them: RFC 5322, 2047, 2231, 6532, and what clients make of them.

A raw value is a ``str`` decoded as ASCII with ``surrogateescape``, so that bytes which are no ASCII
survive until somebody asks for the value. Nothing here raises on any input.
"""

from __future__ import annotations

import binascii
import re
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_tz

from server.mail.charset import clean_text, decode_text

MAX_VALUE = 65_536  # characters of one header that are looked at
MAX_PARAMS = 8_192  # characters of a Content-Type or Content-Disposition
MAX_ADDRESSES = 1_000

_WORD = re.compile(r"=\?([^?\s]{1,80})\?([bBqQ])\?((?:(?!=\?[^=]).)*?)\?=", re.DOTALL)
_BETWEEN_WORDS = re.compile(r"(\?=)\s+(?==\?[^?\s]{1,80}\?[bBqQ]\?)")
_FOLD = re.compile(r"[\r\n]+")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
_MESSAGE_ID = re.compile(r"<([^<>]{1,998})>")
_PLAIN_ADDRESS = re.compile(
    r"""\s*(?:"?([^"<>,;:@()\\=]*?)"?\s*)<\s*([^<>\s@"(),;:]+@[^<>\s@"(),;:]+)\s*>\s*$"""
)
_BARE_ADDRESS = re.compile(r"""\s*([^<>\s@"(),;:]+@[^<>\s@"(),;:]+)\s*$""")
_FIND_ADDRESS = re.compile(r"""[^<>\s@"(),;:\[\]]{1,128}@[^<>\s@"(),;:]{1,255}""")
_PARAM = re.compile(r"""[;\s]\s*([^\s=;"()<>@,:/\[\]?]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"?|([^;]*))""", re.DOTALL)
_RUN = re.compile(r"""=\?[^?\s]{1,80}\?[bBqQ]\?[^?]*\?=|(?:(?!=\?)[^"(<,;:>])+|[=:>]""")
_QUOTED = re.compile(r'((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")
_PERCENT = re.compile(rb"%([0-9a-fA-F]{2})")


def decode_header(raw: str, hint: str | None = None) -> str:
    """Unfold and decode one unstructured value; ``hint`` is a charset to try for naked 8-bit bytes."""
    value = raw[:MAX_VALUE]
    if "\n" in value or "\r" in value:
        value = _FOLD.sub("", value)
    if "=?" in value:
        value = _decode_words(value, hint)
    elif not value.isascii():
        value = clean_text(_undo_escape(value, hint))
    if _CONTROL.search(value):
        value = _CONTROL.sub("", value)
    return value.strip()


def _undo_escape(value: str, hint: str | None) -> str:
    if value.isascii():
        return value
    try:
        return decode_text(value.encode("ascii", "surrogateescape"), None, hint)[0]
    except UnicodeEncodeError:
        return value


def _decode_words(value: str, hint: str | None = None) -> str:
    value = _BETWEEN_WORDS.sub(r"\1", value)
    out: list[str] = []
    position = 0
    pending = b""
    pending_charset = ""
    for match in _WORD.finditer(value):
        charset = match[1].partition("*")[0].lower()
        between = value[position : match.start()]
        data = _word_bytes(match[2], match[3])
        # a multi-byte character may be torn between two words of one charset
        if pending and (between or charset != pending_charset or b"\x1b" in data):
            out.append(decode_text(pending, pending_charset)[0])
            pending = b""
        out.append(_undo_escape(between, hint))
        pending, pending_charset = pending + data, charset
        position = match.end()
    if pending:
        out.append(decode_text(pending, pending_charset)[0])
    out.append(_undo_escape(value[position:], hint))
    return clean_text("".join(out)).replace("\n", " ")


def _word_bytes(encoding: str, text: str) -> bytes:
    raw = text.encode("utf-8", "surrogateescape")
    if encoding in "bB":
        return decode_base64(raw)
    return binascii.a2b_qp(raw.replace(b" ", b"_"), header=True)


def decode_base64(data: bytes) -> bytes:
    """Base64 whatever is wrong with it: foreign characters, missing or early padding."""
    try:
        return binascii.a2b_base64(data)
    except binascii.Error:
        pass
    clean = re.sub(rb"[^A-Za-z0-9+/]", b"", data)
    clean = clean[: len(clean) - 1] if len(clean) % 4 == 1 else clean
    try:
        return binascii.a2b_base64(clean + b"=" * (-len(clean) % 4))
    except binascii.Error:
        return b""


def parse_params(raw: str) -> tuple[str, dict[str, str]]:
    """``text/plain; charset=x`` -> ("text/plain", {"charset": "x"}), RFC 2231 continuations joined."""
    value = _FOLD.sub("", raw[:MAX_PARAMS]).strip()
    if len(value) > 1_000:  # keeps the patterns below linear
        value = " ".join(value.split())
    head, semicolon, _ = value.partition(";")
    main = head.strip().lower()
    if " " in main:  # "text/plain charset=x", the semicolon forgotten
        main = main.split()[0]
        semicolon = ";"
        start = len(head) - len(head.lstrip()) + len(main)
    else:
        start = len(head)
    if not semicolon:
        return main, {}
    params: dict[str, str] = {}
    pieces: dict[str, dict[int, tuple[str, bool]]] = {}
    for match in _PARAM.finditer(value, start):
        name = match[1].lower()
        text = match[2] if match[2] is not None else (match[3] or "").strip()
        if match[2] is not None and "\\" in text:
            text = re.sub(r"\\([\\\"])", r"\1", text)
        if "*" not in name:
            params.setdefault(name, text)
            continue
        base, _, rest = name.partition("*")
        number, star, _ = rest.partition("*")
        extended = bool(star) or rest == ""
        index = int(number) if number.isascii() and number.isdigit() and len(number) < 4 else 0
        pieces.setdefault(base, {}).setdefault(index, (text, extended))
    for base, numbered in pieces.items():
        params[base] = _join_pieces(numbered)
    return main, params


def _join_pieces(numbered: dict[int, tuple[str, bool]]) -> str:
    charset = ""
    data = b""
    for place, index in enumerate(sorted(numbered)):
        text, extended = numbered[index]
        if extended and place == 0 and text.count("'") >= 2:
            charset, _, text = text.split("'", 2)
        raw = text.encode("utf-8", "surrogateescape")
        data += _PERCENT.sub(lambda m: bytes((int(m[1], 16),)), raw) if extended else raw
    return decode_text(data, charset or None)[0]


def param_text(value: str) -> str:
    """A parameter as people meant it: some clients put encoded words or naked bytes into it."""
    return decode_header(value)


def parse_addresses(raw: str, hint: str | None = None) -> list[tuple[str, str]]:
    """(name, address) for each mailbox, groups opened, encoded words decoded after the splitting
    (so that a comma inside of one cannot add an address)."""
    value = _FOLD.sub("", raw[:MAX_VALUE]).strip()
    if len(value) < 300:  # the usual forms
        match = _PLAIN_ADDRESS.match(value)
        if match:
            return [(decode_header(match[1], hint).strip("'"), _clean_address(match[2]))]
        match = _BARE_ADDRESS.match(value)
        if match:
            return [("", _clean_address(match[1]))]
    else:
        value = " ".join(value.split())
    found = [box for tokens in _split_mailboxes(value) if (box := _mailbox(tokens, hint))[1]]
    if not found and "=?" in value:  # the whole value was encoded, address and all
        decoded = _decode_words(value, hint)
        if "=?" not in decoded:
            found = [box for tokens in _split_mailboxes(decoded) if (box := _mailbox(tokens, hint))[1]]
    return found


def _split_mailboxes(value: str) -> list[list[tuple[str, str]]]:
    """Cut at commas, semicolons and group names; each mailbox is a list of (kind, text) tokens."""
    boxes: list[list[tuple[str, str]]] = []
    box: list[tuple[str, str]] = []
    i, n = 0, len(value)
    quotes = True
    while i < n and len(boxes) < MAX_ADDRESSES and len(box) < 200:
        char = value[i]
        if char == '"':
            match = _QUOTED.match(value, i + 1) if quotes else None
            if match:
                box.append(("quoted", _ESCAPED.sub(r"\1", match[1])))
                i = match.end()
            else:  # never closed: the quote is only a sign
                quotes = False
                i += 1
        elif char == "(":
            text, i = _comment(value, i + 1)
            box.append(("comment", text))
        elif char == "<":
            end = value.find(">", i)
            nested = value.find("<", i + 1)
            if nested != -1 and (end == -1 or nested < end):  # <<a@b>> or "<x <a@b>"
                box.append(("text", value[i + 1 : nested]))
                i = nested
                continue
            end = n if end == -1 else end
            box.append(("angle", value[i + 1 : end]))
            i = end + 1
        elif char in ",;":
            boxes.append(box)
            box = []
            i += 1
        elif char == ":" and not any(kind == "angle" or "@" in text for kind, text in box):
            box = []  # a group's name
            i += 1
        else:
            match = _RUN.match(value, i)
            end = match.end() if match else i + 1
            box.append(("text", value[i:end]))
            i = end
    boxes.append(box)
    return boxes


def _comment(value: str, start: int) -> tuple[str, int]:
    depth, i = 1, start
    while i < len(value) and depth:
        char = value[i]
        if char == "\\":
            i += 1
        elif char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
        i += 1
    return value[start : i - 1 if depth == 0 else i], i


def _mailbox(tokens: list[tuple[str, str]], hint: str | None) -> tuple[str, str]:
    angle = next((text for kind, text in reversed(tokens) if kind == "angle" and "@" in text), None)
    comments = [text for kind, text in tokens if kind == "comment"]
    if angle is None:
        angle = next((text for kind, text in reversed(tokens) if kind == "angle" and text.strip()), None)
    if angle is not None:
        name = "".join(text for kind, text in tokens if kind in ("quoted", "text"))
        address = _clean_address(angle)
        if "@" not in address:
            inner = _FIND_ADDRESS.search(name)
            address = _clean_address(inner[0]) if inner else address
    else:
        # "quoted local"@host, or words with an address somewhere
        text = "".join(
            f'"{text}"' if kind == "quoted" else text for kind, text in tokens if kind != "comment"
        ).strip()
        local = re.fullmatch(r'"([^"]{1,128})"\s*@\s*([^\s@"]{1,255})', text)
        match = None if local else _FIND_ADDRESS.search(text)
        if local:
            address, name = f'"{local[1]}"@{local[2]}', ""
        elif match:
            address = _clean_address(match[0])
            name = (text[: match.start()] + text[match.end() :]).replace('"', "").strip(" -[]")
        else:
            return "", ""
    if not name.strip() and comments:
        name = comments[0]
    return decode_header(name, hint).strip("\"'<> \t"), address


def _clean_address(address: str) -> str:
    address = clean_text(_undo_escape(address, None)).strip().strip("'").strip()
    if address.lower().startswith("mailto:"):
        address = address[7:]
    if address.startswith("@") and ":" in address:  # an obsolete source route
        address = address.rpartition(":")[2]
    if " " in address and '"' not in address:
        address = re.sub(r"\s+", "", address)
    address = _CONTROL.sub("", address)
    local, at, domain = address.rpartition("@")
    if at and domain.isascii():
        address = f"{local}@{domain.rstrip('.')}"
    elif at:
        address = f"{local}@{domain.strip('.')}"
    return address[:320]


def message_ids(raw: str) -> list[str]:
    """Every ``<...@...>`` of a References-like value, brackets kept, folds and spaces inside removed."""
    value = decode_header(raw) if "=?" in raw or not raw.isascii() else raw[:MAX_VALUE]
    seen: dict[str, None] = {}
    for match in _MESSAGE_ID.finditer(value):
        inner = "".join(match[1].split())
        if inner and ("@" in inner or len(inner) > 8):
            seen.setdefault(f"<{inner}>")
    return list(seen)


def single_message_id(raw: str) -> str | None:
    """The Message-ID; one without brackets is given them."""
    found = message_ids(raw)
    if found:
        return found[0]
    words = decode_header(raw).strip("<> \t").split()
    return f"<{words[0][:998]}>" if words and len(words[0]) > 3 else None


def parse_date(raw: str) -> datetime | None:
    """The Date header in UTC; a missing zone is read as UTC, nonsense as None."""
    try:
        parts = parsedate_tz(decode_header(raw)[:200])
        if parts is None:
            return None
        zone = timezone(timedelta(seconds=parts[9] or 0))
        when = datetime(*parts[:5], min(parts[5], 59), tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
    return when if 1970 <= when.year < 9000 else None
