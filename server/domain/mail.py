"""What a mail is once it has been read: plain values, no MIME.

Message ids keep their angle brackets (``<id@host>``) everywhere: parsed, stored, compared, written.
Text never holds NUL or lone surrogates, so it can be stored as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Attachment:
    """``name`` is safe as a file name (no path, control or bidi characters, at most 200 characters, never
    empty); ``content_id`` comes without brackets; ``inline`` parts belong into the text (``cid:`` images)."""

    name: str
    content_type: str
    content: bytes
    content_id: str | None = None
    inline: bool = False


@dataclass(frozen=True, slots=True)
class ParsedMail:
    """One mail. Addresses are bare (``a@b``) and in the sender's spelling; "" where there is none.

    ``message_id`` is made from a hash when the mail has none, the same each time. ``body_text`` is
    the whole text, quotes included; ``body_html`` is hostile until sanitised. ``auto_submitted``
    says that no person wrote it (RFC 3834 and vendor headers), ``bounce`` that it reports on a mail
    (DSN, MDN, ARF or a home-made one), ``list_mail`` that it went to many; ``may_auto_reply`` is
    False when any of these holds or the sender asks for silence. ``defects`` is for people who
    wonder why a mail looks odd.
    """

    message_id: str
    in_reply_to: str | None
    references: tuple[str, ...]
    from_address: str
    from_name: str
    reply_to: tuple[str, ...]
    to: tuple[str, ...]
    cc: tuple[str, ...]
    subject: str
    date: datetime | None
    body_text: str
    body_html: str | None
    attachments: tuple[Attachment, ...]
    auto_submitted: bool
    bounce: bool
    list_mail: bool
    may_auto_reply: bool
    envelope_from: str | None
    envelope_to: tuple[str, ...]
    headers_selected: tuple[tuple[str, str], ...]
    defects: tuple[str, ...]

    def header(self, name: str) -> str | None:
        """The topmost of the selected headers of that name, any case."""
        wanted = name.lower()
        return next((value for key, value in self.headers_selected if key.lower() == wanted), None)
