"""What comes with a mail as a file: its name made safe, its bytes as they are."""

from __future__ import annotations

import re

from server.domain.mail import Attachment
from server.mail.charset import clean_text
from server.mail.headers import decode_header, param_text
from server.mail.mime import Part

MAX_NAME = 200

_UNSAFE_NAME = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufffe\uffff]")
_EXTENSIONS = {
    "text/plain": ".txt",
    "text/html": ".html",
    "text/calendar": ".ics",
    "text/csv": ".csv",
    "text/x-vcard": ".vcf",
    "text/vcard": ".vcf",
    "text/rfc822-headers": ".txt",
    "message/rfc822": ".eml",
    "message/global": ".eml",
    "message/delivery-status": ".txt",
    "message/feedback-report": ".txt",
    "message/disposition-notification": ".txt",
    "image/jpeg": ".jpg",
    "image/jpg": ".jpg",
    "image/png": ".png",
    "image/gif": ".gif",
    "image/webp": ".webp",
    "image/svg+xml": ".svg",
    "image/tiff": ".tif",
    "application/pdf": ".pdf",
    "application/zip": ".zip",
    "application/json": ".json",
    "application/xml": ".xml",
    "application/pgp-signature": ".asc",
    "application/pkcs7-signature": ".p7s",
    "application/x-pkcs7-signature": ".p7s",
    "application/ms-tnef": ".dat",
    "audio/mpeg": ".mp3",
    "audio/wav": ".wav",
    "video/mp4": ".mp4",
}


def file_name_of(part: Part) -> str:
    name = (
        part.disposition_params.get("filename")
        or part.params.get("name")
        or part.params.get("filename")
        or ""
    )
    return param_text(name) if name else ""


def attachment_of(part: Part, data: bytes, name: str, number: int) -> Attachment:
    kind = clean_text(part.content_type)[:100]
    if not name and kind in ("message/rfc822", "message/global"):
        inner = re.search(rb"(?:^|\n)subject:[ \t]{0,5}([^\r\n]{1,500})", data[:20_000], re.IGNORECASE)
        name = decode_header(inner[1].decode("ascii", "surrogateescape")) + ".eml" if inner else ""
    if not name:
        location = part.first("content-location") or ""
        name = decode_header(location).rpartition("/")[2] if "." in location and "?" not in location else ""
    content_id = part.first("content-id")
    if content_id is not None:
        content_id = clean_text(decode_header(content_id)).strip().strip("<>").strip()[:998] or None
    inline = part.disposition == "inline" or (part.disposition == "" and content_id is not None)
    return Attachment(
        name=clean_file_name(name, kind, number),
        content_type=kind if kind.isascii() else "application/octet-stream",
        content=data,
        content_id=content_id,
        inline=inline,
    )


def clean_file_name(name: str, content_type: str, number: int) -> str:
    """A name without path, control or direction characters, at most 200 long, extension kept, never empty."""
    name = _UNSAFE_NAME.sub("", clean_text(name))
    name = name.replace("\\", "/").rpartition("/")[2]
    name = re.sub(r'[<>:"|?*]', "_", name).strip(" .") if not name.startswith(".") else name.strip(" .")
    if not name:
        return f"attachment-{max(number, 1)}{_EXTENSIONS.get(content_type, '.bin')}"
    if len(name) > MAX_NAME:
        stem, dot, extension = name.rpartition(".")
        keep = f"{dot}{extension}" if stem and len(extension) <= 16 else ""
        name = name[: MAX_NAME - len(keep)] + keep
    return name
