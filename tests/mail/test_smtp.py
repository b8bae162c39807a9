"""The mail door over real sockets: SMTP and LMTP on one port, and clients of every temper."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest_asyncio

from handlers.mail.bucket import Bucket
from handlers.mail.smtp import MailDoor
from server.domain.errors import TooLarge, Unavailable

MAIL = b"From: a@example.net\r\nSubject: x\r\n\r\nhello\r\n"


@dataclass
class Sink:
    """What the door handed over; ``fault`` is raised instead of a commit."""

    mails: list[tuple[bytes, str, list[str], str]] = field(default_factory=list)
    fault: Exception | None = None
    gate: asyncio.Event | None = None
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, raw: bytes, envelope_from: str, rcpt_to: list[str], peer: str) -> None:
        self.begun.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        self.mails.append((raw, envelope_from, rcpt_to, peer))


@dataclass
class House:
    door: MailDoor
    sink: Sink
    port: int


def known(address: str) -> bool:
    return address.lower().endswith("@example.com") and not address.startswith("nobody@")


async def opened(**options: object) -> House:
    sink = Sink()
    door = MailDoor(knows_recipient=known, take_in=sink.take, **options)  # type: ignore[arg-type]
    return House(door, sink, await door.start("127.0.0.1", 0))


@pytest_asyncio.fixture
async def house() -> AsyncIterator[House]:
    made = await opened(max_bytes=100_000)
    yield made
    await made.door.stop()


class Client:
    """A raw conversation: lines as they are."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, port: int, greeting: str = "EHLO client.example") -> Client:
        client = cls(*await asyncio.open_connection("127.0.0.1", port))
        assert (await client.reply()).startswith("220 ")
        if greeting:
            assert (await client.say(greeting)).startswith("250")
        return client

    async def reply(self) -> str:
        lines = []
        while True:
            line = (await asyncio.wait_for(self.reader.readline(), 10)).decode()
            lines.append(line.rstrip("\r\n"))
            if line[3:4] != "-":
                return "\n".join(lines)

    async def say(self, text: str) -> str:
        self.writer.write(text.encode() + b"\r\n")
        return await self.reply()

    async def data(self, raw: bytes) -> str:
        assert (await self.say("DATA")).startswith("354")
        self.writer.write(raw)
        return await self.reply()

    async def close(self) -> None:
        self.writer.close()
        await asyncio.gather(self.writer.wait_closed(), return_exceptions=True)


async def test_smtp_by_an_ordinary_client(house: House) -> None:
    def send() -> dict[str, tuple[int, bytes]]:
        with smtplib.SMTP("127.0.0.1", house.port, timeout=10) as client:
            client.ehlo("client.example")
            assert client.has_extn("size") and client.esmtp_features["size"] == "100000"
            assert client.has_extn("8bitmime") and client.has_extn("pipelining")
            return client.sendmail(
                "ann@example.net",
                ["support@example.com", "nobody@example.com", "info@example.com"],
                b"Subject: dots\r\n\r\n.\r\n..two\r\n.three\r\n",
            )

    refused = await asyncio.to_thread(send)
    assert refused["nobody@example.com"][0] == 550
    assert house.sink.mails == [
        (
            b"Subject: dots\r\n\r\n.\r\n..two\r\n.three\r\n",
            "ann@example.net",
            ["support@example.com", "info@example.com"],
            "127.0.0.1",
        )
    ]


async def test_lmtp_answers_once_for_each_recipient(house: House) -> None:
    def send() -> None:
        with smtplib.LMTP("127.0.0.1", house.port) as client:
            client.sendmail("", ["a@example.com"], MAIL)

    await asyncio.to_thread(send)
    assert house.sink.mails[0][1:3] == ("", ["a@example.com"])
    client = await Client.connect(house.port, "LHLO relay.example")
    await client.say("MAIL FROM:<ann@example.net> SIZE=500")
    assert (await client.say("RCPT TO:<a@example.com>")).startswith("250 2.1.5")
    assert (await client.say("RCPT TO:<nobody@example.com>")).startswith("550 5.1.1")
    assert (await client.say("RCPT TO:<b@example.com>")).startswith("250 2.1.5")
    assert (await client.data(MAIL + b".\r\n")).startswith("250 2.0.0")
    assert (await client.reply()).startswith("250 2.0.0")
    assert len(house.sink.mails) == 2
    assert (await client.say("NOOP")).startswith("250")  # and not one reply more
    await client.say("QUIT")
    await client.close()


async def test_pipelined_commands_and_two_mails_in_one_write(house: House) -> None:
    client = await Client.connect(house.port)
    one = b"MAIL FROM:<a@example.net>\r\nRCPT TO:<a@example.com>\r\nDATA\r\n"
    client.writer.write(one + MAIL + b".\r\n" + one + b"second\r\n.\r\nQUIT\r\n")
    codes = [(await client.reply())[:3] for _ in range(9)]
    assert codes == ["250", "250", "354", "250", "250", "250", "354", "250", "221"]
    assert [mail[0] for mail in house.sink.mails] == [MAIL, b"second\r\n"]
    await client.close()


async def test_the_end_of_the_data_torn_over_many_packets(house: House) -> None:
    client = await Client.connect(house.port)
    for raw in (b".\r\n", b"\r\n.\r\n", b"a\r\n.\r\n", b"..\r\n\r\n.\r\n", b"a\r\n..\r\n.\r\n"):
        await client.say("MAIL FROM:<a@example.net>")
        await client.say("RCPT TO:<a@example.com>")
        assert (await client.say("DATA")).startswith("354")
        for byte in raw:
            client.writer.write(bytes((byte,)))
            await client.writer.drain()
            await asyncio.sleep(0)
        assert (await client.reply()).startswith("250")
    assert [mail[0] for mail in house.sink.mails] == [b"", b"\r\n", b"a\r\n", b".\r\n\r\n", b"a\r\n.\r\n"]
    await client.close()


async def test_smuggling_is_refused(house: House) -> None:
    client = await Client.connect(house.port)
    inner = b"MAIL FROM:<evil@example.net>\r\nRCPT TO:<a@example.com>\r\nDATA\r\nsecond\r\n"
    for end in (b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\r\n.\n"):
        await client.say("MAIL FROM:<a@example.net>")
        await client.say("RCPT TO:<a@example.com>")
        assert (await client.data(b"first" + end + inner + b".\r\n")).startswith("554 5.5.2")
    assert house.sink.mails == []
    await client.close()


async def test_faults_are_temporary_and_nothing_is_bounced(house: House) -> None:
    client = await Client.connect(house.port)
    faults: list[tuple[Exception, str]] = [
        (Unavailable("database away"), "451 4.3.2"),
        (ValueError("a bug of ours"), "451 4.3.0"),
        (TimeoutError(), "451 4.3.2"),
        (TooLarge("more than the store takes"), "552 5.3.4"),
    ]
    for fault, code in faults:
        house.sink.fault = fault
        await client.say("MAIL FROM:<a@example.net>")
        await client.say("RCPT TO:<a@example.com>")
        reply = await client.data(MAIL + b".\r\n")
        assert reply.startswith(code)
        assert "bug" not in reply
    house.sink.fault = None
    await client.say("MAIL FROM:<a@example.net>")
    await client.say("RCPT TO:<a@example.com>")
    assert (await client.data(MAIL + b".\r\n")).startswith("250")
    await client.close()


async def test_size_is_held_before_and_while_reading(house: House) -> None:
    client = await Client.connect(house.port)
    assert (await client.say("MAIL FROM:<a@example.net> SIZE=100001")).startswith("552 5.3.4")
    await client.say("MAIL FROM:<a@example.net>")
    await client.say("RCPT TO:<a@example.com>")
    assert (await client.data(b"x" * 78 + b"\r\n" + (b"y" * 998 + b"\r\n") * 150 + b".\r\n")).startswith(
        "552"
    )
    assert (await client.say("NOOP")).startswith("250")
    await client.say("MAIL FROM:<a@example.net>")
    await client.say("RCPT TO:<a@example.com>")
    assert (await client.say("DATA")).startswith("354")
    client.writer.write(b"z" * 500_000)  # and never an end
    rest = await asyncio.wait_for(client.reader.read(), 10)
    assert not rest.startswith(b"250")
    assert house.sink.mails == []
    await client.close()


async def test_odd_and_hostile_commands(house: House) -> None:
    client = await Client.connect(house.port)
    for line, code in (
        ("MAIL FROM:<a@b> BODY=8BITMIME SMTPUTF8", "250"),
        ("RCPT TO:<客服@example.com>", "250 2.1.5"),
        ("RCPT TO:<>", "550"),
        ('RCPT TO:<"a b"@example.com>', "250"),
        ("RCPT TO:<@relay.example:a@example.com>", "250"),
        ("RCPT TO:<a@example.com> NOTIFY=NEVER", "555"),
        ("RCPT TO:a@example.com", "250"),
        ("RCPT TO:<a\x00@example.com>", "553"),
        ("RCPT TO:<a@example.com", "553"),
        ("RSET", "250"),
        ("DATA", "503"),
        ("MAIL FROM:<>", "250"),
        ("MAIL FROM:<a@b>", "503"),
        ("VRFY root", "252"),
        ("EXPN list", "502"),
        ("AUTH PLAIN AAAA", "500"),
        ("STARTTLS", "500"),
        ("HELP", "250"),
        ("", "500"),
        ("NOOP " + "x" * 2_000, "500"),
        ("NOOP " + "x" * 200_000, "500"),
    ):
        reply = await client.say(line)
        assert reply.startswith(code), (line[:50], reply)
        assert reply[4:6] in (f"{code[0]}.", "2."), reply  # an enhanced code, RFC 2034
    await client.close()


async def test_recipients_are_limited_and_helo_works(house: House) -> None:
    client = await Client.connect(house.port, "HELO client.example")
    await client.say("MAIL FROM:<a@example.net>")
    replies = [await client.say(f"RCPT TO:<a{number}@example.com>") for number in range(101)]
    assert [reply[:3] for reply in replies] == ["250"] * 100 + ["452"]
    assert (await client.data(MAIL + b".\r\n")).startswith("250")
    assert len(house.sink.mails[0][2]) == 100
    await client.close()


async def test_a_client_that_hangs_up_in_the_commit_loses_nothing(house: House) -> None:
    house.sink.gate = asyncio.Event()
    client = await Client.connect(house.port)
    await client.say("MAIL FROM:<a@example.net>")
    await client.say("RCPT TO:<a@example.com>")
    await client.say("DATA")
    client.writer.write(MAIL + b".\r\n")
    await asyncio.wait_for(house.sink.begun.wait(), 10)
    await client.close()
    house.sink.gate.set()
    async with asyncio.timeout(10):
        while not house.sink.mails:
            await asyncio.sleep(0)
    assert house.sink.mails[0][0] == MAIL


async def test_stop_answers_what_is_being_taken() -> None:
    house = await opened()
    house.sink.gate = asyncio.Event()
    idle = await Client.connect(house.port)
    client = await Client.connect(house.port)
    await client.say("MAIL FROM:<a@example.net>")
    await client.say("RCPT TO:<a@example.com>")
    await client.say("DATA")
    client.writer.write(MAIL + b".\r\n")
    await asyncio.wait_for(house.sink.begun.wait(), 10)
    stopping = asyncio.ensure_future(house.door.stop())
    await asyncio.sleep(0)
    house.sink.gate.set()
    assert (await client.reply()).startswith("250")
    assert (await client.reply()).startswith("421")
    assert (await idle.reply()).startswith("421")
    await asyncio.wait_for(stopping, 10)
    await client.close()
    await idle.close()


async def test_connections_and_rate_are_limited() -> None:
    house = await opened(
        max_connections=2,
        mails_per_second=0.001,
        burst=2,
        trusted_peers=frozenset(),
        command_timeout_seconds=30,
    )
    first, second = await Client.connect(house.port), await Client.connect(house.port)
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"421 4.7.0")
    writer.close()
    for _ in range(2):
        assert (await first.say("MAIL FROM:<a@example.net>")).startswith("250")
        await first.say("RSET")
    assert (await second.say("MAIL FROM:<a@example.net>")).startswith("451 4.7.1")
    await second.close()
    await first.close()
    await house.door.stop()


async def test_the_silent_are_let_go() -> None:
    house = await opened(command_timeout_seconds=0.05)
    client = await Client.connect(house.port)
    assert await asyncio.wait_for(client.reader.read(), 10) == b""
    await client.close()
    await house.door.stop()


def test_the_bucket_fills_again_and_forgets() -> None:
    bucket = Bucket(per_second=1.0, burst=2, peers=2)
    assert [bucket.take("a", 0.0) for _ in range(3)] == [True, True, False]
    assert bucket.take("a", 1.0) and not bucket.take("a", 1.0)
    assert bucket.take("b", 1.0) and bucket.take("c", 1.0)
    assert bucket.take("a", 1.0)  # forgotten meanwhile
