"""``agent``, ``queue`` and ``token``: who works here, where contacts wait, what programs may log in with."""

from __future__ import annotations

import argparse

from handlers.cli.command import OPERATOR, AddCommand, Parsers, opened, print_table, read_password
from server.domain.errors import Invalid
from server.services import agents, queues, sessions
from server.settings import Settings
from server.store.pool import Pool

ROLES = ("agent", "supervisor", "administrator")


def add_commands(add: AddCommand, parsers: Parsers) -> None:
    group = _group(parsers, "agent", "who works here")
    adding = add("add", agent_add, "a new agent", group)
    adding.add_argument("email", metavar="EMAIL")
    adding.add_argument("--name", required=True, help="as customers and colleagues see it")
    adding.add_argument("--role", choices=ROLES, default="agent")
    adding.add_argument("--extension", default=None, help="what the telephone system calls this agent")
    adding.add_argument(
        "--queue", action="append", default=[], metavar="NAME", help="may be given several times"
    )
    adding.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    add("list", agent_list, "all agents", group)
    changing = add("password", agent_password, "a new password; ends the agent's sessions", group)
    changing.add_argument("email", metavar="EMAIL")
    changing.add_argument(
        "--password-stdin", action="store_true", help="read the password from standard input"
    )
    add("disable", agent_disable, "no more log-in, no more contacts; history stays", group).add_argument(
        "email", metavar="EMAIL"
    )

    group = _group(parsers, "queue", "where contacts wait")
    adding = add("add", queue_add, "a new queue", group)
    adding.add_argument("name", metavar="NAME")
    adding.add_argument(
        "--dnis",
        action="append",
        default=[],
        metavar="NUMBER",
        help="a number whose callers come here; repeatable",
    )
    add("list", queue_list, "all queues", group)

    group = _group(parsers, "token", "what programs log in with")
    adding = add("add", token_add, "a new token; it is shown once, as the last word", group)
    adding.add_argument("--agent", required=True, metavar="EMAIL", help="in whose name the program acts")
    adding.add_argument("--name", required=True, help="which program it is")
    add("list", token_list, "all tokens, without what is secret", group)
    add("revoke", token_revoke, "end a token", group).add_argument("id", type=int, metavar="ID")


def _group(parsers: Parsers, name: str, help: str) -> Parsers:
    group = parsers.add_parser(name, help=help, description=help)
    return group.add_subparsers(dest="what", required=True, metavar="WHAT")


async def agent_add(args: argparse.Namespace, settings: Settings) -> int:
    password = read_password(True) if args.password_stdin else None
    async with opened(settings) as pool:
        made = await agents.add_agent(
            pool,
            email=args.email,
            name=args.name,
            role=args.role,
            extension=args.extension,
            queues=args.queue,
            password=password,
        )
    print(f"agent {made['email']} added, id {made['id']}")
    if password is None:
        print("no password yet: give one with 'agent password'")
    return 0


async def agent_list(args: argparse.Namespace, settings: Settings) -> int:
    async with opened(settings) as pool:
        found = await agents.list_agents(pool, include_disabled=True)
    rows = [
        (
            agent["id"],
            agent["email"],
            agent["name"],
            "disabled" if agent["disabled"] else agent["role"],
            agent["extension"] or "-",
            ",".join(agent["queues"]) or "-",
        )
        for agent in found
    ]
    print_table([("ID", "EMAIL", "NAME", "ROLE", "EXTENSION", "QUEUES"), *rows])
    return 0


async def agent_password(args: argparse.Namespace, settings: Settings) -> int:
    password = read_password(args.password_stdin)
    async with opened(settings) as pool:
        await agents.set_password(pool, OPERATOR, await agent_id(pool, args.email), password)
    print(f"the password of {args.email} is changed")
    return 0


async def agent_disable(args: argparse.Namespace, settings: Settings) -> int:
    async with opened(settings) as pool:
        await agents.disable_agent(pool, OPERATOR, await agent_id(pool, args.email))
    print(f"agent {args.email} is disabled")
    return 0


async def queue_add(args: argparse.Namespace, settings: Settings) -> int:
    async with opened(settings) as pool:
        made = await queues.add_queue(
            pool, name=args.name, dnis=args.dnis, country=settings.region.default_country
        )
    print(f"queue {made['name']} added, id {made['id']}")
    return 0


async def queue_list(args: argparse.Namespace, settings: Settings) -> int:
    async with opened(settings) as pool:
        found = await queues.list_queues(pool)
    rows = [
        (queue["id"], queue["name"], ",".join(queue["dnis"]) or "-", queue["title_zh"] or "-")
        for queue in found
    ]
    print_table([("ID", "NAME", "DNIS", "TITLE"), *rows])
    return 0


async def token_add(args: argparse.Namespace, settings: Settings) -> int:
    if not args.name.strip():
        raise Invalid("--name is empty: say which program the token is for")
    async with opened(settings) as pool:
        token = await sessions.add_token(pool, await agent_id(pool, args.agent), args.name)
    print(f"token {args.name} for {args.agent}, shown only now: {token}")
    return 0


async def token_list(args: argparse.Namespace, settings: Settings) -> int:
    async with opened(settings) as pool:
        found = await sessions.list_tokens(pool)
    rows = [
        (
            token["id"],
            token["email"],
            token["name"],
            token["created_at"] or "",
            token["revoked_at"] or "-",
        )
        for token in found
    ]
    print_table([("ID", "AGENT", "NAME", "CREATED", "REVOKED"), *rows])
    return 0


async def token_revoke(args: argparse.Namespace, settings: Settings) -> int:
    async with opened(settings) as pool:
        await sessions.revoke_token(pool, args.id)
    print(f"token {args.id} is revoked")
    return 0


async def agent_id(pool: Pool, email: str) -> int:
    """Raises NotFound."""
    return int((await agents.find_agent(pool, email))["id"])
