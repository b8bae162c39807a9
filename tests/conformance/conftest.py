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
TOKEN_IN_URL = {"cti"}  # the sample has it in the path, our door takes it as ?token=
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
    samples = []
    for meta_file in sorted(folder.glob("*.meta.json")):
        meta = json.loads(meta_file.read_bytes())
        if meta["flow"] != "provider->server" or "request" not in meta:
            continue
        body = (folder / meta["body_file"]).read_bytes() if meta.get("body_file") else b""
        if meta.get("body_sha256"):
            assert hashlib.sha256(body).hexdigest() == meta["body_sha256"], meta_file
        auth = meta.get("auth") or {}
        secret = next((auth[key] for key in SECRET_KEYS if auth.get(key)), "none")
        url = meta["request"]["url"]
        if name in TOKEN_IN_URL:
            url = f"https://cti.example.com/hooks/calls/{name}?token={secret}"
        samples.append(
            Sample(
                id=f"{name}-{meta_file.name.removesuffix('.meta.json')}",
                provider=provider,
                source=CallSource(
                    name=name,
                    provider=name,
                    secrets=(secret,),
                    country="GB",
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
            )
        )
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
                samples = [sample for sample in samples if sample.valid and sample.neutral][:1]
            found.extend(samples or [Missing(f"{provider}-has-no-samples")])
        metafunc.parametrize(name, found, ids=[item.id for item in found], indirect=True)


@pytest.fixture
def sample(request: pytest.FixtureRequest) -> Sample:
    return _present(request.param)


@pytest.fixture
def accepted(request: pytest.FixtureRequest) -> Sample:
    return _present(request.param)


@pytest.fixture
def real_case() -> Callable[..., Any]:
    """Read a JSON file of the real cases: ``real_case("cases", "cti", "x.json")``."""
    return lambda *parts: json.loads(shared_file(*parts).read_bytes())


@pytest.fixture
def twilio_samples() -> list[Sample]:
    shared_file("providers", "samples", "twilio")
    return load_samples("twilio")


def _present(item: Sample | Missing) -> Sample:
    if isinstance(item, Missing):
        shared_file("providers", "samples")
        pytest.fail(f"{item.id}: name its folder in FOLDERS")
    return item
