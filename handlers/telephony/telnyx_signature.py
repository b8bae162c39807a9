"""Telnyx's webhook signature: ed25519 over ``timestamp|body`` ("Webhook signing" of its docs).

A source's secrets are the portal's public keys (base64 of 32 bytes). Every attempt is signed anew.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from handlers.telephony.provider import HookRequest
from server.domain.errors import Forbidden

TOLERANCE_SECONDS = 300
_SIGNATURE_BYTES = 64


def check_signature(request: HookRequest, secrets: Iterable[str]) -> None:
    """Raise Forbidden unless one of the keys signed these bytes within the last five minutes."""
    given = request.headers.get("telnyx-signature-ed25519", "")
    stamp = request.headers.get("telnyx-timestamp", "")
    if not given or not stamp:
        raise Forbidden("the headers telnyx-signature-ed25519 and telnyx-timestamp are required")
    signature = _decode(given)
    if signature is None or len(signature) != _SIGNATURE_BYTES:
        raise Forbidden("telnyx-signature-ed25519 is not the base64 of 64 bytes")
    if len(stamp) > 12 or not (stamp.isascii() and stamp.isdecimal()):
        raise Forbidden("telnyx-timestamp is not in seconds since 1970")
    # The age is judged last: what it says is for the owner of a key only.
    signed = stamp.encode() + b"|" + request.body
    if not any(_signed_by(secret, signature, signed) for secret in secrets):
        raise Forbidden("the signature does not match (check the public key of this source)")
    if abs(request.received_at.timestamp() - int(stamp)) > TOLERANCE_SECONDS:
        raise Forbidden("telnyx-timestamp is too far from this server's clock")


def _signed_by(secret: str, signature: bytes, signed: bytes) -> bool:
    key = _public_key(secret)
    if key is None:
        return False
    try:
        key.verify(signature, signed)
    except InvalidSignature:
        return False
    return True


@lru_cache(maxsize=64)
def _public_key(secret: str) -> Ed25519PublicKey | None:
    """None for what is no key: it then signs nothing, beside the others that may."""
    raw = _decode(secret.strip())
    if raw is None:
        return None
    try:
        return Ed25519PublicKey.from_public_bytes(raw)
    except ValueError:
        return None


def _decode(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return None
