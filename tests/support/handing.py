"""Begin a handover in a test, and look at its links."""

from __future__ import annotations

import asyncio

from realtime_fsm import Realtime, State, Subscription
from support.network import Network, SimulatedSocket
from support.virtual import eventually


def closed(sockets: list[SimulatedSocket]) -> list[bool]:
    """Tell of each socket whether the client has closed it."""
    return [socket.closed is not None for socket in sockets]


async def handing_over(network: Network, realtime: Realtime, how: str | Exception = "greet") -> asyncio.Task[Subscription]:
    """Subscribe to files, so that another link is dialed; how that dial goes."""
    network.script.append(how)
    task = asyncio.ensure_future(realtime.subscribe("files"))
    await eventually(lambda: realtime.state is State.RECONNECTING)
    return task
