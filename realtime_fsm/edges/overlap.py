"""The overlap: while one link takes the place of another, both deliver. Each event reaches each subscription once.

The server names no numbers, but the frames of one event are the same on both links, but for the ids that it chose. So it is
counted, for each subscription, which of the links is ahead with a frame; what the one brings the other need not bring again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from realtime_fsm.vocabulary.frames import EventFrame


class Overlap:
    """What two links have delivered, since the newer one was dialed."""

    __slots__ = ("_ahead",)

    def __init__(self) -> None:
        self._ahead: dict[tuple[int, str], int] = {}

    def fresh(self, frame: EventFrame, subscriptions: Iterable[str], *, newer: bool) -> list[str]:
        """The subscriptions that have not got it from the other link.

        Args:
            frame: the event.
            subscriptions: whom it is for.
            newer: whether the newer link brings it.
        """
        data = frame.data
        text = hash((bytes(data.events), bytes(data.channels), bytes(data.timestamp), bytes(data.payload)))
        step = 1 if newer else -1
        fresh = []
        for identifier in subscriptions:
            key = text, identifier
            ahead = self._ahead.get(key, 0)
            if ahead * step >= 0:
                fresh.append(identifier)
            self._ahead[key] = ahead + step
        return fresh
