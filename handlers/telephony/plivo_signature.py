"""Plivo's signature V3 ("Signature validation" of its docs): HMAC-SHA256 over address, parameters and nonce.

V1 and V2 are not taken: V2 leaves the parameters unsigned, V1 has no nonce, and whoever may choose the
scheme chooses the weakest.
"""

from __future__ import annotations

import binascii
import hmac
from collections.abc import Iterable

from handlers.telephony.fields import MAX_KEY
from handlers.telephony.provider import CallSource, HookRequest
from handlers.telephony.signing import SeenBook
from server.domain.errors import Forbidden

# The second is made with the main account's token where the number belongs to a subaccount.
_HEADERS = ("X-Plivo-Signature-V3", "X-Plivo-Signature-Ma-V3")
_NONCE = "X-Plivo-Signature-V3-Nonce"
_MOST_SIGNATURES = 8

_seen = SeenBook()


def check_signature(source: CallSource, request: HookRequest) -> None:
    """Raise Forbidden unless one of the source's auth tokens signed this very request, and for the first time.

    A header may list several signatures. There is no timestamp: the nonce tells a replay.
    """
    nonce = request.headers.get(_NONCE, "")
    if not 0 < len(nonce) <= MAX_KEY:
        raise Forbidden(f"the header {_NONCE} is missing or too long")
    given = _given(request)
    if not given:
        raise Forbidden(f"the header {_HEADERS[0]} is missing")
    signed = f"{_signed_text(request)}.{nonce}".encode("utf-8", "surrogatepass")
    found = False
    for secret in source.secrets:
        if not secret:
            continue
        digest = hmac.digest(secret.encode("utf-8", "surrogatepass"), signed, "sha256")
        expected = binascii.b2a_base64(digest, newline=False)
        for signature in given:
            if hmac.compare_digest(expected, signature):
                found = True
    if not found:
        raise Forbidden("the signature does not match (check the auth token and server.public_url)")
    if _seen.is_replay(source.name, nonce, request):
        raise Forbidden("the nonce came before, with another request")


def _given(request: HookRequest) -> list[bytes]:
    listed = ",".join(request.headers.get(name, "")[:1024] for name in _HEADERS).split(",")
    return [one.strip().encode("utf-8", "replace") for one in listed if one.strip()][:_MOST_SIGNATURES]


def _signed_text(request: HookRequest) -> str:
    """The address, then ``?`` with the query as ``key=value`` pairs, then ``.`` and the body as keys and values.

    All decoded and sorted; a blank value counts, a repeated parameter counts twice. Raises Malformed.
    """
    base = request.url.partition("#")[0].partition("?")[0]
    query = "&".join(f"{name}={value}" for name, value in sorted(request.query))
    form = request.form if request.method == "POST" else []
    if not form:
        return f"{base}?{query}" if query else base
    return f"{base}?{query}{'.' if query else ''}{_joined(sorted(form))}"


def _joined(pairs: Iterable[tuple[str, str]]) -> str:
    return "".join(name + value for name, value in pairs)
