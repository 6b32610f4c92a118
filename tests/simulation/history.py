"""The history: what happened on the server, by which a user catches up after a gap, and the callables that users hand in."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from realtime_fsm.client.subscription import SubscriptionInfo
from realtime_fsm.fsm.change import Gap
from simulation.world import MARKER, World

EVEN = '{"method":"equal","attribute":"even","values":[true]}'
DOCUMENTS = 5
"""The number of documents; so few that each has many versions."""
_BEGIN = datetime(2026, 11, 24, tzinfo=UTC)


def passes(queries: tuple[str, ...], number: int) -> bool:
    """Whether queries let an event through."""
    return EVEN not in queries or number % 2 == 0


class Bug(Exception):
    """An error that a user's own code raises."""


class History:
    """Every event, numbered from 1. The server's clock is exact: event n happened at millisecond n."""

    def __init__(self) -> None:
        self._channels: list[tuple[str, ...]] = []

    def __len__(self) -> int:
        return len(self._channels)

    def channels(self, number: int) -> tuple[str, ...]:
        """Where an event happened."""
        return self._channels[number - 1]

    def add(self, channels: tuple[str, ...]) -> dict[str, Any]:
        """Something happens. The answer is what the event holds."""
        self._channels.append(channels)
        return self.payload(len(self._channels))

    @staticmethod
    def payload(number: int) -> dict[str, Any]:
        """Return the payload of an event."""
        moment = (_BEGIN + timedelta(milliseconds=number)).isoformat(timespec="milliseconds")
        return {"$id": f"d{number % DOCUMENTS}", "$updatedAt": moment, "text": MARKER, "n": number, "even": number % 2 == 0}

    @staticmethod
    def number(moment: datetime) -> int:
        """Which event happened then."""
        return round((moment - _BEGIN) / timedelta(milliseconds=1))

    def after(self, number: int, channels: tuple[str, ...], queries: tuple[str, ...]) -> list[int]:
        """The events behind a number that are of interest."""
        wanted = set(channels)
        return [
            later
            for later in range(number + 1, len(self) + 1)
            if not wanted.isdisjoint(self._channels[later - 1]) and passes(queries, later)
        ]


class Follower:
    """A user's `on_gap` and `catch_up` for one subscription.

    Attributes:
        subscription: the subscription, once it is granted; it may be updated.
        restored: the events that it ever handed back.
        newest: the newest of them.
        asked: the beginning of the last gap with an answer; None for the beginning of the subscription.
    """

    def __init__(self, world: World, history: History, channels: tuple[str, ...], queries: tuple[str, ...]) -> None:
        self.subscription: SubscriptionInfo | None = None
        self.restored: set[int] = set()
        self.newest = 0
        self.asked: datetime | None = None
        self._world = world
        self._history = history
        self._begin = len(history)
        self._channels, self._queries = channels, queries

    async def on_gap(self, gap: Gap) -> None:
        """Be told of a gap."""
        self._world.must(gap.outage_seconds >= 0 and gap.attempts >= 0, "a gap of less than nothing")
        await misbehave(self._world)

    async def catch_up(self, gap: Gap) -> list[Mapping[str, Any]]:
        """Ask the server for what was missed."""
        since = self._begin if gap.since is None else self._history.number(gap.since)
        # A link may have lost events before those of a gap that was told first.
        earlier = self.asked is not None and (gap.since is None or gap.since < self.asked)
        self._world.must(since >= self.newest or earlier, "a gap reaches back behind what was caught up")
        early = self._world.rng.random() < 0.5
        found = self._missed(since) if early else []
        await misbehave(self._world)
        if not early:
            found = self._missed(since)
        self.restored.update(found)
        if found:
            self.newest, self.asked = max(self.newest, *found), gap.since
        self._world.actions["caught up"] += 1
        return [self._history.payload(number) for number in found]

    def _missed(self, since: int) -> list[int]:
        one = self.subscription
        wanted = (self._channels, self._queries) if one is None else (one.channels, one.queries)
        return self._history.after(since, *wanted)


async def misbehave(world: World) -> None:
    """Be as slow, or as faulty, as users' code is."""
    fault = world.strikes("users")
    if fault:
        world.count(fault)
    if fault == "callable is slow":
        await asyncio.sleep(world.rng.uniform(0.1, 15.0))
    if fault == "callable raises":
        raise Bug
