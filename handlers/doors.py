"""All doors together, as ``run.py`` and the tests hand them to ``server.app``."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from aiohttp import web

from handlers import agent_socket
from handlers.console.door import error_page
from handlers.http import build_http_app
from handlers.mail.door import mail_door
from handlers.telephony.connections import Telephony
from handlers.telephony.media import ask_media
from server.app import Handlers
from server.context import Context

ROOMS = ("handlers.api", "handlers.console")
SINGLE = ("handlers.telephony.webhook", "handlers.lookup", "handlers.forms", "handlers.health")


def route_modules() -> list[ModuleType]:
    """Every module that declares routes: a new page or resource is found by being there."""
    found = [importlib.import_module(name) for name in SINGLE]
    for room in ROOMS:
        package = importlib.import_module(room)
        found += [
            importlib.import_module(f"{room}.{one.name}") for one in pkgutil.iter_modules(package.__path__)
        ]
    return found


def http_app(ctx: Context) -> web.Application:
    return build_http_app(ctx, route_modules(), error_page)


HANDLERS = Handlers(
    http=http_app, socket=agent_socket.AgentSocket, mail=mail_door, telephony=Telephony, media=ask_media
)
