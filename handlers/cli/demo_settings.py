"""The settings of the demo: ``config/demo.toml`` with secrets of its own for each data directory."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from server.settings import ROOT

TEMPLATE = ROOT / "config" / "demo.toml"
MARK = "GENERATED"


def demo_file(data_dir: Path) -> Path:
    return data_dir / "demo.toml"


def write_demo_settings(data_dir: Path) -> Path:
    """Made once; a later start finds the same secrets."""
    path = demo_file(data_dir)
    if path.exists():
        return path
    text = TEMPLATE.read_text(encoding="utf-8")
    while MARK in text:
        text = text.replace(MARK, secrets.token_hex(16), 1)
    data_dir.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with os.fdopen(
        os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
    ) as file:
        file.write(text)
    part.replace(path)
    return path
