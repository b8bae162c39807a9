"""Names as keys for searching: how a person types them, not how they are written."""

from __future__ import annotations

import unicodedata

# Letters that Unicode does not take apart, though people type them without their stroke.
_LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th", "ħ": "h", "ŧ": "t"}
)
# Accents of Latin, Greek and Cyrillic; Hebrew points; Arabic vowel signs. Marks of other scripts
# (kana voicing, Indic vowels) are letters in all but name and stay.
_MARKS = ((0x0300, 0x036F), (0x0591, 0x05C7), (0x0640, 0x0640), (0x064B, 0x065F), (0x0670, 0x0670))


def search_key(name: str) -> str:
    """Lower case, without accents, full-width folded, blanks squeezed: "  Žofie　ＬＩＮ " -> "zofie lin".

    Used for what is stored and for what is asked, so both only have to agree. Idempotent.
    """
    key = name
    for _ in range(4):  # folding may give letters that fold again; two rounds are usual
        folded = _fold(key)
        if folded == key:
            break
        key = folded
    return key


def _fold(text: str) -> str:
    if text.isascii():
        return " ".join("".join(c if c.isprintable() else " " for c in text.lower()).split())
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    kept = []
    for character in apart:
        point = ord(character)
        if any(low <= point <= high for low, high in _MARKS):
            continue
        category = unicodedata.category(character)
        if category == "Cf":
            continue
        kept.append(" " if category in ("Cc", "Cs", "Zs", "Zl", "Zp") else character)
    return " ".join(unicodedata.normalize("NFC", "".join(kept).translate(_LETTERS)).split())
