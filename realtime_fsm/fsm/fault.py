"""The server fault on one link: when it began, and the pace of the repetitions.

Invariant: a server fault ends no subscription that was ever acknowledged.

Design: The connection repeats a request that meets a fault, at the pace of `Fault.postpone`. The server answers a query that it
does not allow with the same error 0, so one item may be the cause. The subscribe queue halves a failing batch until the rejected
item is alone. Where a ping fails, too, no item explains the fault, and the batch stays whole. A refusal (1008) on a link that
stays up has the same pace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from realtime_fsm.fsm.policies import RetryPolicy

QUICK = 4
"""How many repetitions wait as long as the retry policy says."""
STEADY = 10.0
"""Seconds between later repetitions, and the longest wait before an earlier one."""


def pause_before(repetition: int, retry: RetryPolicy, draw: float) -> float:
    """Tell how many seconds to wait before a repetition, by its number from 0 and a random number from 0 to 1."""
    return min(retry.delay(repetition, draw), STEADY) if repetition < QUICK else STEADY


class Fault(Struct, eq=False):
    """A server fault on one link, or a refusal (1008) that did not end the link. The next acknowledgement ends it."""

    since: float = 0.0  # when the server last proved that it worked
    is_open: bool = False  # whether the server has not proved since then that it works
    ping_failed: bool = False  # whether an error answered the newest ping
    # when the server last proved that it worked, if a repeated request has failed since: for its own reason, or by a fault
    suspected_since: float | None = None
    again_at: float | None = None  # when the next request may leave; None if it may leave at once
    repetitions: int = 0  # how many repetitions the connection has planned

    def open(self, since: float) -> None:
        """Begin a fault: the server last worked at `since`."""
        self.is_open, self.since = True, since

    def postpone(self, now: float, retry: RetryPolicy, draw: float) -> None:
        """Plan the next repetition."""
        self.again_at = now + pause_before(self.repetitions, retry, draw)
        self.repetitions += 1
