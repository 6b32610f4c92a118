"""The control request, which is one frame with one answer; the batch that a request repeats; and the order of the kinds.

Invariant: a request has as many items as fit into one frame of the client, and at least one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from realtime_fsm.fsm.values import Value
from realtime_fsm.protocol import frames

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

SUBSCRIBE, UNSUBSCRIBE, AUTHENTICATE, PRESENCE = "subscribe", "unsubscribe", "authentication", "presence"

_HALVED_FROM = 2  # failures; so the second repetition goes out in halves


class Batch(Value, frozen=True):
    """Subscriptions that a request asks for together, and apart from others."""

    ids: tuple[str, ...]
    failures: int = 0  # how many requests for these subscriptions have met a server fault
    alone: int = 0  # how many requests for one of these alone have met a server fault or a refusal

    def fail(self, established: Container[str], *, whole: bool) -> tuple[Batch, ...]:
        """Divide a batch that met a server fault.

        Args:
            established: the subscriptions that the server has ever acknowledged; a request names them apart from the others.
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
            return tuple(Batch(half, failures) for half in halves(ids))
        return (Batch(ids, failures, self.alone + (len(ids) == 1)),)


class ControlRequest(Value, frozen=True):
    """A control request."""

    _hidden: ClassVar[frozenset[str]] = frozenset({"data"})

    kind: str  # the type of its message
    ids: tuple[str, ...]  # the subscriptions that the message names
    data: bytes
    bisecting: bool = False  # whether the request asks for a bisection group
    batch: Batch | None = None  # the batch that the request repeats


class KindOrder:
    """The order of the kinds of requests: a kind whose latest request met a server fault gives way to the others."""

    __slots__ = ("_failed",)

    def __init__(self) -> None:
        self._failed: tuple[str, ...] = ()  # the kind that failed last is the last

    def __contains__(self, kind: str) -> bool:
        return kind in self._failed

    def record(self, kind: str, *, failed: bool) -> None:
        """Keep whether the latest request of a kind met a server fault."""
        others = tuple(other for other in self._failed if other != kind)
        self._failed = (*others, kind) if failed else others

    def next_kind(self, waiting: Mapping[str, object]) -> str:
        """Choose the kind of the next request, among those that wait."""
        order = (*(kind for kind in waiting if kind not in self._failed), *self._failed)
        return next(kind for kind in order if waiting[kind])

    def reset(self) -> None:
        """Return to the usual order, for another link."""
        self._failed = ()


def batched(
    kind: str, ids: Iterable[str], items: Iterable[bytes], *, bisecting: bool = False, batch: Batch | None = None
) -> ControlRequest:
    """Build a request with as many items as fit into one frame, and at least one."""
    chosen: list[str] = []
    encoded: list[bytes] = []
    size = frames.ENVELOPE_BYTES
    for identifier, item in zip(ids, items, strict=True):
        size += len(item) + 1
        if chosen and size > frames.MAX_CLIENT_PAYLOAD:
            break
        chosen.append(identifier)
        encoded.append(item)
    return ControlRequest(kind, tuple(chosen), frames.message(kind, encoded), bisecting, batch)


def halves(ids: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Divide ids into two halves, and leave out a half without ids."""
    middle = (len(ids) + 1) // 2
    return tuple(half for half in (ids[:middle], ids[middle:]) if half)
