"""Mail taken in over SMTP or LMTP: accepted only after commit."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from handlers.mail.smtp import MailDoor
from server.context import Context
from server.domain.errors import RingpostError, Unavailable
from server.mail.parse import parse_mail
from server.services import quarantine
from server.services.take_touches import MailItem
from server.settings import Settings

PARSE_ASIDE_BYTES = 256 * 1024  # larger mails are read in a thread, so that calls do not wait for them


class Mailboxes:
    """Which mailbox an address belongs to: its own, an alias, or either with a ``+tag``."""

    def __init__(self, settings: Settings) -> None:
        self._by_address = {
            address.lower(): name
            for name, box in settings.mailboxes.items()
            for address in (box.address, *box.aliases)
        }
        self.own_addresses = frozenset(self._by_address)

    def find(self, address: str) -> str | None:
        plain = address.strip().lower()
        if plain in self._by_address:
            return self._by_address[plain]
        local, at, domain = plain.rpartition("@")
        return self._by_address.get(local.partition("+")[0] + at + domain)


async def take_mail(
    ctx: Context, raw: bytes, envelope_from: str, rcpt_to: list[str], boxes: Mailboxes | None = None
) -> None:
    """Take one mail in; returns after commit. Raises Unavailable; anything else is kept in quarantine."""
    boxes = boxes or Mailboxes(ctx.settings)
    mailbox = next((name for address in rcpt_to if (name := boxes.find(address)) is not None), None)
    if mailbox is None:
        mailbox = next(iter(ctx.settings.mailboxes), "")
    if len(raw) > PARSE_ASIDE_BYTES:
        mail = await asyncio.to_thread(parse_mail, raw, envelope_from=envelope_from, envelope_to=rcpt_to)
    else:
        mail = parse_mail(raw, envelope_from=envelope_from, envelope_to=rcpt_to)
    box = ctx.settings.mailboxes.get(mailbox)
    item = MailItem(
        mail=mail,
        mailbox=mailbox,
        queue=box.queue if box is not None else None,
        raw=raw,
        received_at=datetime.now(UTC),
        own_addresses=boxes.own_addresses,
    )
    try:
        await ctx.touches.submit(item)
    except Unavailable:
        raise
    except RingpostError as refused:
        # Never bounced for a reason of ours: it is kept, and an agent can look at it.
        await quarantine.put(ctx.pool, "email", mailbox, refused.detail, {"from": envelope_from}, raw)


def mail_door(ctx: Context) -> MailDoor:
    boxes = Mailboxes(ctx.settings)

    async def take_in(raw: bytes, envelope_from: str, rcpt_to: list[str], peer: str) -> None:
        await take_mail(ctx, raw, envelope_from, rcpt_to, boxes)

    return MailDoor(
        knows_recipient=lambda address: boxes.find(address) is not None,
        take_in=take_in,
        max_bytes=ctx.settings.server.max_mail_bytes,
    )
