"""Begin a handover in a test, and look at its links."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from realtime_fsm import Realtime, State, Subscription
from support.network import Network, SimulatedSocket
from support.virtual import eventually

BEGIN = datetime(2026, 11, 24, tzinfo=UTC)


def moment(number: int) -> str:
    """Return when an event happens: so many seconds after `BEGIN`."""
    return (BEGIN + timedelta(seconds=number)).isoformat(timespec="milliseconds")


def row(number: int) -> dict[str, Any]:
    return {"$id": f"row{number}", "$updatedAt": moment(number), "n": number}


def publish(network: Network, number: int, *channels: str) -> None:
    """Let an event happen at its moment."""
    network.publish(*(channels or ("rows",)), payload=row(number), timestamp=moment(number))


def begins(rows: Subscription) -> list[float | None]:
    """Return the beginnings of the gaps, as numbers of events."""
    return [None if gap.since is None else (gap.since - BEGIN).total_seconds() for gap in rows.gaps]


def replace_link(realtime: Realtime) -> None:
    """Begin to replace the link, whatever comes of it."""
    asyncio.ensure_future(realtime.reconnect()).add_done_callback(lambda done: done.cancelled() or done.exception())


def closed(sockets: list[SimulatedSocket]) -> list[bool]:
    """Tell of each socket whether the client has closed it."""
    return [socket.closed is not None for socket in sockets]


async def handing_over(network: Network, realtime: Realtime, how: str | Exception = "greet") -> asyncio.Task[Subscription]:
    """Subscribe to files, so that another link is dialed; how that dial goes."""
    network.script.append(how)
    task = asyncio.ensure_future(realtime.subscribe("files"))
    await eventually(lambda: realtime.state is State.RECONNECTING)
    return task
