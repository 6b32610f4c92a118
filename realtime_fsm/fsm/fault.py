"""The server fault on one link: since when, what is repeated, and at which pace.

Invariant: a server fault ends no subscription that was ever acknowledged.

Design: A request that meets a fault is repeated, at the pace of `Fault.postpone`. The server answers with the same error 0 to a
query that it does not allow, so one item may be the cause: a failing batch is divided until a guilty item stands alone, unless a
ping fails, too, which no item explains. A request that a refusal (1008) answers on a link that stays up keeps the same pace.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping, Sequence

    from realtime_fsm.fsm.policies import RetryPolicy

QUICK = 4
"""How many repetitions keep the retry policy's delays."""
STEADY = 10.0
"""Seconds between the later repetitions; no earlier one waits longer."""
_HALVED_FROM = 2  # failures: the second repetition goes out in halves


def pause_before(repetition: int, retry: RetryPolicy, draw: float) -> float:
    """Tell how many seconds to wait before a repetition, by its number from 0 and a random number from 0 to 1."""
    return min(retry.delay(repetition, draw), STEADY) if repetition < QUICK else STEADY


class Fault:
    """What a link remembers of a server fault, or of a refusal (1008) that did not end it, until a request is acknowledged.

    Attributes:
        since: when the server last proved that it worked.
        is_open: whether the server has proved nothing since.
        ping_failed: whether an error answered the newest ping.
        again_at: when the next request may leave; None for at once.
        repetitions: how many were planned.
    """

    __slots__ = ("again_at", "is_open", "ping_failed", "repetitions", "since")

    def __init__(self) -> None:
        self.since = 0.0
        self.is_open = False
        self.ping_failed = False
        self.again_at: float | None = None
        self.repetitions = 0

    def open(self, since: float) -> None:
        """Begin."""
        self.is_open, self.since = True, since

    def postpone(self, now: float, retry: RetryPolicy, draw: float) -> None:
        """Plan the next repetition."""
        self.again_at = now + pause_before(self.repetitions, retry, draw)
        self.repetitions += 1


@dataclass(frozen=True, slots=True)
class Batch:
    """Subscriptions that are asked for together, and apart from others.

    Attributes:
        ids: their ids.
        failures: how many requests for them have met a server fault.
        alone: how many requests for one of them alone have met a server fault or a refusal.
    """

    ids: tuple[str, ...]
    failures: int = 0
    alone: int = 0

    def fail(self, established: Container[str], *, whole: bool) -> tuple[Batch, ...]:
        """Divide what a server fault has met.

        Args:
            established: the subscriptions that were ever acknowledged; they are asked for apart from the others.
            whole: whether a ping fails, too, so that no item is to blame.

        Returns:
            The batches to repeat, in this order.
        """
        failures, ids = self.failures + 1, self.ids
        old = tuple(identifier for identifier in ids if identifier in established)
        new = tuple(identifier for identifier in ids if identifier not in established)
        if old and new:
            return Batch(old, failures), Batch(new, failures)
        if len(ids) > 1 and failures >= _HALVED_FROM and not whole:
            middle = (len(ids) + 1) // 2
            return Batch(ids[:middle], failures), Batch(ids[middle:], failures)
        return (Batch(ids, failures, self.alone + (len(ids) == 1)),)

    def without(self, identifier: str) -> Batch | None:
        """The others; None where there is none."""
        if identifier not in self.ids:
            return self
        ids = tuple(other for other in self.ids if other != identifier)
        return Batch(ids, self.failures) if ids else None


class Repetitions:
    """The requests that server faults and refusals (1008) have met, and that are to be repeated.

    Attributes:
        batches: the subscriptions among them, in the order in which they are asked for.
    """

    __slots__ = ("_kinds", "batches")

    def __init__(self) -> None:
        self.batches: tuple[Batch, ...] = ()
        self._kinds: tuple[str, ...] = ()  # of the requests that a fault met last, the latest behind the others

    def __contains__(self, kind: str) -> bool:
        return kind in self._kinds

    @property
    def ids(self) -> Iterator[str]:
        """The ids of the subscriptions."""
        return (identifier for batch in self.batches for identifier in batch.ids)

    def note(self, kind: str, *, failed: bool) -> None:
        """Note how a request of a kind fared."""
        others = tuple(other for other in self._kinds if other != kind)
        self._kinds = (*others, kind) if failed else others

    def next_kind(self, waiting: Mapping[str, object]) -> str:
        """Choose which kind of request goes out next: one that a fault has met gives way to the others."""
        order = (*(kind for kind in waiting if kind not in self._kinds), *self._kinds)
        return next(kind for kind in order if waiting[kind])

    def end_link(self) -> None:
        """Begin with the usual order on the next link; batches stay apart."""
        self._kinds = ()

    def withdraw(self, identifier: str) -> None:
        """Strike a subscription."""
        self.batches = tuple(left for batch in self.batches if (left := batch.without(identifier)))

    def take(self) -> Batch:
        """Take the first batch, which must be there."""
        first, *others = self.batches
        self.batches = tuple(others)
        return first

    def reunite(self, established: Container[str]) -> None:
        """Put together what was divided: the subscriptions that were ever acknowledged, and apart from them the others."""
        old = [batch for batch in self.batches if batch.ids[0] in established]
        new = [batch for batch in self.batches if batch.ids[0] not in established]
        self.batches = tuple(_one(group) for group in (old, new) if group)


def _one(batches: Sequence[Batch]) -> Batch:
    if len(batches) == 1:
        return batches[0]
    ids = tuple(identifier for batch in batches for identifier in batch.ids)
    return Batch(ids, max(batch.failures for batch in batches))
