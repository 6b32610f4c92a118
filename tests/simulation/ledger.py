"""The ledger and the records: what each stream owes its consumer, and what the audit log was told."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import structlog

from realtime_fsm import Event, Subscription
from simulation.history import Follower
from simulation.world import MARKER, World

_BACKLOG = 25.0  # seconds in which a stream may still bring what was sent before the process slept
_EVENT = re.compile(rb'^\{"type":"event".*"n":(\d+).*"subscriptions":\[([^\]]*)\]\}\}$', re.DOTALL)


class LogRefused(Exception):
    """The application's logging is broken for a moment."""


class Ledger:
    """For each subscription: the numbers of the events that arrived on its current link and were not yet taken out.

    A consumer must get exactly these, in this order, each once; only those that had to make room for newer ones may be
    missing, and those are counted by `Subscription.dropped`.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.delivered = 0
        self.followers: dict[str, Follower] = {}  # who hands back what was missed in gaps
        self._owed: dict[str, deque[int]] = {}
        self._twins: set[tuple[str, int]] = set()  # what was handed back and came again, right after a sleep
        self._last: dict[str, int] = {}
        self._missed: dict[str, int] = {}

    def arrived(self, frame: bytes, streams: set[str]) -> None:
        """A frame came on the current link; `streams` are the subscriptions that are not gone."""
        found = _EVENT.match(frame)
        if found is None:
            return
        number = int(found[1])
        for identifier in found[2].decode().replace('"', "").split(","):
            if identifier in streams and number in self._restored(identifier):
                if self.world.loop.time() < self.world.woke_at + _BACKLOG:
                    self._twins.add((identifier, number))
            elif identifier in streams:
                self._owed.setdefault(identifier, deque()).append(number)

    def received(self, subscription: Subscription, event: Event) -> None:
        """A consumer got an event."""
        identifier, world = subscription.id, self.world
        number = event.payload["n"]
        self.delivered += 1
        world.note("event", identifier, number)
        restored = self._restored(identifier)
        known = "memory slept away" * ((identifier, number) in self._twins)
        ahead = number > self._last.get(identifier, 0)
        world.must(ahead, f"{identifier}: event {number} twice, or out of order", known=known)
        self._last[identifier] = max(number, self._last.get(identifier, 0))
        owed = self._owed.get(identifier, deque())
        if number in restored and number not in owed:
            return
        missed = self._missed.get(identifier, 0)
        while owed and owed[0] != number:
            owed.popleft()
            missed += 1
        self._missed[identifier] = missed
        world.must(owed, f"{identifier}: event {number} was not for it")
        if owed:
            owed.popleft()
        world.must(missed <= subscription.dropped, f"{identifier}: events are missing before {number}")
        world.must(MARKER not in repr(event), "the payload is in an event's repr")

    def _restored(self, identifier: str) -> set[int]:
        follower = self.followers.get(identifier)
        return set() if follower is None else follower.restored

    def close(self, subscription: Subscription) -> None:
        """A stream was read to its end: nothing may be left."""
        owed = len(self._owed.get(subscription.id, ()))
        missed = self._missed.get(subscription.id, 0) + owed
        enough = missed <= subscription.dropped if self._restored(subscription.id) else missed == subscription.dropped
        self.world.must(enough, f"{subscription.id}: {owed} events were never delivered")


class Records:
    """The application's logging: it looks at every record."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.count = 0
        self._seq: dict[str, int] = {}
        self._state: dict[str, str] = {}

    def __call__(self, logger: object, level: str, record: Any) -> NoReturn:
        world = self.world
        self.count += 1
        name, connection = record["event"], record["connection_id"]
        seq = self._seq[connection] = self._seq.get(connection, 0) + 1
        world.must(record["seq"] == seq, f"record {record['seq']} instead of {seq}")
        text = repr(record)
        world.must(world.hides(text), f"a secret in the record {name}")
        if name == "realtime.transition":
            before = self._state.get(connection, "disconnected")
            world.must(record["source"] == before, f"a record of {record['source']} after {before}")
            self._state[connection] = record["dest"]
        if fault := world.strikes("log"):
            world.count(fault)
            raise LogRefused
        raise structlog.DropEvent


@contextmanager
def recorded(records: Records) -> Iterator[None]:
    """Let the records go there, and put the configuration of the process back afterwards."""
    before = structlog.get_config() if structlog.is_configured() else None
    structlog.configure(processors=[records], cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.reset_defaults()
        if before is not None:
            structlog.configure(**before)
