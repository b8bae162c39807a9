"""docs/telephony.md and its Chinese twin: what they tell people to write works, and both say the same."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from handlers.cli.checking import wrong_names
from handlers.telephony.sources import live_providers, providers
from server.settings import load_settings

ROOT = Path(__file__).resolve().parents[2]
PAGES = {name: (ROOT / "docs" / name).read_text("utf-8") for name in ("telephony.md", "telephony.zh_CN.md")}
COMMON = {"provider", "secrets", "country", "queue", "ring", "joins"}
CODE = "\n".join(path.read_text("utf-8") for path in (ROOT / "handlers" / "telephony").glob("*.py"))


def blocks(page: str, *, with_hints: bool = False) -> list[str]:
    """The TOML of a page; ``with_hints``: what is only suggested, behind a ``#``, as well."""
    found = re.findall(r"^```toml\n(.*?)^```", PAGES[page], re.M | re.S)
    return [re.sub(r"^# (?=\w+ +=)", "", one, flags=re.M) for one in found] if with_hints else found


def options(source: Mapping[str, Any]) -> Iterator[str]:
    """Of a table its name: the keys in it are the reader's own."""
    yield from (name for name in source if name not in COMMON)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("with_hints", [False, True])
def test_what_stands_there_can_be_used(page: str, with_hints: bool, tmp_path: Path) -> None:
    seen = set()
    every = blocks(page, with_hints=with_hints)
    for number, block in enumerate(every):
        joined = re.search(r'^joins *= "(\w+)"', block, re.M)
        if joined:  # a source that stands elsewhere on the page
            block += next(one for one in every if f"[call_sources.{joined[1]}]" in one)
        file = tmp_path / f"{number}.toml"
        file.write_text(block, encoding="utf-8")
        settings = load_settings([file], {})
        assert [line for line in wrong_names(settings) if "tls_ca" not in line] == [], block
        for source in settings.call_sources.values():
            seen.add(source.provider)
            unknown = [name for name in options(source.model_extra or {}) if name not in CODE]
            assert unknown == [], block
    assert seen == {*providers(), *live_providers()}


def test_both_languages_say_the_same() -> None:
    english, chinese = PAGES
    for one, other in zip(blocks(english, with_hints=True), blocks(chinese, with_hints=True), strict=True):
        assert tomllib.loads(one) == tomllib.loads(other)
    for pattern in (r"^#+ ", r"^\| ", r"^    \S", r"^\*\*", r"https://[^\s`'）]+"):
        counts = [len(re.findall(pattern, page, re.M)) for page in PAGES.values()]
        assert counts[0] == counts[1], (pattern, counts)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", PAGES[page]):
        name, _, heading = target.partition("#")
        file = ROOT / "docs" / (name or page)
        assert file.is_file(), target
        assert not heading or heading in headings(file.read_text("utf-8")), target


def headings(text: str) -> set[str]:
    """The anchors that a page of Markdown has."""
    lines = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}
