"""How a mail leaves: over SMTP, or (where no server is set) into a folder where it can be read."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import aiosmtplib
import structlog

from server.domain.errors import Invalid
from server.mail.compose import write_address

log = structlog.get_logger("mail")

IDLE_SECONDS = 30.0  # a connection that rested longer is not trusted again
_OUR_FAULT = frozenset({530, 534, 535, 538})  # login wanted or refused: a setting, not the mail


class TemporaryFailure(Exception):
    """Try again later: no connection, a 4xx, or a login that is refused."""


class PermanentFailure(Exception):
    """Trying again is of no use: 5xx for this mail or all its recipients."""


class SmtpTransport:
    """One connection, kept while mails follow each other. Several tasks may call; one sends at a time."""

    def __init__(
        self,
        host: str,
        port: int,
        username: str = "",
        password: str = "",
        tls: Literal["none", "starttls", "tls"] = "starttls",
        *,
        timeout_seconds: float = 30.0,
        local_hostname: str = "",
    ) -> None:
        self._host, self._port, self._tls = host, port, tls
        self._username, self._password = username, password
        self._timeout_seconds = timeout_seconds
        self._local_hostname = local_hostname
        self._client: aiosmtplib.SMTP | None = None
        self._used_at = 0.0
        self._lock = asyncio.Lock()

    async def send(self, raw: bytes, mail_from: str, rcpt_to: Sequence[str]) -> None:
        """Returns when the server has taken the mail; raises TemporaryFailure or PermanentFailure."""
        async with self._lock:
            try:
                sender = write_address(mail_from, "from") if mail_from else ""
                recipients = [write_address(address, "to") for address in rcpt_to]
                client = await self._ready(sender)
                options = (
                    ["BODY=8BITMIME"] if not raw.isascii() and client.supports_extension("8bitmime") else []
                )
                if not all(address.isascii() for address in (sender, *recipients)):
                    options.append("SMTPUTF8")
                refused, _ = await client.sendmail(sender, recipients, raw, mail_options=options)
            except aiosmtplib.SMTPRecipientsRefused as error:
                worst = [(one.code, f"{one.recipient}: {one.code} {one.message}") for one in error.recipients]
                raise _failure(
                    min((code for code, _ in worst), default=450), "; ".join(t for _, t in worst)
                ) from error
            except aiosmtplib.SMTPNotSupported as error:
                raise PermanentFailure(
                    f"the server cannot do what this mail needs: {error.message}"
                ) from error
            except aiosmtplib.SMTPResponseException as error:
                if isinstance(error, aiosmtplib.SMTPConnectError | aiosmtplib.SMTPHeloError):
                    await self._drop()
                    raise TemporaryFailure(f"{self._where()}: {error.code} {error.message}") from error
                raise _failure(error.code, f"{error.code} {error.message}") from error
            except (aiosmtplib.SMTPException, OSError, TimeoutError, EOFError) as error:
                await self._drop()
                raise TemporaryFailure(f"{self._where()}: {error or type(error).__name__}") from error
            except (Invalid, ValueError) as error:
                await self._drop()
                raise PermanentFailure(f"this mail cannot be sent: {error}") from error
            except BaseException:
                await self._drop()  # cancelled in the middle: the conversation cannot go on
                raise
            self._used_at = asyncio.get_running_loop().time()
        if refused:
            # Sent to the others: trying again would send it to them twice.
            names = "; ".join(
                f"{address}: {reply.code} {reply.message}" for address, reply in refused.items()
            )
            raise PermanentFailure(f"sent, but not to {names}")

    async def close(self) -> None:
        async with self._lock:
            if self._client is not None and self._client.is_connected:
                with contextlib.suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
                    await self._client.quit(timeout=2)
            await self._drop()

    async def _ready(self, mail_from: str) -> aiosmtplib.SMTP:
        client = self._client
        if client is not None and client.is_connected:
            if asyncio.get_running_loop().time() - self._used_at < IDLE_SECONDS:
                with contextlib.suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
                    await client.rset(timeout=5)
                    return client
            await self._drop()
        domain = mail_from.rpartition("@")[2]
        client = aiosmtplib.SMTP(
            hostname=self._host,
            port=self._port,
            # named, because it would ask the resolver for this machine's name, in the loop
            local_hostname=self._local_hostname or (domain if domain.isascii() and domain else "localhost"),
            timeout=self._timeout_seconds,
            use_tls=self._tls == "tls",
            start_tls=self._tls == "starttls",
            username=self._username or None,
            password=self._password or None,
        )
        self._client = client
        await client.connect()
        return client

    async def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _where(self) -> str:
        return f"{self._host}:{self._port}"


def _failure(code: int, detail: str) -> TemporaryFailure | PermanentFailure:
    text = " ".join(detail.split())[:500]
    return PermanentFailure(text) if 500 <= code < 600 and code not in _OUR_FAULT else TemporaryFailure(text)


class ConsoleTransport:
    """Writes each mail into ``folder`` as an ``.eml`` file and says so on the log: for a server without SMTP."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def send(self, raw: bytes, mail_from: str, rcpt_to: Sequence[str]) -> None:
        try:
            path = await asyncio.to_thread(self._write, raw)
        except OSError as error:
            raise TemporaryFailure(f"cannot write to {self._folder}: {error.strerror or error}") from error
        log.info("mail_written", path=str(path), recipients=len(rcpt_to), bytes=len(raw))

    async def close(self) -> None:
        """Nothing is held open."""

    def _write(self, raw: bytes) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
        path = self._folder / f"{stamp}-{hashlib.sha256(raw).hexdigest()[:12]}.eml"
        partial = path.with_suffix(".part")
        partial.write_bytes(raw)
        os.replace(partial, path)
        return path
