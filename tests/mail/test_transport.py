"""Sending against a real SMTP server in this loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from server.mail.transport import ConsoleTransport, PermanentFailure, SmtpTransport, TemporaryFailure

MAIL = b"From: support@example.com\r\nSubject: x\r\n\r\n.hello\r\n"


@dataclass
class Relay:
    """A mail server that takes what it is sent, unless told otherwise."""

    kept: list[Envelope] = field(default_factory=list)
    sessions: set[int] = field(default_factory=set)
    data_reply: str = "250 kept"

    async def handle_RCPT(
        self, smtp: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address.startswith("gone"):
            return "550 5.1.1 no such person"
        if address.startswith("later"):
            return "450 4.2.1 mailbox busy"
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, smtp: SMTP, session: Session, envelope: Envelope) -> str:
        if self.data_reply.startswith("250"):
            self.kept.append(envelope)
            self.sessions.add(id(session))
        return self.data_reply

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
    ) -> AuthResult:
        return AuthResult(
            success=isinstance(data, LoginPassword) and data.password == b"right", handled=False
        )


@dataclass
class Served:
    relay: Relay
    server: asyncio.Server
    port: int
    open: list[SMTP]


async def served(**options: Any) -> Served:
    relay, made = Relay(), list[SMTP]()
    loop = asyncio.get_running_loop()

    def one() -> SMTP:
        made.append(SMTP(relay, hostname="relay.example", loop=loop, **options))
        return made[-1]

    server = await loop.create_server(one, "127.0.0.1", 0)
    return Served(relay, server, int(server.sockets[0].getsockname()[1]), made)


@pytest_asyncio.fixture
async def house() -> AsyncIterator[Served]:
    made = await served(enable_SMTPUTF8=True)
    yield made
    made.server.close()


async def test_mails_share_a_connection(house: Served) -> None:
    transport = SmtpTransport("127.0.0.1", house.port, tls="none")
    await asyncio.gather(
        *(transport.send(MAIL, "support@example.com", [f"a{n}@example.net"]) for n in range(5))
    )
    assert [one.original_content for one in house.relay.kept] == [MAIL] * 5
    assert len(house.open) == 1
    await transport.close()


async def test_refusals_are_told_apart(house: Served) -> None:
    transport = SmtpTransport("127.0.0.1", house.port, tls="none")
    with pytest.raises(PermanentFailure, match=r"gone@example\.net: 550"):
        await transport.send(MAIL, "support@example.com", ["gone@example.net"])
    with pytest.raises(TemporaryFailure, match="450"):
        await transport.send(MAIL, "support@example.com", ["later@example.net"])
    with pytest.raises(TemporaryFailure, match="450"):
        await transport.send(MAIL, "support@example.com", ["later@example.net", "gone@example.net"])
    with pytest.raises(PermanentFailure, match="sent, but not to gone"):
        await transport.send(MAIL, "support@example.com", ["a@example.net", "gone@example.net"])
    house.relay.data_reply = "554 5.7.1 looks like spam"
    with pytest.raises(PermanentFailure, match="spam"):
        await transport.send(MAIL, "support@example.com", ["a@example.net"])
    house.relay.data_reply = "452 4.3.1 disk full"
    with pytest.raises(TemporaryFailure, match="disk full"):
        await transport.send(MAIL, "support@example.com", ["a@example.net"])
    with pytest.raises(PermanentFailure, match="no mail address"):
        await transport.send(MAIL, "support@example.com", ["a@b>\r\nRCPT TO:<c@d"])
    house.relay.data_reply = "250 kept"
    await transport.send(MAIL, "", ["a@bücher.example"])  # the null sender, a domain beyond ASCII
    assert house.relay.kept[-1].rcpt_tos == ["a@xn--bcher-kva.example"]
    await transport.send(MAIL, "support@example.com", ["用户@example.net"])
    assert house.relay.kept[-1].rcpt_tos == ["用户@example.net"]
    await transport.close()


async def test_a_lost_connection_is_made_again(house: Served) -> None:
    transport = SmtpTransport("127.0.0.1", house.port, tls="none")
    await transport.send(MAIL, "support@example.com", ["a@example.net"])
    assert house.open[0].transport is not None
    house.open[0].transport.close()
    await transport.send(MAIL, "support@example.com", ["a@example.net"])
    assert len(house.relay.kept) == 2 and len(house.open) == 2
    await transport.close()


async def test_nobody_listens() -> None:
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    transport = SmtpTransport("127.0.0.1", port, tls="none", timeout_seconds=5)
    with pytest.raises(TemporaryFailure, match=str(port)):
        await transport.send(MAIL, "support@example.com", ["a@example.net"])
    await transport.close()


async def test_a_server_that_says_nothing() -> None:
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    transport = SmtpTransport(
        "127.0.0.1", server.sockets[0].getsockname()[1], tls="none", timeout_seconds=0.1
    )
    with pytest.raises(TemporaryFailure):
        await transport.send(MAIL, "support@example.com", ["a@example.net"])
    await transport.close()
    server.close()


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
async def test_a_wrong_password_is_a_setting_and_no_bounce() -> None:
    house = await served(auth_required=True, auth_require_tls=False, authenticator=Relay().authenticate)
    wrong = SmtpTransport("127.0.0.1", house.port, "me", "wrong", "none")
    with pytest.raises(TemporaryFailure, match="535"):
        await wrong.send(MAIL, "support@example.com", ["a@example.net"])
    none = SmtpTransport("127.0.0.1", house.port, tls="none")
    with pytest.raises(TemporaryFailure, match="530"):
        await none.send(MAIL, "support@example.com", ["a@example.net"])
    right = SmtpTransport("127.0.0.1", house.port, "me", "right", "none")
    await right.send(MAIL, "support@example.com", ["a@example.net"])
    assert len(house.relay.kept) == 1
    for transport in (wrong, none, right):
        await transport.close()
    house.server.close()


async def test_starttls_that_is_not_offered_sends_nothing(house: Served) -> None:
    transport = SmtpTransport("127.0.0.1", house.port, tls="starttls")
    with pytest.raises((TemporaryFailure, PermanentFailure)):
        await transport.send(MAIL, "support@example.com", ["a@example.net"])
    assert house.relay.kept == []
    await transport.close()


async def test_mails_are_written_to_a_folder(tmp_path: Path) -> None:
    transport = ConsoleTransport(tmp_path / "outgoing")
    await asyncio.gather(
        *(transport.send(MAIL + b"%d" % n, "support@example.com", ["a@example.net"]) for n in range(3))
    )
    files = sorted((tmp_path / "outgoing").iterdir())
    assert [path.suffix for path in files] == [".eml"] * 3
    assert {path.read_bytes() for path in files} == {MAIL + b"%d" % n for n in range(3)}
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    with pytest.raises(TemporaryFailure):
        await ConsoleTransport(blocked).send(MAIL, "a@example.com", ["b@example.net"])
