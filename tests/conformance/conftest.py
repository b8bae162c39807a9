"""Every provider's recorded messages, as requests to a source of ours.

A provider file is picked up by itself: its samples are those of the folder of its name, or of the
one that ``FOLDERS`` names. What a provider needs of its own (where the secret goes) is ``prepare``.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from handlers.telephony.provider import CallSource, HookRequest, Provider, discover

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
SAMPLES = SHARED / "providers" / "samples"
FOLDERS = {
    "cti": "zammad-cti",
    "threecx": "3cx",
    "amazon_connect": "amazon-connect",
    "freeswitch_cdr": "freeswitch",
}
TOKEN_IN_URL = {"cti", "starface"}  # the sample has it in the path, our door takes it as ?token=
# The samples of this provider name the public key that they were signed for, they do not bring it.
KEY_FILES = {"sipgate": Path(__file__).with_name("sipgate_sample_key.pem")}
COUNTRIES = {"placetel": "DE"}  # whose numbers come as they are dialled there
CALL_IN_URL = {"sipgate"}  # a later message does not say which call it continues, our subscription's URL does
REMEMBERS = {"vonage"}  # what a message means may hang on the call's earlier ones: they are parsed before it
SECRET_KEYS = ("secret", "public_key", "public_key_base64", "public_key_pem")
PROVIDERS = discover()


@dataclass(frozen=True)
class Sample:
    """One recorded message of a provider to us, and what must come of it."""

    id: str
    provider: Provider
    source: CallSource
    request: HookRequest
    valid: bool
    neutral: dict[str, Any] | None
    expected_reply: dict[str, Any]
    earlier: tuple[Sample, ...] = ()

    def with_request(self, **changes: Any) -> Sample:
        return replace(self, request=replace_request(self.request, **changes))

    def with_secrets(self, *secrets: str) -> Sample:
        return replace(self, source=replace(self.source, secrets=secrets))


def replace_request(request: HookRequest, *, drop: tuple[str, ...] = (), **changes: Any) -> HookRequest:
    """A new request (nothing cached), without the headers in ``drop`` and with ``changes``."""
    headers = CIMultiDict((name, value) for name, value in request.headers.items() if name not in drop)
    headers.update(changes.pop("headers", {}))
    whole: dict[str, Any] = {
        "method": request.method,
        "url": request.url,
        "body": request.body,
        "peer": request.peer,
        "received_at": request.received_at,
    }
    return HookRequest(headers=CIMultiDictProxy(headers), **(whole | changes))


def shared_file(*parts: str) -> Path:
    """A file of the real cases. Missing: a failure in CI, a skip elsewhere."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        if os.environ.get("CI"):
            pytest.fail(f"the real cases are missing: {'/'.join(parts)}")
        pytest.skip(f"the real cases are not here: {'/'.join(parts)}")
    return path


BASE_TIME = datetime(2026, 11, 16, 9, 15, tzinfo=UTC)  # of every scenario


def sent_at(meta: dict[str, Any]) -> datetime:
    """When the message was signed, where it says so."""
    headers = {name.lower(): value for name, value in meta["request"]["headers"].items()}
    auth = meta.get("auth") or {}
    stamp = headers.get("telnyx-timestamp") or (auth.get("claims") or {}).get("iat")
    return datetime.fromtimestamp(int(stamp), UTC) if stamp else BASE_TIME


def load_samples(name: str) -> list[Sample]:
    provider = PROVIDERS[name]
    folder = SAMPLES / FOLDERS.get(name, name)
    samples: list[Sample] = []
    told: dict[str, list[Sample]] = {}
    for meta_file in sorted(folder.glob("*.meta.json")):
        meta = json.loads(meta_file.read_bytes())
        if meta["flow"] != "provider->server" or "request" not in meta:
            continue
        if (meta.get("body_file") or "").endswith(".http"):
            continue  # a caller look-up: it has a door of its own
        body = (folder / meta["body_file"]).read_bytes() if meta.get("body_file") else b""
        if meta.get("body_sha256"):
            assert hashlib.sha256(body).hexdigest() == meta["body_sha256"], meta_file
        auth = meta.get("auth") or {}
        secret = next((auth[key] for key in SECRET_KEYS if auth.get(key)), "none")
        if name in KEY_FILES:
            secret = KEY_FILES[name].read_text(encoding="ascii")
        url = meta["request"]["url"]
        if name in TOKEN_IN_URL:
            url = f"https://cti.example.com/hooks/calls/{name}?token={secret}"
        call = ((meta.get("neutral") or {}).get("call_key") or "").partition(":")[2]
        if name in CALL_IN_URL and call and call != meta["neutral"]["leg_key"]:
            url += f"?call={call}"
        samples.append(
            Sample(
                id=f"{name}-{meta_file.name.removesuffix('.meta.json')}",
                provider=provider,
                source=CallSource(
                    name=name,
                    provider=name,
                    secrets=(secret,),
                    country=COUNTRIES.get(name, "GB"),
                    queue="support",
                    ring="one",
                    hook_url=f"https://cti.example.com/hooks/calls/{name}",
                ),
                request=HookRequest(
                    method=meta["request"]["method"],
                    url=url,
                    headers=CIMultiDictProxy(CIMultiDict(meta["request"]["headers"])),
                    body=body,
                    received_at=sent_at(meta),
                ),
                valid=meta["expect_valid"],
                neutral=meta.get("neutral"),
                expected_reply=meta.get("expected_reply") or {},
                earlier=tuple(told.get(meta["scenario"], ())),
            )
        )
        if name in REMEMBERS and meta["expect_valid"]:
            told.setdefault(meta["scenario"], []).append(samples[-1])
    return samples


@dataclass(frozen=True)
class Missing:
    """Stands in where a provider has no samples, so that the suite says so."""

    id: str
    what: str = field(default="")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``sample``: each sample of each provider; ``accepted``: one valid call event of each."""
    wanted = {"sample", "accepted"} & set(metafunc.fixturenames)
    for name in wanted:
        found: list[Any] = []
        for provider in sorted(PROVIDERS):
            samples = load_samples(provider)
            if name == "accepted":
                samples = [sample for sample in samples if sample.valid and sample.neutral]
                # One with a body, where there is one: of a GET nothing in the body counts.
                samples = sorted(samples, key=lambda sample: not sample.request.body)[:1]
                # Of a provider whose samples state no event, any that is valid.
                samples = samples or [sample for sample in load_samples(provider) if sample.valid][:1]
            found.extend(samples or [Missing(f"{provider}-has-no-samples")])
        metafunc.parametrize(name, found, ids=[item.id for item in found], indirect=True)


@pytest.fixture
def sample(request: pytest.FixtureRequest) -> Sample:
    present = _present(request.param)
    for earlier in present.earlier:
        earlier.provider.parse(earlier.source, earlier.request)
    return present


@pytest.fixture
def accepted(request: pytest.FixtureRequest) -> Sample:
    return _present(request.param)


@pytest.fixture
def real_case() -> Callable[..., Any]:
    """Read a JSON file of the real cases: ``real_case("cases", "cti", "x.json")``."""
    return lambda *parts: json.loads(shared_file(*parts).read_bytes())


@pytest.fixture
def real_bytes() -> Callable[..., bytes]:
    """Any other file of them: ``real_bytes("providers", "samples", "x", "y.txt")``."""
    return lambda *parts: shared_file(*parts).read_bytes()


@pytest.fixture
def samples_of() -> Callable[[str], dict[str, Sample]]:
    """A provider's samples, each by its name (``01-newcall``)."""

    def load(name: str) -> dict[str, Sample]:
        shared_file("providers", "samples")
        return {sample.id.removeprefix(f"{name}-"): sample for sample in load_samples(name)}

    return load


@pytest.fixture
def twilio_samples() -> list[Sample]:
    shared_file("providers", "samples", "twilio")
    return load_samples("twilio")


def _present(item: Sample | Missing) -> Sample:
    if isinstance(item, Missing):
        shared_file("providers", "samples")
        pytest.fail(f"{item.id}: name its folder in FOLDERS")
    return item
