"""Sends what the outbox holds: at least once, with back-off, and says so when it gives up."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog

from server.mail.transport import PermanentFailure, TemporaryFailure
from server.push.hub import Hub
from server.store import outbox as store
from server.store.pool import Pool

log = structlog.get_logger("outbox")
POLL_SECONDS = 1.0
BACKOFF_SECONDS = (10, 60, 300, 900, 3600, 10800, 21600)


class Transport(Protocol):
    async def send(self, raw: bytes, mail_from: str, rcpt_to: list[str]) -> None: ...


class OutboxSender:
    """``transports`` by mailbox name; the one named ``""`` serves the others."""

    def __init__(self, pool: Pool, hub: Hub, transports: Mapping[str, Transport], attempts: int) -> None:
        self._pool, self._hub, self._transports, self._attempts = pool, hub, transports, attempts

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            if not await self.send_next():
                await asyncio.sleep(POLL_SECONDS)

    async def send_next(self) -> bool:
        """Try one mail that is due. False when there was none."""
        now = datetime.now(UTC)
        row = await store.take_due(self._pool, now)
        if row is None:
            return False
        transport = self._transports.get(row["mailbox"]) or self._transports[""]
        attempt = row["attempts"] + 1
        try:
            await transport.send(bytes(row["raw"]), row["mail_from"], list(row["rcpt_to"]))
        except TemporaryFailure as later:
            if attempt >= self._attempts:
                await self._settle(
                    row["id"], row["ticket_id"], "failed", f"given up after {attempt} tries: {later}"
                )
            else:
                wait = BACKOFF_SECONDS[min(attempt, len(BACKOFF_SECONDS)) - 1]
                await store.postpone(self._pool, row["id"], now + timedelta(seconds=wait), str(later))
                log.warning("mail_postponed", outbox_id=row["id"], attempt=attempt, wait_seconds=wait)
        except PermanentFailure as refused:
            await self._settle(row["id"], row["ticket_id"], "failed", str(refused))
        else:
            await self._settle(row["id"], row["ticket_id"], "sent", "")
        return True

    async def _settle(self, outbox_id: int, ticket_id: int | None, state: str, error: str) -> None:
        await store.settle(self._pool, outbox_id, state, error, datetime.now(UTC))
        log.info("mail_settled", outbox_id=outbox_id, state=state)
        if ticket_id is not None:
            self._hub.hint_all("ticket_changed", ticket_id)
