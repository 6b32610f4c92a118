"""Speak as Appwrite, Phoenix (supabase) and Centrifugo: greet, acknowledge a subscription, and wrap an event.

Each dialect speaks only the part of the protocol that its clients need, and carries the same events.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from bench.load import Load

CONNECTED = {"type": "connected", "data": {"channels": [], "subscriptions": [], "user": None}}


class Dialect(Protocol):
    """The server's side of one connection. `ids` lists the subscriptions whose channel names a load."""

    ids: list[str]

    def greeting(self) -> Iterator[str]:
        """Yield the server's first messages."""

    def receive(self, text: str) -> Iterator[str | Load]:
        """Yield the replies to a message, and the load of each subscription that names one."""

    def wrap(self, data: bytes, load: Load) -> bytes:
        """Return the text of an event's message."""


class Appwrite:
    def __init__(self) -> None:
        self.ids: list[str] = []

    def greeting(self) -> Iterator[str]:
        yield _text(CONNECTED)

    def receive(self, text: str) -> Iterator[str | Load]:
        message = json.loads(text)
        kind, items = message["type"], message.get("data", [])
        if kind == "ping":
            yield _text({"type": "pong"})
            return
        yield _text({"type": "response", "data": {"to": kind, "success": True, "subscriptions": items}})
        for item in items if kind == "subscribe" else ():
            if load := Load.from_channel(item["channels"][0]):
                self.ids.append(item["subscriptionId"])
                yield load

    def wrap(self, data: bytes, load: Load) -> bytes:
        return b'{"type":"event","data":%b}' % data


class Phoenix:
    def __init__(self) -> None:
        self.ids: list[str] = []

    def greeting(self) -> Iterator[str]:
        return iter(())

    def receive(self, text: str) -> Iterator[str | Load]:
        message = json.loads(text)
        reply = {"status": "ok", "response": {}}
        yield _text({"event": "phx_reply", "payload": reply, "ref": message.get("ref"), "topic": message["topic"]})
        if message["event"] == "phx_join" and (load := Load.from_channel(message["topic"].removeprefix("realtime:"))):
            self.ids.append("s1")
            yield load

    def wrap(self, data: bytes, load: Load) -> bytes:
        head = b'{"ref":null,"event":"broadcast","payload":{"type":"broadcast","event":"event","payload":'
        return b'%b%b},"topic":"realtime:%b"}' % (head, data, load.channel.encode())


class Centrifugo:
    def __init__(self) -> None:
        self.ids: list[str] = []

    def greeting(self) -> Iterator[str]:
        return iter(())

    def receive(self, text: str) -> Iterator[str | Load]:
        for line in text.splitlines():
            command: dict[str, Any] = json.loads(line)
            if "connect" in command:
                yield _text({"id": command["id"], "connect": {"client": "c1", "version": "6.0.0", "ping": 60, "pong": True}})
            elif "subscribe" in command:
                yield _text({"id": command["id"], "subscribe": {}})
                if load := Load.from_channel(command["subscribe"]["channel"]):
                    self.ids.append("s1")
                    yield load
            elif "id" in command:
                yield _text({"id": command["id"], "unsubscribe": {}})

    def wrap(self, data: bytes, load: Load) -> bytes:
        return b'{"push":{"channel":"%b","pub":{"data":%b}}}' % (load.channel.encode(), data)


def dialect_of(path: str) -> Dialect:
    """Return the dialect of a URL's path."""
    if path.startswith("/socket"):
        return Phoenix()
    return Centrifugo() if path.startswith("/connection") else Appwrite()


def _text(message: dict[str, Any] | Sequence[Any]) -> str:
    return json.dumps(message, separators=(",", ":"))
