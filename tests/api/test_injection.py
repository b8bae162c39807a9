"""Hostile texts come back as they are, or are refused; never a fault of ours, and never an act."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests.api.conftest import Api

MOST = 1200


def hostile(shared: Path) -> list[str]:
    folder = shared / "cases" / "injection"
    texts: list[str] = []
    for file in sorted(folder.glob("*.json")):
        for case in json.loads(file.read_text(encoding="utf-8")):
            texts.append(case.get("payload") or case.get("s") or "")
    for file in sorted((folder / "fuzzdb").glob("*.txt")):
        texts += file.read_bytes().decode("utf-8", "replace").splitlines()
    kept = list(dict.fromkeys(text for text in texts if text.strip()))
    step = max(1, len(kept) // MOST)
    return ["a\x00b", "\ud800", *kept[::step]]


async def test_stored_as_they_are_or_refused(api: Api, shared: Path) -> None:
    texts = hostile(shared)
    assert len(texts) > 300
    ticket = await api.call("POST", "/tickets", {"subject": "x"})
    gate = asyncio.Semaphore(8)
    stored = 0

    async def send(path: str, field: str, body: dict[str, str], text: str) -> None:
        nonlocal stored
        async with gate:
            answer = await api.raw("POST", path, json=body | {field: text})
        said = await answer.text()
        assert answer.status == 201 or 400 <= answer.status < 500, (path, text, said)
        if answer.status == 201:
            stored += 1
            back = json.loads(said)["body_text" if field == "body" else field]
            kept = (
                text.strip()
                if field == "body"
                else " ".join(text.split())
                if "\n" in text or "\r" in text
                else text.strip()
            )
            assert back == kept

    await asyncio.gather(
        *(
            send(path, field, body, text)
            for text in texts
            for path, field, body in (
                ("/customers", "name", {}),
                ("/tickets", "subject", {}),
                (f"/tickets/{ticket['id']}/messages", "body", {"kind": "note"}),
            )
        )
    )
    assert stored > len(texts) * 2
    assert await api.ctx.pool.fetchval("SELECT count(*) FROM customers") > len(texts) // 2


async def test_searched_for_without_harm(api: Api, shared: Path) -> None:
    await api.call("POST", "/customers", {"name": "Ann"})
    before = await api.ctx.pool.fetchval("SELECT count(*) FROM customers")
    for text in hostile(shared)[2::12]:
        for path in ("/customers", "/tickets"):
            answer = await api.raw("GET", path, params={"q": text[:200]})
            assert answer.status in (200, 422), (text, await answer.text())
        for name in ("phone", "email", "external_id"):
            answer = await api.raw("GET", "/customers", params={name: text[:300]})
            assert answer.status in (200, 422), (text, await answer.text())
    assert await api.ctx.pool.fetchval("SELECT count(*) FROM customers") == before
