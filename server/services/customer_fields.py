"""What may be set on a customer, checked and made one spelling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from server.domain.fields import Checks
from server.domain.identity import email_match_key, normalise_email, normalise_phone
from server.domain.merge_patch import merge_patch
from server.domain.names import search_key

KINDS = ("person", "company")
CHANNELS = ("call", "email", "form", "sms")
WRITABLE = (
    "kind", "name", "company", "language", "time_zone", "owner_agent_id", "tier", "blocked", "do_not_contact",
    "phones", "emails", "external_ids", "tags", "fields", "notes",
)  # fmt: skip
EMPTY: dict[str, Any] = {
    "kind": "person", "name": "", "company": "", "language": "", "time_zone": "", "owner_agent_id": None,
    "tier": "standard", "blocked": False, "do_not_contact": [], "phones": [], "emails": [], "external_ids": {},
    "tags": [], "fields": {}, "notes": "",
}  # fmt: skip
MAX_PHONES = 50


def read_customer(data: Mapping[str, Any], old: Mapping[str, Any] | None, country: str) -> dict[str, Any]:
    """The whole new record from a merge patch; null gives a field its empty value.

    ``phones`` entries are mappings or bare numbers, ``emails`` likewise. Raises Invalid.
    """
    check = Checks(WRITABLE, data)
    new: dict[str, Any] = {name: (old or EMPTY)[name] for name in WRITABLE}
    for name in WRITABLE:
        if name in data:
            value = data[name] if data[name] is not None else EMPTY[name]
            new[name] = _read(check, name, value, old, country)
    if not new["name"] and new["company"]:
        new["name"] = new["company"]
    if not new["name"]:
        check.fault("name", "must not be empty")
    check.done()
    new["emails"] = [entry | {"match_key": email_match_key(entry["address"])} for entry in new["emails"]]
    new["search_key"] = search_key(f"{new['name']} {new['company']}".strip())
    return new


def _read(check: Checks, name: str, value: Any, old: Mapping[str, Any] | None, country: str) -> Any:
    if name in ("name", "company"):
        return check.text(name, value, 200)
    if name == "notes":
        return check.text(name, value, 20_000, lines=True)
    if name == "kind":
        return check.choice(name, value, KINDS)
    if name == "tier":
        return check.text(name, value, 40, least=1)
    if name == "language":
        return _language(check, value)
    if name == "time_zone":
        return _time_zone(check, value)
    if name == "blocked":
        return check.flag(name, value)
    if name == "owner_agent_id":
        return check.reference(name, value)
    if name == "do_not_contact":
        words = check.words(name, value)
        if any(word not in CHANNELS for word in words):
            check.fault(name, "may hold " + ", ".join(CHANNELS))
        return words
    if name == "tags":
        return check.words(name, value)
    if name == "phones":
        return _phones(check, value, country)
    if name == "emails":
        return _emails(check, value)
    if name == "external_ids":
        return _external_ids(check, merge_patch(old[name] if old is not None else {}, value))
    return check.record(name, merge_patch(old[name] if old is not None else {}, value))


def _language(check: Checks, value: Any) -> str:
    """A language tag such as ``en`` or ``zh_CN`` (``zh-CN`` is the same)."""
    text = check.text("language", value, 35).replace("-", "_")
    if text and not all(part.isascii() and part.isalnum() for part in text.split("_")):
        check.fault("language", "must be a language such as en or zh_CN")
    return text


def _time_zone(check: Checks, value: Any) -> str:
    text = check.text("time_zone", value, 64)
    if text:
        try:
            ZoneInfo(text)
        except (KeyError, ValueError, OSError):
            check.fault("time_zone", "must be a time zone such as Europe/London or Asia/Shanghai")
    return text


def _entries(check: Checks, name: str, value: Any, key: str, known: Sequence[str]) -> list[tuple[str, Any]]:
    """(field path, mapping) of each entry; a bare text is the entry's main value."""
    if not isinstance(value, (list, tuple)):
        check.fault(name, "must be a list")
        return []
    if len(value) > MAX_PHONES:
        check.fault(name, f"at most {MAX_PHONES}")
        return []
    found = []
    for place, one in enumerate(value):
        path = f"{name}.{place}"
        entry = {key: one} if isinstance(one, str) else one
        if not isinstance(entry, Mapping):
            check.fault(path, "must be an object")
            continue
        for unknown in set(entry) - {key, *known}:
            check.fault(f"{path}.{str(unknown)[:60]}", "there is no such field")
        found.append((path, entry))
    return found


def _phones(check: Checks, value: Any, country: str) -> list[dict[str, Any]]:
    phones: dict[tuple[str, str], dict[str, Any]] = {}
    for path, entry in _entries(check, "phones", value, "number", ("label", "extension", "verified")):
        raw = check.text(f"{path}.number", entry.get("number"), 100)
        number = normalise_phone(raw, country) if raw else None
        if number is None:
            example = "" if country else " with its country code"
            check.fault(f"{path}.number", f"not a phone number: write it{example} as +44 20 7946 0123")
            continue
        extension = check.text(f"{path}.extension", entry.get("extension"), 20)
        phones.setdefault(
            (number, extension),
            {
                "number": number,
                "label": check.text(f"{path}.label", entry.get("label"), 60),
                "extension": extension,
                "verified": check.flag(f"{path}.verified", entry.get("verified", False)),
            },
        )
    return list(phones.values())


def _emails(check: Checks, value: Any) -> list[dict[str, Any]]:
    emails: dict[str, dict[str, Any]] = {}
    for path, entry in _entries(check, "emails", value, "address", ("verified",)):
        raw = check.text(f"{path}.address", entry.get("address"), 320)
        address = normalise_email(raw) if raw else None
        if address is None:
            check.fault(f"{path}.address", "not a mail address")
            continue
        verified = check.flag(f"{path}.verified", entry.get("verified", False))
        emails.setdefault(address, {"address": address, "verified": verified})
    return list(emails.values())


def _external_ids(check: Checks, value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        check.fault("external_ids", "must be an object of system: id")
        return {}
    if len(value) > MAX_PHONES:
        check.fault("external_ids", f"at most {MAX_PHONES}")
        return {}
    found = {}
    for system, known_as in value.items():
        name = check.text("external_ids", system, 60, least=1)
        if ":" in name:
            check.fault("external_ids", "a system's name has no colon")
        found[name] = check.text(f"external_ids.{name[:60]}", known_as, 200, least=1)
    return found


def columns_of(entries: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[list[Any]]:
    """Entries as the column arrays that ``unnest`` takes."""
    return [[entry[name] for entry in entries] for name in names]
