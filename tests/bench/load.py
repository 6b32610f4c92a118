"""Describe a run to the server. The description travels as the name of a channel, which every protocol has."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Self

_PREFIX = "bench"


@dataclass(frozen=True, slots=True)
class Load:
    """The events that the server sends in one run.

    Attributes:
        run: the unique number of the run.
        size: bytes of an event, one of `bench.events.SIZES`.
        warm_up: unmeasured events, sent at the first release.
        count: measured events, sent at each later release.
        rate: events a second; 0 for full speed.
        subscriptions: the number of subscriptions that the server awaits before the first event; each event matches all.
    """

    run: int
    size: int
    warm_up: int
    count: int
    rate: int = 0
    subscriptions: int = 1

    @property
    def channel(self) -> str:
        """Name the channel of this load."""
        return ".".join((_PREFIX, *map(str, astuple(self))))

    @classmethod
    def from_channel(cls, channel: str) -> Self | None:
        """Read a load from a channel's name; None if the name is not a load."""
        prefix, *numbers = channel.split(".")
        return cls(*map(int, numbers)) if prefix == _PREFIX else None
