"""What a customer newly wrote, apart from what their program quoted below it.

Line by line and linear, whatever the text. In doubt a line counts as new: a quote shown twice is a
nuisance, a sentence that nobody reads is a complaint. The two halves together hold every line.
"""

from __future__ import annotations

from server.mail.reply_patterns import (
    ASCII_ART,
    DATE_ADDRESS,
    FIELD,
    FIRST_FIELDS,
    FORWARD,
    QUOTED,
    REPLY_ABOVE,
    RULE,
    RULE_LINE,
    SENT_FROM,
    SIGNATURE,
    STARTS,
    WROTE,
    WROTE_ZH,
)

MAX_LINES = 20_000
MAX_JOINED = 4  # lines over which clients wrap "On ..., X wrote:"
MAX_ATTRIBUTION = 400  # characters


def split_reply(text: str) -> tuple[str, str]:
    """(what is new, what was quoted or signed). When in doubt everything is new and the quote is empty."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if len(lines) > MAX_LINES:
        head, tail = "\n".join(lines[:MAX_LINES]), "\n".join(lines[MAX_LINES:])
        new, quoted = split_reply(head)
        return (new, f"{quoted}\n{tail}") if quoted else (text.strip(), "")
    cut = _find_cut(lines)
    below = _below_quote(lines) if cut == len(lines) else 0
    if below:  # quote first, answer under it
        end = below + _trim_end(lines[below:], len(lines) - below)
        return _joined(lines[below:end]), _joined(lines[:below] + lines[end:])
    end = _trim_end(lines, cut)
    new = _joined(lines[:end])
    if not _says_something(new):
        return text.strip("\n").rstrip(), ""  # nothing but a quote: that is what was sent
    return new, "\n".join(lines[end:]).strip("\n")


def _joined(lines: list[str]) -> str:
    return "\n".join(lines).strip("\n").rstrip()


def _says_something(text: str) -> bool:
    return any(char.isalnum() or ord(char) > 0x2190 for char in text)


def _find_cut(lines: list[str]) -> int:
    """The line at which the old mail begins, ``len(lines)`` when there is none."""
    answered = -1  # up to here quotes are known to have answers below
    for index, line in enumerate(lines):
        if not line.strip() or len(line) > MAX_ATTRIBUTION:
            continue
        if FORWARD.match(line):
            return len(lines)  # a forwarded mail is what the customer wants us to see
        if RULE.match(line) or (REPLY_ABOVE.match(line) and index):
            return index
        taken = _attribution(lines, index) if index > answered else 0
        if taken:
            answered = _answered_below(lines, index + taken)
            if answered < 0:
                return index
        if _is_header_block(lines, index) and not QUOTED.match(line):
            above = index
            while above and (not lines[above - 1].strip() or RULE_LINE.match(lines[above - 1])):
                above -= 1
            return above
    return len(lines)


def _below_quote(lines: list[str]) -> int:
    """Where the answer begins when the mail starts with an attribution and its quote; 0 otherwise."""
    start = next((number for number, line in enumerate(lines) if line.strip()), 0)
    taken = _attribution(lines, start)
    if not taken or QUOTED.match(lines[start]):
        return 0
    below = _answered_below(lines, start + taken)
    return below if below > 0 and not any(QUOTED.match(line) for line in lines[below:]) else 0


def _attribution(lines: list[str], index: int) -> int:
    """How many lines from here are one "On ..., X wrote:"; 0 when it is none."""
    joined = ""
    for taken in range(1, MAX_JOINED + 1):
        if index + taken > len(lines):
            return 0
        piece = lines[index + taken - 1].strip()
        if taken == 1 or QUOTED.match(lines[index]):
            piece = piece.lstrip("> ").strip()
        if not piece and taken > 1:
            return 0
        joined = f"{joined} {piece}".strip().replace("< ", "<").replace(" >", ">")
        if len(joined) > MAX_ATTRIBUTION:
            return 0
        if taken == 1 and not _may_start(joined):
            return 0
        plain = joined.strip("*_ ")
        if plain.endswith((":", "：", "--", "---", "----")) or WROTE_ZH.search(plain):
            if WROTE_ZH.search(plain) and (any(char.isdigit() for char in plain) or "@" in plain):
                return taken
            if (
                WROTE.search(plain)
                and STARTS.match(plain)
                and (any(c.isdigit() for c in plain) or "@" in plain)
            ):
                return taken
            if DATE_ADDRESS.match(plain):
                return taken
    return 0


def _may_start(text: str) -> bool:
    return bool(STARTS.match(text)) or text.startswith(("在", "于", "於")) or "写道" in text or "寫道" in text


def _answered_below(lines: list[str], start: int) -> int:
    """The first line that the customer wrote between or below the quoted lines (``>``), -1 for none."""
    index = start
    while index < len(lines) and not lines[index].strip():
        index += 1
    if index >= len(lines) or not QUOTED.match(lines[index]):
        return -1  # quoted without signs: all below is old
    quoted_seen = False
    for number in range(index, len(lines)):
        line = lines[number]
        if QUOTED.match(line):
            quoted_seen = True
            continue
        if not line.strip():
            continue
        if SIGNATURE.match(line) or SENT_FROM.match(line) or RULE_LINE.match(line):
            return -1
        wrapped = quoted_seen and number and QUOTED.match(lines[number - 1]) and len(lines[number - 1]) > 60
        if not wrapped:
            return number if _says_something(line) else -1
    return -1


def _is_header_block(lines: list[str], index: int) -> bool:
    first = FIELD.match(lines[index])
    if first is None or first[1].lower() not in FIRST_FIELDS:
        return False
    seen = {first[1].lower()}
    address = "@" in lines[index]
    for line in lines[index + 1 : index + 9]:
        match = FIELD.match(line)
        if match is not None:
            seen.add(match[1].lower())
            address = address or "@" in line
        elif not line.strip() and len(seen) < 2:
            return False
        elif not line.strip():
            break
    return len(seen) >= 3 or (len(seen) == 2 and address)


def _trim_end(lines: list[str], cut: int) -> int:
    """Leave off what stands at the end of the new text: quoted lines, the signature, "Sent from my"."""
    end = cut
    while True:
        before = end
        while end and (not lines[end - 1].strip() or (QUOTED.match(lines[end - 1]) and cut == end)):
            if lines[end - 1].strip() or cut == end:
                cut = end - 1
            end -= 1
        for index in range(max(0, end - 12), end):
            if SIGNATURE.match(lines[index]) and _says_something("\n".join(lines[:index])):
                end = index
                break
            if (
                SENT_FROM.match(lines[index])
                and end - index <= 3
                and (not index or not lines[index - 1].strip())
            ):
                end = index
                break
        while end and (
            not lines[end - 1].strip()
            or (len(lines[end - 1]) < MAX_ATTRIBUTION and ASCII_ART.match(lines[end - 1]))
        ):
            end -= 1
        if end in (before, 0):
            return end
        cut = end
