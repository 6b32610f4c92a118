"""The records of the audit log: each is checked, and some go on to the watch of their connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import structlog

from simulation.world import World


class LogRefused(Exception):
    """The application's logging is broken for a moment."""


class Records:
    """The application's logging.

    Attributes:
        watchers: who is told of the records of a connection.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.count = 0
        self.watchers: dict[str, Callable[[Any], None]] = {}
        self._seq: dict[str, int] = {}
        self._state: dict[str, str] = {}
        self._outage: dict[str, str] = {}

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
        if name == "realtime.outage":
            world.must(record["change"] != self._outage.get(connection, "closed"), f"an outage {record['change']} twice")
            self._outage[connection] = record["change"]
        self.watchers[connection](record)
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
