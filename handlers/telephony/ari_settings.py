"""What a source of an Asterisk says of itself in the settings file.

| option | means |
|---|---|
| ``url`` | address of ARI, ``http://pbx:8088/ari``; or ``host``, ``port`` (8088), ``tls`` |
| ``tls_ca`` | file with the certificate of an own authority, where the PBX has none that is known |
| ``username`` | user of ari.conf; ``secrets`` has the password (several while it changes) |
| ``app`` | name of our Stasis application, one for each server (``ringpost``) |
| ``subscribe_all`` | hear every call of the PBX (``true``), or only those that the dialplan gives to us |
| ``trunk`` | patterns of the customers' endpoints, ``PJSIP/trunk*, sip-provider``; without: see ``Sides`` |
| ``endpoint`` | how a phone is rung, ``PJSIP/{extension}`` |
| ``context`` | where the dialplan takes calls that we dial or pass on, for example ``from-internal`` |
| ``dial_endpoint`` | instead: how a customer is dialled by us, ``PJSIP/{number}@trunk`` |
| ``ring_seconds`` | how long a phone rings (25) |
| ``wait_seconds`` | how often a waiting call looks for a free agent (5) |
| ``music`` | class of the music on hold for who waits |
| ``heartbeat_seconds`` | a peer that does not answer a ping in half of that is gone (20) |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from yarl import URL

from handlers.telephony.control import CommandFailed
from handlers.telephony.provider import CallSource
from server.settings import SettingsError

_APP = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_EXTENSION = re.compile(r"[\w.+*#-]{1,64}", re.ASCII)
_ENDPOINT = re.compile(r"[A-Za-z0-9]{2,16}/[\w.+*#@-]{1,100}", re.ASCII)
_NUMBER = re.compile(r"\+?[0-9*#]{1,32}")
_YES, _NO = ("true", "1", "yes", "on"), ("false", "0", "no", "off")


@dataclass(frozen=True, slots=True)
class AriSettings:
    """``url`` without a slash at its end; ``context`` and ``dial_endpoint`` "" when not set."""

    url: str
    username: str
    app: str
    subscribe_all: bool
    trunks: tuple[str, ...]
    endpoint: str
    context: str
    dial_endpoint: str
    ring_seconds: int
    wait_seconds: int
    music: str
    heartbeat_seconds: int
    tls_ca: str

    def endpoint_of(self, agent: str) -> str:
        """How the phone of an agent is rung: an extension, ``sip:101@host`` or an endpoint. Raises CommandFailed."""
        if _ENDPOINT.fullmatch(agent):
            return agent
        extension = agent.removeprefix("sips:").removeprefix("sip:").partition("@")[0]
        # An "&" would ring several phones, an "@" or a "/" some other one.
        if not _EXTENSION.fullmatch(extension):
            raise CommandFailed(f"{agent[:60]!r} is no extension that the PBX could ring")
        return self.endpoint.replace("{extension}", extension)


def dialable(number: str) -> str:
    """The number as a dialplan takes it. Raises CommandFailed."""
    plain = re.sub(r"[\s().-]", "", number.removeprefix("tel:"))
    if not _NUMBER.fullmatch(plain):
        raise CommandFailed(f"{number[:60]!r} cannot be dialled")
    return plain


def read_settings(source: CallSource) -> AriSettings:
    """Raises SettingsError, naming the setting."""
    options, where = source.options, f"call_sources.{source.name}"
    username = options.get("username", "").strip()
    if not username or ":" in username:
        raise SettingsError(f"{where}.username: is required, without a colon: the user of ari.conf")
    if not any(source.secrets):
        raise SettingsError(f"{where}.secrets: must be the password of ari.conf")
    app = options.get("app", "ringpost").strip()
    if not _APP.fullmatch(app):
        raise SettingsError(f"{where}.app: must be letters, digits, dots, dashes or underscores")
    endpoint = options.get("endpoint", "PJSIP/{extension}").strip()
    if "{extension}" not in endpoint:
        raise SettingsError(f"{where}.endpoint: must contain {{extension}}, as in PJSIP/{{extension}}")
    dial_endpoint = options.get("dial_endpoint", "").strip()
    if dial_endpoint and "{number}" not in dial_endpoint:
        raise SettingsError(f"{where}.dial_endpoint: must contain {{number}}, as in PJSIP/{{number}}@trunk")
    return AriSettings(
        url=_url(options, where),
        username=username,
        app=app,
        subscribe_all=_flag(options, "subscribe_all", True, where),
        trunks=tuple(part for part in re.split(r"[,\s'\"\[\]]+", options.get("trunk", "")) if part),
        endpoint=endpoint,
        context=options.get("context", "").strip(),
        dial_endpoint=dial_endpoint,
        ring_seconds=_number(options, "ring_seconds", 25, where),
        wait_seconds=_number(options, "wait_seconds", 5, where),
        music=options.get("music", "").strip(),
        heartbeat_seconds=_number(options, "heartbeat_seconds", 20, where),
        tls_ca=options.get("tls_ca", "").strip(),
    )


def _url(options: Mapping[str, str], where: str) -> str:
    said = options.get("url", "").strip()
    if not said:
        host = options.get("host", "").strip()
        if not host:
            raise SettingsError(f"{where}.url: is required, as in http://pbx.example.com:8088/ari")
        scheme = "https" if _flag(options, "tls", False, where) else "http"
        said = f"{scheme}://{host}:{options.get('port', '8088').strip()}/ari"
    try:
        url = URL(said)
        good = url.scheme in ("http", "https", "ws", "wss") and bool(url.host) and bool(url.port)
    except ValueError:
        good = False
    if not good:
        raise SettingsError(f"{where}.url: must be an address as in http://pbx.example.com:8088/ari")
    if url.user is not None or url.query_string:
        raise SettingsError(f"{where}.url: must be without user and query: the password goes into secrets")
    if url.path in ("", "/"):
        url = url.with_path("/ari")
    return str(url.with_scheme({"ws": "http", "wss": "https"}.get(url.scheme, url.scheme))).rstrip("/")


def _flag(options: Mapping[str, str], name: str, default: bool, where: str) -> bool:
    said = options.get(name, "").strip().lower()
    if said in _YES or said in _NO:
        return said in _YES
    if said:
        raise SettingsError(f"{where}.{name}: must be true or false")
    return default


def _number(options: Mapping[str, str], name: str, default: int, where: str) -> int:
    said = options.get(name, "").strip() or str(default)
    if not said.isascii() or not said.isdecimal() or not 1 <= int(said[:9]) <= 3600:
        raise SettingsError(f"{where}.{name}: must be seconds, 1 to 3600")
    return int(said)
