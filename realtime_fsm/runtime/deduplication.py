"""The deduplication of a handover: both links deliver, and each event reaches each subscription once.

Design: the server does not number its events. But both links bring the same frame for one event, except for the ids of
subscriptions. So the deduplicator counts, for each subscription, which link is ahead with a frame. When the other link brings
the frame, the frame is a duplicate.

When one link is closed, the other link may still lag behind it. So the deduplicator keeps the leads of the closed link until the
other one must have caught up: a link keeps the order of its events.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from realtime_fsm.events import dedup_key

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from realtime_fsm.events import Event

_Recipient = TypeVar("_Recipient", bound="Hashable")

CAUGHT_UP_AFTER = 100
"""New events in a row after which the remaining link has caught up with the closed one."""

MOST_LEADS = 100_000
"""Leads that are kept for all subscriptions together. Then the oldest lead is dropped, and its event may come twice: a handover
that does not end must not fill the memory."""


class HandoverDeduplicator:
    """Compare the events of two links; later, those of the remaining link with the leads of the closed one."""

    __slots__ = ("_leads", "_new_in_a_row", "_newer")

    def __init__(self) -> None:
        self._leads: dict[tuple[int, Hashable], int] = {}  # by how many frames the newer link is ahead; below zero, the older one
        self._newer: int | None = None  # the generation of the newer link; None while there is one link
        self._new_in_a_row: int  # on the remaining link

    @property
    def is_behind(self) -> bool:
        """Whether one link has not yet brought all that the other one had brought."""
        return bool(self._leads)

    def dial(self, newer: int) -> None:
        """Compare with another newer link. The former newer link is closed, and the older one may lag behind it."""
        self.newer_closed()
        self._newer = newer

    def filter_new(self, event: Event, recipients: Iterable[_Recipient], link: int) -> list[_Recipient]:
        """Return the recipients that have not got an event from the other link."""
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
        """Keep the leads of the older link. The newer one remains, and may become the older one of another handover."""
        self._keep_leads(-1)

    def newer_closed(self) -> None:
        """Keep the leads of the newer link."""
        self._keep_leads(1)

    def _keep_leads(self, side: int) -> None:
        self._leads = {key: ahead * side for key, ahead in self._leads.items() if ahead * side > 0}
        self._newer, self._new_in_a_row = None, 0
