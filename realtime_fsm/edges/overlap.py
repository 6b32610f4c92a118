"""The overlap: while one link takes the place of another, both deliver. Each event reaches each subscription once.

The server names no numbers, but the frames of one event are the same on both links, but for the ids that it chose. So it is
counted, for each subscription, which of the links is ahead with a frame; what the one brings the other need not bring again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.vocabulary.events import text_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from realtime_fsm.vocabulary.events import Event


class Overlap:
    """What two links have delivered, since the newer one was dialed.

    Args:
        newer: the generation of that one.
    """

    __slots__ = ("_ahead", "_newer")

    def __init__(self, newer: int) -> None:
        self._newer = newer
        self._ahead: dict[tuple[int, str], int] = {}

    def fresh(self, event: Event, subscriptions: Iterable[str], link: int) -> list[str]:
        """The subscriptions that have not got it from the other link.

        Args:
            event: the event.
            subscriptions: whom it is for.
            link: the generation of the link that brings it. What one that came even later brings is none of the two's.
        """
        if link > self._newer:
            return list(subscriptions)
        text = hash(text_of(event))
        step = 1 if link == self._newer else -1
        fresh = []
        for identifier in subscriptions:
            key = text, identifier
            ahead = self._ahead.get(key, 0)
            if ahead * step >= 0:
                fresh.append(identifier)
            self._ahead[key] = ahead + step
        return fresh
