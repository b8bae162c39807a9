"""A form's fields, and a submission turned into clean values or into what is wrong with each.

Whatever the settings leave unsaid is the contact form that everybody knows: name, email, phone,
subject, message; a message and one way to answer it are needed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email import policy
from email.parser import BytesParser
from typing import Any, Literal
from urllib.parse import parse_qsl

from handlers.form_texts import TEXTS, Language
from server.domain.errors import Malformed, WrongType
from server.domain.identity import normalise_email, normalise_phone

FieldType = Literal["text", "email", "tel", "textarea", "select"]
MAX_FIELDS = 100
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Field:
    """``labels`` by language; a language without one shows the standard label, else the name."""

    name: str
    type: FieldType = "text"
    required: bool = False
    max_length: int = 200
    labels: Mapping[str, str] | None = None
    choices: tuple[str, ...] = ()

    def label(self, language: Language) -> str:
        labels = self.labels or {}
        said = labels.get(language) or labels.get(language.partition("_")[0])
        return (
            said or TEXTS[language].get(f"field_{self.name}") or next(iter(labels.values()), "") or self.name
        )


DEFAULT_FIELDS = (
    Field("name", max_length=120),
    Field("email", type="email", max_length=254),
    Field("phone", type="tel", max_length=40),
    Field("subject", max_length=200),
    Field("message", type="textarea", required=True, max_length=10_000),
)


@dataclass(frozen=True, slots=True)
class Submission:
    """What was sent: ``values`` as typed (cleaned), ``errors`` in the reader's language by field."""

    values: Mapping[str, str]
    errors: Mapping[str, str]


def fields_of(configured: Iterable[Any]) -> tuple[Field, ...]:
    """The fields of a ``[forms.NAME]`` of the settings, else the usual ones."""
    found = tuple(
        Field(item.name, item.type, item.required, item.max_length, dict(item.label), tuple(item.choices))
        for item in configured
    )
    return found or DEFAULT_FIELDS


def read_submission(body: bytes, content_type: str) -> dict[str, str]:
    """Field name -> text. Raises Malformed (what, where) or WrongType."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        return _read_json(body)
    if kind == "application/x-www-form-urlencoded":
        return _read_urlencoded(body)
    if kind == "multipart/form-data":
        return _read_multipart(body, content_type)
    raise WrongType("send application/json, application/x-www-form-urlencoded or multipart/form-data")


def guess_content_type(body: bytes) -> str:
    """Of a body whose header was not kept."""
    if body.lstrip()[:1] == b"{":
        return "application/json"
    boundary = re.match(rb"--([\x21-\x7e]{1,70})\r\n", body)
    if boundary is not None:
        return f'multipart/form-data; boundary="{boundary[1].decode()}"'
    return "application/x-www-form-urlencoded"


def check_submission(
    fields: Iterable[Field], values: Mapping[str, str], language: Language, country: str
) -> Submission:
    """Every field cleaned and checked; names that the form does not have are dropped."""
    say = TEXTS[language]
    kept: dict[str, str] = {}
    errors: dict[str, str] = {}
    known = {field.name: field for field in fields}
    for field in known.values():
        value = _clean(values.get(field.name, ""), one_line=field.type != "textarea")
        kept[field.name] = value
        if not value:
            if field.required:
                errors[field.name] = say["error_required"]
        elif len(value) > field.max_length:
            errors[field.name] = say["error_too_long"].format(most=field.max_length)
        elif field.type == "email" and normalise_email(value) is None:
            errors[field.name] = say["error_email"]
        elif field.type == "tel" and normalise_phone(value, country) is None:
            errors[field.name] = say["error_phone"]
        elif field.type == "select" and field.choices and value not in field.choices:
            errors[field.name] = say["error_choice"]
    ways = [field.name for field in known.values() if field.type in ("email", "tel")]
    if ways and not any(kept[name] for name in ways) and not any(name in errors for name in ways):
        errors[ways[0]] = say["error_no_way_back"]
    return Submission(kept, errors)


def _clean(text: str, *, one_line: bool) -> str:
    text = _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return " ".join(text.split()) if one_line else text.strip()


def _read_json(body: bytes) -> dict[str, str]:
    try:
        message = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError) as bad:
        raise Malformed(f"the JSON body cannot be read: {bad}") from None
    if not isinstance(message, dict):
        raise Malformed("the JSON body must be an object with a text for each field")
    if len(message) > MAX_FIELDS:
        raise Malformed(f"there are more than {MAX_FIELDS} fields")
    values = {}
    for name, value in message.items():
        if value is None:
            continue
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            values[name] = ", ".join(value)
            continue
        if isinstance(value, dict | list):
            raise Malformed(f"{_shown(name)} must be a text", fields={_shown(name): "must be a text"})
        values[name] = value if isinstance(value, str) else json.dumps(value)
    return values


def _read_urlencoded(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(body.decode("utf-8-sig"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except (UnicodeDecodeError, ValueError) as bad:
        raise Malformed(f"the form body cannot be read: {bad}") from None
    return _joined(pairs)


def _read_multipart(body: bytes, content_type: str) -> dict[str, str]:
    """RFC 7578, by the standard library's MIME parser; a file is refused by the name of its field."""
    if any(character in content_type for character in "\r\n") or len(content_type) > 300:
        raise Malformed("the Content-Type header cannot be read")
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1", "replace")
    message = BytesParser(policy=policy.HTTP).parsebytes(head + body)
    if not message.is_multipart():
        raise Malformed("the multipart body cannot be read: no part between its boundaries")
    pairs = []
    for number, part in enumerate(message.iter_parts()):
        if number >= MAX_FIELDS:
            raise Malformed(f"there are more than {MAX_FIELDS} fields")
        name = part.get_param("name", header="content-disposition")
        if not isinstance(name, str) or not name:
            raise Malformed(f"part {number + 1} of the multipart body has no name")
        content = part.get_payload(decode=True)
        content = content if isinstance(content, bytes) else b""
        if part.get_filename():
            if content:
                raise Malformed(
                    f"{_shown(name)} is a file", fields={_shown(name): "files are not taken here"}
                )
            continue
        try:
            pairs.append((name, content.decode()))
        except UnicodeDecodeError as bad:
            raise Malformed(f"{_shown(name)} is not UTF-8: {bad.reason} at byte {bad.start}") from None
    return _joined(pairs)


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Several values of one name (check boxes) become one text."""
    values: dict[str, str] = {}
    for name, value in pairs:
        values[name] = f"{values[name]}, {value}" if values.get(name) else value
    return values


def _shown(name: str) -> str:
    return _clean(name, one_line=True)[:64] or "a field"
