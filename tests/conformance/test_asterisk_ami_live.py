"""The AMI session against a TCP server on loopback that speaks AMI: logging in, keeping up, breaking, acting."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from handlers.telephony.ami_wire import read_message
from handlers.telephony.asterisk_ami import NOT_LISTED, AmiLive
from handlers.telephony.live import LinkBroken
from server.domain.call import CallState
from server.domain.event import EventType
from tests.conformance.ami_peer import AmiPeer, Mirror, RecordingLink, calls_of, frame, frames_of, odd_pieces
from tests.conformance.ami_sessions import SOON, peer, session_of, source, until
from tests.conformance.test_asterisk_ami import Recording, judge, recording

__all__ = ["peer", "recording"]

# -- logging in ------------------------------------------------------------------------------------


@pytest.mark.parametrize("login", ["md5", "plain"])
async def test_login_and_step(peer: AmiPeer, login: str) -> None:
    async with session_of(peer, login=login) as (_, link):
        assert link.details == [""]
    (said,) = peer.actions_named("Login")
    assert said.get("events") == "call,agent,dialplan"
    assert (said.get("secret") == "secret") is (login == "plain")
    assert [action.get("action") for action in peer.actions][-1] == "CoreShowChannels"


async def test_the_old_secret_counts_beside_the_new_one(peer: AmiPeer) -> None:
    async with session_of(peer, "new-one", "secret") as (_, link):
        assert link.details == [""]
    assert peer.connections == 2


async def test_without_the_dialplans_events(peer: AmiPeer) -> None:
    async with session_of(peer, voicemail="off"):
        assert peer.actions_named("Login")[0].get("events") == "call,agent"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda peer: peer.users.update(ringpost="another"), "refused the login of 'ringpost'"),
        (lambda peer: setattr(peer, "banner", b"SSH-2.0-OpenSSH_9.6\r\n"), "does not speak AMI: 'SSH-2.0"),
        (lambda peer: setattr(peer, "banner", b"x" * 5000), "does not speak AMI"),
        (lambda peer: peer.denied.add("Challenge"), "no login by MD5"),
    ],
)
async def test_what_is_no_login_is_said(peer: AmiPeer, change: Callable[[AmiPeer], Any], said: str) -> None:
    change(peer)
    with pytest.raises(LinkBroken, match=said) as broken:
        async with session_of(peer):
            pass
    assert "secret" not in str(broken.value).replace("secrets", "")


async def test_nobody_listens() -> None:
    async with AmiPeer().running() as peer:
        pass
    with pytest.raises(OSError):
        async with session_of(peer):
            pass


async def test_a_greeting_that_never_comes(peer: AmiPeer) -> None:
    peer.banner = b"Asterisk"
    with pytest.raises(TimeoutError):
        async with session_of(peer, **SOON):
            pass


async def test_the_list_by_the_right_that_there_is(peer: AmiPeer) -> None:
    peer.denied.add("CoreShowChannels")
    async with session_of(peer) as (_, link):
        assert link.details == [""]
    assert peer.actions_named("Status")
    peer.denied.add("Status")
    async with session_of(peer) as (_, link):
        assert link.details == [NOT_LISTED]


async def test_a_list_without_an_end(peer: AmiPeer) -> None:
    peer.answers["CoreShowChannels"] = lambda action: frame(
        Response="Success", ActionID=action.get("actionid")
    )
    with pytest.raises(TimeoutError):
        async with session_of(peer, **SOON):
            pass


async def test_over_tls(tmp_path: Path) -> None:
    """The PBX's certificate is checked: against a CA of one's own where it is named."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pbx")])
    day = timedelta(days=1)
    certificate = (
        x509.CertificateBuilder(
            name, name, key.public_key(), 1, datetime.now(UTC) - day, datetime.now(UTC) + day
        )
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, ca = tmp_path / "pbx.pem", tmp_path / "ca.pem"
    ca.write_bytes(certificate.public_bytes(Encoding.PEM))
    pem.write_bytes(ca.read_bytes() + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    peer = AmiPeer()
    peer.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    peer.tls.load_cert_chain(pem)
    async with peer.running():
        async with session_of(peer, tls="on", tls_ca=str(ca)) as (_, link):
            assert link.details == [""]
        with pytest.raises(ssl.SSLCertVerificationError):
            async with session_of(peer, tls="on"):
                pass


# -- keeping up ------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["asterisk16", "asterisk22"])
@pytest.mark.parametrize(
    "name", ["queue_answered", "blind_transfer", "click_to_call", "forward_302", "declined"]
)
async def test_a_recording_over_the_wire(
    peer: AmiPeer, recording: Recording, version: str, name: str
) -> None:
    stream, expect = recording(version, name)
    async with session_of(peer) as (_, link):
        await peer.send(stream, odd_pieces(stream + b"\r\n", 5))
        await until(
            lambda: sum(event.type is EventType.HANGUP for event in link.events) >= 1 and calls_end(link)
        )
    judge(link.events, expect, name)


def calls_end(link: RecordingLink) -> bool:
    return all(call.ended_at is not None for call in calls_of(link.events).values())


async def test_calls_that_ended_while_the_connection_was_away_are_closed(
    peer: AmiPeer, recording: Recording
) -> None:
    """One goes on, the other has ended; then the one that goes on ends as if nothing had been."""
    ended, going_on = (frames_of(recording("asterisk22", name)[0]) for name in ("answered", "blind_transfer"))
    half = len(going_on) // 3
    live, link = AmiLive(), RecordingLink()
    async with session_of(peer, live=live, link=link):
        await peer.send(b"\r\n\r\n".join([*ended[: len(ended) // 2], *going_on[:half], b""]))
        await until(lambda: len(calls_of(link.events)) == 2)
    peer.mirror = Mirror(read_message(raw) for raw in going_on[:half])
    link.up_once.clear()
    async with session_of(peer, live=live, link=link):
        calls = calls_of(link.events)
        assert [call.ended_at is None for call in calls.values()] == [False, True]
        await peer.send(b"\r\n\r\n".join([*going_on[half:], b""]))
        await until(lambda: calls_end(link))
    assert {call.agent_ref for call in calls_of(link.events).values()} == {"101", "102"}


async def test_silence_is_a_broken_connection(peer: AmiPeer) -> None:
    async with session_of(peer, **SOON) as (_, link):
        await asyncio.sleep(0.5)  # pings are answered
        assert peer.actions_named("Ping")
        peer.silent = True
        link.up_once.clear()
    session = AmiLive().session(source(peer, **SOON))
    peer.silent = False
    link = RecordingLink()
    running = asyncio.create_task(session.run(link))
    await link.up_once.wait()
    peer.silent = True
    with pytest.raises(LinkBroken, match="silent"):
        await asyncio.wait_for(running, 5)


async def test_the_end_of_the_connection_comes_after_all_that_was_read(
    peer: AmiPeer, recording: Recording
) -> None:
    stream, expect = recording("asterisk22", "answered")
    link = RecordingLink()
    session = AmiLive().session(source(peer))
    running = asyncio.create_task(session.run(link))
    await link.up_once.wait()
    link.flowing.clear()
    await peer.send(stream)
    peer.drop()
    await asyncio.sleep(0.05)
    assert link.events == []
    link.flowing.set()
    with pytest.raises(LinkBroken, match="closed"):
        await asyncio.wait_for(running, 5)
    judge(link.events, expect, "answered")


async def test_what_the_intake_did_not_take_comes_first_next_time(
    peer: AmiPeer, recording: Recording
) -> None:
    stream, expect = recording("asterisk22", "answered")
    live, link = AmiLive(), RecordingLink()
    link.fails = 1
    running = asyncio.create_task(live.session(source(peer)).run(link))
    await link.up_once.wait()
    first = frames_of(stream)[0]
    await peer.send(first + b"\r\n\r\n")
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(running, 5)
    peer.mirror = Mirror([read_message(first)])
    link.up_once.clear()
    async with session_of(peer, live=live, link=link):
        await peer.send(stream[len(first) :])
        await until(lambda: calls_end(link))
    judge(link.events, expect, "answered")


async def test_a_flood_leaves_the_loop_to_others(peer: AmiPeer, recording: Recording) -> None:
    stream, _ = recording("asterisk22", "queue_abandoned")
    flood = b"".join(
        frame(Event="Newstate", Channel="PJSIP/101-1", Uniqueid=f"n{at}") for at in range(20_000)
    )
    worst = 0.0
    async with session_of(peer) as (_, link):
        sending = asyncio.create_task(peer.send(flood + stream))
        while not (sending.done() and link.events and calls_end(link)):
            before = time.process_time()  # of this process: others may be busy too
            await asyncio.sleep(0.001)
            worst = max(worst, time.process_time() - before)
    assert worst < 0.25
    assert next(iter(calls_of(link.events).values())).state is CallState.MISSED


async def test_more_than_can_be_taken_in(peer: AmiPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handlers.telephony.asterisk_ami.MAX_WAITING", 100)
    link = RecordingLink()
    running = asyncio.create_task(AmiLive().session(source(peer)).run(link))
    await link.up_once.wait()
    link.flowing.clear()
    call = {"Event": "Newchannel", "Channel": "PJSIP/trunk-1", "ChannelState": "4"}
    await peer.send(b"".join(frame(**call, Uniqueid=f"n{at}") for at in range(300)))
    await asyncio.sleep(0.1)
    link.flowing.set()
    with pytest.raises(LinkBroken, match="more than can be taken in"):
        await asyncio.wait_for(running, 5)
