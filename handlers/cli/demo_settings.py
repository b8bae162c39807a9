"""The settings of the demo: ``config/demo.toml`` with secrets and keys of its own for each data directory."""

from __future__ import annotations

import base64
import os
import re
import secrets
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from server.settings import ROOT

TEMPLATE = ROOT / "config" / "demo.toml"
MARK = "GENERATED"
_RSA_BITS = 2048
_SECTION = re.compile(r"^\[(?P<name>[^\]]+)\]", re.MULTILINE)
_CALL_SOURCES = "call_sources."


def demo_file(data_dir: Path) -> Path:
    return data_dir / "demo.toml"


def write_demo_settings(data_dir: Path) -> Path:
    """Made once; a later start finds the same secrets, and adds the call sources that came since."""
    path = demo_file(data_dir)
    template = TEMPLATE.read_text(encoding="utf-8")
    if not path.exists():
        _write(path, "".join(_filled(section) for section in _sections(template)))
        return path
    present = path.read_text(encoding="utf-8")
    missing = "".join(_filled(section) for section in _missing(template, present))
    if missing:
        _write(path, present.rstrip("\n") + "\n\n" + missing)
    return path


def _sections(template: str) -> Iterator[str]:
    """Its beginning, then each table from its header to the next."""
    starts = [0, *(found.start() for found in _SECTION.finditer(template)), len(template)]
    yield from (template[start:end] for start, end in pairwise(starts) if start < end)


def _missing(template: str, present: str) -> Iterator[str]:
    """The call sources of providers that the file has none of, under names that are free there."""
    try:
        known = tomllib.loads(present).get("call_sources", {})
    except tomllib.TOMLDecodeError:
        return  # reading the settings says what is wrong with it
    if not isinstance(known, dict):
        return
    providers = {source.get("provider") for source in known.values() if isinstance(source, dict)}
    for section in _sections(template):
        header = _SECTION.match(section)
        name = header["name"] if header else ""
        if not name.startswith(_CALL_SOURCES) or name.removeprefix(_CALL_SOURCES) in known:
            continue
        if (
            tomllib.loads(section)["call_sources"][name.removeprefix(_CALL_SOURCES)]["provider"]
            not in providers
        ):
            yield section.rstrip("\n") + "\n\n"


def _filled(section: str) -> str:
    """With a secret or a key pair of its own in each place that asks for one."""
    if "ED25519_PRIVATE_KEY" in section:
        private = Ed25519PrivateKey.generate()
        section = section.replace("ED25519_PRIVATE_KEY", _base64(private.private_bytes_raw()))
        section = section.replace("ED25519_PUBLIC_KEY", _base64(private.public_key().public_bytes_raw()))
    if "RSA_PRIVATE_KEY" in section:
        key = generate_private_key(public_exponent=65537, key_size=_RSA_BITS)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        section = section.replace("RSA_PRIVATE_KEY", pem.strip()).replace("RSA_PUBLIC_KEY", public.strip())
    while MARK in section:
        section = section.replace(MARK, secrets.token_hex(16), 1)
    return section


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _write(path: Path, text: str) -> None:
    """Whole or not at all, for the owner's eyes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with os.fdopen(
        os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
    ) as file:
        file.write(text)
    part.replace(path)
