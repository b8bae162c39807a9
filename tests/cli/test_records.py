"""Demo data, import, backup and restore."""

from __future__ import annotations

import csv
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from server.domain.errors import Conflict
from server.services.demo import fill_demo
from server.services.demo_words import PASSWORD
from server.services.sessions import log_in
from server.store.pool import Pool
from tests.cli.conftest import Cli

NOW = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)


async def test_the_demo_is_a_believable_week(pool: Pool) -> None:
    began = time.perf_counter()
    made = await fill_demo(pool, NOW)
    # Two seconds are promised on a quiet machine; the password's hash is the most of it.
    assert time.perf_counter() - began < 10
    assert made.customers == 200 and made.tickets >= 200
    languages: dict[str, int] = {
        row[0]: row[1] for row in await pool.fetch("SELECT language, count(*)::int FROM customers GROUP BY 1")
    }
    assert languages["zh_CN"] >= 60 and languages["en"] >= 60
    kinds: dict[str, int] = {
        row[0]: row[1] for row in await pool.fetch("SELECT kind, count(*)::int FROM customers GROUP BY 1")
    }
    assert kinds["company"] >= 10
    latest = await pool.fetchval("SELECT max(greatest(t.updated_at, t.resolved_at)) FROM tickets t")
    assert (
        NOW - timedelta(days=8) < await pool.fetchval("SELECT min(created_at) FROM tickets") and latest <= NOW
    )
    assert await pool.fetchval("SELECT max(ended_at) FROM contacts") <= NOW
    assert await pool.fetchval("SELECT max(created_at) FROM messages") <= NOW
    open_ones = "status IN ('open', 'waiting') AND resolve_due_at < $1"
    assert await pool.fetchval(f"SELECT count(*) FROM tickets WHERE {open_ones}", NOW) >= 9
    assert (
        await pool.fetchval("SELECT count(*) FROM contacts WHERE state = 'ringing' AND agent_id IS NULL") >= 4
    )
    channels = {row[0] for row in await pool.fetch("SELECT DISTINCT channel FROM contacts")}
    assert channels == {"call", "email", "form"}
    shared = await pool.fetchval(
        "SELECT count(*) FROM (SELECT number FROM customer_phones GROUP BY 1 HAVING count(*) > 1) x"
    )
    assert shared >= 1, "a switchboard that several customers call from"
    assert (
        await pool.fetchval("SELECT count(*) FROM queues") == 3
        and await pool.fetchval("SELECT count(*) FROM agents") == 5
    )
    # The newest has the greatest id: lists are read by it.
    ordered = await pool.fetch("SELECT created_at FROM tickets ORDER BY id")
    assert [row[0] for row in ordered] == sorted(row[0] for row in ordered)
    _, actor = await log_in(pool, "admin@ringpost.example", PASSWORD, client="127.0.0.1", hours=1)
    assert actor.role == "administrator"
    with pytest.raises(Conflict):
        await fill_demo(pool, NOW)


async def test_the_same_seed_gives_the_same_demo(database: str, pool: Pool, cli: Cli) -> None:
    said = await cli("demo")
    assert said.code == 0 and "200 customers" in said.out and PASSWORD in said.err
    names = [row[0] for row in await pool.fetch("SELECT name FROM customers ORDER BY id")]
    said = await cli("demo")
    assert said.code == 1 and "already" in said.line
    await pool.execute("TRUNCATE customers, agents, tickets, contacts CASCADE")
    assert (await cli("demo")).code == 0
    assert names == [row[0] for row in await pool.fetch("SELECT name FROM customers ORDER BY id")]


ROWS = """name,phone,email,company,language,external id
Ada Larkin,020 7946 0123; +44 7700 900123,Ada@Example.com,,en,A1
王小明,+86 10 5555 0123,xm@example.com,北京晨曦文化传播有限公司,zh,A2
,,info@example.org,Harbour Lane Dental,,A3
Bad Phone,12,,,,A4
Bad Mail,,nonsense,,,A5
,,,,,
No Language,,n@example.com,,tlh,A6
Ada Twice,,,,,A1
"""


async def test_import_tells_of_each_row_that_is_wrong(cli: Cli, pool: Pool, tmp_path: Path) -> None:
    file = tmp_path / "customers.csv"
    file.write_text(ROWS, encoding="utf-8-sig")
    said = await cli("import", "customers", str(file), "--system", "crm")
    assert said.code == 1 and "3 customers taken, 1 known already, 3 not taken" in said.out
    with (tmp_path / "customers.errors.csv").open(encoding="utf-8-sig", newline="") as errors:
        rows = list(csv.reader(errors))
    assert [row[0] for row in rows] == ["line", "5", "6", "8"]
    assert [row[1].partition(":")[0] for row in rows[1:]] == ["phone", "email", "language"]
    phones = {row[0] for row in await pool.fetch("SELECT number FROM customer_phones")}
    assert phones == {"+442079460123", "+447700900123", "+861055550123"}
    assert await pool.fetchval("SELECT kind FROM customers WHERE name = 'Harbour Lane Dental'") == "company"
    assert (
        await pool.fetchval("SELECT company FROM customers WHERE name = '王小明'")
        == "北京晨曦文化传播有限公司"
    )
    said = await cli("import", "customers", str(file), "--system", "crm", "--errors", str(tmp_path / "e.csv"))
    assert "0 customers taken, 4 known already" in said.out
    assert await pool.fetchval("SELECT count(*) FROM customers") == 3


async def test_import_reads_what_spreadsheets_write(cli: Cli, pool: Pool, tmp_path: Path) -> None:
    file = tmp_path / "客户.csv"
    file.write_bytes("姓名;电话;邮箱\r\n李建国;010 5555 0199;ljg@example.com\r\n".encode("gb18030"))
    said = await cli("import", "customers", str(file), "--country", "CN")
    assert said.code == 0, said.err
    assert await pool.fetchval("SELECT number FROM customer_phones") == "+861055550199"
    for text, code in (("colour,size\nred,4\n", 2), ("name\nAda\n", 2), ("", 2)):
        file.write_text(text)
        said = await cli("import", "customers", str(file))
        assert said.code == code and "first line" in said.line
    assert (await cli("import", "customers", str(tmp_path / "none.csv"))).code == 1


async def test_backup_and_restore(cli: Cli, pool: Pool, tmp_path: Path) -> None:
    await fill_demo(pool, NOW)
    file = tmp_path / "ringpost.backup"
    said = await cli("backup", str(file))
    assert said.code == 0, said.err
    assert file.stat().st_mode & 0o077 == 0 and file.read_bytes()[:5] == b"PGDMP"
    said = await cli("restore", str(file))
    assert said.code == 1 and "connections" in said.line, "a server that runs is not pulled from under"
    await pool.expire_connections()
    await pool.close()
    said = await cli("restore", str(file))
    assert said.code == 1 and "--force" in said.line
    said = await cli("restore", str(file), "--force")
    assert said.code == 0, said.err
    assert "200" not in said.err
    (tmp_path / "junk").write_text("junk")
    assert (await cli("restore", str(tmp_path / "junk"))).code == 2
    assert (await cli("restore", str(tmp_path / "none"))).code == 1
    assert (await cli("backup", str(tmp_path / "none" / "x"))).code == 2
    said = await cli("agent", "list")
    assert "grace@ringpost.example" in said.out
