"""The rules of the house that a program can hold: docs/architecture.md says why."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Downward only; rooms on one line never import each other.
LINES = (
    {"run"},
    {"handlers"},
    {"server.app", "server.logs"},
    {"server.context"},
    {"server.jobs"},
    {"server.intake"},
    {"server.services"},
    {"server.store", "server.push", "server.mail", "server.reports"},
    {"server.domain"},
)
LEVEL = {room: level for level, line in enumerate(LINES) for room in line}
# The outside of the rooms: who reads settings hands on values, not the settings.
SETTINGS_READERS = {"run", "handlers", "server.app", "server.context"}
DOMAIN_MAY_IMPORT = {"phonenumbers", "server"} | sys.stdlib_module_names - {
    "asyncio", "concurrent", "http", "io", "multiprocessing", "os", "pathlib", "random", "selectors", "shutil",
    "signal", "socket", "sqlite3", "ssl", "subprocess", "tempfile", "threading", "time", "urllib.request",
}  # fmt: skip
CLOCKS = {"now", "utcnow", "today", "monotonic", "perf_counter"}
NAMELESS = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
PROVIDERS = re.compile(
    r"twilio|vonage|plivo|telnyx|zammad|sipgate|placetel|threecx|3cx|starface|mailgun|sendgrid|postmark",
    re.IGNORECASE,
)
# A provider's file is <name>.py or <name>_<part>.py; these are such files under the name of what they write.
PROVIDER_FILES = {"twiml": "twilio", "cti": "zammad|sipgate|placetel|starface"}
SQL = re.compile(
    r"\b(SELECT\s+\S|INSERT\s+INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM|(CREATE|ALTER|DROP)\s+(TABLE|INDEX|DATABASE)"
    r"|TRUNCATE\s+\w|LISTEN\s+\w|NOTIFY\s+\w)"
)
LONG = "Over 400 lines because"


def sources(*patterns: str) -> list[Path]:
    return sorted(
        path for pattern in patterns for path in ROOT.glob(pattern) if "__pycache__" not in path.parts
    )


HOUSE = sources("run.py", "server/**/*.py", "handlers/**/*.py")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def room_of(module: str) -> str:
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "server" else parts[0]


def imports(path: Path) -> Iterator[tuple[int, str]]:
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module or "") if part)
            if module == "server":
                yield from ((node.lineno, f"server.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, module


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Every text of the code that is not documentation."""
    module = tree(path)
    prose = {id(node.value) for node in ast.walk(module) if isinstance(node, ast.Expr)}
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.lineno, node.value


def test_imports_go_downward() -> None:
    wrong = []
    for path in HOUSE:
        room = room_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for line, module in imports(path):
            other = room_of(module)
            if other == room or module.split(".")[0] not in ("server", "handlers", "run"):
                continue
            if other == "server.settings":
                allowed = room in SETTINGS_READERS
            elif room == "server.settings":
                allowed = False
            else:
                assert room in LEVEL, f"{name(path)}: no such room in the plan of the house: {room}"
                allowed = other in LEVEL and LEVEL[other] > LEVEL[room]
            if not allowed:
                wrong.append(f"{name(path)}:{line} {room} imports {module}")
    assert wrong == []


def test_domain_is_pure() -> None:
    wrong = []
    for path in sources("server/domain/*.py"):
        wrong += [
            f"{name(path)}:{line} imports {module}"
            for line, module in imports(path)
            if module not in DOMAIN_MAY_IMPORT and module.split(".")[0] not in DOMAIN_MAY_IMPORT
        ]
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.AsyncFunctionDef):
                wrong.append(f"{name(path)}:{node.lineno} is async")
            if isinstance(node, ast.Call):
                called = node.func
                if isinstance(called, ast.Attribute) and called.attr in CLOCKS:
                    wrong.append(f"{name(path)}:{node.lineno} reads a clock; time is an argument")
                if isinstance(called, ast.Name) and called.id in ("open", "print", "input"):
                    wrong.append(f"{name(path)}:{node.lineno} does I/O")
    assert wrong == []


def test_sql_lives_in_store_and_reports() -> None:
    wrong = [
        f"{name(path)}:{line} {text[:60]!r}"
        for path in HOUSE
        if not name(path).startswith(("server/store/", "server/reports/"))
        for line, text in texts(path)
        if SQL.search(text)
    ]
    assert wrong == []


def test_every_named_statement_exists_once() -> None:
    wrong = []
    for path in sources("server/store/*.py", "server/reports/*.py"):
        beside = path.with_suffix(".sql")
        found = re.findall(r"^-- name: *(\w+)", beside.read_text("utf-8"), re.M) if beside.exists() else []
        wrong += [f"{name(beside)} has {one} twice" for one in set(found) if found.count(one) > 1]
        wrong += [
            f"{name(path)}:{node.lineno} uses {node.attr}"
            for node in ast.walk(tree(path))
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
            and node.value.id == "SQL" and node.attr not in found
        ]  # fmt: skip
    assert wrong == []


def test_provider_names_stay_in_the_providers_file() -> None:
    wrong = []
    for path in HOUSE:
        own = PROVIDER_FILES.get(path.stem, re.escape(path.stem.split("_")[0]))
        words = [*texts(path)]
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Name):
                words.append((node.lineno, node.id))
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                words.append((node.lineno, node.name))
        wrong += [
            f"{name(path)}:{line} {text[:60]!r}"
            for line, text in words
            if any(not re.search(own, found, re.IGNORECASE) for found in PROVIDERS.findall(text))
        ]
    assert wrong == []


def test_files_have_a_size_that_fits_a_head() -> None:
    wrong = []
    for path in [*HOUSE, *sources("bench/**/*.py", "templates/assets/**/*.js")]:
        text = path.read_text(encoding="utf-8")
        if text.count("\n") > 400 and LONG not in text:
            wrong.append(f"{name(path)}: {text.count(chr(10))} lines; split it, or say `{LONG} ...` in it")
    assert wrong == []


def test_modules_say_what_they_hold() -> None:
    assert [name(path) for path in [*HOUSE, *sources("bench/**/*.py")] if path.stem in NAMELESS] == []


@pytest.mark.parametrize(
    "lock", ["requirements.lock", "requirements-dev.lock", "requirements-node.lock", "package-lock.json"]
)
def test_locks_name_no_host(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert "://" not in text and '"resolved"' not in text
    assert "sha512-" in text or "--hash=sha256:" in text


def test_dev_lock_holds_the_runtime_lock() -> None:
    """An environment for development serves too, so both must have chosen the same versions."""

    def pins(file: str) -> set[str]:
        return set(re.findall(r"^(\S+==\S+)", (ROOT / file).read_text(encoding="utf-8"), re.M))

    assert pins("requirements.lock") - pins("requirements-dev.lock") == set()
