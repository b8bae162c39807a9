"""A PBX as AMI shows it: a small TCP server on loopback that knows users, answers actions and replays streams.

``Mirror`` knows which channels a recorded stream has left, and lists them as CoreShowChannels would.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from handlers.telephony.ami_calls import WANTED, AmiCalls
from handlers.telephony.ami_wire import AmiFramer, Message, peek_event, read_message
from server.domain.call import Call, apply_event
from server.domain.directory import Agent, build_directory
from server.domain.event import CallEvent, EventType

FIELDS = (
    "Channel", "ChannelState", "CallerIDNum", "CallerIDName", "ConnectedLineNum", "ConnectedLineName", "Context",
    "Exten", "Uniqueid", "Linkedid",
)  # fmt: skip
NOW = datetime(2026, 11, 22, 11, tzinfo=UTC)
AGENTS = build_directory(
    [
        Agent(number, f"Agent {number}", f"a{number}@example.com", "agent", str(number))
        for number in (101, 102, 103)
    ],
    [],
    {},
)
CHALLENGE = "840415273"


def frame(**fields: str) -> bytes:
    """One message; ``Cause_txt`` is written ``Cause-txt``."""
    return (
        "".join(f"{key.replace('_', '-')}: {value}\r\n" for key, value in fields.items()).encode() + b"\r\n"
    )


def frames_of(stream: bytes) -> list[bytes]:
    return AmiFramer(banner=False).feed(stream + b"\r\n\r\n")


def odd_pieces(data: bytes, seed: int, most: int = 700) -> Iterator[bytes]:
    chosen, start = random.Random(seed), 0
    while start < len(data):
        end = start + chosen.randint(1, most)
        yield data[start:end]
        start = end


def translate(frames: Iterable[bytes], calls: AmiCalls | None = None) -> list[CallEvent]:
    calls = calls or AmiCalls()
    events: list[CallEvent] = []
    for raw in frames:
        if peek_event(raw) in WANTED:
            events.extend(calls.take(read_message(raw), NOW))
    return events


def calls_of(events: Iterable[CallEvent]) -> dict[str, Call]:
    """As services do: each event once, agents by their name here."""
    calls: dict[str, Call] = {}
    seen: set[str] = set()
    for event in events:
        if event.event_key in seen:
            continue
        seen.add(event.event_key)
        named = [agent for ref in event.agent_refs if (agent := AGENTS.find_agent(ref)) is not None]
        refs = tuple(str(agent.extension) for agent in named) or None
        call = calls.get(event.call_key, Call(event.call_key))
        calls[event.call_key] = apply_event(call, event, NOW, refs)
    return calls


def rang(events: Iterable[CallEvent]) -> set[str]:
    return {
        ref.removeprefix("PJSIP/")
        for event in events
        if event.type is EventType.RINGING
        for ref in event.agent_refs
    }


class Mirror:
    """The channels that a PBX has after the messages it sent."""

    def __init__(self, messages: Iterable[Message] = ()) -> None:
        self.channels: dict[str, dict[str, str]] = {}
        self.gone: set[str] = set()  # late events name them still
        for message in messages:
            self.follow(message)

    def follow(self, message: Message) -> None:
        for prefix in ("", "dest"):
            uid = message.get(prefix + "uniqueid")
            if uid and uid not in self.gone and message.event not in ("CEL", "Cdr", "OriginateResponse"):
                seen = {name: message.get(prefix + name.lower()) for name in FIELDS}
                self.channels.setdefault(uid, {"BridgeId": ""}).update(seen)
        channel = self.channels.get(message.get("uniqueid"))
        if channel is None:
            return
        if message.event == "BridgeEnter":
            channel["BridgeId"] = message.get("bridgeuniqueid")
        elif message.event == "BridgeLeave":
            channel["BridgeId"] = ""
        elif message.event == "Hangup":
            del self.channels[message.get("uniqueid")]
            self.gone.add(message.get("uniqueid"))

    def listing(self, action_id: str = "1") -> bytes:
        listed = b"".join(
            frame(Event="CoreShowChannel", ActionID=action_id, **channel)
            for channel in self.channels.values()
        )
        end = {"EventList": "Complete", "ListItems": str(len(self.channels))}
        return listed + frame(Event="CoreShowChannelsComplete", ActionID=action_id, **end)


class RecordingLink:
    """What the supervisor gives a session: here it only notes. ``stuck`` holds the intake up."""

    def __init__(self) -> None:
        self.events: list[CallEvent] = []
        self.details: list[str] = []
        self.up_once = asyncio.Event()
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.fails = 0

    def up(self, detail: str = "") -> None:
        self.details.append(detail)
        self.up_once.set()

    async def emit(self, events: Any, raw: bytes) -> None:
        await self.flowing.wait()
        if self.fails:
            self.fails -= 1
            raise ConnectionResetError("the intake is gone")
        assert raw
        self.events.extend(events)
        await asyncio.sleep(0)


class AmiPeer:
    """Answers as ``manager.c`` does, to the actions that a session uses; ``denied`` ones are not permitted."""

    def __init__(self, users: dict[str, str] | None = None) -> None:
        self.users = users or {"ringpost": "secret"}
        self.tls: ssl.SSLContext | None = None
        self.banner = b"Asterisk Call Manager/11.0.0\r\n"
        self.denied: set[str] = set()
        self.answers: dict[str, Callable[[Message], bytes]] = {}
        self.silent = False
        self.mirror = Mirror()
        self.actions: list[Message] = []
        self.connections = 0
        self.port = 0
        self._writers: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[AmiPeer]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            self.drop()
            server.close()
            await server.wait_closed()
            await asyncio.sleep(0.01)

    def drop(self) -> None:
        for writer in self._writers:
            writer.close()

    async def send(self, data: bytes, pieces: Iterable[bytes] | None = None) -> None:
        for piece in pieces if pieces is not None else (data,):
            for writer in self._writers:
                writer.write(piece)
                await writer.drain()
            await asyncio.sleep(0)

    def actions_named(self, name: str) -> list[Message]:
        return [action for action in self.actions if action.get("action") == name]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        framer = AmiFramer(banner=False)
        writer.write(self.banner)
        try:
            while data := await reader.read(4096):
                for raw in framer.feed(data):
                    action = read_message(raw)
                    self.actions.append(action)
                    if not self.silent:
                        writer.write(self._answer(action))
                    if action.get("action") == "Login" and not self._is_right(action):
                        return
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()
            with suppress(ConnectionError, TimeoutError):
                await writer.wait_closed()

    def _answer(self, action: Message) -> bytes:
        name, action_id = action.get("action"), action.get("actionid")
        if name in self.denied:
            return frame(Response="Error", ActionID=action_id, Message="Permission denied")
        if name in self.answers:
            return self.answers[name](action)
        if name == "Challenge":
            return frame(Response="Success", ActionID=action_id, Challenge=CHALLENGE)
        if name == "Login" and not self._is_right(action):
            return frame(Response="Error", ActionID=action_id, Message="Authentication failed")
        success = frame(Response="Success", ActionID=action_id, Message="done")
        if name == "Login":
            return success + frame(Event="FullyBooted", Privilege="system,all", Status="Fully Booted")
        if name in ("CoreShowChannels", "Status"):
            listing = self.mirror.listing(action_id)
            return success + (
                listing.replace(b"CoreShowChannel", b"Status") if name == "Status" else listing
            ).replace(b"StatussComplete", b"StatusComplete")
        return success

    def _is_right(self, action: Message) -> bool:
        secret = self.users.get(action.get("username"))
        if secret is None:
            return False
        key = hashlib.md5((CHALLENGE + secret).encode(), usedforsecurity=False).hexdigest()
        return action.get("key") == key if action.get("authtype") == "MD5" else action.get("secret") == secret
