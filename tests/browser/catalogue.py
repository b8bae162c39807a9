"""Every text of the console, as the templates and the handlers name it. ``python -m tests.browser.catalogue``
prints the entries that the Chinese catalogue lacks, ready to be filled in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from babel.messages.extract import extract_from_file
from babel.messages.pofile import read_po

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = ROOT / "templates" / "locale" / "zh_CN.po"
KEYWORDS = {
    "_": None,
    "gettext": None,
    "ngettext": (1, 2),
    "pgettext": ((1, "c"), 2),
    "mark": ((1, "c"), 2),
    "fault": None,
}
COLUMNS = re.compile(r"head = \(([^)]*)\)")

Key = tuple[str, str]


def named_texts() -> Iterator[tuple[Key, str]]:
    """((context, text), file) of everything that is shown."""
    templates = sorted((ROOT / "templates" / "console").glob("*.html"))
    handlers = sorted((ROOT / "handlers" / "console").glob("*.py"))
    for path in [*templates, *handlers]:
        method = "jinja2.ext:babel_extract" if path.suffix == ".html" else "python"
        options = {"extensions": "jinja2.ext.do", "trimmed": "false", "silent": "false"}
        for _, message, _, context in extract_from_file(method, path, KEYWORDS, (), options):
            text = message[0] if isinstance(message, tuple) else message
            if text:
                yield (context or "", text), path.name
    columns = COLUMNS.search((ROOT / "handlers" / "console" / "tickets.py").read_text(encoding="utf-8"))
    assert columns is not None
    for text in re.findall(r'"([^"]+)"', columns[1]):
        yield ("column", text), "tickets.py"


def translations() -> dict[Key, str]:
    with CATALOGUE.open("rb") as source:
        found = {}
        for message in read_po(source, locale="zh_CN"):
            if message.id:
                key = message.id[0] if isinstance(message.id, tuple | list) else message.id
                said = message.string[0] if isinstance(message.string, tuple | list) else message.string
                found[message.context or "", key] = "" if message.fuzzy else said or ""
        return found


if __name__ == "__main__":
    known = translations()
    for (context, text), name in dict(named_texts()).items():
        if not known.get((context, text)):
            said = f'msgctxt "{context}"\n' if context else ""
            print(f'#: {name}\n{said}msgid "{text}"\nmsgstr ""\n')
