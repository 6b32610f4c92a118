"""The overlap: while one link takes the place of another, both deliver. Each event reaches each subscription once.

The server names no numbers, but the frames of one event are the same on both links, but for the ids that it chose. So it is
counted, for each subscription, which of the links is ahead with a frame; what the one brings the other need not bring again.

When the older link is gone, the newer one may still be behind it. So what the older one was ahead with is remembered, until so
many other events have come that the newer one must have caught up: a stream keeps its order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from realtime_fsm.events import dedup_key

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from realtime_fsm.events import Event

_Recipient = TypeVar("_Recipient", bound="Hashable")

CAUGHT_UP_AFTER = 100
"""Events in a row that the older link had not brought, after which the newer one is not behind it any more."""


class HandoverDeduplicator:
    """Compare the events of two links since the dial of the newer link.

    Args:
        newer: the generation of that one.
    """

    __slots__ = ("_lead_counts", "_new_in_a_row", "_newer")

    def __init__(self, newer: int) -> None:
        self._newer = newer
        self._lead_counts: dict[tuple[int, Hashable], int] = {}  # the newer one, or the older one where it is below zero
        self._new_in_a_row: int | None = None  # how many in a row are news, since the older link is gone

    @property
    def newer_is_behind(self) -> bool:
        """Whether the newer link has not brought yet what the older one had."""
        return bool(self._lead_counts)

    def filter_new(self, event: Event, recipients: Iterable[_Recipient], link: int) -> list[_Recipient]:
        """Return the recipients that have not got an event from the other link.

        Args:
            event: the event.
            recipients: the subscriptions that the event is for, whatever their ids are now.
            link: the generation of the link that brings the event; the events of an even later link all pass.
        """
        if link > self._newer or (self._new_in_a_row is not None and not self._lead_counts):
            return list(recipients)
        text = hash(dedup_key(event))
        step = 1 if link == self._newer else -1
        fresh = []
        for recipient in recipients:
            key: tuple[int, Hashable] = text, recipient
            before = self._lead_counts.pop(key, 0)
            after = before + step
            if before * step >= 0:
                fresh.append(recipient)
            if after < 0 or (after > 0 and self._new_in_a_row is None):
                self._lead_counts[key] = after
        if self._new_in_a_row is not None:
            self._new_in_a_row = self._new_in_a_row + 1 if fresh else 0
            if self._new_in_a_row == CAUGHT_UP_AFTER:
                self._lead_counts.clear()
        return fresh

    def older_closed(self) -> None:
        """Forget the events of the older link, which is closed."""
        self._lead_counts = {key: ahead for key, ahead in self._lead_counts.items() if ahead < 0}
        self._new_in_a_row = 0
