"""Vonage's signed webhooks ("Decoding signed webhooks" of its docs): a JWT (RFC 7519) over the body's hash.

Source options: ``api_key`` and ``application_id`` (when set, the token must name them),
``iat_tolerance_seconds`` (300), ``get_payload_hash`` ("off": a hash on a GET is not compared).
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from functools import lru_cache

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from handlers.telephony.fields import MAX_KEY, optional_count
from handlers.telephony.provider import CallSource, HookRequest
from handlers.telephony.signing import SeenBook
from server.domain.errors import NotAuthenticated, Unavailable

_MAX_TOKEN = 4096
"""Longest token that is looked at; real ones have some 400 characters."""
_TOLERANCE_SECONDS = 300
# RFC 7515 4.1: headers that are not understood are ignored, unless "crit" names them.
_HS256_ONLY = jws.JWSRegistry(algorithms=["HS256"], strict_check_header=False)

_seen = SeenBook()


def check_token(source: CallSource, request: HookRequest) -> None:
    """Raise Unavailable without a token, NotAuthenticated unless it was signed for this very request.

    Vonage says that a callback may rarely come unsigned, and that a 5xx makes it come again.
    """
    scheme, _, token = request.headers.get("Authorization", "").strip().partition(" ")
    if not scheme:
        raise Unavailable("the callback is not signed (switch signed webhooks on): send it again, signed")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or len(token) > _MAX_TOKEN or not token.isascii():
        raise NotAuthenticated("the header Authorization has no signed token")
    claims = _claims(token, source.secrets)
    _check_claims(source, request, claims)
    _check_payload(source, request, claims.get("payload_hash"))
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= MAX_KEY:
        raise NotAuthenticated("the token has no usable jti")
    if _seen.is_replay(source.name, jti, request):
        raise NotAuthenticated("the token came before, with another request")


def _claims(token: str, secrets: tuple[str, ...]) -> Mapping[str, object]:
    """What one of ``secrets`` signed with HS256: no other algorithm, none at all neither (RFC 8725 3.1)."""
    for secret in secrets:
        if not secret:
            continue
        try:
            return jwt.decode(token, _key(secret), registry=_HS256_ONLY).claims
        except (JoseError, ValueError, TypeError, AttributeError, RecursionError):
            continue  # made with another secret, or no token at all
    raise NotAuthenticated("the token is not signed with this source's signature secret (HS256)")


@lru_cache(maxsize=64)
def _key(secret: str) -> OctKey:
    return OctKey.import_key(secret.encode("utf-8", "surrogatepass"))


def _check_claims(source: CallSource, request: HookRequest, claims: Mapping[str, object]) -> None:
    if claims.get("iss") != "Vonage":
        raise NotAuthenticated("the token was not issued by Vonage")
    for name in ("api_key", "application_id"):
        ours = source.options.get(name)
        if ours and claims.get(name) != ours:
            raise NotAuthenticated(f"the token is for another {name}")
    issued = claims.get("iat")
    if isinstance(issued, bool) or not isinstance(issued, int | float):
        raise NotAuthenticated("the token does not say when it was issued")
    said = optional_count(source.options.get("iat_tolerance_seconds"))
    tolerance = _TOLERANCE_SECONDS if said is None else said
    now = request.received_at.timestamp()
    # Of NaN nothing is true, so it does not pass.
    if not now - tolerance <= issued <= now + tolerance:
        raise NotAuthenticated("the token is too old or too new (check the server's clock)")


def _check_payload(source: CallSource, request: HookRequest, stated: object) -> None:
    """A body must have its hash in the token; a GET, which has none, is compared when it states one."""
    if stated is None and not request.body:
        return
    if not isinstance(stated, str):
        raise NotAuthenticated("the token has no payload_hash of the body")
    given = stated.lower().encode("utf-8", "surrogatepass")
    matches = hmac.compare_digest(given, hashlib.sha256(request.body).hexdigest().encode())
    if not matches and request.method == "GET" and not request.body:
        if source.options.get("get_payload_hash", "").lower() == "off":
            return
        # Vonage's support says that of a GET its parameters are hashed, written as JSON.
        query = json.dumps(dict(request.query), separators=(",", ":"), ensure_ascii=False)
        digest = hashlib.sha256(query.encode("utf-8", "surrogatepass")).hexdigest()
        matches = hmac.compare_digest(given, digest.encode())
    if not matches:
        raise NotAuthenticated("payload_hash is not the hash of what came")
