"""A scenario in virtual time: your code, a client, and an embedded server that fails by a script."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from realtime_fsm.client.realtime import Realtime
from realtime_fsm.errors import RealtimeError
from realtime_fsm.fsm.table import LIVE, State
from realtime_fsm.replay.scenario import Outcome
from realtime_fsm.testing.assertions import recorded
from realtime_fsm.testing.eras import era_named
from realtime_fsm.testing.memory import InMemoryServer, in_memory
from realtime_fsm.testing.quick import predictable
from realtime_fsm.testing.virtual import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from realtime_fsm.audit.policies import Policies
    from realtime_fsm.replay.scenario import Scenario
    from realtime_fsm.testing.eras import EraName
    from realtime_fsm.testing.server import RealtimeServer

_SETTLING = 600.0
"""The longest wait for the last outage to end, in seconds of virtual time."""


def play(
    script: str,
    code: Callable[[Realtime, RealtimeServer], Awaitable[object]],
    *,
    seconds: float,
    era: EraName = "E4",
    **options: Any,
) -> Outcome:
    """Run code with a client of a server that fails by a script, in virtual time.

    Args:
        script: the faults, as `RealtimeServer.script` takes them; empty for none.
        code: takes the client and the server. `play` cancels it after the script, once the client is not reconnecting.
        seconds: the least time for the code, in seconds of virtual time.
        era: the era of the server.
        options: further arguments of `Realtime`.

    Returns:
        The outages, and how the connection and the code ended.

    Raises:
        Exception: as the code raises, except `RealtimeError`, whose name is in the outcome.
    """
    clock = VirtualClock()

    async def scenario() -> tuple[bool, str | None]:
        async with InMemoryServer(era=era, clock=lambda: clock.now().timestamp()) as server:
            with in_memory(server):
                async with Realtime(server.endpoint, project="demo", **options) as realtime:
                    running = asyncio.ensure_future(code(realtime, server))
                    end = clock.elapsed + seconds
                    if script:
                        await server.script(script)
                    await clock.advance(max(0.0, end - clock.elapsed))
                    with suppress(AssertionError):
                        await clock.wait_until(lambda: realtime.state is not State.RECONNECTING, within=_SETTLING)
                    return realtime.state in LIVE, await _end(running)

    with predictable(), recorded() as records:
        is_live, error = clock.run(scenario)
    opened = [record for record in records if record["event"] == "realtime.outage" and record["change"] == "opened"]
    return Outcome(tuple(record["cause"] for record in opened if not record["planned"]), is_live, error)


def play_scenario(policies: Policies, scenario: Scenario) -> Outcome:
    """Play the scenario of a log, with the code that an emitted test holds at first."""

    async def subscribe(realtime: Realtime, server: RealtimeServer) -> None:
        subscription = await realtime.subscribe("rows")
        server.publish("rows.r1.create", "rows", {"$id": "r1"})
        async for _ in subscription:
            pass

    return play(
        scenario.script,
        subscribe,
        seconds=scenario.seconds,
        **policies.by_name | {"era": era_named(scenario.era).name, "canary": None},
    )


async def _end(running: asyncio.Future[object]) -> str | None:
    """Cancel the code, and name the `RealtimeError` that it raised."""
    running.cancel()
    with suppress(asyncio.CancelledError):
        try:
            await running
        except RealtimeError as error:
            return type(error).__name__
    return None
