"""Recordings from the provider to the agent's ears: fetched, refused, retried, listened to, deleted."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from joserfc import jwt
from joserfc.jwk import RSAKey

from handlers.api.shapes import Play, Recording
from handlers.cli.checking import _flat
from handlers.doors import route_modules
from handlers.http import build_http_app
from handlers.telephony.media import ask_media, discover_media
from handlers.telephony.provider import CallSource
from server.app import recording_rules
from server.jobs.media import FetchFailed, MediaRequest
from server.jobs.recordings import RecordingKeeper
from server.services import agents, sessions
from server.settings import SettingsError, load_settings, masked
from server.store.recordings import SQL
from tests.api.conftest import Api
from tests.api.test_contacts import touch
from tests.sounds import MediaServer, flac, m4a, media_server, mp3, ogg, wav

CONFIG = """
[call_sources.main]
provider = "twilio"
secrets = ["new-auth-token", "auth-token"]
account = "AC1"

[call_sources.plain]
provider = "twilio"
secrets = ["auth-token"]

[call_sources.basic]
provider = "cti"
secrets = ["x"]
recording_username = "ringpost"
recording_password = "pass word"

[call_sources.bearer]
provider = "cti"
secrets = ["x"]
recording_token = "media-token"

[call_sources.cdr]
provider = "cti"
secrets = ["x"]

[call_sources.pbx]
joins = "cdr"
provider = "asterisk_ari"
secrets = ["ari-password"]
username = "ringpost"
"""
SOUND = wav(1.5)


@dataclass
class Studio:
    """The API and the job over one folder, with a provider on loopback."""

    api: Api
    media: MediaServer
    folder: Path
    make: Callable[..., RecordingKeeper]
    url: str

    async def call(self, path: str = "/a", *, source: str = "basic", **columns: Any) -> int:
        """A contact whose recording is at that path of the provider."""
        columns.setdefault("recording_url", f"{self.media.url}{path}" if path.startswith("/") else path)
        return await touch(self.api, source=source, state="ended", **columns)

    async def work(self, seconds: float = 10.0, **settings: Any) -> None:
        """Run the job until nothing is due, time passing quickly."""
        keeper = self.make(**settings)
        task = asyncio.create_task(keeper.run())
        pool = self.api.ctx.pool
        try:
            async with asyncio.timeout(seconds):
                while await pool.fetchval(
                    "SELECT (SELECT count(*) FROM contacts WHERE recording_url IS DISTINCT FROM recording_taken_url)"
                    " + (SELECT count(*) FROM recordings WHERE state = 'waiting')"
                ):
                    # What failed is due again at once; a try that is under way keeps its lease.
                    await pool.execute(
                        "UPDATE recordings SET next_attempt_at = now() WHERE state = 'waiting' AND error <> ''"
                    )
                    await asyncio.sleep(0.03)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def row(self, contact: int) -> dict[str, Any]:
        return dict(
            await self.api.ctx.pool.fetchrow("SELECT * FROM recordings WHERE contact_id = $1", contact) or {}
        )

    async def listen(
        self, contact: int, role: str = "supervisor", span: str | None = None
    ) -> aiohttp.ClientResponse:
        headers = {"Authorization": f"Bearer {self.api.tokens[role]}"} | ({"Range": span} if span else {})
        answer = await self.api.http.get(f"{self.url}/api/v1/contacts/{contact}/recording", headers=headers)
        await answer.read()
        return answer

    async def plays(self, contact: int) -> list[int]:
        rows = await self.api.ctx.pool.fetch(
            "SELECT agent_id FROM audit WHERE action = 'recording.play' AND subject_id = $1 ORDER BY id",
            contact,
        )
        return [row["agent_id"] for row in rows]

    def files(self) -> list[str]:
        return sorted(str(one.relative_to(self.folder)) for one in self.folder.rglob("*") if one.is_file())


@pytest_asyncio.fixture
async def studio(api: Api, tmp_path: Path, database: str) -> AsyncIterator[Studio]:
    config = tmp_path / "recordings.toml"
    environ = {
        "RINGPOST_DATABASE__URL": database,
        "RINGPOST_SERVER__DATA_DIR": str(tmp_path / "var"),
        "RINGPOST_RECORDINGS__ALLOW_HOSTS": '["127.0.0.1"]',
        "RINGPOST_RECORDINGS__TIMEOUT_SECONDS": "5",
    }
    async with media_server() as media:
        config.write_text(CONFIG + f'url = "{media.url}/ari"\n')
        settings = load_settings([config], environ)
        ctx = dataclasses.replace(api.ctx, settings=settings)

        def make(**changed: Any) -> RecordingKeeper:
            said = settings.model_copy(update={"recordings": settings.recordings.model_copy(update=changed)})
            return RecordingKeeper(ctx.pool, ctx.hub, recording_rules(said), ask_media(ctx))

        server = TestServer(build_http_app(ctx, route_modules()))
        await server.start_server()
        yield Studio(api, media, settings.recordings_dir, make, str(server.make_url("")).rstrip("/"))
        await server.close()


async def test_fetched_and_given_out(studio: Studio) -> None:
    studio.media.files["/a"] = SOUND
    contact = await studio.call()
    before = await studio.api.call("GET", f"/contacts/{contact}")
    assert before["recording"]["state"] == "waiting" and before["recording"]["url"] is None
    await studio.work()
    row = await studio.row(contact)
    assert (row["state"], row["content_type"], row["size"], row["duration_seconds"], row["attempts"]) == (
        "fetched", "audio/wav", len(SOUND), 1.5, 1,
    )  # fmt: skip
    assert studio.files() == [row["path"]]
    assert (studio.folder / row["path"]).read_bytes() == SOUND
    shown = await studio.api.call("GET", f"/contacts/{contact}")
    Recording.model_validate(shown["recording"])
    assert shown["recording"] == {
        "state": "fetched", "type": "audio/wav", "size": len(SOUND), "duration_seconds": 1.5,
        "url": f"/api/v1/contacts/{contact}/recording", "error": None,
    }  # fmt: skip
    (listed,) = (await studio.api.call("GET", "/contacts"))["items"]
    assert listed["recording"] == shown["recording"]
    answer = await studio.listen(contact)
    assert (answer.status, answer.content_type, await answer.read()) == (200, "audio/wav", SOUND)
    headers = answer.headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Disposition"] == f'attachment; filename="recording-{contact}.wav"'
    assert headers["Content-Security-Policy"].startswith("sandbox")
    assert headers["Accept-Ranges"] == "bytes"
    assert headers["Cache-Control"] == "private, no-store"
    # It is not fetched again.
    await studio.work()
    assert len(studio.media.asked) == 1


@pytest.mark.parametrize(
    ("file", "content_type", "suffix"),
    [
        (mp3(), "audio/mpeg", "mp3"),
        (ogg(), "audio/ogg", "ogg"),
        (flac(), "audio/flac", "flac"),
        (m4a(), "audio/mp4", "m4a"),
    ],
)
async def test_the_type_is_told_by_the_bytes(
    studio: Studio, file: bytes, content_type: str, suffix: str
) -> None:
    studio.media.files["/a"] = file
    studio.media.content_type = "text/html"
    contact = await studio.call()
    await studio.work()
    answer = await studio.listen(contact)
    assert (answer.status, answer.content_type, await answer.read()) == (200, content_type, file)
    assert answer.headers["Content-Disposition"].endswith(f'.{suffix}"')


async def test_ranges(studio: Studio) -> None:
    studio.media.files["/a"] = SOUND
    contact = await studio.call()
    await studio.work()
    size = len(SOUND)
    for span, first, last in (
        ("bytes=0-", 0, size - 1), ("bytes=0-99", 0, 99), ("bytes=100-199", 100, 199),
        ("bytes=-50", size - 50, size - 1),
        (f"bytes={size - 1}-", size - 1, size - 1), ("bytes=0-999999999", 0, size - 1),
    ):  # fmt: skip
        answer = await studio.listen(contact, span=span)
        assert answer.status == 206, span
        assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{size}"
        assert await answer.read() == SOUND[first : last + 1]
    for span in (f"bytes={size}-", "bytes=9-1"):
        answer = await studio.listen(contact, span=span)
        assert answer.status == 416 and answer.headers["Content-Range"] == f"bytes */{size}"


async def test_a_play_is_written_down_once(studio: Studio) -> None:
    studio.media.files["/a"] = SOUND
    contact = await studio.call()
    await studio.work()
    boss, agent = (studio.api.actors[role].agent_id for role in ("supervisor", "agent"))
    for span in ("bytes=0-1", "bytes=0-", "bytes=100-199", "bytes=200-", "bytes=-10"):
        await studio.listen(contact, span=span)
    assert await studio.plays(contact) == [boss]
    # The whole file, a play of somebody else, a later one of the same: each is one more.
    await studio.listen(contact)
    await studio.api.ctx.pool.execute("UPDATE contacts SET agent_id = $1", agent)
    await studio.listen(contact, "agent", "bytes=500-600")
    assert await studio.plays(contact) == [boss, boss, agent]
    await studio.api.ctx.pool.execute("UPDATE audit SET at = at - interval '1 minute'")
    await studio.listen(contact, span="bytes=100-")
    assert len(await studio.plays(contact)) == 3
    await studio.listen(contact, span="bytes=0-")
    assert len(await studio.plays(contact)) == 4
    await studio.api.ctx.pool.execute("UPDATE audit SET at = at - interval '1 day'")
    await asyncio.gather(*(studio.listen(contact, span=f"bytes={n}-") for n in range(1, 6)))
    assert len(await studio.plays(contact)) == 5
    listed = await studio.api.call("GET", f"/contacts/{contact}/recording/plays", role="supervisor")
    for one in listed["items"]:
        Play.model_validate(one)
    assert [one["agent_name"] for one in listed["items"]] == ["Supervisor"] * 2 + ["Agent"] + [
        "Supervisor"
    ] * 2
    await studio.api.call("GET", f"/contacts/{contact}/recording/plays", status=403)


async def test_who_may_listen(studio: Studio) -> None:
    studio.media.files["/a"] = SOUND
    pool = studio.api.ctx.pool
    queues = {row["name"]: row["id"] for row in await pool.fetch("SELECT id, name FROM queues")}
    me = studio.api.actors["agent"].agent_id
    own = await studio.call(agent_id=me, queue_id=queues["售后"])
    of_my_queue = await studio.call(queue_id=queues["support"])
    of_another = await studio.call(queue_id=queues["售后"])
    nobodys = await studio.call()
    await studio.work()
    for contact, may in ((own, True), (of_my_queue, True), (of_another, False), (nobodys, False)):
        assert (await studio.listen(contact, "agent")).status == (200 if may else 403)
        assert (await studio.listen(contact, "supervisor")).status == 200
        assert (await studio.listen(contact, "administrator")).status == 200
    assert len(await studio.plays(nobodys)) == 2, "a refusal is no play"
    assert (await studio.api.http.get(f"{studio.url}/api/v1/contacts/{own}/recording")).status == 401
    gone = await agents.add_agent(pool, email="new@ringpost.test", name="New", queues=["support"])
    studio.api.tokens["new"] = await sessions.add_token(pool, int(gone["id"]), "test")
    assert (await studio.listen(of_my_queue, "new")).status == 200
    assert (await studio.listen(999_999)).status == 404
    silent = await touch(studio.api)
    assert (await studio.listen(silent)).status == 404


async def test_tried_again_until_it_is_there(studio: Studio) -> None:
    studio.media.files["/a"] = SOUND
    studio.media.answers["/a"] = [404, 503, 401]
    contact = await studio.call()
    await studio.work()
    row = await studio.row(contact)
    assert (row["state"], row["attempts"], row["error"]) == ("fetched", 4, "")
    assert len(studio.media.asked) == 4


async def test_given_up_in_words_and_fetched_again_for_a_supervisor(studio: Studio) -> None:
    contact = await studio.call()
    await studio.work(attempts=3)
    assert len(studio.media.asked) == 3
    shown = (await studio.api.call("GET", f"/contacts/{contact}"))["recording"]
    assert (shown["state"], shown["url"], shown["error"]) == ("failed", None, "the provider answered 404")
    assert (await studio.listen(contact)).status == 404
    await studio.api.call("POST", f"/contacts/{contact}/recording/retry", status=403)
    again = await studio.api.call("POST", f"/contacts/{contact}/recording/retry", role="supervisor")
    Recording.model_validate(again)
    assert (again["state"], again["error"]) == ("waiting", None)
    studio.media.files["/a"] = SOUND
    await studio.work()
    assert (await studio.row(contact))["state"] == "fetched"
    settled = await studio.api.call("POST", f"/contacts/{contact}/recording/retry", role="supervisor")
    assert settled["state"] == "fetched", "what is here is not fetched again"
    await studio.api.call("POST", "/contacts/999999/recording/retry", role="supervisor", status=404)


async def test_credentials(studio: Studio) -> None:
    media = studio.media
    media.files = {"/a": SOUND, "/a.mp3": mp3(), "/ari/recordings/stored/calls%2F1/file": SOUND}
    basic = aiohttp.encode_basic_auth
    for source, wanted, path in (
        ("basic", basic("ringpost", "pass word"), "/a"),
        ("bearer", "Bearer media-token", "/a"),
        ("main", basic("AC1", "auth-token"), "/a.mp3"),  # the second secret: the first is refused
        ("plain", None, "/a"),
        ("no-longer-there", None, "/a"),
    ):
        media.demands, media.asked = wanted, []
        contact = await studio.call("/a", source=source)
        await studio.work()
        assert (await studio.row(contact))["state"] == "fetched", source
        assert (media.asked[-1].path, media.asked[-1].authorization) == (path, wanted)
    media.demands, media.asked = basic("ringpost", "ari-password"), []
    contact = await studio.call("ari-recording:1.wav", source="pbx")
    media.files["/ari/recordings/stored/1.wav/file"] = SOUND
    await studio.work()
    assert (await studio.row(contact))["state"] == "fetched"


def test_a_token_that_the_application_signs() -> None:
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    source = CallSource("v", "vonage", ("x",), "GB", None, "one", "https://cti.example.com/hooks/calls/v")
    url = "https://api.nexmo.com/v1/files/1"
    media = discover_media()["vonage"]
    assert media.request(source, url) == MediaRequest(url)
    signing = dataclasses.replace(source, options={"application_id": "app", "private_key": pem})
    (credential,) = media.request(signing, url).credentials
    scheme, _, token = credential.partition(" ")
    assert scheme == "Bearer"
    claims = jwt.decode(token, RSAKey.import_key(key.public_key()), algorithms=["RS256"]).claims
    assert claims["application_id"] == "app"
    with pytest.raises(FetchFailed, match="settings"):
        media.request(dataclasses.replace(source, options={"application_id": "app"}), url)


async def test_a_source_that_tells_of_anothers_calls(studio: Studio) -> None:
    media = studio.media
    media.files["/ari/recordings/stored/1/file"] = SOUND
    media.demands = aiohttp.encode_basic_auth("ringpost", "ari-password")
    contact = await studio.call("ari-recording:1", source="cdr")
    await studio.work()
    assert (await studio.row(contact))["state"] == "fetched"


@pytest.mark.parametrize("announced", [True, False])
async def test_too_large(studio: Studio, announced: bool) -> None:
    studio.media.files["/a"] = wav(2)
    studio.media.chunked = not announced
    contact = await studio.call()
    await studio.work(max_bytes=2000)
    row = await studio.row(contact)
    assert (row["state"], row["error"], row["attempts"]) == ("failed", "too_large", 1)
    assert studio.files() == []


@pytest.mark.parametrize("body", [b"<html>log in</html>" * 100, b"", b"RIFF", b"\0" * 5000])
async def test_no_sound(studio: Studio, body: bytes) -> None:
    studio.media.files["/a"] = body
    studio.media.content_type = "audio/wav"
    contact = await studio.call()
    await studio.work()
    row = await studio.row(contact)
    assert (row["state"], row["error"]) == ("failed", "wrong_type")
    assert studio.files() == []


async def test_broken_off_in_the_middle(studio: Studio) -> None:
    studio.media.files["/a"] = wav(60)
    studio.media.cuts = True
    contact = await studio.call()
    await studio.work(attempts=2)
    assert (await studio.row(contact))["error"] == "incomplete"
    assert studio.files() == []


async def test_too_slow(studio: Studio) -> None:
    studio.media.files["/a"] = SOUND
    studio.media.stalls = asyncio.Event()
    contact = await studio.call()
    await studio.work(attempts=1, timeout_seconds=0.3)
    assert (await studio.row(contact))["error"] == "timeout"


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("{media}/a", "address"),  # http, and not allowed
        ("https://127.0.0.1:1/a", "inside"),
        ("https://[::1]:1/a", "inside"),
        ("https://[::ffff:127.0.0.1]:1/a", "inside"),
        ("https://localhost:1/a", "inside"),
        ("https://169.254.169.254/latest/meta-data", "inside"),
        ("https://10.1.2.3/a", "inside"),
        ("https://127.1/a", "address"),
        ("https://2130706433/a", "address"),
        ("http://recordings.example.com/a", "address"),
        ("ftp://recordings.example.com/a", "address"),
        ("file:///etc/passwd", "address"),
        ("ari-recording:1", "address"),
        ("https://", "address"),
        ("https://host:99999/a", "address"),
        ("/relative", "address"),
    ],
)
async def test_addresses_that_are_not_asked(studio: Studio, url: str, error: str) -> None:
    studio.media.files["/a"] = SOUND
    contact = await studio.call("-", recording_url=url.replace("{media}", studio.media.url))
    await studio.work(allow_hosts=())
    row = await studio.row(contact)
    assert (row["state"], row["error"], row["attempts"]) == ("failed", error, 1)
    assert studio.media.asked == []


@pytest.mark.parametrize(
    "inside", ["https://localhost:{port}/a", "http://localhost:{port}/a", "https://10.0.0.1/a"]
)
async def test_a_redirect_leads_nowhere_that_an_address_may_not(studio: Studio, inside: str) -> None:
    studio.media.files["/a"] = SOUND
    studio.media.redirects["/b"] = inside.replace("{port}", studio.media.url.rpartition(":")[2])
    contact = await studio.call("/b")
    await studio.work()
    row = await studio.row(contact)
    assert (row["state"], row["error"]) == ("failed", "address" if inside.startswith("http:") else "inside")
    assert [one.path for one in studio.media.asked] == ["/b"]


async def test_redirects_are_followed_without_the_credentials(studio: Studio) -> None:
    async with media_server() as storage:
        storage.files["/signed"] = SOUND
        studio.media.redirects |= {"/b": "/c?x=%2F", "/c": f"{storage.url}/signed", "/loop": "/loop"}
        contact = await studio.call("/b")
        looping = await studio.call("/loop")
        await studio.work()
        assert (await studio.row(contact))["state"] == "fetched"
        assert [one.authorization is None for one in studio.media.asked if one.path in "/b/c"] == [False] * 2
        assert [one.authorization for one in storage.asked] == [None]
        assert (await studio.row(looping))["error"] == "redirects"


async def test_a_certificate_that_nobody_vouches_for(studio: Studio, tmp_path: Path) -> None:
    async with media_server(self_signed(tmp_path)) as storage:
        storage.files["/a"] = SOUND
        contact = await studio.call("-", recording_url=f"{storage.url}/a")
        await studio.work(attempts=1)
        assert (await studio.row(contact))["error"] == "certificate"
        assert storage.asked == []


def self_signed(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    made = datetime(2026, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(made).not_valid_after(made + timedelta(days=36500))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    file = folder / "self-signed.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(secret + certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


async def test_nobody_there(studio: Studio) -> None:
    contact = await studio.call("-", recording_url="http://127.0.0.1:1/a")
    await studio.work(attempts=2)
    row = await studio.row(contact)
    assert (row["state"], row["error"], row["attempts"]) == ("failed", "unreachable", 2)


async def test_only_linked(studio: Studio) -> None:
    contact = await studio.call("-", recording_url="https://provider.example.com/r/1")
    await studio.work(store="link")
    shown = (await studio.api.call("GET", f"/contacts/{contact}"))["recording"]
    assert (shown["state"], shown["url"]) == ("linked", "https://provider.example.com/r/1")
    answer = await studio.listen(contact)
    assert answer.status == 404 and "provider" in (await answer.json())["detail"]
    assert studio.media.asked == []


async def test_kept_as_long_as_the_settings_say(studio: Studio) -> None:
    studio.media.files["/a"] = SOUND
    old, new = await studio.call(), await studio.call()
    await studio.work()
    pool = studio.api.ctx.pool
    await pool.execute(
        "UPDATE recordings SET created_at = now() - interval '31 days' WHERE contact_id = $1", old
    )
    assert await studio.make(keep_days=0).sweep() == 0
    assert await studio.make(keep_days=30).sweep() == 1
    assert await studio.make(keep_days=30).sweep() == 0
    assert studio.files() == [(await studio.row(new))["path"]]
    shown = (await studio.api.call("GET", f"/contacts/{old}"))["recording"]
    assert (shown["state"], shown["url"]) == ("deleted", None)
    answer = await studio.listen(old)
    assert answer.status == 404 and "deleted" in (await answer.json())["detail"]
    told = await pool.fetchrow(
        "SELECT agent_id, subject_id, data FROM audit WHERE action = 'recording.delete'"
    )
    assert (told["agent_id"], told["subject_id"], told["data"]) == (None, old, {"keep_days": 30})
    await studio.work()
    assert (await studio.row(old))["state"] == "deleted", "what was deleted is not fetched again"


async def test_a_second_address_of_the_same_call_is_another_recording(studio: Studio) -> None:
    studio.media.files |= {"/a": SOUND, "/b": mp3()}
    contact = await studio.call("/a")
    await studio.work()
    pool = studio.api.ctx.pool
    await pool.execute("UPDATE contacts SET recording_url = $1", f"{studio.media.url}/b")
    assert (await studio.api.call("GET", f"/contacts/{contact}"))["recording"]["state"] == "waiting"
    await studio.work()
    assert (await studio.listen(contact)).content_type == "audio/mpeg"
    assert len(studio.files()) == 2
    await pool.execute("UPDATE contacts SET recording_url = $1", f"{studio.media.url}/a")
    await studio.work()
    assert (await studio.listen(contact)).content_type == "audio/wav"
    assert await pool.fetchval("SELECT count(*) FROM recordings") == 2


async def test_a_very_long_address(studio: Studio) -> None:
    studio.media.files["/a"] = SOUND
    contact = await studio.call(f"/a?signature={'%2B0' * 2000}")
    await studio.work()
    assert (await studio.row(contact))["state"] == "fetched"


async def test_a_try_that_never_came_back(studio: Studio) -> None:
    """The server stopped in the middle, each time: others are not held up, and it ends."""
    studio.media.files["/a"] = SOUND
    contact = await studio.call()
    keeper = studio.make(attempts=2)
    await keeper.adopt()
    pool = studio.api.ctx.pool
    part = studio.folder / "parts" / "1-old.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"half")
    await pool.execute("UPDATE recordings SET attempts = 2")
    await studio.work(attempts=2)
    row = await studio.row(contact)
    assert (row["state"], row["error"]) == ("failed", "interrupted")
    await studio.make().sweep()
    assert part.exists(), "it may belong to a try of another node"
    os.utime(part, (0, 0))
    await studio.make().sweep()
    assert not part.exists()


async def test_a_missing_file_is_not_a_fault(studio: Studio) -> None:
    studio.media.files["/a"] = SOUND
    contact = await studio.call()
    await studio.work()
    (studio.folder / (await studio.row(contact))["path"]).unlink()
    assert (await studio.listen(contact)).status == 404


async def test_finding_what_is_new_reads_an_index(studio: Studio) -> None:
    async with studio.api.ctx.pool.acquire() as connection, connection.transaction():
        await connection.execute(SQL.by_index)
        plan = await connection.fetch(f"EXPLAIN {SQL.adopt}", "waiting", None, 10)
    assert "contacts_recorded" in "\n".join(row[0] for row in plan)


def test_settings_are_checked() -> None:
    good = load_settings((), {"RINGPOST_RECORDINGS__ALLOW_HOSTS": '["PBX.example.com", "::1", "10.0.0.5"]'})
    assert good.recordings.allow_hosts == ("pbx.example.com", "::1", "10.0.0.5")
    for name, value in (
        ("STORE", "keep"),
        ("ALLOW_HOSTS", '["https://pbx"]'),
        ("ALLOW_HOSTS", '["10.0.0.5:80"]'),
        ("KEEP_DAYS", "-1"),
    ):
        with pytest.raises(SettingsError, match=f"recordings.{name.lower()}"):
            load_settings((), {f"RINGPOST_RECORDINGS__{name}": value})


def test_secrets_are_masked(tmp_path: Path) -> None:
    config = tmp_path / "masked.toml"
    config.write_text(CONFIG)
    shown = repr(dict(_flat(masked(load_settings([config], {})))))
    assert "recording_username" in shown
    for secret in ("pass word", "media-token", "auth-token", "ari-password"):
        assert secret not in shown
