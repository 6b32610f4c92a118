"""The world of one run: its one source of chance, its plan of faults, its clocks, and what was counted and noted.

Invariant: everything that is left to chance is drawn from the one generator that the seed made, in an order that only the seed
decides. No set is iterated, no id or hash orders anything, and no real clock is read. So a seed replays exactly.

Design: each run has a plan of its own: which kinds of faults it knows, and how often they strike. A run that knows every
kind never comes far; a run that knows three of them, often, goes deep where they meet.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, tzinfo
from typing import Any

from simulation.known import KNOWN
from support.virtual import VirtualLoop

SECRET = "the-secret-of-a-session"  # noqa: S105
BOGUS = "the-secret-of-no-session"
MARKER = "the-marker-of-a-payload"
"""None of them may ever be seen in a record, an error or a repr."""

SHORTEST_EVERY = 15.0
"""Seconds between two canaries, at least."""

EPOCH = 1_800_000_000.0
"""The wall clock's time when the loop's clock shows 0."""

DIAL = (
    "dial refused",
    "dial: name not resolved",
    "dial: certificate refused",
    "dial: HTTP status",
    "dial hangs",
    "dial delayed",
    "greeting withheld",
    "greeting delayed",
    "ended before the greeting",
    "greeted as a guest",
    "event before the greeting",
    "turned away",
    "budget spent before",
)
"""The faults of a dial."""

INBOUND = (
    "frame delayed",
    "stream goes silent",
    "frame truncated",
    "stream cut",
    "closed with a code",
    "ended for good",
    "malformed frame",
    "reply repeated",
    "reply shuffled",
    "events fall behind",
    "stray error frame",
)
"""The faults of a frame from the server."""

OUTBOUND = ("request delayed", "request lost", "request truncated", "send fails", "send stalls")
"""The faults of a frame to the server."""

LATE = ("word of an old socket",)
"""The faults of a released socket."""

WEATHER = (
    "server restarted",
    "another era",
    "server frozen",
    "event bus lost",
    "everything refused",
    "server at fault",
    "network parted",
    "budgets spent",
    "process suspended",
    "wall clock set",
    "outage of hours",
)
"""The faults that may strike at any time."""

USERS = ("callable raises", "callable is slow")
"""The faults of users' own code: of the session's callable, and of the callables for gaps."""

LOG = ("log refuses",)
"""The faults of the application's logging."""

ENDING = ("throttled", "dial throttled")
"""The ends by the server's own limits, after a planned fault or because of a busy user."""

_ODDS = {
    "dial": (DIAL, (0.0, 0.1, 0.2, 0.4)),
    "inbound": (INBOUND, (0.03, 0.1, 0.2, 0.4)),
    "outbound": (OUTBOUND, (0.0, 0.05, 0.1, 0.2)),
    "weather": (WEATHER[:-1], (1.0,)),
    "late": (LATE, (0.0, 0.1, 0.5)),
    "users": (USERS, (0.0, 0.1, 0.3)),
    "log": (LOG, (0.0, 0.0, 0.0, 0.02)),
}


_RARE = {"wall clock set": 0.2, "process suspended": 0.3, "dial: certificate refused": 0.3, "greeted as a guest": 0.3}
"""The faults that strike less often than others of their kind, and how often."""


class Violation(AssertionError):
    """An invariant does not hold."""


class World:
    """The state that all parts of a run share.

    Attributes:
        seed: what all chance comes from.
        rng: the one source of chance.
        stormy: whether faults strike; the healed network has none.
        faults: the injected faults by kind.
        actions: what the users did, by kind.
        buffer: how many events each subscription keeps.
        known: how often a known defect was met.
        violation: the first one, with the last lines of the trace.
    """

    def __init__(self, seed: int, loop: VirtualLoop) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.loop = loop
        self.stormy = True
        self.healed_at = -1e9  # when faults struck no more
        self.buffer = 1024
        self.faults: Counter[str] = Counter()
        self.actions: Counter[str] = Counter()
        self.known: Counter[str] = Counter()
        self.violation: str | None = None
        self.broken: asyncio.Future[None] = loop.create_future()
        self.lines: deque[str] = deque(maxlen=60)
        self.steps = 0
        self.woke_at = -1e9  # when the process was last suspended
        self.longest_write = 0.0  # of a canary that has returned, in seconds
        self.writes: list[float] = []  # when those began that have not
        self.secrets: tuple[str, ...] = (SECRET, BOGUS, MARKER)  # what no record, error or repr may show
        self._hash = hashlib.blake2b(digest_size=8)
        self._wall_offset = 0.0
        self._odds: dict[str, float] = {}
        self._kinds: dict[str, list[str]] = {}
        self._weights: dict[str, list[float]] = {}
        for group, (kinds, odds) in _ODDS.items():
            self._odds[group] = self.rng.choice(odds)
            weights = [self.rng.choice((0.0, 0.0, 0.3, 1.0, 3.0)) * _RARE.get(kind, 1.0) for kind in kinds]
            self._kinds[group] = list(kinds)
            self._weights[group] = weights if any(weights) else [1.0] * len(kinds)
        self.event_lag = self.rng.choice((0.0, 0.0, 0.3, 3.0))  # events may take another way than replies, and a longer one
        self.thinking = self.rng.choice((0.0, 0.0, 0.1, 0.4))  # seconds that a server may take for an answer
        self.gap = self.rng.choice((2.0, 6.0, 20.0))  # between two changes of the weather, in seconds

    # --- users' code --------------------------------------------------------------------------------------------------

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Note for how long a canary is being written."""
        begun = self.loop.time()
        self.writes.append(begun)
        try:
            yield
        finally:
            self.writes.remove(begun)
            self.longest_write = max(self.longest_write, self.loop.time() - begun)

    @property
    def a_write_hung(self) -> bool:
        """Whether a canary was being written for as long as the shortest ``every``, so that the product gives it up."""
        return max(self.longest_write, *(self.loop.time() - begun for begun in self.writes), 0.0) >= SHORTEST_EVERY

    # --- chance -------------------------------------------------------------------------------------------------------

    def strikes(self, group: str) -> str:
        """Which fault of a group strikes now; an empty string for none."""
        if not self.stormy or self.rng.random() >= self._odds[group]:
            return ""
        return self.rng.choices(self._kinds[group], self._weights[group])[0]

    def count(self, fault: str) -> None:
        """A fault took effect."""
        self.faults[fault] += 1
        self.note("fault", fault)

    # --- time ---------------------------------------------------------------------------------------------------------

    def wall(self) -> float:
        """The wall clock of every machine in this world, in seconds since the epoch."""
        return EPOCH + self.loop.time() + self._wall_offset

    def set_wall_clock(self, seconds: float) -> None:
        """The wall clock jumps, back or forth."""
        self._wall_offset += seconds

    def suspend(self, seconds: float) -> None:
        """Time passes in which nothing of this process runs; then everything that fell due is due at once."""
        self.loop._clock.now += seconds
        self.woke_at = self.loop.time()

    def datetime_class(self) -> type[datetime]:
        """Make the class that replaces `datetime` in the package."""
        world = self

        class Simulated(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Any:
                return datetime.fromtimestamp(world.wall(), tz or UTC)

        return Simulated

    # --- telling ------------------------------------------------------------------------------------------------------

    def note(self, *parts: object) -> None:
        """One line of the trace."""
        line = f"{self.loop.time():.6f} {' '.join(map(str, parts))}"
        self._hash.update(line.encode())
        self.lines.append(line)

    @property
    def trace(self) -> str:
        """16 hexadecimal digits that differ when anything went differently."""
        self._hash.update(repr(self.rng.random()).encode())
        return self._hash.hexdigest()

    def fail(self, what: str) -> None:
        """An invariant does not hold: the run ends. The first one counts; what follows may be its consequence."""
        if self.violation is None:
            self.violation = what + "\n    " + "\n    ".join(list(self.lines)[-25:])
            if not self.broken.done():
                self.broken.set_exception(Violation(what))
                self.broken.exception()  # it is looked at, also when the run ends otherwise

    def hides(self, text: str) -> bool:
        """Whether a text shows nothing that is secret."""
        return not any(secret in text for secret in self.secrets)

    def must(self, holds: object, what: str, *, known: str = "") -> None:
        """Check that something holds; a known defect is counted instead."""
        if holds:
            return
        if known in KNOWN:
            self.known[known] += 1
        else:
            self.fail(what)
