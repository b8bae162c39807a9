"""config/*.toml + environment -> one frozen Settings. A wrong or unknown setting stops the start, by name.

Order, later wins: ``config/default.toml``, the files named by ``--config`` or ``RINGPOST_CONFIG``
(several are separated by ``:``), the environment (``RINGPOST_<SECTION>__<KEY>``), flags.
"""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import phonenumbers
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

ROOT = Path(__file__).resolve().parent.parent
DEFAULTS = ROOT / "config" / "default.toml"
PREFIX = "RINGPOST_"


class SettingsError(Exception):
    """One line that names the setting and what is wrong with it."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


Port = Field(ge=0, le=65535)
Name = Field(pattern=r"^[a-zA-Z0-9_.-]{1,64}$")


class Server(Section):
    host: str = "127.0.0.1"
    http_port: int = Port
    ws_port: int = Port
    smtp_port: int = Port
    data_dir: Path
    public_url: str
    trusted_proxies: tuple[str, ...]
    max_hook_bytes: int = Field(ge=1024)
    max_form_bytes: int = Field(ge=1024)
    max_mail_bytes: int = Field(ge=1024)

    @field_validator("public_url")
    @classmethod
    def _origin(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https:// (the origin that providers call)")
        return value.rstrip("/")


class Database(Section):
    url: SecretStr
    bin_dir: str
    pool_size: int = Field(ge=2, le=200)


class Region(Section):
    default_country: str
    timezone: str
    language: Literal["en", "zh_CN"]

    @field_validator("default_country")
    @classmethod
    def _country(cls, value: str) -> str:
        if value.upper() not in phonenumbers.SUPPORTED_REGIONS:
            raise ValueError("must be a two-letter country code such as GB or CN")
        return value.upper()

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise ValueError("must be a time zone name such as Europe/London or Asia/Shanghai") from None
        return value


class Intake(Section):
    writers: int = Field(ge=1, le=16)
    batch_max: int = Field(ge=1, le=1024)
    waiting_max: int = Field(ge=1)


class Tickets(Section):
    continue_window_seconds: int = Field(ge=0)
    first_response_seconds: int = Field(ge=60)
    resolve_seconds: int = Field(ge=60)


class Agents(Section):
    offline_after_seconds: float = Field(gt=0)
    session_hours: int = Field(ge=1)


class Calls(Section):
    sweep_after_seconds: int = Field(ge=60)
    ringing_sweep_seconds: int = Field(ge=60)


class Recordings(Section):
    store: Literal["fetch", "link"]
    max_bytes: int = Field(ge=1024)
    attempts: int = Field(ge=1, le=100)
    timeout_seconds: float = Field(gt=0, le=3600)
    keep_days: int = Field(ge=0, le=36_500)
    allow_hosts: tuple[str, ...]

    @field_validator("allow_hosts")
    @classmethod
    def _hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for host in value:
            if not re.fullmatch(r"[A-Za-z0-9._-]+", host) and not _is_ipv6(host):
                raise ValueError(f"{host!r} must be a host's name or address, without a scheme or port")
        return tuple(host.rstrip(".").lower() for host in value)


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


class Smtp(Section):
    host: str
    port: int = Port
    username: str
    password: SecretStr
    tls: Literal["none", "starttls", "tls"]
    attempts: int = Field(ge=1)


class Log(Section):
    level: Literal["debug", "info", "warning", "error"]
    format: Literal["text", "json"]


class CallSourceSettings(BaseModel):
    """``[call_sources.NAME]``: keys beside these are options of the provider."""

    model_config = ConfigDict(extra="allow", frozen=True)
    provider: str
    secrets: tuple[SecretStr, ...] = Field(min_length=1)
    country: str = ""
    queue: str | None = None
    ring: Literal["one", "group", "pbx"] | None = None  # None: as the kind of source has it
    joins: str = ""  # the source under whose name this one's events go in: both tell of the same calls

    @field_validator("country")
    @classmethod
    def _country(cls, value: str) -> str:
        return Region._country(value) if value else ""

    @field_validator("secrets")
    @classmethod
    def _filled(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(not secret.get_secret_value() for secret in value):
            raise ValueError("an empty secret would let anybody in")
        return value


class Mailbox(Section):
    address: str = Field(pattern=r"^[^@\s]+@[^@\s]+$")
    aliases: tuple[str, ...] = ()
    queue: str | None = None
    name: str = ""
    signature: str = ""
    smtp: Smtp | None = None


class FormField(Section):
    name: str = Name
    label: dict[str, str] = Field(default_factory=dict)
    type: Literal["text", "email", "tel", "textarea", "select"] = "text"
    required: bool = False
    choices: tuple[str, ...] = ()
    max_length: int = Field(default=200, ge=1, le=20000)


class Form(Section):
    queue: str | None = None
    title: dict[str, str] = Field(default_factory=dict)
    fields: tuple[FormField, ...] = ()
    origins: tuple[str, ...] = ()
    rate_per_minute: int = Field(default=30, ge=1)


class IceServer(Section):
    """A STUN or TURN server (RFC 7064, RFC 7065) for agents whose browser cannot reach the PBX directly."""

    urls: tuple[Annotated[str, Field(pattern=r"^(stuns?|turns?):\S+$")], ...] = Field(min_length=1)
    username: str = ""
    credential: SecretStr = SecretStr("")

    @model_validator(mode="after")
    def _turn_has_an_account(self) -> IceServer:
        known = self.username and self.credential.get_secret_value()
        if not known and any(url.startswith("turn") for url in self.urls):
            raise ValueError("a TURN server needs username and credential: browsers refuse it without")
        return self


class Softphone(Section):
    ice_servers: tuple[IceServer, ...] = ()


class Settings(Section):
    server: Server
    database: Database
    region: Region
    intake: Intake
    tickets: Tickets
    agents: Agents
    calls: Calls
    recordings: Recordings
    smtp: Smtp
    log: Log
    call_sources: dict[str, CallSourceSettings] = Field(default_factory=dict)
    mailboxes: dict[str, Mailbox] = Field(default_factory=dict)
    forms: dict[str, Form] = Field(default_factory=dict)
    softphone: Softphone = Field(default_factory=Softphone)

    @property
    def recordings_dir(self) -> Path:
        return self.server.data_dir / "recordings"

    @model_validator(mode="after")
    def _joined_sources_exist(self) -> Settings:
        for name, source in self.call_sources.items():
            joined = self.call_sources.get(source.joins)
            if source.joins and joined is None:
                raise ValueError(f"call_sources.{name}.joins: there is no call source {source.joins!r}")
            if joined is not None and joined.joins:
                raise ValueError(f"call_sources.{name}.joins: must name a source that joins no other")
        return self


def load_settings(
    files: Sequence[str | Path] = (),
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Settings:
    """Read, merge and check. Raises SettingsError with one line that names the setting."""
    environ = os.environ if environ is None else environ
    merged: dict[str, Any] = {}
    named = list(files) or [part for part in environ.get(PREFIX + "CONFIG", "").split(os.pathsep) if part]
    for file in [DEFAULTS, *named]:
        _merge(merged, _read(Path(file)))
    _merge(merged, _from_environment(environ, merged))
    for dotted, value in (flags or {}).items():
        if value is not None:
            section, key = dotted.split(".", 1)
            merged.setdefault(section, {})[key] = value
    try:
        return Settings.model_validate(merged)
    except ValidationError as wrong:
        first = wrong.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        if not name:  # a check of several sections names the setting itself
            raise SettingsError(f"setting {said}") from None
        if first["type"] == "extra_forbidden":
            said = "there is no such setting"
        raise SettingsError(f"setting {name}: {said}") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as bad:
        raise SettingsError(f"settings file {path}: {bad.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as bad:
        raise SettingsError(f"settings file {path}: {bad}") from None


def _merge(into: dict[str, Any], new: Mapping[str, Any]) -> None:
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _from_environment(environ: Mapping[str, str], known: Mapping[str, Any]) -> dict[str, Any]:
    """RINGPOST_SERVER__HTTP_PORT=8080 and, deeper, RINGPOST_CALL_SOURCES__MAIN__SECRETS='["a","b"]'."""
    found: dict[str, Any] = {}
    for name, value in environ.items():
        if not name.startswith(PREFIX) or "__" not in name:
            continue
        path = [part.lower() for part in name[len(PREFIX) :].split("__")]
        place = found
        for part in path[:-1]:
            place = place.setdefault(part, {})
        place[path[-1]] = _value(value)
    return found


def _value(text: str) -> Any:
    """Lists and tables may be given as JSON; anything else stays text and the model converts it."""
    if text[:1] in "[{":
        try:
            return TypeAdapter(Any).validate_json(text)
        except ValidationError:
            return text
    return text


_SECRET_WORDS = ("secret", "password", "token", "key")
MASK = "**********"


def masked(settings: Settings) -> dict[str, Any]:
    """What ``run.py check`` shows: effective settings with secrets masked.

    The options of call sources have no model of their own that knows which are secret: their names tell.
    """
    shown = settings.model_dump(mode="json")
    for name, source in settings.call_sources.items():
        options = shown["call_sources"][name]
        options |= {option: _masked(option, options[option]) for option in source.model_extra or {}}
    return shown


def _masked(name: str, value: Any) -> Any:
    if any(word in name.lower() for word in _SECRET_WORDS):
        return MASK if value else value
    if isinstance(value, Mapping):
        return {inner: _masked(inner, one) for inner, one in value.items()}
    return [_masked(name, one) for one in value] if isinstance(value, list) else value
