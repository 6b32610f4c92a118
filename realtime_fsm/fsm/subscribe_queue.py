"""The subscribe queue: the subscriptions to ask for, and the groups in which requests ask for them.

Invariant: each id is in one place: pending, in one bisection group, or in one batch. Groups and batches outlive their link.

Design: An error that answers a request names no item (PROTOCOL: "Messages", rule 5). So the queue halves the request, and asks
for each half apart, until the rejected item is alone. A request that meets a server fault, or a refusal (1008) on a link that
stays up, becomes batches to repeat later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.fsm.control import SUBSCRIBE, Batch, ControlRequest, batched, halves
from realtime_fsm.fsm.refusals import Refusals
from realtime_fsm.protocol.faults import POLICY

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping

    from realtime_fsm.protocol.frames import Code
    from realtime_fsm.protocol.spec import SubscriptionSpec


class SubscribeQueue:
    """The subscriptions of one connection that no request in flight asks for, and that are not acknowledged.

    Args:
        desired: the subscriptions that the user wants, by id; the tracker changes them.
        established: the ids that the server has ever acknowledged; the tracker changes them, too.
    """

    __slots__ = ("_desired", "_established", "batches", "groups", "pending", "refusals")

    def __init__(self, desired: Mapping[str, SubscriptionSpec], established: Container[str]) -> None:
        self._desired, self._established = desired, established
        self.pending: dict[str, None] = {}  # the ids that no error has met; they go first, together
        self.groups: tuple[tuple[str, ...], ...] = ()  # the bisection groups, in their order
        self.batches: tuple[Batch, ...] = ()  # the batches to repeat, in their order
        self.refusals: Refusals = Refusals()  # the refusals (1008) since the server last accepted a subscription

    @property
    def has_new(self) -> bool:
        """Whether a request can ask for something that neither a server fault nor a refusal (1008) has met."""
        return bool(self.pending or self.groups)

    def remove(self, identifier: str) -> None:
        """Remove a subscription from its place."""
        self.pending.pop(identifier, None)
        self.groups = tuple(rest for group in self.groups if (rest := tuple(other for other in group if other != identifier)))
        self.batches = tuple(
            batch if identifier not in batch.ids else Batch(rest, batch.failures)
            for batch in self.batches
            if (rest := tuple(other for other in batch.ids if other != identifier))
        )

    def take_new(self) -> ControlRequest:
        """Take the pending subscriptions, or else one bisection group; a frame may hold only a part."""
        if self.pending:
            request = batched(SUBSCRIBE, self.pending, self._items(self.pending))
            for identifier in request.ids:
                del self.pending[identifier]
            return request
        group, *others = self.groups
        request = batched(SUBSCRIBE, group, self._items(group), bisecting=True)
        left = group[len(request.ids) :]
        self.groups = (left, *others) if left else tuple(others)
        return request

    def take_batch(self) -> ControlRequest:
        """Take the first batch. A part that the frame does not hold goes behind the other batches."""
        batch, *others = self.batches
        request = batched(SUBSCRIBE, batch.ids, self._items(batch.ids), batch=batch)
        later = batch.ids[len(request.ids) :]
        self.batches = (*others, Batch(later, batch.failures)) if later else tuple(others)
        return request

    def put_back(self, request: ControlRequest) -> None:
        """Put the subscriptions of a request without an answer back to their places, as far as they are still desired."""
        batch = self._remaining(request)
        if batch.ids and request.batch is not None:
            self.batches = (batch, *self.batches)
        elif not request.bisecting:
            self.pending |= dict.fromkeys(batch.ids)
        elif batch.ids:
            self.groups = (batch.ids, *self.groups)

    def divide(self, request: ControlRequest, code: Code, attempts: int | None) -> str | None:
        """Halve a request that an error answered.

        Args:
            request: the request.
            code: the code of the error frame.
            attempts: how many refusals (1008) of it alone reject a subscription that is not established; None for no limit.

        Returns:
            The subscription to reject instead, because the request named it alone; else None.
        """
        batch = self._remaining(request)
        lone = len(request.ids) == len(batch.ids) == 1
        alone = batch.alone + lone
        # The link was up until the request for the only desired subscription. So the server refuses that one, and not the link.
        only_new = len(batch.ids) == len(self._desired) == 1 and batch.ids[0] not in self._established
        blamed = code != POLICY or only_new or self.refusals.refuse(batch.ids, self._desired)
        if lone and (blamed or self._is_spent(batch.ids[0], alone, attempts)):
            return batch.ids[0]
        if code != POLICY:
            self.groups = (*halves(batch.ids), *self.groups)
            return None
        later = tuple(Batch(half, batch.failures, alone) for half in halves(batch.ids))
        # If this group is not to blame, another one comes first. If the server refuses that as well, it refuses everything.
        self.batches = (*later, *self.batches) if blamed else (*self.batches, *later)
        return None

    def postpone(self, request: ControlRequest, attempts: int | None, *, whole: bool) -> str | None:
        """Plan to repeat a request that met a server fault; undivided if a ping failed, too (`whole`).

        Returns:
            As `divide`.
        """
        batch = self._remaining(request)
        for part in batch.fail(self._established, whole=whole) if batch.ids else ():
            if self._is_spent(part.ids[0], part.alone, attempts):
                return part.ids[0]  # alone in its request, so it is the only part
            self.batches += (part,)
        return None

    def end_link(self) -> None:
        """Make everything desired pending for the next link, apart from groups and batches."""
        apart = {identifier for group in (*self.groups, *(batch.ids for batch in self.batches)) for identifier in group}
        self.pending = {identifier: None for identifier in self._desired if identifier not in apart}

    def reunite(self) -> None:
        """Join the batches into two, established and others: the server fails for every item, so no item is to blame."""
        old = tuple(batch for batch in self.batches if batch.ids[0] in self._established)
        new = tuple(batch for batch in self.batches if batch.ids[0] not in self._established)
        self.batches = tuple(_join(batches) for batches in (old, new) if batches)

    def _remaining(self, request: ControlRequest) -> Batch:
        """Return the subscriptions of a request that are still desired, with the failures that they have met."""
        before = request.batch or Batch(request.ids)
        ids = tuple(identifier for identifier in request.ids if identifier in self._desired)
        return Batch(ids, before.failures, before.alone if ids == before.ids else 0)

    def _items(self, ids: Iterable[str]) -> Iterator[bytes]:
        return (self._desired[identifier].item for identifier in ids)

    def _is_spent(self, identifier: str, alone: int, attempts: int | None) -> bool:
        """Tell whether a subscription that is not established has had all its `attempts` alone."""
        return attempts is not None and alone >= attempts and identifier not in self._established


def _join(batches: tuple[Batch, ...]) -> Batch:
    if len(batches) == 1:
        return batches[0]
    ids = tuple(identifier for batch in batches for identifier in batch.ids)
    return Batch(ids, max(batch.failures for batch in batches))
