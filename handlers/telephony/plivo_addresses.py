"""How Plivo writes phones: numbers without a plus, agents' phones as SIP endpoints of its own domain.

Source option ``sip_domain``: where the endpoints of the account are (phone.plivo.com).
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

from handlers.telephony.fields import optional_text
from handlers.telephony.provider import CallSource

SIP_DOMAIN = "phone.plivo.com"

_NUMBER = re.compile(r"\+?([1-9][0-9]{6,14})")
_SIP = re.compile(r"sips?:[^\s<>\"]+")
_USER = "!$&'()*+,;=-._~"  # what the user part of a SIP URI may have unescaped, RFC 3261 25.1


def plain_number(address: str | None) -> str | None:
    """The digits of an E.164 number, with or without its plus; None for anything else."""
    found = _NUMBER.fullmatch(address or "")
    return found[1] if found else None


def number_of(value: str | None) -> str | None:
    """E.164 with its plus; SIP addresses and names stay as they are."""
    digits = plain_number(value)
    return f"+{digits}" if digits else optional_text(value)


def address_of(source: CallSource, phone: str) -> str | None:
    """What Plivo rings for an agent's phone: digits of a number, a SIP URI, or an endpoint's user name.

    None for what cannot be rung.
    """
    cleaned = optional_text(phone)
    if cleaned is None:
        return None
    digits = plain_number(cleaned)
    if digits:
        return digits
    if cleaned.startswith(("sip:", "sips:")):
        return cleaned if _SIP.fullmatch(cleaned) else None
    return f"sip:{quote(cleaned, safe=_USER)}@{_domain(source)}"


def agent_refs_of(source: CallSource, address: str | None) -> tuple[str, ...]:
    """``sip:priya@`` Plivo's own domain is the agent ``priya``; other SIP URIs and numbers stay as they are."""
    text = optional_text(address)
    if text is None:
        return ()
    user, _, domain = text.removeprefix("sip:").partition("@")
    if domain.partition(";")[0].lower() == _domain(source) and text.startswith("sip:"):
        text = optional_text(unquote(user)) or text
    return (text,)


def _domain(source: CallSource) -> str:
    return source.options.get("sip_domain", "").lower() or SIP_DOMAIN
