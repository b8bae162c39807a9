"""XML elements of the answers that providers read: everything escaped, nothing that XML 1.0 forbids."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def element(name: str, attributes: Mapping[str, str] | None = None, content: str = "") -> str:
    """One element; ``content`` is markup already, attribute values are text."""
    opening = name + "".join(f' {key}="{text(value)}"' for key, value in (attributes or {}).items())
    return f"<{opening}>{content}</{name}>" if content else f"<{opening}/>"


def text(value: str) -> str:
    """A text as the content of an element or of an attribute. XML 1.0, 2.2 and 2.4."""
    return escape(_NOT_XML.sub("", value))
