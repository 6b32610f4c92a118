"""The load: what one run asks of the server. It travels as the name of the channel, which every protocol has."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Self

_MARK = "bench"


@dataclass(frozen=True, slots=True)
class Load:
    """What the server sends.

    Attributes:
        run: a number that no other run has.
        size: bytes of an event, one of `bench.events.SIZES`.
        warm: events that come when the client says go, unmeasured.
        count: events that come each time it says so again.
        rate: events a second; 0 for as many as the client takes.
        subscriptions: how many subscriptions there are to be before the first event; each event matches all of them.
    """

    run: int
    size: int
    warm: int
    count: int
    rate: int = 0
    subscriptions: int = 1

    @property
    def channel(self) -> str:
        """The name of the channel."""
        return ".".join((_MARK, *map(str, astuple(self))))

    @classmethod
    def of(cls, channel: str) -> Self | None:
        """The load that a channel's name spells; None for one that spells none."""
        mark, *numbers = channel.split(".")
        return cls(*map(int, numbers)) if mark == _MARK else None
