"""Connections with a canary, on the simulated network, and servers that lose their events."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

from realtime_fsm import Canary, Realtime, RetryPolicy
from support.network import Network

EVER = RetryPolicy(attempts=None)
OWN = Canary(every=300, within=10)


def deafen(network: Network) -> float:
    """The server loses its events from now on."""
    network.backend.deafen(math.inf)
    return network.wall()


def heal(network: Network) -> None:
    """Let the server send its events again."""
    network.backend.deafen(-math.inf)


def own(network: Network, **options: Any) -> Realtime:
    """A connection of a user, whose canary is the own presence."""
    session = network.backend.add_user("alice")
    given: dict[str, Any] = {"session": session, "canary": OWN, "retry": EVER}
    return network.realtime(**given | options)


def statuses(network: Network, link: int = -1) -> list[str]:
    """The presences that were sent on a link."""
    messages = [json.loads(data) for data in network.sockets[link].sent]
    return [message["data"]["status"] for message in messages if message["type"] == "presence"]


def written(network: Network, *, by: str = "write", **options: Any) -> tuple[Realtime, list[float]]:
    """A guest's connection, whose canary is an event on `beats` that it has published; and when it was."""
    times: list[float] = []

    async def write() -> None:
        times.append(network.wall())
        if by == "raise":
            raise LookupError("hunter2")
        if by == "cancel":
            raise asyncio.CancelledError
        if by == "hang":
            await asyncio.sleep(1_000_000)
        network.publish("beats", payload={"n": 0})

    canary = Canary(every=300, within=10, write=write, channel="beats")
    return network.realtime(canary=canary, **({"retry": EVER} | options)), times
