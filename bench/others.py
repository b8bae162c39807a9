"""Scenarios beside the calls: agents' sockets, the API, mail."""

from __future__ import annotations

import asyncio
from time import monotonic

import asyncpg

from bench import events, mails
from bench.bed import Bed
from bench.database import SOCKET_AGENTS, agent_token, clear_work
from bench.figures import median, percentile
from bench.load import HttpClient, closed_loop, connect
from bench.machine import Child, resident_bytes
from bench.product import MAILBOX
from bench.sockets import AgentClient, close_agents, connect_agents

API_CONNECTIONS = 8
SMTP_CONNECTIONS = 16
SOCKET_CUSTOMERS = 10_000


async def sockets(bed: Bed) -> None:
    """Memory of an idle agent's connection, and the time until all have one hint."""
    target = await bed.product(SOCKET_CUSTOMERS, agents=SOCKET_AGENTS)
    (http,) = await connect("127.0.0.1", target.http_port, 1)
    ticket_id = await _one_ticket(http)
    seen: list[float] = []
    agents: list[AgentClient] = []
    step = SOCKET_AGENTS // 5
    memory, speeds = [], []
    for start in range(0, SOCKET_AGENTS, step):
        before, started = resident_bytes(target.child.pid), monotonic()
        tokens = [agent_token(n) for n in range(start, start + step)]
        agents += await connect_agents(
            target.ws_port, tokens, on_hint=lambda frame, at: seen.append(at) if b"ticket_" in frame else None
        )
        speeds.append(step / (monotonic() - started))
        await asyncio.sleep(0.5)
        memory.append((resident_bytes(target.child.pid) - before) / step / 1024)
    spreads = []
    lost = 0
    for turn in range(bed.rounds + 1):
        seen.clear()
        started = monotonic()
        await _touch(http, ticket_id, turn)
        until = started + 5
        while len(seen) < len(agents) and monotonic() < until:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.1)
        lost += max(0, len(agents) - len(seen))
        if turn:
            spreads.append(1000 * (max(seen, default=float("nan")) - started))
    add = bed.report.add
    add(f"sockets.memory per idle agent at {len(agents)}", median(memory), "KiB")
    add("sockets.logins", median(speeds), "agents/s")
    add(f"sockets.one hint to {len(agents)}", median(spreads), "ms")
    add("sockets.hints lost", float(lost), "hints", goal="value <= 0")
    close_agents(agents)
    http.close()
    await asyncio.sleep(0.5)


async def _ask(client: HttpClient, method: str, path: str, body: str) -> int:
    answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    client.done = lambda _client, status, _again: answer.set_result(status)
    request = (
        f"{method} {path} HTTP/1.1\r\nHost: bench.example.com\r\nAuthorization: Bearer {agent_token(0)}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    )
    client.send(events.Ring(b"", request.encode()), monotonic())
    try:
        return await asyncio.wait_for(answer, 5)
    finally:
        client.done = None


async def _one_ticket(client: HttpClient) -> int:
    """The first ticket of an empty database has id 1."""
    status = await _ask(client, "POST", "/api/v1/tickets", '{"subject":"One for all to see"}')
    if status not in (200, 201):
        raise RuntimeError(f"POST /api/v1/tickets answered {status}")
    return 1


async def _touch(client: HttpClient, ticket_id: int, turn: int) -> None:
    """A change that every agent is told of."""
    priority = ("high", "low")[turn % 2]
    status = await _ask(client, "PATCH", f"/api/v1/tickets/{ticket_id}", f'{{"priority":"{priority}"}}')
    if status != 200:
        raise RuntimeError(f"PATCH /api/v1/tickets/{ticket_id} answered {status}")


async def api(bed: Bed) -> None:
    """Tickets created per second through the API."""
    target = await bed.product()
    source = events.ticket_source(agent_token(0), bed.customers)
    clients = await connect("127.0.0.1", target.http_port, API_CONNECTIONS)
    await closed_loop(clients, source, 0.5)
    rates, server_us, postgres_us = [], [], []
    trouble = ""
    for _ in range(bed.rounds):
        clock = target.cpu()
        outcome = await closed_loop(clients, source, bed.seconds)
        server, postgres = clock.spent()
        rates.append(outcome.per_second)
        server_us.append(1e6 * server / max(1, outcome.done))
        postgres_us.append(1e6 * postgres / max(1, outcome.done))
        trouble = trouble or outcome.trouble
    if trouble:
        bed.say(f"  api: {trouble}")
    add = bed.report.add
    add(f"api.tickets at {API_CONNECTIONS} connections", median(rates), "tickets/s", goal="value >= 1250")
    add("api.cpu of the server", median(server_us), "us/ticket")
    add("api.cpu of postgres", median(postgres_us), "us/ticket")
    for client in clients:
        client.close()
    await clear_work(target.dsn)


async def mail(bed: Bed) -> None:
    """SMTP to committed tickets, against a sink that takes and forgets."""
    target = await bed.product()
    sink = await Child.start(["-m", "bench.mails"], "ready ", bed.work / "sink.log")
    bed.stack.push_async_callback(sink.stop)
    ports = {"product": target.smtp_port, "sink": int(sink.ready.partition("smtp=")[2])}
    source = mails.mail_source(MAILBOX, bed.customers)
    clients = {
        name: await mails.connect_smtp(port, SMTP_CONNECTIONS, MAILBOX) for name, port in ports.items()
    }
    rates: dict[str, list[float]] = {name: [] for name in ports}
    server_us, postgres_us, p99 = [], [], []
    done = 0
    for name, group in clients.items():
        warm = await mails.send_mails(group, source, 0.5)
        done += warm.done if name == "product" else 0
        if warm.trouble:
            bed.say(f"  mail, {name}: {warm.trouble}")
    for _ in range(bed.rounds):
        for name, group in clients.items():
            clock = target.cpu()
            outcome = await mails.send_mails(group, source, bed.seconds)
            server, postgres = clock.spent()
            rates[name].append(outcome.per_second)
            if name == "product":
                done += outcome.done
                server_us.append(1e6 * server / max(1, outcome.done))
                postgres_us.append(1e6 * postgres / max(1, outcome.done))
                p99.append(1000 * percentile(outcome.latencies, 0.99))
    connection = await asyncpg.connect(target.dsn)
    try:
        stored = int(await connection.fetchval("SELECT count(*) FROM messages WHERE kind = 'email'"))
    finally:
        await connection.close()
    add = bed.report.add
    limit = median(rates["sink"])
    add("mail.messages", median(rates["product"]), "mails/s", limit=limit, goal="ratio >= 0.45")
    add("mail.p99", median(p99), "ms")
    add("mail.cpu of the server", median(server_us), "us/mail")
    add("mail.cpu of postgres", median(postgres_us), "us/mail")
    add("mail.accepted but not stored", float(max(0, done - stored)), "mails", goal="value <= 0")
    for group in clients.values():
        for client in group:
            client.close()
    await clear_work(target.dsn)
