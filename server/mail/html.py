"""HTML of strangers: text from it for reading and searching, a safe form of it for showing.

Both look at size and nesting first: the sanitiser is quadratic in depth, and formatting elements
left open are opened again in every paragraph. What is too large or too deep becomes plain text.
"""

from __future__ import annotations

import html
import re

import nh3
from inscriptis import get_text  # type: ignore[import-untyped]
from inscriptis.css_profiles import CSS_PROFILES  # type: ignore[import-untyped]
from inscriptis.model.config import ParserConfig  # type: ignore[import-untyped]

MAX_CHARS = 1_000_000
MAX_PARSED_CHARS = 500_000  # larger ones lose their tables, not their words
MAX_DEPTH = 200
MAX_REOPENED = 1_000_000  # elements that the repair of open formatting would add


def _words(text: str) -> set[str]:
    return set(text.split())


_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]{0,20})")
_VOID = _words("area base br col embed hr img input link meta source track wbr p li ")
_FORMATTING = _words("a b big code em font i nobr s small strike strong tt u ")
_DROPPED = re.compile(r"<(script|style|head|title|template|svg|math|noscript|!--)", re.IGNORECASE)
_CLOSINGS = {
    name: re.compile(f"</{name}" if name != "!--" else "-->", re.IGNORECASE)
    for name in ("script", "style", "head", "title", "template", "svg", "math", "noscript", "!--")
}
_BREAK = re.compile(r"<(?:br|/p|/div|/tr|/li|/h[1-6]|/table|/blockquote)\b[^>]{0,1000}>", re.IGNORECASE)
_MARKUP = re.compile(r"<[a-zA-Z/!?][^<>]{0,5000}>")
_EMPTY_LINES = re.compile(r"\n[ \t\xa0]*(?:\n[ \t\xa0]*){2,}")
_DATA_IMAGE = re.compile(r"data:image/(?:png|jpe?g|gif|webp);base64,[A-Za-z0-9+/=\s]*\Z", re.IGNORECASE)
_STYLE_VALUE = re.compile(r"[\w\s#.,:;%()'\"!-]*\Z")

_CONFIG = ParserConfig(css=CSS_PROFILES["relaxed"], display_links=False, display_images=False)
_TAGS = _words(
    "a abbr b bdi bdo big blockquote br caption center cite code col colgroup dd del details dfn div dl "
    "dt em figcaption figure font h1 h2 h3 h4 h5 h6 hr i img ins kbd li mark ol p pre q s samp small "
    "span strike strong sub summary sup table tbody td tfoot th thead tr tt u ul var "
)
_ATTRIBUTES = {
    "*": {"dir", "lang", "title", "align", "style"},
    "a": {"href"},
    "img": {"src", "alt", "width", "height"},
    "font": {"color", "size", "face"},
    "td": {"colspan", "rowspan", "valign", "bgcolor", "width"},
    "th": {"colspan", "rowspan", "valign", "bgcolor", "width"},
    "table": {"border", "cellpadding", "cellspacing", "bgcolor", "width"},
    "col": {"span", "width"},
    "ol": {"start", "type"},
}
_STYLES = _words(
    "color background-color font-weight font-style font-size font-family text-decoration text-align "
    "vertical-align white-space margin-left padding padding-left border border-left border-collapse "
    "width "
)
_LINKS = ("http://", "https://", "mailto:", "tel:")


def html_to_text(source: str) -> str:
    """Readable plain text: tables aligned, scripts and styles left out. Never raises."""
    cut = source[: MAX_CHARS * 2]
    if len(cut) > MAX_PARSED_CHARS or is_hostile(cut):
        return _strip(cut)
    try:
        # the parser refuses a text with an encoding declaration
        text = get_text(re.sub(r"^\s*<\?xml[^>]{0,200}>", "", cut), _CONFIG)
    except Exception:  # lxml and inscriptis fail in many ways; the text must still come through
        return _strip(cut)
    lines = [line.rstrip() for line in text.replace("\x00", "").splitlines()]
    return _EMPTY_LINES.sub("\n\n", "\n".join(lines)).strip()


def sanitise(source: str) -> str:
    """HTML that is safe to put into a page (inside a sandboxed frame all the same).

    No scripts, forms, frames or event handlers; pictures only from ``cid:`` and ``data:``, never
    from the net (a remote one tells the sender when the agent reads); links open apart.
    """
    if len(source) > MAX_CHARS or is_hostile(source):
        return f"<pre>{html.escape(_strip(source[: MAX_CHARS * 2])[:MAX_CHARS])}</pre>"
    return nh3.clean(
        source,
        tags=_TAGS,
        clean_content_tags={
            "script",
            "style",
            "title",
            "template",
            "noscript",
            "textarea",
            "select",
            "object",
            "iframe",
        },
        attributes=_ATTRIBUTES,
        attribute_filter=_keep_attribute,
        filter_style_properties=_STYLES,
        url_schemes={"http", "https", "mailto", "tel", "cid", "data"},
        link_rel="noopener noreferrer",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )


def _keep_attribute(tag: str, name: str, value: str) -> str | None:
    if name == "src":
        low = value.strip().lower()
        return (
            value
            if low.startswith("cid:") or (len(value) < 500_000 and _DATA_IMAGE.match(value.strip()))
            else None
        )
    if name == "href":
        return value if value.strip().lower().startswith(_LINKS) else None
    if name == "style":
        low = value.lower()
        return value if "url" not in low and "expression" not in low and _STYLE_VALUE.match(value) else None
    return value[:2000]


def is_hostile(source: str) -> bool:
    """Nested deeper than any mail, or built to blow up when its open formatting is repaired."""
    depth = formatting = reopened = 0
    for match in _TAG.finditer(source):
        name = match[2].lower()
        if name not in _VOID:
            step = -1 if match[1] else 1
            depth = max(0, depth + step)
            if name in _FORMATTING:
                formatting = max(0, formatting + step)
        reopened += formatting
        if depth > MAX_DEPTH or reopened > MAX_REOPENED:
            return True
    return False


def _strip(source: str) -> str:
    """Plain removal of tags, linear whatever the text."""
    out: list[str] = []
    position = 0
    while match := _DROPPED.search(source, position):
        out.append(source[position : match.start()])
        name = match[1].lower()
        closing = _CLOSINGS[name].search(source, match.end())
        if closing is None:  # never closed: a script swallows the rest, as in a browser
            position = len(source) if name not in ("head", "svg", "math") else match.end()
            break
        position = closing.end()
    out.append(source[position:])
    text = _BREAK.sub("\n", "".join(out))
    text = html.unescape(_MARKUP.sub("", text))
    return _EMPTY_LINES.sub("\n\n", text.replace("\x00", "")).strip()
