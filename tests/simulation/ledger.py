"""The ledger: for each subscription, what came for it and was not yet taken out, and what happened that it never got.

Invariant: a consumer gets what arrives on the links that deliver: each event once, in the order of the arrival of its first copy;
only dropped events may be missing, and `dropped` counts them. A gap reports each event that never arrived.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime

from realtime_fsm import Event
from realtime_fsm.client.subscription import SubscriptionInfo
from realtime_fsm.protocol.spec import SubscriptionSpec
from simulation.history import Follower, History
from simulation.world import MARKER, World

_BACKLOG = 25.0  # seconds in which a stream may still bring what was sent before the process slept


class Stream:
    """One subscription, through all its ids.

    Attributes:
        spec: what it listens to, under the id that it has now.
        since: how many events had happened when that was acknowledged.
        granted: whether it ever was.
        acknowledged_on: the newest link on which it was acknowledged.
        told_on: the loss after which it was last acknowledged in an outage.
        given: what its consumer got.
        follower: who hands back what was missed in gaps.
    """

    def __init__(self, spec: SubscriptionSpec) -> None:
        self.spec = spec
        self.since = 0
        self.granted = False
        self.acknowledged_on = 0
        self.told_on = 0
        self.given: set[int] = set()
        self.is_ahead = False  # whether the link that is the current one again may be behind what came on another one
        self.follower: Follower | None = None
        self.missed = 0
        self.owed: deque[int] = deque()
        self.arrived: set[int] = set()
        self.gaps: list[tuple[int, int]] = []
        self._late: set[int] = set()  # what arrived when a later one had: of two links one may be ahead
        self._early: set[int] = set()  # what came before it was acknowledged: a stray error frame hid that
        self._twins: set[int] = set()  # what was handed back and came again, right after a sleep
        self._disordered: set[int] = set()  # what came when something later had, whether it was handed back before or not
        self._again: set[int] = set()  # what may come again: a draining link had brought it out of order
        self._newest = self._last = self._highest = 0
        self._taken = asyncio.Event()

    @property
    def restored(self) -> set[int]:
        """The numbers that its follower handed back."""
        return set() if self.follower is None else self.follower.restored

    def arrive(self, number: int, link: int, *, woken: bool) -> None:
        """An event came for it on a link, for the first time or as the second of two."""
        if number in self.arrived:
            return
        if link > self.acknowledged_on:
            self._early.add(number)
        self.arrived.add(number)
        self._highest = max(number, self._highest)
        if number < self._highest:
            self._disordered.add(number)
        if number in self.restored:
            if woken:
                self._twins.add(number)
            return
        if number < max(self._newest, 0 if self.follower is None else self.follower.newest):
            self._late.add(number)
        self._newest = max(number, self._newest)
        self.owed.append(number)

    def take(self, number: int, dropped: int) -> Iterable[tuple[bool, str, str]]:
        """Its consumer got an event: what must hold, what is said if it does not, and which known defect would explain it."""
        known = "memory slept away" * (number in self._twins)
        yield number not in self.given or number in self._again, f"event {number} twice", known
        if number in self.given:
            self._again.discard(number)
        yield number > self._last or number in self._late, f"event {number} out of order", known
        self.given.add(number)
        self._taken.set()
        self._last = max(number, self._last)
        if number in self.restored:  # handed back, ahead of all that came live meanwhile
            self._late.update(other for other in self.owed if other < number)
            if number in self.owed:
                self.owed.remove(number)
            return
        while self.owed and self.owed[0] != number:
            self.owed.popleft()
            self.missed += 1
        yield bool(self.owed), f"event {number} was not for it", ""
        if self.owed:
            self.owed.popleft()
        yield self.missed <= dropped, f"events are missing before {number}", ""

    async def wait_for(self, number: int) -> None:
        """Wait until its consumer, another task, has got an event."""
        while number not in self.given:
            self._taken.clear()
            await self._taken.wait()

    def tell(self, since: int, upto: int, *, late: bool) -> None:
        """It was told of a gap; late, if something else has come meanwhile."""
        if late or any(number > since for number in self._early):
            # A catch-up for the gap before may have brought again what was out of order. Then later events come again, too.
            begin = min((since, *(before for before, _ in self.gaps[-1:])))
            if self.is_ahead or any(number > begin for number in self._disordered):
                self._again.update(number for number in self.arrived if since < number <= upto)
            self._late.update(range(since + 1, upto + 1))
        self.gaps.append((since, upto))

    def lost(self, history: History) -> Iterable[int]:
        """Yield the events since the acknowledgement that neither came, live or handed back, nor lie in a gap."""
        for number in history.after(self.since, self.spec.channels, self.spec.queries):
            if number not in self.arrived | self.restored and not any(since < number <= upto for since, upto in self.gaps):
                yield number


class Ledger:
    """The streams of one connection.

    Attributes:
        of: each stream by all the ids that it ever had.
    """

    def __init__(self, world: World, history: History) -> None:
        self.world = world
        self.delivered = 0
        self.of: dict[str, Stream] = {}
        self._history = history

    def arrived(self, number: int, link: int, identifiers: Iterable[str]) -> None:
        """An event came on a link that delivers, for some subscriptions that are not gone."""
        woken = self.world.loop.time() < self.world.woke_at + _BACKLOG
        for stream in dict.fromkeys(self.of[identifier] for identifier in identifiers):
            stream.arrive(number, link, woken=woken)

    def told(self, identifier: str, since: str | None, *, late: bool) -> None:
        """A subscription was told of a gap."""
        begin = 0 if since is None else self._history.number(datetime.fromisoformat(since))
        self.of[identifier].tell(begin, len(self._history), late=late)

    def received(self, subscription: SubscriptionInfo, event: Event) -> None:
        """A consumer got an event."""
        number = event.payload["n"]
        self.delivered += 1
        self.world.note("event", subscription.id, number)
        for holds, what, known in self.of[subscription.id].take(number, subscription.dropped):
            self.world.must(holds, f"{subscription.id}: {what}", known=known)
        self.world.must(MARKER not in repr(event), "the payload is in an event's repr")

    def complete(self, identifier: str, excused: Callable[[int], str]) -> None:
        """All is well again: whatever a subscription never got was told as a gap; but for what `excused` names a reason for."""
        for number in self.of[identifier].lost(self._history):
            self.world.must(excused(number), f"{identifier}: event {number} is lost, and no gap was told")

    def close(self, subscription: SubscriptionInfo) -> None:
        """A stream was read to its end: nothing may be left."""
        stream = self.of[subscription.id]
        missed, dropped = stream.missed + len(stream.owed), subscription.dropped
        enough = missed <= dropped if stream.restored else missed == dropped
        self.world.must(enough, f"{subscription.id}: {len(stream.owed)} events were never delivered")
