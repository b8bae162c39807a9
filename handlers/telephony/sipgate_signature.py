"""sipgate's signature: ``X-Sipgate-Signature`` is base64 of RSA (PKCS #1 v1.5, RFC 8017 8.2) with SHA-256
over the raw body. sipgate signs for everybody with one private key, so our secrets are public keys."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from handlers.telephony.provider import HookRequest
from server.domain.errors import Forbidden

_BEGIN, _END = "-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"
_MAX_SIGNATURE = 2048  # characters; a 4096-bit key's has 684


def check_signature(request: HookRequest, secrets: Iterable[str]) -> None:
    """Raise Forbidden unless the private half of one of ``secrets`` signed this very body."""
    given = request.headers.get("X-Sipgate-Signature")
    if not given:
        raise Forbidden("the header X-Sipgate-Signature is missing")
    try:
        signature = base64.b64decode(given[:_MAX_SIGNATURE], validate=True)
    except (binascii.Error, ValueError):
        raise Forbidden("the header X-Sipgate-Signature is not base64") from None
    for secret in secrets:
        key = _key_of(secret)
        if key is None:
            continue
        try:
            key.verify(signature, request.body, PKCS1v15(), SHA256())
        except InvalidSignature:
            continue
        return
    raise Forbidden("the signature does not match (the secrets must be sipgate's public key, PEM)")


def _key_of(secret: str) -> RSAPublicKey | None:
    """The key of PEM text or of a ``.pem`` file; None when it is none, which then opens nothing."""
    if secret.rstrip().endswith(".pem"):
        try:
            # The time of change is part of what is remembered, so that a new key needs no restart.
            path = Path(secret.strip())
            return _key_in_file(path, path.stat().st_mtime_ns)
        except (OSError, ValueError):
            return None
    return _key_in_text(secret)


@lru_cache(maxsize=64)
def _key_in_file(path: Path, changed_ns: int) -> RSAPublicKey | None:
    return _key_in_text(path.read_text(encoding="ascii"))


@lru_cache(maxsize=64)
def _key_in_text(pem: str) -> RSAPublicKey | None:
    text = pem.strip()
    # The library overlooks what stands around the key; a secret with something around it is another one.
    if not (text.startswith(_BEGIN) and text.endswith(_END)):
        return None
    try:
        key = load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, RSAPublicKey) else None
