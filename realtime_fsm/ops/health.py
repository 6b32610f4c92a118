"""The pages ``/livez`` and ``/readyz``, for the probes of an orchestrator."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import msgspec

from realtime_fsm.client.connection_info import ConnectionInfo
from realtime_fsm.errors import BadOption
from realtime_fsm.ops.web import NO_STORE, Response, WebServer

if TYPE_CHECKING:
    from realtime_fsm.ops.web import Page, Request


def serve(*realtimes: ConnectionInfo, host: str = "127.0.0.1", port: int = 8080) -> WebServer:
    """Answer ``/livez`` and ``/readyz`` over HTTP: 200 while every connection is live, or ready, and 503 otherwise.

    The body is JSON: the health of each connection, with the reasons. The server belongs to the event loop that enters it, so a
    blocked loop does not answer, and the probe fails. For connections of `realtime_fsm.sync`, a plain ``with`` runs it in a
    thread.

    Args:
        realtimes: the connections, at least one.
        host: the host to listen on. A kubelet does not reach the default: ``"0.0.0.0"`` takes every IPv4 interface, and ``"::"``
            every IPv6 one.
        port: the port; with 0 the system chooses one, and ``url`` names it.

    Returns:
        A context manager with the attribute ``url``. Entering it raises ``OSError`` when the port cannot be taken.

    Raises:
        BadOption: without a connection, or for another object.
    """
    if not realtimes or not all(isinstance(one, ConnectionInfo) for one in realtimes):
        raise BadOption("realtimes", "give the connections to watch, each a Realtime")
    return WebServer({"/livez": _page(realtimes, "live"), "/readyz": _page(realtimes, "ready")}, host=host, port=port)


def _page(realtimes: tuple[ConnectionInfo, ...], asked: str) -> Page:
    async def page(_: Request) -> Response:
        each = [(one, one.health()) for one in realtimes]
        verdict = {name: all(getattr(health, name) for _, health in each) for name in ("live", "ready")}
        connections = [{"connection_id": one.connection_id, "state": one.state, **asdict(health)} for one, health in each]
        body = msgspec.json.encode({**verdict, "connections": connections})
        status = 200 if verdict[asked] else 503
        return Response(body=body, status=status, headers=NO_STORE, content_type="application/json")

    return page
