"""Twilio's signature ("Validating requests" of its docs): HMAC over URL and sorted form parameters."""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator
from itertools import chain

from handlers.telephony.provider import HookRequest
from server.domain.errors import Forbidden


def check_signature(request: HookRequest, secrets: Iterable[str]) -> None:
    """Raise Forbidden unless one of ``secrets`` made ``X-Twilio-Signature`` for this very request."""
    given = request.headers.get("X-Twilio-Signature")
    if not given:
        raise Forbidden("the header X-Twilio-Signature is missing")
    signature = given.encode("utf-8", "replace")
    algorithm = _algorithm(request.headers.get("X-Twilio-Webhooks-Signature-Settings"))
    parameters = _signed_parameters(request)
    keys = [secret.encode() for secret in secrets if secret]
    for url in _signed_urls(request.url):
        signed = (url + parameters).encode("utf-8", "replace")
        for key in keys:
            digest = hmac.digest(key, signed, algorithm)
            if hmac.compare_digest(binascii.b2a_base64(digest, newline=False), signature):
                return
    raise Forbidden("the signature does not match (check the auth token and server.public_url)")


def is_form(request: HookRequest) -> bool:
    """Whether the parameters are in an urlencoded body; a POST without a type is taken for one."""
    kind = request.headers.get("Content-Type", "")
    return not kind or kind[:33].lower() == "application/x-www-form-urlencoded"


def _algorithm(settings: str | None) -> str:
    """HMAC-SHA1 with the auth token, or what a shared key's settings name (twilio-python 9.13)."""
    if not settings or "algorithm=" not in settings:
        return "sha1"
    named = settings.partition("algorithm=")[2].partition(",")[0].strip().upper()
    if named == "HMAC_SHA256":
        return "sha256"
    if named == "HMAC_SHA1":
        return "sha1"
    raise Forbidden("X-Twilio-Webhooks-Signature-Settings names an unknown algorithm")


def _signed_parameters(request: HookRequest) -> str:
    """What follows the URL in the signed text: every form parameter, sorted, names and values.

    Of a JSON body the URL carries the hash (``bodySHA256``), so nothing follows; raises Forbidden
    when the hash is missing or another one.
    """
    if request.method == "GET":
        return ""
    if is_form(request):
        return "".join(chain.from_iterable(sorted(set(request.form))))
    stated = next((value for name, value in request.query if name == "bodySHA256"), "")
    computed = hashlib.sha256(request.body).hexdigest()
    if not hmac.compare_digest(computed.encode(), stated.lower().encode("utf-8", "replace")):
        raise Forbidden("bodySHA256 of the URL is not the hash of the body")
    return ""


_ORIGIN = re.compile(r"(https?)://([^/?#]*?)(?::(\d+))?(?=[/?#]|$)", re.IGNORECASE)
_LEGACY = {"%21": "!", "%27": "'", "%28": "(", "%29": ")", "%2a": "*", "%7e": "~"}


def _signed_urls(url: str) -> Iterator[str]:
    """The URL as it came, then as Twilio may have written it: without and with the port, and with
    the marks bare that older query encoders leave alone. Every form addresses the same resource."""
    yield url
    origin = _ORIGIN.match(url)
    if origin is None:
        return
    scheme, host, port = origin.group(1, 2, 3)
    rest = url[origin.end() :]
    forms = [f"{scheme}://{host}{rest}", f"{scheme}://{host}:{port or _default_port(scheme)}{rest}"]
    for form in forms:
        if form != url:
            yield form
    path, mark, query = url.partition("?")
    bare = re.sub("%(?:21|27|28|29|2[aA]|7[eE])", lambda found: _LEGACY[found[0].lower()], query)
    if bare != query:
        yield path + mark + bare


def _default_port(scheme: str) -> str:
    return "443" if scheme.lower() == "https" else "80"
