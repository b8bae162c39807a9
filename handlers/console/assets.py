"""``/assets/{version}/{path}``: own CSS and ES modules, and the packages of the front end by a fixed list.

The version is a digest of all of them, so that browsers may keep what they have for ever; modules
import each other by relative paths and so carry the same version.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from aiohttp import web

from handlers.http import route
from server.context import Context
from server.domain.errors import NotFound
from server.domain.permission import Actor, Permission

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "templates" / "assets"
TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
# From npm by package-lock.json, never pasted into the repository.
VENDOR = {
    "vendor/htmx.js": ROOT / "node_modules" / "htmx.org" / "dist" / "htmx.min.js",
    "vendor/idiomorph.js": ROOT / "node_modules" / "idiomorph" / "dist" / "idiomorph-ext.min.js",
    "vendor/jssip.js": ROOT / "node_modules" / ".bundles" / "jssip.js",  # by setup.sh
}


@cache
def files() -> dict[str, Path]:
    own = {
        path.relative_to(FOLDER).as_posix(): path
        for path in sorted(FOLDER.rglob("*"))
        if path.is_file() and path.suffix in TYPES
    }
    return own | VENDOR


@cache
def version() -> str:
    digest = hashlib.sha256()
    for name, path in files().items():
        digest.update(name.encode())
        digest.update(path.read_bytes() if path.exists() else b"")
    return digest.hexdigest()[:12]


def asset_url(name: str) -> str:
    """The address of an asset. Raises KeyError for one that does not exist: a typo in a template."""
    if name not in files():
        raise KeyError(f"there is no asset {name}")
    return f"/assets/{version()}/{name}"


@route("GET", "/assets/{version}/{path:.+}", Permission.PUBLIC)
async def asset(request: web.Request, ctx: Context, actor: Actor | None) -> web.StreamResponse:
    path = files().get(request.match_info["path"])
    if path is None or not path.exists():
        raise NotFound("there is no such file")
    current = request.match_info["version"] == version()
    return web.FileResponse(
        path,
        headers={
            "Content-Type": f"{TYPES[path.suffix]}; charset=utf-8",
            "Cache-Control": "public, max-age=31536000, immutable" if current else "no-cache",
            "X-Content-Type-Options": "nosniff",
        },
    )
