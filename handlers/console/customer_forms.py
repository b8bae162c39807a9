"""A customer's form fields turned into the changes that the service takes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

LINES = re.compile(r"[\n;；]+")
WORDS = re.compile(r"[,，、;；\n]+")
CHANNELS = ("call", "email", "form", "sms")


def correction_of(form: Mapping[str, str]) -> dict[str, Any]:
    """What the desk lets an agent correct while talking; what is left empty stays as it is."""
    changes: dict[str, Any] = {name: form[name] for name in ("name", "company") if form.get(name)}
    if form.get("email"):
        changes["emails"] = [{"address": form["email"]}]
    return changes


def changes_of(form: Mapping[str, list[str]]) -> dict[str, Any]:
    """The whole edit form; lists are one entry a line, a telephone number may have a label behind a comma."""

    def one(name: str) -> str:
        return form.get(name, [""])[-1]

    changes: dict[str, Any] = {
        name: one(name)
        for name in ("name", "company", "kind", "tier", "language", "time_zone", "notes")
        if name in form
    }
    changes["blocked"] = "blocked" in form
    changes["do_not_contact"] = [channel for channel in form.get("do_not_contact", []) if channel in CHANNELS]
    changes["tags"] = list(dict.fromkeys(word.strip() for word in WORDS.split(one("tags")) if word.strip()))
    changes["phones"] = [_phone(line) for line in LINES.split(one("phones")) if line.strip()]
    changes["emails"] = [
        {"address": line.strip()} for line in re.split(r"[\s,，;；]+", one("emails")) if line.strip()
    ]
    if "owner_agent_id" in form:
        changes["owner_agent_id"] = one("owner_agent_id") or None
    return changes


def keep_verified(changes: dict[str, Any], old: Mapping[str, Any]) -> dict[str, Any]:
    """The form does not show what is verified: an entry that stays keeps it."""
    for name, key in (("phones", "number"), ("emails", "address")):
        before = {entry[key]: entry for entry in old[name]}
        changes[name] = [
            {**entry, "verified": bool(before.get(entry[key], {}).get("verified", False))}
            for entry in changes[name]
        ]
    return changes


def _phone(line: str) -> dict[str, str]:
    number, _, label = re.sub("，", ",", line).partition(",")
    entry = {"number": number.strip()}
    if label.strip():
        entry["label"] = label.strip()
    return entry
