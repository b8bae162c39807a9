"""The settings of an AMI connection, beside the ones that every source has.

Options of a source: ``host``, ``port`` (5038, with TLS 5039), ``username``, ``tls`` ("on"), ``tls_ca`` (file
of a CA of your own), ``login`` ("md5" or "plain"), ``trunk`` (patterns of the customers' lines, such as
``PJSIP/trunk*``; found out by themselves without), ``channel`` (an agent's phone, ``PJSIP/{extension}``),
``context`` (where numbers are dialled, ``from-internal``), ``international`` (what "+" is dialled as),
``voicemail`` ("off": leave the dialplan's events out), ``ping_seconds``, ``timeout_seconds``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from handlers.telephony.ami_deeds import DialPlan
from handlers.telephony.provider import CallSource
from server.settings import SettingsError

_HOST = re.compile(r"[A-Za-z0-9:](?:[A-Za-z0-9:_-]|\.(?!\.)){0,252}")
_SWITCH = {"": False, "on": True, "true": True, "yes": True, "1": True}
_SWITCH |= {"off": False, "false": False, "no": False, "0": False}


@dataclass(frozen=True, slots=True)
class Options:
    host: str
    port: int
    username: str
    secrets: tuple[str, ...]
    tls: bool
    tls_ca: str
    login: str
    events: str
    ping_seconds: float
    timeout_seconds: float
    plan: DialPlan


def read_options(source: CallSource) -> Options:
    """Raises SettingsError."""
    given = source.options
    for name, value in (*given.items(), *(("secrets", secret) for secret in source.secrets)):
        if not value.isprintable():
            raise SettingsError(f"call_sources.{source.name}.{name}: must be printable text")
    host = _required(source, "host")
    if not _HOST.fullmatch(host):
        raise SettingsError(f"call_sources.{source.name}.host: must be a host's name or address")
    tls = _switch(source, "tls", default=False)
    login = given.get("login", "md5").lower()
    if login not in ("md5", "plain"):
        raise SettingsError(f"call_sources.{source.name}.login: must be md5 or plain")
    tls_ca = given.get("tls_ca", "")
    if tls_ca and not Path(tls_ca).is_file():
        raise SettingsError(f"call_sources.{source.name}.tls_ca: there is no file {tls_ca}")
    voicemail = _switch(source, "voicemail", default=True)
    return Options(
        host=host,
        port=int(_number(source, "port", 5039 if tls else 5038, 1, 65535)),
        username=_required(source, "username"),
        secrets=tuple(secret for secret in source.secrets if secret),
        tls=tls,
        tls_ca=tls_ca,
        login=login,
        events="call,agent,dialplan" if voicemail else "call,agent",
        ping_seconds=_number(source, "ping_seconds", 15, 0.05, 3600),
        timeout_seconds=_number(source, "timeout_seconds", 10, 0.05, 300),
        plan=DialPlan(
            **{name: given[name] for name in ("channel", "context", "international") if given.get(name)}
        ),
    )


def _required(source: CallSource, name: str) -> str:
    value = source.options.get(name, "").strip()
    if not value:
        raise SettingsError(f"call_sources.{source.name}.{name}: is required")
    return value


def _switch(source: CallSource, name: str, *, default: bool) -> bool:
    given = source.options.get(name, "").lower()
    if given not in _SWITCH:
        raise SettingsError(f"call_sources.{source.name}.{name}: must be on or off")
    return default if not given else _SWITCH[given]


def _number(source: CallSource, name: str, default: float, least: float, most: float) -> float:
    given = source.options.get(name, "")
    try:
        value = float(given) if given else default
    except ValueError:
        value = least - 1
    if not least <= value <= most:
        raise SettingsError(f"call_sources.{source.name}.{name}: must be a number from {least:g} to {most:g}")
    return value
