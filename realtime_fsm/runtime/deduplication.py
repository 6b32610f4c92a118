"""The overlap: while one link takes the place of another, both deliver. Each event reaches each subscription once.

The server names no numbers, but the frames of one event are the same on both links, but for the ids that it chose. So it is
counted, for each subscription, which of the links is ahead with a frame; what the one brings the other need not bring again.

When one link is gone, the other may still be behind it. So what the one was ahead with is remembered, until so many other
events have come that the other must have caught up: a stream keeps its order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from realtime_fsm.events import dedup_key

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from realtime_fsm.events import Event

_Recipient = TypeVar("_Recipient", bound="Hashable")

CAUGHT_UP_AFTER = 100
"""Events in a row that the link before had not brought, after which the link that is left is not behind it any more."""

MOST_LEADS = 100_000
"""Events that one link may be ahead with, for all subscriptions. Beyond, the oldest is forgotten, and may come twice: a handover
that does not end must not fill the memory."""


class HandoverDeduplicator:
    """Compare the events of two links, and then those of the link that is left with what the other one had brought."""

    __slots__ = ("_leads", "_new_in_a_row", "_newer")

    def __init__(self) -> None:
        self._leads: dict[tuple[int, Hashable], int] = {}  # of the newer link, or of the older one where it is below zero
        self._newer: int | None = None  # the generation of the newer link; None while there is one link
        self._new_in_a_row = 0  # on the link that is left

    @property
    def is_behind(self) -> bool:
        """Whether the one link has not brought yet what another one had."""
        return bool(self._leads)

    def dial(self, newer: int) -> None:
        """Compare with another newer link. The newer link before it is gone, and the older one may be behind it."""
        self.newer_closed()
        self._newer = newer

    def filter_new(self, event: Event, recipients: Iterable[_Recipient], link: int) -> list[_Recipient]:
        """Return the recipients, whatever their ids are now, that have not got an event from the other link."""
        alone = self._newer is None
        if alone and not self._leads:
            return list(recipients)
        text = hash(dedup_key(event))
        step = 1 if link == self._newer else -1
        new = []
        for recipient in recipients:
            key: tuple[int, Hashable] = text, recipient
            before = self._leads.pop(key, 0)
            after = before + step
            if before * step >= 0:
                new.append(recipient)
            if after > 0 or (after < 0 and not alone):
                self._leads[key] = after
                if len(self._leads) > MOST_LEADS:
                    del self._leads[next(iter(self._leads))]
        if alone:
            self._new_in_a_row = self._new_in_a_row + 1 if new else 0
            if self._new_in_a_row == CAUGHT_UP_AFTER:
                self._leads.clear()
        return new

    def older_closed(self) -> None:
        """Keep what the older link was ahead with. The newer one is left, and may become the older one of another pair."""
        self._keep_leads(-1)

    def newer_closed(self) -> None:
        """Keep what the newer link was ahead with."""
        self._keep_leads(1)

    def _keep_leads(self, side: int) -> None:
        self._leads = {key: ahead * side for key, ahead in self._leads.items() if ahead * side > 0}
        self._newer, self._new_in_a_row = None, 0
