"""Shorthands to talk to the brain of the embedded server."""

from __future__ import annotations

import json
from typing import Any

from realtime_fsm.testing.peer import Backend, Reply, Request, ServerConnection

NOON = 1_795_449_600.0  # a whole minute
MASKED = "Error: Server Error"


TARGET = "/v1/realtime?project=demo"
SECRET = "s3cret"  # noqa: S105


def try_dial(backend: Backend, target: str = TARGET, now: float = NOON, /, **headers: str) -> tuple[ServerConnection, Reply]:
    peer = ServerConnection(backend)
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return peer, peer.greet(Request(target, named), now)


def dial(backend: Backend, target: str = TARGET, /, **headers: str) -> ServerConnection:
    peer, reply = try_dial(backend, target, **headers)
    assert not reply.end, reply
    return peer


def single_frame(reply: Reply) -> dict[str, Any]:
    (frame,) = reply.frames
    message: dict[str, Any] = json.loads(frame)
    return message


def error(code: int, message: str = MASKED) -> dict[str, object]:
    return {"type": "error", "data": {"code": code, "message": message}}


def send(peer: ServerConnection, kind: str, data: object = None, now: float = NOON) -> dict[str, Any]:
    return single_frame(peer.receive_message(json.dumps({"type": kind, "data": data}), now))


def subscribe(peer: ServerConnection, *items: object) -> Any:
    return send(peer, "subscribe", list(items))["data"]["subscriptions"]


def publish(backend: Backend, channels: list[str], payload: object = None, **more: Any) -> list[tuple[ServerConnection, Any]]:
    sent = backend.publish(["e"], channels, payload, now=NOON, **more)
    return [(peer, json.loads(frame)["data"]["subscriptions"]) for peer, frame in sent]


EQUAL = json.dumps({"method": "equal", "attribute": "title", "values": ["x"]})
