"""What a provider expects of our answers, and what is wrong with one."""

from __future__ import annotations

from collections.abc import Callable
from xml.etree import ElementTree

Check = Callable[[str], str]
"""What is wrong with an answer's text; "" when it is as the provider expects."""


class CallLost(Exception):
    """The answer is none that the call could go on with."""


def is_anything(text: str) -> str:
    return ""


def is_empty(text: str) -> str:
    return f"expected no text, got {text[:60]!r}" if text else ""


def is_object(text: str) -> str:
    """An empty JSON object: "taken"."""
    return "" if text == "{}" else f"expected {{}}, got {text[:60]!r}"


def is_response(text: str) -> str:
    """An XML ``<Response>``, which may say how the call goes on."""
    try:
        read_response(text)
    except CallLost as bad:
        return str(bad)
    return ""


def read_response(text: str) -> ElementTree.Element:
    """Our own server's answer: no entity is expanded, no file is read by this parser. Raises CallLost."""
    try:
        root = ElementTree.fromstring(text.encode())
    except ElementTree.ParseError:
        root = None
    if root is None or root.tag != "Response":
        raise CallLost(f"expected <Response>, got {text[:60]!r}")
    return root
