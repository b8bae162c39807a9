"""Reading numbers as people, PBXs and providers write them, and writing them for people."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache

import phonenumbers
from phonenumbers import NumberParseException, PhoneMetadata, PhoneNumber, PhoneNumberFormat, ValidationResult

MAX_TEXT = 250  # characters; longer text is no number
_POSSIBLE = (ValidationResult.IS_POSSIBLE, ValidationResult.IS_POSSIBLE_LOCAL_ONLY)
_BARE = re.compile(r"\s*([0-9]{7,17})\s*")
_SEPARATORS = re.compile(r"[\s./()\-]+")


@dataclass(frozen=True, slots=True)
class Reading:
    """A number that is possible; ``valid`` when the numbering plan knows its range."""

    e164: str
    extension: str | None
    valid: bool


def region_of(country: str) -> str:
    """The country as `phonenumbers` knows it (ISO 3166, upper case); "ZZ" for one it does not."""
    region = country.strip().upper()
    return region if region in phonenumbers.SUPPORTED_REGIONS else "ZZ"


def calling_code(country: str) -> str:
    """The country code as text (49 for DE); empty for an unknown country."""
    code = phonenumbers.country_code_for_region(region_of(country))
    return str(code) if code else ""


def is_plain_e164(text: str) -> bool:
    """Whether the text is a possible E.164 number as it stands, so that parsing would give it back.

    A few dictionary look-ups instead of a parse. False means "not sure", not "no": numbers with a
    trunk prefix after the country code, or with leading zeros, are left to :func:`read_number`.
    """
    if not (8 <= len(text) <= 16 and text[0] == "+" and text.isascii() and text[1:].isdigit()):
        return False
    for size in (1, 2, 3):
        plan = _plan(text[1 : 1 + size])
        if plan is not None:
            lengths, trunk = plan
            rest = text[1 + size :]
            return len(rest) in lengths and rest[0] != "0" and (trunk is None or not trunk.match(rest))
    return False


@cache
def _plan(code: str) -> tuple[tuple[int, ...], re.Pattern[str] | None] | None:
    """The possible lengths and the trunk prefix of a country code; asked for 1110 codes at most."""
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(int(code)) if code[0] != "0" else None
    if regions is None:
        return None
    metadata = PhoneMetadata.metadata_for_region_or_calling_code(int(code), regions[0])
    if metadata is None or metadata.general_desc is None:
        return None
    prefix = metadata.national_prefix_for_parsing
    # Some prefixes may be empty; only a real one is a reason to look closer.
    trunk = re.compile(rf"(?=.)(?:{prefix})(?<=\d)") if prefix else None
    return metadata.general_desc.possible_length, trunk


def _parse(text: str, region: str) -> Reading | None:
    try:
        number = phonenumbers.parse(text, None if region == "ZZ" else region)
    except NumberParseException:
        return None
    if phonenumbers.is_possible_number_with_reason(number) not in _POSSIBLE:
        return None
    extension = number.extension or None
    valid = phonenumbers.is_valid_number(number)
    e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    # What is stored is read again later: it must read as itself.
    for _ in range(3):
        if is_plain_e164(e164):
            break
        try:
            again = phonenumbers.format_number(phonenumbers.parse(e164, None), PhoneNumberFormat.E164)
        except NumberParseException:
            return None
        if again == e164:
            break
        e164 = again
    else:
        return None
    return Reading(e164, extension, valid)


@cache
def _usual_length(region: str) -> int:
    """Digits of the longest ordinary number of a country, without its trunk prefix."""
    kinds = (phonenumbers.PhoneNumberType.FIXED_LINE, phonenumbers.PhoneNumberType.MOBILE)
    examples = [phonenumbers.example_number_for_type(region, kind) for kind in kinds]
    return max((len(phonenumbers.national_significant_number(one)) for one in examples if one), default=15)


@cache
def _has_trunk(region: str) -> bool:
    metadata = PhoneMetadata.metadata_for_region(region)
    return metadata is not None and metadata.national_prefix == "0"


def read_number(text: str, country: str) -> Reading | None:
    """The number in a text, or None. Digits whose plus or ``00`` was lost are read by what is likelier.

    ``country`` decides about national numbers and exit prefixes. Digits without a plus are taken as
    international when they cannot be national, when they are longer than any national number, or when
    they begin with the own country code where a national number would begin with its trunk zero.
    """
    if len(text) > MAX_TEXT:
        return None
    region = region_of(country)
    national = _parse(text, region)
    if region == "ZZ":
        return national
    digits = _SEPARATORS.sub("", text)
    if not (7 <= len(digits) <= 17 and digits.isascii() and digits.isdigit()):
        return national
    if digits.startswith("00"):
        return national or _parse("+" + digits[2:], region)
    own = digits.startswith(calling_code(region))
    if digits[0] == "0" or not (own or _BARE.fullmatch(text)):
        return national
    foreign = _parse("+" + digits, region)
    if foreign is None or (national is not None and foreign.e164 == national.e164):
        return national
    if national is None:
        return foreign if own or foreign.valid else None
    too_long = len(digits) > _usual_length(region)
    if own:
        certain = too_long or (foreign.valid and (not national.valid or _has_trunk(region)))
    else:
        certain = foreign.valid and (too_long or not national.valid)
    return foreign if certain else national


def is_emergency_number(digits: str, country: str) -> bool:
    """110, 112, 911, ...: of this country."""
    return phonenumbers.is_emergency_number(digits, region_of(country))


def is_service_number(digits: str, country: str) -> bool:
    """Short numbers of five or six digits that a carrier gives out (10086, 95588), of this country.

    Shorter ones are a PBX's extensions far more often, and in the NANP every five digits would count.
    """
    region = region_of(country)
    code = phonenumbers.country_code_for_region(region)
    if code in (0, 1) or len(digits) not in (5, 6) or digits[0] == "0":
        return False
    return phonenumbers.is_valid_short_number_for_region(
        PhoneNumber(country_code=code, national_number=int(digits)), region
    )


@lru_cache(maxsize=4096)
def format_phone(e164: str, country: str) -> str:
    """The number for a reader in ``country``: national inside, international from outside.

    Text that is no E.164 number comes back as it is.
    """
    if not e164.startswith("+"):
        return e164
    try:
        number = phonenumbers.parse(e164, None)
    except NumberParseException:
        return e164
    inside = str(number.country_code) == calling_code(country)
    return phonenumbers.format_number(
        number, PhoneNumberFormat.NATIONAL if inside else PhoneNumberFormat.INTERNATIONAL
    )


_QUERY = re.compile(r"(?:tel:|sips?:)?\s*\+?[\s0-9./()\-]+")
_QUERY_EXTENSION = re.compile(
    r"(?:;?\s*(?:ext|extension|x|durchwahl|分机|转)\s*[.:=]?|[,;#~])\s*[0-9]*#?\s*$"
)
_TRUNK_IN_BRACKETS = re.compile(r"(?<=[0-9])\s*\(0\)")
MIN_QUERY_DIGITS = 3


def phone_digits_of_query(text: str) -> str | None:
    """What someone typed into a search box, as part of a number: digits to look for inside E.164.

    No plus, no exit prefix, no trunk zero, no extension; None when it cannot be (part of) a number:
    other letters in it, or under three digits. "(030) 600-" gives "30600", "0086 138" gives "86138".
    """
    folded = unicodedata.normalize("NFKC", text[:MAX_TEXT]).casefold().strip().replace("%2b", "+")
    folded = re.sub(r"[\u2010-\u2015\u2212ー_·・'’]|(?<=[0-9])~", "-", folded)
    folded = "".join(_ascii_digit(c) for c in folded if unicodedata.category(c) != "Cf")
    folded = _QUERY_EXTENSION.sub("", folded) if any(c.isdigit() for c in folded) else folded
    folded = _TRUNK_IN_BRACKETS.sub(" ", folded)
    if not _QUERY.fullmatch(folded):
        return None
    digits = "".join(c for c in folded if c.isdigit()).lstrip("0")
    return digits if MIN_QUERY_DIGITS <= len(digits) <= 17 else None


def _ascii_digit(character: str) -> str:
    return str(unicodedata.decimal(character)) if character.isdecimal() else character
