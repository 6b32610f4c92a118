"""Shorthands to talk to the protocol core of the embedded server."""

from __future__ import annotations

import json
from typing import Any

from realtime_fsm.testing.backend import Backend, EventReceiver
from realtime_fsm.testing.connection import ServerConnection
from realtime_fsm.testing.request import HttpRequest
from realtime_fsm.testing.wire import Reply

NOON = 1_795_449_600.0  # a whole minute
MASKED = "Error: Server Error"
TARGET = "/v1/realtime?project=demo"
SECRET = "s3cret"  # noqa: S105
EQUAL = json.dumps({"method": "equal", "attribute": "title", "values": ["x"]})


def try_dial(backend: Backend, target: str = TARGET, now: float = NOON, /, **headers: str) -> tuple[ServerConnection, Reply]:
    """Dial; an underscore in the name of a header stands for a hyphen."""
    connection = ServerConnection(backend)
    fields = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return connection, connection.receive_upgrade(HttpRequest(target, fields), now)


def dial(backend: Backend, target: str = TARGET, /, **headers: str) -> ServerConnection:
    connection, reply = try_dial(backend, target, **headers)
    assert not reply.end, f"the dial was refused: {reply.frames}"
    return connection


def single_frame(reply: Reply) -> dict[str, Any]:
    (frame,) = reply.frames
    message: dict[str, Any] = json.loads(frame)
    return message


def error(code: int, message: str = MASKED) -> dict[str, object]:
    return {"type": "error", "data": {"code": code, "message": message}}


def check_error(reply: Reply, code: int, message: str = MASKED, *, end: bool) -> None:
    """Check that a reply is one error frame, and whether the stream ends behind it."""
    assert single_frame(reply) == error(code, message)
    assert reply.end is end, f"the stream {'ends' if reply.end else 'goes on'} behind the error {code}"


def send_text(connection: ServerConnection, message: str | bytes, now: float = NOON) -> Reply:
    return connection.receive_message(message, now)


def send(connection: ServerConnection, kind: str, data: object = None, now: float = NOON) -> dict[str, Any]:
    return single_frame(send_text(connection, json.dumps({"type": kind, "data": data}), now))


def subscribe(connection: ServerConnection, *items: object) -> Any:
    """Subscribe, and return the items of the acknowledgement."""
    return send(connection, "subscribe", list(items))["data"]["subscriptions"]


def publish(backend: Backend, channels: list[str], payload: object = None, **options: Any) -> list[tuple[EventReceiver, Any]]:
    """Publish an event, and return the connections that get it, each with the ids of its subscriptions."""
    deliveries = backend.publish(["e"], channels, payload, now=NOON, **options)
    return [(connection, json.loads(frame)["data"]["subscriptions"]) for connection, frame in deliveries]


def reaches(backend: Backend, channel: str, *roles: str, payload: object = None) -> bool:
    """Whether some connection gets an event on a channel, for roles; for ``any`` by default."""
    return bool(backend.publish(["e"], [channel], payload, now=NOON, roles=roles or ("any",)))
