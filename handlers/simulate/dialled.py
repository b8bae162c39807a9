"""Numbers as a PBX writes them that thinks in one country."""

from __future__ import annotations

import phonenumbers


def national(e164: str, country: str) -> str:
    """What is dialled in ``country`` for this number, digits only: ``03023125123``, ``00447700900123``."""
    try:
        number = phonenumbers.parse(e164)
    except phonenumbers.NumberParseException:
        return e164
    text = phonenumbers.format_out_of_country_calling_number(number, country.upper())
    return "".join(sign for sign in text if sign.isdigit())
