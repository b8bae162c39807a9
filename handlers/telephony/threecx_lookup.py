"""The answer to a CRM look-up of 3CX: it asks while a call rings, and shows the contact that it is told.

The template of docs/telephony.md reads ``contacts.id``, ``contacts.first_name`` and so on out of JSON;
a template that asks for XML (``Accept: application/xml`` or ``?format=xml``) gets the same names in
``<contacts><contact>``. Nobody found is an empty list and 200: an error page would be taken for a fault.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from handlers.telephony import markup
from handlers.telephony.fields import optional_text
from handlers.telephony.provider import CallSource, HookReply, HookRequest

MAX_CONTACTS = 20


def lookup_reply(source: CallSource, request: HookRequest, found: Iterable[Mapping[str, Any]]) -> HookReply:
    """``found``: the customers, each with ``name``, ``company``, ``phone``, ``email``, ``number`` (its id)
    and ``url`` (its page); any of them may be missing."""
    contacts = [_contact(one) for one in found][:MAX_CONTACTS]
    if not _wants_xml(request):
        return HookReply(200, json.dumps({"contacts": contacts}, ensure_ascii=False), "application/json")
    entries = (
        markup.element(
            "contact",
            content="".join(
                markup.element(name, content=markup.text(value)) for name, value in contact.items()
            ),
        )
        for contact in contacts
    )
    body = markup.DECLARATION + markup.element("contacts", content="".join(entries))
    return HookReply(200, body, "application/xml")


def _contact(customer: Mapping[str, Any]) -> dict[str, str]:
    first, last = _names(_text(customer, "name"))
    phone = _text(customer, "phone")
    return {
        "id": _text(customer, "number"),
        "first_name": first,
        "last_name": last,
        "company": _text(customer, "company"),
        "phone": phone,
        "mobile": phone,
        "email": _text(customer, "email"),
        "url": _text(customer, "url"),
    }


def _names(name: str) -> tuple[str, str]:
    """The PBX shows first and last name with a space between; a name of one word is the first."""
    first, _, last = name.rpartition(" ")
    return (first, last) if first else (last, "")


def _text(customer: Mapping[str, Any], field: str) -> str:
    value = customer.get(field)
    return optional_text(str(value)) or "" if value is not None else ""


def _wants_xml(request: HookRequest) -> bool:
    asked = next((value for name, value in request.query if name == "format"), "")
    accepted = request.headers.get("Accept", "").lower()
    return asked.lower() == "xml" or ("xml" in accepted and "json" not in accepted)
