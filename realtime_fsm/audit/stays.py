"""The stays of a connection in its states, by the wall clock. Their number is bounded.

Design: of too many stays the shortest ones count as part of the stay before them. A stay without a link weighs as much as a much
longer one with a link, so that heartbeats go first and outages last.
"""

from __future__ import annotations

from array import array
from typing import NamedTuple

from realtime_fsm.fsm.table import LIVE, State

MOST = 100
"""Stays of a connection that are kept; at most twice as many wait to be merged."""
_STATES = tuple(State)
_CODES = {state.value: code for code, state in enumerate(_STATES)}
_TROUBLE = 60.0
"""A second without a link weighs as much as so many with a link."""
_TOLERANCE = 1.0
"""Seconds between two stays that adjoin: two clocks measure them."""


class Stay(NamedTuple):
    """One stay: its beginning in seconds since 1970 (UTC), its length in seconds, and the state."""

    begin: float
    length: float
    state: str

    @property
    def weight(self) -> float:
        """The weight of the stay against that of others."""
        return self.length if self.state in LIVE else self.length * _TROUBLE


class Merged(NamedTuple):
    """Stays, the number of those that count as part of others, and the length of the longest of these, in seconds."""

    stays: list[Stay]
    absorbed: int
    longest: float


def merge(stays: list[Stay], most: int) -> Merged:
    """Let the lightest stays count as part of the stay before them, until no more than `most` are left."""
    absorbed, longest = 0, 0.0
    while len(stays) > most:  # in steps, because the neighbours of a heartbeat become one stay
        light = set(sorted(range(len(stays)), key=lambda index: stays[index].weight)[: (len(stays) - most + 1) // 2])
        absorbed += len(light)
        longest = max(longest, *(stays[index].length for index in light))
        stays = _without(light, stays)
    return Merged(stays, absorbed, longest)


def _without(light: set[int], stays: list[Stay]) -> list[Stay]:
    """Join stays with the stay before them, where they are light or of its state, and no hole is between."""
    joined: list[Stay] = []
    for index, stay in enumerate(stays):
        before = joined[-1] if joined else None
        if (
            before is not None
            and (index in light or before.state == stay.state)
            and abs(before.begin + before.length - stay.begin) <= _TOLERANCE
        ):
            joined[-1] = before._replace(length=stay.begin + stay.length - before.begin)
        elif index not in light:
            joined.append(stay)
    return joined


class Stays:
    """Stays in the order of time."""

    __slots__ = ("_numbers", "absorbed", "longest")

    def __init__(self) -> None:
        self._numbers = array("d")  # of each stay its beginning, its length and the code of its state
        self.absorbed: int = 0  # stays that count as part of others
        self.longest: float = 0.0  # the length of the longest of these, in seconds

    def add(self, begin: float, length: float, state: str) -> None:
        """Add a stay."""
        self._numbers.extend((begin, length, _CODES[state]))
        if len(self._numbers) == 6 * MOST:
            self._merge()

    def all(self) -> list[Stay]:
        """Return the stays, `MOST` of them at most."""
        self._merge()
        return self._stays()

    def _merge(self) -> None:
        stays, absorbed, longest = merge(self._stays(), MOST)
        self.absorbed += absorbed
        self.longest = max(self.longest, longest)
        self._numbers = array("d", (number for begin, length, state in stays for number in (begin, length, _CODES[state])))

    def _stays(self) -> list[Stay]:
        numbers = self._numbers
        return [
            Stay(begin, length, _STATES[int(code)].value)
            for begin, length, code in zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True)
        ]
