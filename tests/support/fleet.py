"""A fleet of clients that lose their server at once: the dials of each second, and the time until they are back.

The clients stand for a thousand users, so no dial counts for another client. The network is simulated, the time is virtual, and
the clients are real. `make fleet` prints the figures.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from realtime_fsm import Realtime, RetryPolicy, State
from realtime_fsm.errors import DialFailed
from support.network import GREET, Network
from support.virtual import eventually, run


@dataclass(frozen=True)
class FleetReturn:
    """The return of a fleet.

    Attributes:
        dials: the number of dials in each second after the loss.
        back_after: seconds until 99 % were subscribed again.
    """

    dials: dict[int, int]
    back_after: float


def come_back(clients: int, away: float, *, seed: int = 1) -> FleetReturn:
    """Lose the server for ``away`` seconds, and wait until the fleet is back."""
    draw = random.Random(seed).random

    async def main() -> FleetReturn:
        network = Network(rate_limit=None)
        retry = RetryPolicy(attempts=None, dials_per_minute=None)  # the rate of one process is not that of a fleet
        fleet = [network.realtime(draw, retry=retry) for _ in range(clients)]
        await asyncio.gather(*(client.subscribe("rows") for client in fleet))
        await asyncio.sleep(60)
        loop = asyncio.get_running_loop()
        lost_at, before = loop.time(), len(network.dials)
        network.otherwise = DialFailed("refused")
        for socket in list(network.sockets):
            socket.cut()
        loop.call_later(away, setattr, network, "otherwise", GREET)
        await eventually(lambda: _back(fleet) == 0)
        await eventually(lambda: _back(fleet) >= clients * 0.99)
        back_after = loop.time() - lost_at
        await asyncio.gather(*(client.dispose() for client in fleet))
        return FleetReturn(dict(sorted(Counter(int(dial - lost_at) for dial in network.dials[before:]).items())), back_after)

    return run(main)


def _back(fleet: list[Realtime]) -> int:
    return sum(client.state in (State.SUBSCRIBED, State.PING) for client in fleet)


if __name__ == "__main__":
    for seconds in (0.0, 3.0, 10.0):
        result = come_back(1000, seconds)
        print(f"\n1,000 clients, a server that is away for {seconds:g} s; 99 % are back after {result.back_after:.1f} s.")
        print("Dials a second:")
        for second, count in result.dials.items():
            print(f"  {second:3d} s {count:5d} {'#' * (count // 10)}")
