"""Who is there: log-in by password, session and API tokens, and the check on every request.

Tokens are ``rps_...`` (a session, from a log-in) and ``rpt_...`` (an API token, until revoked).
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import lru_cache
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from server.domain.errors import Invalid, NotAuthenticated, NotFound, TooMany
from server.domain.permission import Actor
from server.domain.view import time_text
from server.services.transaction import transaction
from server.store import audit
from server.store import sessions as store
from server.store.pool import Pool, transaction_errors

SESSION, TOKEN = "rps_", "rpt_"
CACHE_SECONDS = 5.0
CACHE_MAX = 20_000
PER_ADDRESS = RateLimitItemPerMinute(10, 5)
PER_PEER = RateLimitItemPerMinute(300, 5)

_hasher = PasswordHasher()
# 64 MiB a hash: two at a time, whatever comes in.
_threads = ThreadPoolExecutor(2, thread_name_prefix="argon2")
_limiter = MovingWindowRateLimiter(MemoryStorage())


def hash_password(password: str) -> str:
    """Argon2id; takes about 150 ms. Raises Invalid for a password that cannot be one."""
    if len(password) < 8:
        raise Invalid(fields={"password": "at least 8 characters"})
    if len(password) > 1024:
        raise Invalid(fields={"password": "at most 1024 characters"})
    try:
        return _hasher.hash(password)
    except UnicodeEncodeError:
        raise Invalid(fields={"password": "holds a character that is none (a lone surrogate)"}) from None


async def hash_password_aside(password: str) -> str:
    """The same in a thread of its own."""
    return await asyncio.get_running_loop().run_in_executor(_threads, hash_password, password)


@lru_cache(maxsize=1)
def _nobody() -> str:
    return _hasher.hash(secrets.token_urlsafe(16))


def _is_right(stored: str | None, password: str) -> bool:
    """Takes as long for an address that nobody has."""
    nobody = _nobody()
    try:
        return _hasher.verify(stored or nobody, password) and stored is not None
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False


async def log_in(pool: Pool, email: str, password: str, *, client: str, hours: float) -> tuple[str, Actor]:
    """Give a session token. ``client`` is the peer's address, then perhaps a space and its user agent.

    Raises NotAuthenticated (never saying which of the two was wrong) and TooMany.
    """
    address, peer = email.strip().casefold()[:320], client.partition(" ")[0]
    for item, key in ((PER_PEER, f"peer:{peer}"), (PER_ADDRESS, f"address:{address}")):
        if not _limiter.hit(item, key):
            stats = _limiter.get_window_stats(item, key)
            wait = max(1, int(stats.reset_time - time.time()) + 1)
            raise TooMany("too many log-ins: wait a little", retry_after_seconds=wait)
    storable = "\x00" not in address and _encodes(address)
    async with transaction_errors():
        row = await store.fetch_login(pool, address) if storable else None
    loop = asyncio.get_running_loop()
    stored = row["password_hash"] if row is not None else None
    right = await loop.run_in_executor(_threads, _is_right, stored, password[:1025])
    if row is None or not right:
        raise NotAuthenticated("the address or the password is wrong")
    _limiter.clear(PER_ADDRESS, f"address:{address}")
    renewed = (
        await hash_password_aside(password) if _hasher.check_needs_rehash(row["password_hash"]) else None
    )
    token = SESSION + secrets.token_urlsafe(32)
    async with transaction(pool) as connection:
        if renewed is not None:
            await store.set_password(connection, row["id"], renewed)
        shown = client.replace("\x00", "").encode("utf-8", "replace").decode()[:300]
        await store.insert_session(connection, token_hash(token), row["id"], timedelta(hours=hours), shown)
        await audit.insert_audit(connection, row["id"], "agent.log_in", "agent", row["id"])
    return token, Actor(row["id"], row["name"], row["email"], row["role"], row["language"])


async def log_out(pool: Pool, token: str) -> None:
    """Ends the session; a token that is none is no error."""
    async with transaction_errors():
        await store.delete_session(pool, token_hash(token))


def token_hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Authenticator:
    """Token -> actor, kept for five seconds: a revoked token may live that long on another node."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._known: dict[bytes, tuple[float, Actor]] = {}

    async def actor(self, token: str) -> Actor | None:
        """None for whoever is not known here (any more). Raises Unavailable."""
        if not token.startswith((SESSION, TOKEN)) or len(token) > 200:
            return None
        key = token_hash(token)
        known = self._known.get(key)
        now = time.monotonic()
        if known is not None and known[0] > now:
            return known[1]
        session = token.startswith(SESSION)
        async with transaction_errors():
            row = await store.fetch_actor(self._pool, key, session=session)
            if row is not None and row["stale"]:
                await store.touch_session(self._pool, key)
        if row is None:
            self._known.pop(key, None)
            return None
        actor = Actor(row["id"], row["name"], row["email"], row["role"], row["language"])
        if len(self._known) >= CACHE_MAX:
            self._known.clear()
        self._known[key] = (now + CACHE_SECONDS, actor)
        return actor

    def forget(self, token: str | None = None) -> None:
        """After a log-out or a change of an agent; without a token everything is read again."""
        if token is None:
            self._known.clear()
        else:
            self._known.pop(token_hash(token), None)


async def add_token(pool: Pool, agent_id: int, name: str) -> str:
    """Give a new API token; it is shown this once. Raises Invalid."""
    name = name.strip()
    if not 1 <= len(name) <= 100 or "\x00" in name or not _encodes(name):
        raise Invalid(fields={"name": "1 to 100 characters, to tell the token from others"})
    token = TOKEN + secrets.token_urlsafe(32)
    async with transaction(pool) as connection:
        token_id = await store.insert_token(connection, agent_id, name, token_hash(token))
        await audit.insert_audit(connection, agent_id, "token.add", "token", token_id, {"name": name})
    return token


async def list_tokens(pool: Pool, agent_id: int | None = None) -> list[dict[str, Any]]:
    """Newest first: id, agent_id, email, name, created_at, revoked_at; never the token itself."""
    async with transaction_errors():
        rows = await store.list_tokens(pool, agent_id)
    return [
        {
            "id": str(row["id"]),
            "agent_id": str(row["agent_id"]),
            "email": row["email"],
            "name": row["name"],
            "created_at": time_text(row["created_at"]),
            "revoked_at": time_text(row["revoked_at"]),
        }
        for row in rows
    ]


async def revoke_token(pool: Pool, token_id: int, *, agent_id: int | None = None) -> None:
    """``agent_id`` limits it to that agent's own tokens. Raises NotFound."""
    async with transaction(pool) as connection:
        owner = await store.revoke_token(connection, token_id, agent_id)
        if owner is None:
            raise NotFound("there is no such token, or it was revoked before")
        await audit.insert_audit(connection, agent_id or owner, "token.revoke", "token", token_id)
