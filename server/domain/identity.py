"""Who calls or writes: one spelling for every number and address, and nobody for a withheld one.

Numbers become E.164, e-mail addresses lower case with an IDNA domain. The callers of this module
store ``e164`` beside what was received, and match by ``e164`` and :func:`email_match_key` only.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from urllib.parse import unquote

from server.domain.email_address import email_match_key, is_free_mail, normalise_email
from server.domain.phone_numbers import (
    Reading,
    calling_code,
    format_phone,
    is_emergency_number,
    is_plain_e164,
    is_service_number,
    phone_digits_of_query,
    read_number,
    region_of,
)
from server.domain.phone_words import KEYPAD, is_withheld_word

__all__ = [
    "CallerIdentity",
    "CallerKind",
    "email_match_key",
    "format_phone",
    "is_free_mail",
    "normalise_caller",
    "normalise_email",
    "normalise_phone",
    "phone_digits_of_query",
]


class CallerKind(StrEnum):
    E164 = "e164"
    WITHHELD = "withheld"  # nobody: never a customer, never matched
    EXTENSION = "extension"  # a PBX's own number
    SHORT_CODE = "short_code"  # 112, 10086: real, but not E.164
    SIP = "sip"  # a SIP address without a number
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class CallerIdentity:
    """``e164`` is set when ``kind`` is E164, and then only.

    ``extension`` is the caller's extension behind that number, or the PBX's own for EXTENSION.
    ``raw`` is what was received; ``sip_address`` is ``user@host`` in lower case, without a port.
    """

    kind: CallerKind
    e164: str | None = None
    raw: str = ""
    extension: str | None = None
    display_name: str | None = None
    sip_address: str | None = None


_NAMED = re.compile(r"<([^<>]*)>")
_SIP = re.compile(r"sips?:(?:([^@]*)@)?(\[[0-9a-f:.]*\]|[^:;?>\s]*)", re.IGNORECASE)
_USER_AT_HOST = re.compile(r"[^\s@<>\"]+@[\w.\-]+")
_EXTENSION = re.compile(r"[*#]{0,3}[0-9]{1,8}[*#]{0,2}")
_PLUS_LOST = re.compile(r"[ ]([1-9][0-9]{6,14})\s*")
_NUMBER_USER = re.compile(r"[+*#(]?[0-9][0-9\s().*#/\-]*")
_TEL_PARAMETERS = ("ext=", "phone-context=", "isub=")
MAX_NAME = 200
# Subscriber numbers in China have seven digits or more: what is shorter is a PBX's or a service's.
_EXTENSION_DIGITS = {"CN": 6}


def normalise_caller(raw: str | None, country: str) -> CallerIdentity:
    """What a PBX or provider sent as a caller (or as the number dialled). Never raises.

    ``country`` (ISO 3166, of the PBX or trunk) is used for national numbers. Understood are words for
    "withheld" in many languages and their keypad spellings, name-addr (RFC 3261), SIP and tel URIs
    (RFC 3966), exit prefixes, lost plus signs, extensions and full-width digits.
    """
    if raw is None:
        return _NOBODY
    if len(raw) > 64:
        return _identify(raw, country)
    return _remembered(raw, country)


def normalise_phone(raw: str | None, country: str) -> str | None:
    """E.164 of a customer's number as a person typed it, None when it is none that could be matched."""
    return normalise_caller(raw.strip(), country).e164 if raw is not None else None


_NOBODY = CallerIdentity(CallerKind.WITHHELD)


@lru_cache(maxsize=8192)
def _remembered(raw: str, country: str) -> CallerIdentity:
    # Nearly all callers arrive as plain E.164: a few look-ups, no parsing.
    if is_plain_e164(raw) and raw[1:] not in KEYPAD and raw[2:] not in KEYPAD:
        return CallerIdentity(CallerKind.E164, raw, raw)
    return _identify(raw, country)


def _identify(raw: str, country: str) -> CallerIdentity:
    text = raw[:1000].replace("\r", " ").replace("\n", " ").replace("\t", " ").replace("\x00", "")
    name, text = _split_name(text)
    text = text.replace("%2B", "+").replace("%2b", "+")
    bare = text.strip()
    folded = bare[:5].casefold()
    sip = _SIP.match(bare) if folded.startswith(("sip:", "sips:")) else None
    if sip is not None:
        return _of_sip(raw, sip[1], sip[2].casefold(), name, country)
    if _USER_AT_HOST.fullmatch(bare):
        user, _, host = bare.rpartition("@")
        return _of_sip(raw, user, host.casefold(), name, country)
    if folded.startswith("tel:"):
        text = _tel_number(bare[4:])
    kind, e164, extension = _classify(text, country)
    return CallerIdentity(kind, e164, raw, extension, name)


def _split_name(text: str) -> tuple[str | None, str]:
    """Name and address of ``"Bob" <sip:...>;tag=1``; without angle brackets there is no name."""
    inside = _NAMED.search(text)
    if inside is None:
        return None, text
    name = text[: inside.start()].strip()
    if len(name) > 1 and name[0] == name[-1] == '"':
        name = re.sub(r"\\(.)", r"\1", name[1:-1])
    name = " ".join("".join(c if c.isprintable() else " " for c in name).split())[:MAX_NAME].strip()
    return (None if is_withheld_word(name) else name), inside[1]


def _of_sip(raw: str, user: str | None, host: str, name: str | None, country: str) -> CallerIdentity:
    """A SIP URI: its user part may be a number, an extension, a name, or a word for nobody (RFC 3323)."""
    plain = unquote((user or "").split(";")[0].split(":")[0])
    if not user and _NUMBER_USER.fullmatch(host):  # sip:+4930123456, without a host
        plain, host = host, ""
    if is_withheld_word(plain) or host == "anonymous.invalid":
        return CallerIdentity(CallerKind.WITHHELD, None, raw, None, name)
    address = f"{plain.casefold()}@{host}" if host else None
    if _NUMBER_USER.fullmatch(plain):
        kind, e164, extension = _classify(plain, country)
        if kind is not CallerKind.INVALID:
            return CallerIdentity(kind, e164, raw, extension, name, address)
    kind = CallerKind.SIP if address is not None else CallerKind.INVALID
    return CallerIdentity(kind, None, raw, None, name, address)


def _tel_number(text: str) -> str:
    """A tel URI without its scheme and without parameters that say nothing of the number (RFC 3966)."""
    number, *parameters = text.split(";")
    kept = [one for one in parameters if one.casefold().startswith(_TEL_PARAMETERS)]
    return "tel:" + ";".join([number, *kept]) if kept else number


def _classify(text: str, country: str) -> tuple[CallerKind, str | None, str | None]:
    """Kind, E.164 and extension of a number without a name or scheme around it."""
    bare = unicodedata.normalize("NFKC", text.strip())
    if is_withheld_word(bare) and not bare.startswith("+"):
        return CallerKind.WITHHELD, None, None
    if _EXTENSION.fullmatch(bare):
        short = _classify_short(bare, country)
        if short is not None:
            return short, None, bare if short is CallerKind.EXTENSION else None
    digits = "".join(c for c in bare if c.isdigit()) if len(bare) < 40 else ""
    if digits and not digits.strip("0"):
        return CallerKind.WITHHELD, None, None
    reading = None
    lost = _PLUS_LOST.fullmatch(text)
    if lost is not None:  # " 302123456789": a plus that a form decoder turned into a space
        reading = read_number("+" + lost[1], country)
        if reading is not None and not reading.valid:
            reading = _likelier(reading, bare, country)
    reading = reading or read_number(bare, country)
    spelled = digits in KEYPAD or digits.removeprefix(calling_code(country)) in KEYPAD
    if spelled and (reading is None or not reading.valid):
        # Someone's real number may spell a word on the keypad; one that nobody can have is the word.
        return CallerKind.WITHHELD, None, None
    if reading is None:
        return CallerKind.INVALID, None, None
    return CallerKind.E164, reading.e164, reading.extension


def _likelier(reading: Reading, bare: str, country: str) -> Reading:
    national = read_number(bare, country)
    return national if national is not None and national.valid else reading


def _classify_short(bare: str, country: str) -> CallerKind | None:
    """Kind of up to eight digits that stand alone; None when a subscriber may have them."""
    digits = bare.strip("*#")
    if digits != bare:
        return CallerKind.EXTENSION
    if is_emergency_number(digits, country):
        return CallerKind.SHORT_CODE
    if not digits.strip("0"):
        return CallerKind.WITHHELD
    if len(digits) <= 4:
        return CallerKind.EXTENSION
    if is_service_number(digits, country):
        return CallerKind.SHORT_CODE
    if len(digits) <= _EXTENSION_DIGITS.get(region_of(country), 0):
        return CallerKind.EXTENSION
    if len(digits) > 6:
        return None
    reading = read_number(digits, country)
    if reading is None:
        return CallerKind.EXTENSION
    # Where numbers may have any length (Germany, Austria), five digits are an extension unless known.
    local = len(digits) == 6 or reading.valid or not is_plain_e164(reading.e164)
    return None if local else CallerKind.EXTENSION
