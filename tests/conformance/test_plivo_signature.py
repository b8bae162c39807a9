"""Plivo's signature V3: what it covers, which headers carry it, and that a nonce counts once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from handlers.telephony.plivo import PROVIDER
from handlers.telephony.provider import CallSource, HookRequest
from handlers.telephony.signing import SeenBook
from server.domain.errors import Forbidden, Malformed, RingpostError
from tests.conformance.plivo_requests import HOOK, INCOMING, request, sign, signed, source


def test_published_vectors_of_older_schemes_are_refused(real_case: Callable[..., Any]) -> None:
    """V2 leaves the parameters unsigned and V1 has no nonce: not even a good one opens the door."""
    cases = [case for case in real_case("cases", "signatures", "vectors.json") if case["provider"] == "plivo"]
    assert cases
    for case in cases:
        guarded = CallSource("main", "plivo", (case["secret"],), "GB", None, "one", HOOK)
        headers = {"X-Plivo-Signature": case["signature"], "X-Plivo-Signature-V2": case["signature"]}
        headers |= {f"{name}-Nonce": case.get("nonce", "1") for name in ("X-Plivo-Signature-V2", *headers)}
        nonce = {"X-Plivo-Signature-V3-Nonce": case.get("nonce", "1")}
        body = urlencode(case.get("params", {})).encode()
        for offered in (headers, headers | nonce, nonce | {"X-Plivo-Signature-V3": case["signature"]}):
            with pytest.raises(Forbidden):
                PROVIDER.verify(guarded, HookRequest("POST", case["url"], CIMultiDict(offered), body))


def test_what_is_signed() -> None:
    """Decoded, sorted by name and value; a blank value and a repetition count."""
    body = b"b=2&a=%C3%A9&b=1&blank=&b=2"
    PROVIDER.verify(source(), request(body=body, **signed(f"{HOOK}?aéb1b2b2blank")))
    PROVIDER.verify(source(), request(body=body, query="?z=1&y=+", **signed(f"{HOOK}?y= &z=1.aéb1b2b2blank")))
    PROVIDER.verify(source(), request(query="?z=1&y=&z=0", **signed(f"{HOOK}?y=&z=0&z=1")))
    PROVIDER.verify(source(), request(**signed(HOOK)))
    PROVIDER.verify(source(), request(query="?z=1&y=2", method="GET", **signed(f"{HOOK}?y=2&z=1")))
    PROVIDER.verify(source(), request(method="GET", body=b"a=1", **signed(HOOK)))
    with pytest.raises(Malformed):  # what is in the body of a GET was not signed, so it is not there
        PROVIDER.parse(source(), request(INCOMING, method="GET"))


def test_several_signatures_and_the_main_accounts() -> None:
    good = signed(HOOK, "12345")
    ours, wrong = good["X_Plivo_Signature_V3"], sign("another", "another-token")
    for header in ("X_Plivo_Signature_V3", "X_Plivo_Signature_Ma_V3"):
        for listed in (f"{wrong},{ours}", f"{wrong}, {ours} ,", ours):
            headers = {"X_Plivo_Signature_V3": wrong, "X_Plivo_Signature_V3_Nonce": "12345"} | {
                header: listed
            }
            PROVIDER.verify(source(), request(**headers))
    for listed in (wrong, "", ",,,", ours[:-1], ours.lower(), ",".join([wrong] * 50 + [ours])):
        with pytest.raises(Forbidden):
            PROVIDER.verify(source(), request(**(good | {"X_Plivo_Signature_V3": listed})))


def test_a_nonce_counts_for_one_request_and_its_retries() -> None:
    first = signed(f"{HOOK}?a1", "nonce-1")
    for _ in range(3):
        PROVIDER.verify(source(), request(body=b"a=1", **first))
    PROVIDER.verify(source("other"), request(body=b"a=1", **first))  # of another source, another book
    with pytest.raises(Forbidden):
        PROVIDER.verify(source(), request(body=b"a=2", **signed(f"{HOOK}?a2", "nonce-1")))
    with pytest.raises(Forbidden):  # what failed is not remembered
        PROVIDER.verify(source(), request(body=b"a=3", **(first | {"X_Plivo_Signature_V3_Nonce": "nonce-2"})))
    PROVIDER.verify(source(), request(body=b"a=2", **signed(f"{HOOK}?a2", "nonce-2")))
    for nonce in ("", "x" * 500):
        with pytest.raises(Forbidden):
            PROVIDER.verify(source(), request(**(signed(HOOK) | {"X_Plivo_Signature_V3_Nonce": nonce})))


def test_the_book_forgets_the_oldest() -> None:
    book = SeenBook(most=2)
    for token in ("1", "2", "3"):
        assert not book.is_replay("main", token, request())
    other = request(body=b"a=1")
    assert [book.is_replay("main", token, other) for token in ("2", "3", "1")] == [True, True, False]


@given(st.binary(max_size=60), st.text(max_size=30), st.text(max_size=60))
def test_any_request_is_refused_not_fatal(body: bytes, nonce: str, signature: str) -> None:
    with pytest.raises(RingpostError):
        headers = {"X_Plivo_Signature_V3": signature, "X_Plivo_Signature_V3_Nonce": nonce}
        PROVIDER.verify(source(), request(body=body, **headers))
