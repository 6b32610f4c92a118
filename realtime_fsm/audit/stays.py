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
    absorbed: int = 0
    longest: float = 0.0


def merge(stays: list[Stay], most: int) -> Merged:
    """Keep the weightiest stays; others count as part of the stay before them, and follow no hole."""
    if len(stays) <= most:
        return Merged(stays)
    kept = set(sorted(range(len(stays)), key=lambda index: -stays[index].weight)[:most])
    merged: list[Stay] = []
    longest = 0.0
    for index, stay in enumerate(stays):
        begin, length, state = stay
        before = merged[-1] if merged else None
        adjoins = before is not None and abs(before.begin + before.length - begin) <= _TOLERANCE
        if index not in kept:
            longest = max(longest, length)
        if before is not None and adjoins and (index not in kept or before.state == state):
            merged[-1] = Stay(before.begin, begin + length - before.begin, before.state)
        elif index in kept:
            merged.append(stay)
    return Merged(merged, len(stays) - len(kept), longest)


class Stays:
    """Stays in the order of time.

    Attributes:
        absorbed: the number of stays that count as part of others.
        longest: the length of the longest of these, in seconds.
    """

    __slots__ = ("_numbers", "absorbed", "longest")

    def __init__(self) -> None:
        self._numbers = array("d")  # of each stay its beginning, its length and the code of its state
        self.absorbed = 0
        self.longest = 0.0

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
