"""The real server as a process of its own, with the product's defaults and sources for the bench."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from bench import events
from bench.database import Database
from bench.machine import Child, CpuClock

ROOT = Path(__file__).resolve().parent.parent
MAILBOX = "support@bench.example.com"
READY = re.compile(r"ringpost ready http=http://[^ ]+:(\d+) ws=ws://[^ ]+:(\d+) smtp=[^ ]+:(\d+)")

CONFIG = """
[server]
http_port = 0
ws_port = 0
smtp_port = 0
data_dir = "{data_dir}"
public_url = "{public_url}"

[database]
url = "{dsn}"

[log]
level = "warning"

[call_sources.pbx]
provider = "cti"
secrets = ["{cti}"]
country = "GB"
queue = "support"

[call_sources.main]
provider = "twilio"
secrets = ["{twilio}"]
country = "GB"
queue = "support"

[mailboxes.support]
address = "{mailbox}"
queue = "support"
"""


@dataclass(frozen=True, slots=True)
class Target:
    """A server under load: the product, or one of the limits."""

    name: str
    child: Child
    http_port: int
    ws_port: int
    smtp_port: int
    dsn: str
    postmaster: int

    def cpu(self) -> CpuClock:
        return CpuClock(self.child.pid, self.postmaster).start()


async def start_product(stack: AsyncExitStack, work: Path, database: Database, dsn: str, name: str) -> Target:
    """``run.py serve`` on that database; stopped with ``stack``."""
    data_dir = work / f"data-{name}"
    data_dir.mkdir()
    config = work / f"{name}.toml"
    config.write_text(
        CONFIG.format(
            data_dir=data_dir,
            public_url=events.PUBLIC_URL,
            dsn=dsn,
            cti=events.CTI_SECRET,
            twilio=events.TWILIO_SECRET,
            mailbox=MAILBOX,
        ),
        encoding="utf-8",
    )
    child = await Child.start(
        ["run.py", "serve", "--config", str(config)], "ringpost ready", work / f"{name}.log"
    )
    stack.push_async_callback(child.stop)
    said = READY.match(child.ready)
    if said is None:
        raise RuntimeError(f"the ready line cannot be read: {child.ready}")
    http, ws, smtp = (int(port) for port in said.groups())
    return Target(name, child, http, ws, smtp, dsn, database.postmaster)


def uses_uvloop() -> bool:
    """Whether the server runs on uvloop; the limits then do as well."""
    return "uvloop" in (ROOT / "run.py").read_text(encoding="utf-8") + (ROOT / "server" / "app.py").read_text(
        encoding="utf-8"
    )


async def start_limit(stack: AsyncExitStack, work: Path, database: Database, dsn: str, kind: str) -> Target:
    """One of the servers of ``bench/references.py``."""
    loop = ["--uvloop"] if uses_uvloop() else []
    child = await Child.start(
        ["-m", "bench.references", kind, "--dsn", dsn, *loop], "ready ", work / f"limit-{kind}.log"
    )
    stack.push_async_callback(child.stop)
    ports = dict(part.split("=") for part in child.ready.split()[1:])
    return Target(kind, child, int(ports["http"]), int(ports["ws"]), 0, dsn, database.postmaster)
