"""Vonage's signed token: what it must say, of which request, and for how long it counts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import RSAKey
from multidict import CIMultiDict

from handlers.telephony.provider import CallSource, HookRequest
from handlers.telephony.vonage import PROVIDER
from server.domain.errors import NotAuthenticated, RingpostError, Unavailable
from tests.conformance.vonage_requests import HOOK, INCOMING, NOW, SECRET, claims_for, request, source, token


def verify(fields: dict[str, Any], claims: dict[str, Any], **options: str) -> None:
    PROVIDER.verify(source(**options), request(fields, bearer=token(claims)))


def test_published_vectors_are_of_a_scheme_that_calls_do_not_use(real_case: Callable[..., Any]) -> None:
    """``sig=`` parameters sign messages (SMS), with MD5 by default: nothing of a call may pass with one."""
    cases = [
        case for case in real_case("cases", "signatures", "vectors.json") if case["provider"] == "vonage"
    ]
    assert cases
    for case in cases:
        fields = case["params"] | {"sig": case["signature"]}
        guarded = CallSource("main", "vonage", (case["secret"],), "GB", None, "one", HOOK)
        for asked in (
            HookRequest("GET", f"{HOOK}?{urlencode(fields)}", CIMultiDict(), b"", received_at=NOW),
            HookRequest("POST", HOOK, CIMultiDict(), json.dumps(fields).encode(), received_at=NOW),
        ):
            with pytest.raises(Unavailable):
                PROVIDER.verify(guarded, asked)


def test_a_callback_without_a_token_is_to_come_again() -> None:
    bare = HookRequest("POST", HOOK, CIMultiDict(), b"{}", received_at=NOW)
    with pytest.raises(Unavailable) as refusal:
        PROVIDER.verify(source(), bare)
    assert refusal.value.status == 503


def test_only_hs256() -> None:
    body = json.dumps(INCOMING).encode()
    rsa_key = RSAKey.generate_key(2048)
    forged = [
        jwt.encode({"alg": "RS256"}, claims_for(body), rsa_key, algorithms=["RS256"]),
        token(claims_for(body), {"alg": "RS256"}),
        token(claims_for(body), {"alg": "HS512"}, "sha512"),
        token(claims_for(body), {"alg": ["HS256"]}),
        token(claims_for(body), {"alg": "HS256", "crit": ["exp"], "exp": 1}),
        token(claims_for(body), ["HS256"]),
        token([claims_for(body)]),
        token(claims_for(body), secret=SECRET[:-1]),
    ]
    head, payload, _ = token(claims_for(body)).split(".")
    forged += [
        f"{head}.{payload}.",
        f"eyJhbGciOiJub25lIn0.{payload}.",
        f"{head}.{payload}",
        "a.b.c",
        "..",
        "x" * 9000,
    ]
    for bearer in forged:
        with pytest.raises(NotAuthenticated):
            PROVIDER.verify(source(), request(INCOMING, bearer=bearer))


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "Somebody"}, {"iss": None}, {"iat": None}, {"iat": "1794820500"}, {"iat": True}, {"iat": 10**400},
        {"iat": float("nan")}, {"jti": None}, {"jti": ""}, {"jti": 7}, {"jti": "x" * 500}, {"payload_hash": None},
        {"payload_hash": 1}, {"payload_hash": ""}, {"payload_hash": "0" * 64}, {"payload_hash": "\ud800"},
    ],
)  # fmt: skip
def test_a_claim_that_is_missing_or_wrong(changes: dict[str, Any]) -> None:
    body = json.dumps(INCOMING).encode()
    with pytest.raises(NotAuthenticated):
        verify(INCOMING, claims_for(body, **changes))


def test_the_window() -> None:
    body = json.dumps(INCOMING).encode()
    for seconds, allowed in ((-300, True), (300, True), (-301, False), (301, False), (-100_000, False)):
        claims = claims_for(body, iat=int(NOW.timestamp()) + seconds)
        if allowed:
            verify(INCOMING, claims)
            continue
        with pytest.raises(NotAuthenticated):
            verify(INCOMING, claims)
    verify(INCOMING, claims_for(body, iat=int(NOW.timestamp()) - 900), iat_tolerance_seconds="900")
    with pytest.raises(NotAuthenticated):
        verify(INCOMING, claims_for(body, iat=int(NOW.timestamp()) - 10), iat_tolerance_seconds="5")


def test_another_account_or_application() -> None:
    body = json.dumps(INCOMING).encode()
    claims = {"api_key": "a1b2c3d4", "application_id": "app-1"}
    verify(INCOMING, claims_for(body, **claims), **claims)
    for name in claims:
        for other in ({name: "other"}, {name: None}):
            with pytest.raises(NotAuthenticated):
                verify(INCOMING, claims_for(body, **(claims | other)), **claims)


def test_a_token_counts_for_one_request_and_its_retries() -> None:
    body = json.dumps(INCOMING).encode()
    bearer = token(claims_for(body))
    for _ in range(3):
        PROVIDER.verify(source(), request(INCOMING, bearer=bearer))
    PROVIDER.verify(source("other"), request(INCOMING, bearer=bearer))  # of another source, another book
    with pytest.raises(NotAuthenticated):
        PROVIDER.verify(source(), request(INCOMING, "?call=another", bearer=bearer))
    bearer = token(claims_for(b""))  # a GET has no hash in its token: it is the book that holds it
    query = "?" + urlencode(INCOMING)
    PROVIDER.verify(source(), request(None, query, method="GET", bearer=bearer))
    with pytest.raises(NotAuthenticated):
        PROVIDER.verify(source(), request(None, query + "&to=1", method="GET", bearer=bearer))


def test_a_hash_on_a_get() -> None:
    query = "?" + urlencode(INCOMING)
    of_nothing = hashlib.sha256(b"").hexdigest()
    of_query = hashlib.sha256(json.dumps(INCOMING, separators=(",", ":")).encode()).hexdigest()
    for stated in (of_nothing, of_query, of_query.upper()):
        bearer = token(claims_for(b"", payload_hash=stated))
        PROVIDER.verify(source(), request(None, query, method="GET", bearer=bearer))
    bearer = token(claims_for(b"", payload_hash="0" * 64))
    with pytest.raises(NotAuthenticated):
        PROVIDER.verify(source(), request(None, query, method="GET", bearer=bearer))
    PROVIDER.verify(source(get_payload_hash="off"), request(None, query, method="GET", bearer=bearer))


@given(st.text(max_size=200) | st.text(alphabet="abcdeyJ.-_=0", max_size=200))
def test_any_token_is_refused_not_fatal(text: str) -> None:
    with pytest.raises(RingpostError):
        PROVIDER.verify(source(), request(INCOMING, bearer=text or "x"))
