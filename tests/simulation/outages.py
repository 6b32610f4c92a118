"""The outages as the watcher has them: when nothing delivers, although it once did, and who must be told of it.

Invariant: while a draining link delivers there is no outage, unless it ends too early, or the machine drops it before the
other one serves everything. In an outage each subscription that was acknowledged before is told of one gap when
it is acknowledged again, after each loss; when a server fault is over, each that the link serves is; and of none at any other
time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from realtime_fsm.fsm.table import LIVE, State
from simulation.deafness import Deafness
from simulation.ledger import Stream


class Outages:
    """The outages of one connection.

    Attributes:
        under_way: whether there is one.
    """

    def __init__(self, must: Callable[[object, str], None], deafness: Deafness) -> None:
        self.under_way = False
        self._deafness = deafness
        self._must = must
        self._losses = 0
        self._lost = False  # in the step under way
        self._owed: list[str] = []
        self._recovered: list[str] = []
        self._told: list[str] = []

    def drop_draining(self, state: State) -> None:
        """Begin an outage: the machine drops the draining link, and no other link serves everything."""
        if state is not State.DISPOSING:
            self._begin()
            self._lost = True

    def moved(self, before: State, after: State, dest: State | None, *, covered: bool) -> None:
        """A step was taken; all that it asks for has been told."""
        if before in LIVE and after not in LIVE and after is not State.DISPOSING and not covered and not self._lost:
            self._begin()
        self._lost = False
        if dest in (State.SUBSCRIBED, State.UNSUBSCRIBED):
            self.under_way = False

    def grant(self, stream: Stream) -> None:
        """A subscription is acknowledged."""
        if self.under_way and stream.told_on != self._losses:
            stream.told_on = self._losses
            if stream.granted and stream not in self._deafness.served:  # a deaf link's gap comes with the next echo
                self._owed.append(stream.spec.id)

    def recover(self, streams: Iterable[Stream]) -> None:
        """A server fault is over."""
        served = (stream for stream in streams if not self.under_way or stream.told_on == self._losses)
        self._recovered += {stream.spec.id for stream in served if stream.granted}

    def told(self, identifier: str) -> None:
        """A subscription was told of a gap."""
        self._told.append(identifier)

    def settle(self, *, real: bool) -> None:
        """The driver has done what the step asked for."""
        self._must(real == self.under_way, "an outage is not told, or told without a reason")
        first, others = self._told[: len(self._recovered)], self._told[len(self._recovered) :]
        right = sorted(first) == sorted(self._recovered) and others == self._owed
        self._must(right, f"gaps are told of {self._told}, and should be of {[*self._recovered, *self._owed]}")
        self._recovered.clear()
        self._owed.clear()
        self._told.clear()

    def _begin(self) -> None:
        self.under_way = True
        self._losses += 1
