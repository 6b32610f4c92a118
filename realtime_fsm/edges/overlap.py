"""The overlap: while one link takes the place of another, both deliver. Each event reaches each subscription once.

The server names no numbers, but the frames of one event are the same on both links, but for the ids that it chose. So it is
counted, for each subscription, which of the links is ahead with a frame; what the one brings the other need not bring again.

When the older link is gone, the newer one may still be behind it. So what the older one was ahead with is remembered, until so
many other events have come that the newer one must have caught up: a stream keeps its order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.vocabulary.events import text_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from realtime_fsm.vocabulary.events import Event


PATIENCE = 100
"""Events in a row that the older link had not brought, after which the newer one is not behind it any more."""


class Overlap:
    """What two links have delivered, since the newer one was dialed.

    Args:
        newer: the generation of that one.
    """

    __slots__ = ("_ahead", "_newer", "_news")

    def __init__(self, newer: int) -> None:
        self._newer = newer
        self._ahead: dict[tuple[int, str], int] = {}  # the newer one, or the older one where it is below zero
        self._news: int | None = None  # how many in a row are news, since the older link is gone

    @property
    def behind(self) -> bool:
        """Whether the newer link has not brought yet what the older one had."""
        return bool(self._ahead)

    def fresh(self, event: Event, subscriptions: Iterable[str], link: int) -> list[str]:
        """The subscriptions that have not got it from the other link.

        Args:
            event: the event.
            subscriptions: whom it is for.
            link: the generation of the link that brings it. What one that came even later brings is none of the two's.
        """
        if link > self._newer or (self._news is not None and not self._ahead):
            return list(subscriptions)
        text = hash(text_of(event))
        step = 1 if link == self._newer else -1
        fresh = []
        for identifier in subscriptions:
            key = text, identifier
            before = self._ahead.pop(key, 0)
            after = before + step
            if before * step >= 0:
                fresh.append(identifier)
            if after < 0 or (after > 0 and self._news is None):
                self._ahead[key] = after
        if self._news is not None:
            self._news = self._news + 1 if fresh else 0
            if self._news == PATIENCE:
                self._ahead.clear()
        return fresh

    def end(self) -> None:
        """The older link is gone."""
        self._ahead = {key: ahead for key, ahead in self._ahead.items() if ahead < 0}
        self._news = 0
