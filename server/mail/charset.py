"""Bytes to text for mail: the label first, then what the bytes look like. Never raises.

Labels follow the WHATWG reading of old names (gb2312 is read as gb18030, iso-8859-1 as
windows-1252), because that is what senders mean by them.
"""

from __future__ import annotations

import codecs
import re
from functools import lru_cache

import chardet

DETECT_BYTES = 4_096  # enough to decide, and keeps detection at some milliseconds

_ALIASES = {
    "": "utf-8",
    "ascii": "utf-8",
    "us-ascii": "utf-8",
    "ansi_x3.4-1968": "utf-8",
    "ansi_x3.110-1983": "cp1252",
    "7bit": "utf-8",
    "8bit": "utf-8",
    "default": "utf-8",
    "unknown-8bit": "utf-8",
    "x-unknown": "utf-8",
    "unknown": "utf-8",
    "utf8mb4": "utf-8",
    "utf": "utf-8",
    "unicode": "utf-16",
    "unicode-1-1-utf-7": "utf-7",
    "unicode-1-1-utf-8": "utf-8",
    "gb2312": "gb18030",
    "gb_2312-80": "gb18030",
    "gbk": "gb18030",
    "x-gbk": "gb18030",
    "cp936": "gb18030",
    "ms936": "gb18030",
    "euc-cn": "gb18030",
    "big5": "big5hkscs",
    "x-x-big5": "big5hkscs",
    "cn-big5": "big5hkscs",
    "ks_c_5601-1987": "cp949",
    "ks_c_5601": "cp949",
    "ksc5601": "cp949",
    "euc-kr": "cp949",
    "windows-949": "cp949",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "sjis": "cp932",
    "x-sjis": "cp932",
    "windows-31j": "cp932",
    "iso-2022-jp": "iso2022_jp_ext",
    "iso-8859-1": "cp1252",
    "iso8859-1": "cp1252",
    "latin1": "cp1252",
    "latin-1": "cp1252",
    "iso-8859-9": "cp1254",
    "iso-8859-11": "cp874",
    "tis-620": "cp874",
    "windows-874": "cp874",
    "iso-8859-8-i": "iso-8859-8",
    "iso-8859-8-e": "iso-8859-8",
    "iso-8859-6-i": "iso-8859-6",
    "x-mac-roman": "mac_roman",
    "macintosh": "mac_roman",
    "x-mac-cyrillic": "mac_cyrillic",
    "visual": "iso-8859-8",
    "logical": "iso-8859-8",
}
# Python's codecs that are no charset, or whose cost is not linear
_NOT_CHARSETS = frozenset(
    [
        "idna",
        "punycode",
        "unicode_escape",
        "unicode-escape",
        "raw_unicode_escape",
        "raw-unicode-escape",
        "undefined",
        "mbcs",
        "oem",
    ]
)
_EIGHT_BIT = re.compile(rb"[\x80-\xff]")
_SURROGATES = re.compile("[\ud800-\udfff]")
_CP1252 = "".join(
    chr(code) if code in (0x81, 0x8D, 0x8F, 0x90, 0x9D) else bytes((code,)).decode("cp1252")
    for code in range(256)
)
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@lru_cache(maxsize=512)
def codec_for(label: str) -> str | None:
    """The codec for a charset label as mails carry it, or None when there is none of that name."""
    name = label.strip().strip("\"'").strip().lower()[:64]
    name = _ALIASES.get(name, name)
    if not name.isascii() or "\x00" in name:
        return None
    for candidate in (
        name,
        name.replace("cp-", "cp"),
        name.removeprefix("x-"),
        name.replace("windows-", "cp"),
    ):
        try:
            info = codecs.lookup(candidate)
        except (LookupError, ValueError):
            continue
        if info.name in _NOT_CHARSETS or not getattr(info, "_is_text_encoding", True):
            return None
        return info.name
    return None


def decode_text(data: bytes, label: str | None, hint: str | None = None) -> tuple[str, str | None]:
    """Decode ``data``; the second value is a defect note, or None when the label was right.

    ``hint`` is another label to try before guessing (a mail's body names what its headers forgot).
    """
    if data.isascii() and b"\x1b" not in data and not _shifted(label):
        return data.decode("ascii"), None
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")):
        for bom, bom_codec in _BOMS:
            if data.startswith(bom):
                try:
                    return data.decode(bom_codec), None
                except UnicodeError:
                    break
    codec = codec_for(label or "")
    note = None if codec is not None else f"unknown charset {(label or '')[:40]!r}"
    if codec is not None:
        try:
            return data.decode(codec), None
        except (UnicodeError, ValueError):
            note = f"text is not {label or 'us-ascii'}"
        if codec == "cp1252":  # the five holes of windows-1252
            return _holes(data), None
        if codec == "big5hkscs":
            try:
                return data.decode("cp950"), None
            except UnicodeError:
                pass
        if label and codec not in ("utf-8", "utf-7"):
            text = data.decode(codec, "replace")
            # one torn character must not turn a whole text over to guessing
            if text.count("\ufffd") * 50 <= len(text):
                return text, note
    return _guess(data, codec, hint), note


def _shifted(label: str | None) -> bool:
    """ASCII bytes can still mean something else: utf-7, iso-2022, hz, utf-16."""
    if not label:
        return False
    low = label.lower()
    return (
        "utf-7" in low
        or "2022" in low
        or low.startswith(("hz", "utf-16", "utf16", "utf-32", "unicode", "ebcdic"))
    )


def _guess(data: bytes, codec: str | None, hint: str | None) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    text = data.decode("utf-8", "replace")
    good = sum(1 for char in text[:DETECT_BYTES] if char > "\x7f" and char != "\ufffd")
    if codec == "utf-8" and good and text.count("\ufffd") * 10 <= good:
        return text  # UTF-8 with some torn characters
    candidates = [hint] if hint else []
    if codec is not None and codec.startswith("iso2022_jp"):  # Japanese all the same, in another dress
        candidates.extend(("shift_jis", "euc-jp"))
    first = _EIGHT_BIT.search(data)
    if first is not None:
        start = max(0, first.start() - 64)
        guess = chardet.detect(data[start : start + DETECT_BYTES])
        if (guess.get("confidence") or 0) >= 0.3 and guess.get("encoding"):
            candidates.append(str(guess["encoding"]))
    for label in candidates:
        name = codec_for(label)
        if name is None or name == "utf-8":
            continue
        try:
            return data.decode(name)
        except (UnicodeError, ValueError):
            continue
    return _holes(data)


def _holes(data: bytes) -> str:
    """Windows-1252 with its five holes filled from Latin-1: every byte has a meaning."""
    return codecs.charmap_decode(data, "strict", _CP1252)[0]


def clean_text(text: str) -> str:
    """Text as it can be stored: no NUL, no lone surrogates, line ends as one line feed."""
    if "\x00" in text:
        text = text.replace("\x00", "")
    if not text.isascii() and _SURROGATES.search(text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text
