"""Fetches the recordings of calls into ``data_dir/recordings``, and deletes them when their time is over.

A file gets its name when it is whole and on the disk, and its row after that: whatever stops the server, no
half recording is ever shown. A try that was cut off is tried again when its lease is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import structlog

from server.domain.recording import FINAL, Fault, RecordingState, wait_seconds
from server.jobs.media import AskMedia, FetchFailed, Limits, Media, fetch_media
from server.push.hub import Hub
from server.store import recordings as store
from server.store.pool import Pool

log = structlog.get_logger("recordings")
POLL_SECONDS = 1.0
AT_ONCE = 3
LEASE_MARGIN_SECONDS = 15  # to write the last of it and to settle the row
SWEPT_AT_ONCE = 200
STALE_PART_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class RecordingRules:
    """What the settings say. ``keep_days`` 0 keeps for ever."""

    folder: Path
    fetches: bool  # False: recordings stay with the provider
    attempts: int
    keep_days: int
    limits: Limits


class RecordingKeeper:
    """One for a node; nodes share the work, and must share the folder."""

    def __init__(self, pool: Pool, hub: Hub, rules: RecordingRules, ask: AskMedia) -> None:
        self._pool, self._hub, self._rules, self._ask = pool, hub, rules, ask
        self._busy = 0
        self._free = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self.adopt()
                while self._busy < AT_ONCE and (row := await self._take()) is not None:
                    self._busy += 1
                    group.create_task(self._work(row))
                self._free.clear()
                # Not wait_for: of Python 3.11 it swallows a cancellation that comes with the event itself.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._free.wait()

    async def adopt(self) -> int:
        """Take down the recordings that calls have got; gives how many."""
        state = RecordingState.WAITING if self._rules.fetches else RecordingState.LINKED
        rows = await store.adopt(self._pool, state, datetime.now(UTC))
        for row in rows:
            self._tell(row)
        return len(rows)

    async def _take(self) -> asyncpg.Record | None:
        now = datetime.now(UTC)
        lease = timedelta(seconds=self._rules.limits.timeout_seconds + LEASE_MARGIN_SECONDS)
        return await store.take_due(self._pool, now, now + lease)

    async def _work(self, row: asyncpg.Record) -> None:
        try:
            await self._fetch(row)
        finally:
            self._busy -= 1
            self._free.set()

    async def _fetch(self, row: asyncpg.Record) -> None:
        if row["attempts"] > self._rules.attempts:
            await self._fail(row, FetchFailed(Fault.INTERRUPTED), final=True)
            return
        try:
            path, media = await self._store(row)
        except FetchFailed as failed:
            await self._fail(row, failed, final=failed.fault in FINAL)
            return
        except OSError as bad:
            log.error("recording_not_written", recording_id=row["id"], error=str(bad))
            await self._fail(row, FetchFailed(Fault.STORAGE), final=False)
            return
        except Exception as fault:  # one poisonous recording must not stop its neighbours
            log.error("recording_fault", recording_id=row["id"], exc_info=fault)
            await self._fail(row, FetchFailed(Fault.OURS), final=False)
            return
        settled = await store.settle_fetched(
            self._pool, row["id"], path, media.audio.content_type, media.size, media.duration_seconds,
            datetime.now(UTC),
        )  # fmt: skip
        log.info("recording_fetched", recording_id=row["id"], contact_id=row["contact_id"], size=media.size)
        self._tell(settled)

    async def _store(self, row: asyncpg.Record) -> tuple[str, Media]:
        """The file under its name, and that name."""
        folder = self._rules.folder
        parts = folder / "parts"
        await asyncio.to_thread(_make, parts)
        handle, name = tempfile.mkstemp(prefix=f"{row['id']}-", suffix=".part", dir=parts)
        os.close(handle)
        part = Path(name)
        try:
            media = await fetch_media(self._ask(row["source"], row["url"]), part, self._rules.limits)
            path = f"{row['created_at']:%Y/%m}/{row['id']}{media.audio.suffix}"
            await asyncio.to_thread(_give_name, part, folder, path)
        finally:
            part.unlink(missing_ok=True)
        return path, media

    async def _fail(self, row: asyncpg.Record, failed: FetchFailed, *, final: bool) -> None:
        attempt, now = row["attempts"], datetime.now(UTC)
        if final or attempt >= self._rules.attempts:
            state, again = RecordingState.FAILED, now
            log.warning("recording_failed", recording_id=row["id"], attempt=attempt, error=failed.kept)
        else:
            state, again = RecordingState.WAITING, now + timedelta(seconds=wait_seconds(attempt))
            log.info("recording_postponed", recording_id=row["id"], attempt=attempt, error=failed.kept)
        self._tell(await store.settle_failed(self._pool, row["id"], state, failed.kept, again))

    async def sweep(self) -> int:
        """Delete what was kept long enough, and what a crash left half done; gives how many recordings."""
        await asyncio.to_thread(_sweep_parts, self._rules.folder / "parts", time.time() - STALE_PART_SECONDS)
        keep = self._rules.keep_days
        deleted = 0
        while keep:
            before = datetime.now(UTC) - timedelta(days=keep)
            rows = await store.fetch_expired(self._pool, before, SWEPT_AT_ONCE)
            for row in rows:
                # The file first: a row that says "deleted" must not lie.
                await asyncio.to_thread((self._rules.folder / row["path"]).unlink, missing_ok=True)
                self._tell(await store.settle_deleted(self._pool, row["id"], keep))
            deleted += len(rows)
            if len(rows) < SWEPT_AT_ONCE:
                break
        if deleted:
            log.info("recordings_deleted", count=deleted, keep_days=keep)
        return deleted

    def _tell(self, row: asyncpg.Record | None) -> None:
        """Whoever has the call or its ticket on the screen fetches it again."""
        if row is None:
            return
        self._hub.hint("contact_changed", row["contact_id"], [row["agent_id"]] if row["agent_id"] else [])
        if row["ticket_id"] is not None:
            self._hub.hint_all("ticket_changed", row["ticket_id"])


def _make(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)


def _give_name(part: Path, folder: Path, path: str) -> None:
    file = folder / path
    _make(file.parent)
    part.replace(file)
    # A name is on the disk when its folder is; year and month may be new.
    for place in (file.parent, file.parent.parent, folder):
        handle = os.open(place, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _sweep_parts(folder: Path, before: float) -> None:
    for part in folder.glob("*.part"):
        with contextlib.suppress(OSError):
            if part.stat().st_mtime < before:
                part.unlink()
