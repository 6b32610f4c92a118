"""The subscribe queue: the subscriptions to ask for, and the groups in which a request asks for them.

Invariant: each id is in one place: pending, in one bisection group, or in one batch. Groups and batches outlive their link.

Design: An error that answers a request names no item (PROTOCOL: "Messages", rule 5). So the queue halves the request, and each
half is asked for apart, until the rejected item is alone. A request that meets a server fault, or a refusal (1008) on a link
that stays up, becomes batches that are repeated later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.fsm.control import SUBSCRIBE, Batch, ControlRequest, batched, halves
from realtime_fsm.fsm.policies import POLICY
from realtime_fsm.fsm.refusals import Refusals

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable, Iterator, Mapping

    from realtime_fsm.protocol.frames import Code
    from realtime_fsm.protocol.spec import SubscriptionSpec


class SubscribeQueue:
    """The subscriptions of one connection that no request in flight asks for, and that are not acknowledged.

    Attributes:
        pending: those that no error has met; they go first, together.
        groups: the bisection groups, in their order.
        batches: the batches to repeat, in their order.
        refusals: the refusals (1008) since the server last accepted a subscription.
    """

    __slots__ = ("batches", "groups", "pending", "refusals")

    def __init__(self) -> None:
        self.pending: dict[str, None] = {}
        self.groups: tuple[tuple[str, ...], ...] = ()
        self.batches: tuple[Batch, ...] = ()
        self.refusals: Refusals = Refusals()

    @property
    def has_new(self) -> bool:
        """Whether a request can ask for something that neither a server fault nor a refusal (1008) has met."""
        return bool(self.pending or self.groups)

    def remove(self, identifier: str) -> None:
        """Ask for a subscription no more."""
        self.pending.pop(identifier, None)
        self.groups = tuple(rest for group in self.groups if (rest := tuple(other for other in group if other != identifier)))
        self.batches = tuple(
            batch if identifier not in batch.ids else Batch(rest, batch.failures)
            for batch in self.batches
            if (rest := tuple(other for other in batch.ids if other != identifier))
        )

    def take_new(self, desired: Mapping[str, SubscriptionSpec]) -> ControlRequest:
        """Take the pending subscriptions, or else one bisection group, as far as a frame holds them."""
        if self.pending:
            request = batched(SUBSCRIBE, self.pending, _items(self.pending, desired))
            for identifier in request.ids:
                del self.pending[identifier]
            return request
        group, *others = self.groups
        request = batched(SUBSCRIBE, group, _items(group, desired), bisecting=True)
        left = group[len(request.ids) :]
        self.groups = (left, *others) if left else tuple(others)
        return request

    def take_batch(self, desired: Mapping[str, SubscriptionSpec]) -> ControlRequest:
        """Take the first batch, as far as a frame holds it; the rest of it goes behind the others."""
        batch, *others = self.batches
        request = batched(SUBSCRIBE, batch.ids, _items(batch.ids, desired), batch=batch)
        later = batch.ids[len(request.ids) :]
        self.batches = (*others, Batch(later, batch.failures)) if later else tuple(others)
        return request

    def put_back(self, request: ControlRequest, desired: Container[str]) -> None:
        """Put the desired subscriptions of a request that no answer met back to where they were taken."""
        batch = remaining(request, desired)
        if batch.ids and request.batch is not None:
            self.batches = (batch, *self.batches)
        elif not request.bisecting:
            self.pending |= dict.fromkeys(batch.ids)
        elif batch.ids:
            self.groups = (batch.ids, *self.groups)

    def divide(
        self, request: ControlRequest, code: Code, desired: Collection[str], established: Container[str], attempts: int | None
    ) -> str | None:
        """Halve the subscriptions of a request that an error answered.

        Args:
            request: the request.
            code: the code of the error frame.
            desired: all ids that the user wants.
            established: the ids that the server ever acknowledged.
            attempts: how many refusals (1008) alone reject a subscription that was never acknowledged; None for no limit.

        Returns:
            The subscription to reject instead, because the request named it alone.
        """
        batch = remaining(request, desired)
        lone = len(request.ids) == len(batch.ids) == 1
        alone = batch.alone + lone
        # The link lived until a request for the only desired subscription: the server refuses that one, and no link.
        only_new = len(batch.ids) == len(desired) == 1 and batch.ids[0] not in established
        blamed = code != POLICY or only_new or self.refusals.refuse(batch.ids, desired)
        if lone and (blamed or _is_spent(batch.ids[0], alone, established, attempts)):
            return batch.ids[0]
        if code != POLICY:
            self.groups = (*halves(batch.ids), *self.groups)
            return None
        later = tuple(Batch(half, batch.failures, alone) for half in halves(batch.ids))
        # Where nothing was accepted, another group comes first: if the server refuses that as well, it refuses everything.
        self.batches = (*later, *self.batches) if blamed else (*self.batches, *later)
        return None

    def postpone(
        self,
        request: ControlRequest,
        desired: Container[str],
        established: Container[str],
        attempts: int | None,
        *,
        whole: bool,
    ) -> str | None:
        """Repeat the subscriptions of a request that met a server fault; undivided if a ping failed, too (`whole`).

        Returns:
            As `divide`.
        """
        batch = remaining(request, desired)
        for part in batch.fail(established, whole=whole) if batch.ids else ():
            if _is_spent(part.ids[0], part.alone, established, attempts):
                return part.ids[0]  # alone in its request, so it is the only part
            self.batches += (part,)
        return None

    def end_link(self, desired: Iterable[str]) -> None:
        """Let the next link ask for everything desired; groups and batches stay apart."""
        apart = {identifier for group in (*self.groups, *(batch.ids for batch in self.batches)) for identifier in group}
        self.pending = {identifier: None for identifier in desired if identifier not in apart}

    def reunite(self, established: Container[str]) -> None:
        """Join the batches of subscriptions that were ever acknowledged, and apart from them the others."""
        old = tuple(batch for batch in self.batches if batch.ids[0] in established)
        new = tuple(batch for batch in self.batches if batch.ids[0] not in established)
        self.batches = tuple(_join(batches) for batches in (old, new) if batches)


def remaining(request: ControlRequest, desired: Container[str]) -> Batch:
    """Tell which subscriptions of a request are still desired, with the failures that they have met."""
    before = request.batch or Batch(request.ids)
    ids = tuple(identifier for identifier in request.ids if identifier in desired)
    return Batch(ids, before.failures, before.alone if ids == before.ids else 0)


def _items(ids: Iterable[str], desired: Mapping[str, SubscriptionSpec]) -> Iterator[bytes]:
    return (desired[identifier].item for identifier in ids)


def _is_spent(identifier: str, alone: int, established: Container[str], attempts: int | None) -> bool:
    """Tell whether a subscription that was never acknowledged has had all its requests alone."""
    return attempts is not None and alone >= attempts and identifier not in established


def _join(batches: tuple[Batch, ...]) -> Batch:
    if len(batches) == 1:
        return batches[0]
    ids = tuple(identifier for batch in batches for identifier in batch.ids)
    return Batch(ids, max(batch.failures for batch in batches))
