"""The policies: when to dial again, when to ping, and what a failure means.

Invariant: a policy is a plain value. It reads no clock, and draws no random number.
"""

from __future__ import annotations

import enum
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from realtime_fsm.callers import warn
from realtime_fsm.errors import BadOption, CertificateRefused, GreetedAsGuest, ServerError, StreamEnded, UpgradeRefused
from realtime_fsm.protocol.faults import POLICY, is_throttle
from realtime_fsm.protocol.options import check_count, check_seconds

if TYPE_CHECKING:
    from realtime_fsm.errors import LinkFailure

RATE_LIMIT_WINDOW = 60.0
"""Seconds after which the next minute of the server's clock has begun in any case (PROTOCOL: "Messages", rule 4)."""

MOST_PINGS = 16
"""Pings in a minute on one link: half of the messages that the server takes (PROTOCOL: "Messages", rule 4)."""
QUICK_PINGS, SLOW_PING = 4, 5.0
"""The number of pings of a link that keep a too short interval, and the interval of the others, in seconds."""
CARRIED = RATE_LIMIT_WINDOW / MOST_PINGS
"""The shortest interval of pings that the budget of messages allows, in seconds."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to dial again.

    A link *has been up* once the server has acknowledged everything desired on it, or greeted it while nothing was desired.
    ``attempts`` limits the dials until a link has been up: after `connect()`, `authenticate()`, or a `subscribe()`, `reconnect()`
    or `set_presence()` without a link. So a wrong endpoint fails within seconds. ``reconnect_attempts`` limits all later dials,
    because a client should outlast a server that is away for an hour.

    While dials fail, dial n+2 waits ``min(cap, base * factor**n)`` seconds, half of them fixed and half of them random. The very
    first dial is immediate. The first dial after a loss waits from 0 to ``base`` seconds, so that a fleet comes back
    spread out.

    Attributes:
        attempts: how many dials in a row may fail before a link has been up, the first included; None for no limit. As many
            refusals (1008) in a row make the connection give up after a link has been up, too.
        reconnect_attempts: how many dials in a row may fail after a link has been up; None for no limit.
        base: the first delay, in seconds.
        factor: the ratio of each delay to the one before.
        cap: the longest delay, in seconds.
        stable_after: for how many seconds everything must be acknowledged on a link before the connection forgives earlier
            failures.
        dials_per_minute: how many dials to one server may leave this process in any 60 seconds, those of its other connections
            included; None for no limit. The server takes 128 per path and IP. At most eight leave at once, and the others
            follow evenly, by default one every 60/128 s. Such a wait is no failed attempt.

    Raises:
        BadOption: for values out of range.
    """

    attempts: int | None = 3
    reconnect_attempts: int | None = None
    base: float = 2.0
    factor: float = 4.0
    cap: float = 30.0
    stable_after: float = 30.0
    dials_per_minute: int | None = 128

    def __post_init__(self) -> None:
        for name in ("attempts", "reconnect_attempts", "dials_per_minute"):
            check_count(f"RetryPolicy.{name}", getattr(self, name), none=True)
        for name in ("base", "cap", "stable_after"):
            check_seconds(f"RetryPolicy.{name}", getattr(self, name))
        factor = self.factor
        if isinstance(factor, bool) or not isinstance(factor, int | float) or not 1 <= factor <= sys.float_info.max:
            raise BadOption("RetryPolicy.factor", f"{factor!r:.40} is not a number from 1 (below it the delays would shrink)")
        if self.cap < self.base:
            raise BadOption("RetryPolicy.cap", f"{self.cap!r} is below base ({self.base!r})")

    def allows(self, attempt: int, *, been_up: bool = False) -> bool:
        """Tell whether another dial may follow.

        Args:
            attempt: the number of dials in a row so far.
            been_up: whether a link has been up.
        """
        most = self.reconnect_attempts if been_up else self.attempts
        return most is None or attempt < most

    def delay(self, attempt: int, jitter: float) -> float:
        """Tell how long to wait before the next dial.

        Args:
            attempt: the number of dials in a row so far; 0 after the loss of a stable link.
            jitter: a random number from 0 to 1.

        Returns:
            Seconds.
        """
        if attempt == 0:
            return jitter * self.base
        try:
            whole = min(self.cap, self.base * float(self.factor) ** (attempt - 1))
        except OverflowError:  # a dial without end, to a server that has been away for weeks
            whole = self.cap
        return whole * (1 + jitter) / 2


class PingPolicyWarning(UserWarning):
    """A `PingPolicy` wants more pings than the server's budget of messages allows."""


@dataclass(frozen=True, slots=True)
class PingPolicy:
    """When to send the message ``ping``, which the server answers (PROTOCOL: "Messages").

    Attributes:
        interval: seconds from ping to ping, also while events arrive. The first ping of a link leaves at a random moment of the
            first interval, so that connections that return together do not ping together. The budget of messages does not
            allow an interval below 3.75 s: the first four pings of a link keep it, then one follows every 5 s. Building such a
            policy warns with `PingPolicyWarning`.
        timeout: seconds after a ping in which the server must send a frame of any kind; otherwise the link counts as dead.
        enabled: whether the connection sends pings; ``set_ping_enabled()`` changes this later.

    Raises:
        BadOption: for values out of range, or a timeout above the interval.
    """

    interval: float = 30.0
    timeout: float = 10.0
    enabled: bool = True

    def __post_init__(self) -> None:
        check_seconds("PingPolicy.interval", self.interval)
        check_seconds("PingPolicy.timeout", self.timeout)
        if self.timeout > self.interval:
            raise BadOption(
                "PingPolicy.timeout",
                f"{self.timeout!r} is above interval ({self.interval!r}): one answer must be due before the next ping",
            )
        if not isinstance(self.enabled, bool):
            raise BadOption("PingPolicy.enabled", f"{self.enabled!r} is not True or False")
        if self._is_too_fast:
            warn(
                f"PingPolicy.interval: {self.interval!r} s is shorter than the budget of messages allows; after the first "
                f"{QUICK_PINGS} pings of a link, one leaves every {SLOW_PING:g} s. Give at least {CARRIED!r} to avoid that.",
                PingPolicyWarning,
            )

    @property
    def _is_too_fast(self) -> bool:
        return self.interval < CARRIED

    def interval_after(self, pings: int) -> float:
        """Tell how long to wait before the next ping.

        Args:
            pings: how many pings have left on the link.

        Returns:
            Seconds.
        """
        return SLOW_PING if self._is_too_fast and pings >= QUICK_PINGS else self.interval


class Verdict(enum.Enum):
    """The meaning of a failure for the next attempt."""

    FATAL = "fatal"
    THROTTLED = "throttled"
    TRANSIENT = "transient"


def verdict(cause: LinkFailure, *, live: bool, may_pass: bool = False) -> Verdict:
    """Judge why an attempt or a link ended; no other function does.

    - A refused **certificate** is fatal: the next attempt would meet the same one, and only the user may trust it.
    - A greeting **as a guest** where a session or JWT was given is fatal: the driver asked for the credential just before.
    - **1008** in an error frame or, without one, in the close (unknown project, bad origin, no channels) is fatal before a link
      has been up: the server ends a link with this code (PROTOCOL: "Errors and endings"), and a wrong project stays wrong.
      It is transient where it may pass: a server that starts, or loses its database, sends it for a while, and a bad request
      gets it, too. The caller counts the refusals, and passes the result as ``may_pass``.
    - **401 and 403** before the greeting are fatal: they concern the identity, and another dial would have the same one. On a
      live link they answer a request and never end the link, so they explain no end.
    - **1013**, or 429 from a proxy, is throttled: too many messages came, and the server refuses all dials within its minute.
    - Any **other code** (1003, 0, 500, a code of the database) is transient: the server has a fault.
    - **Everything else** is transient: an end without an error frame, an unanswered dial or ping, a name that does not resolve, a
      refused port, a broken TLS handshake. So is an HTTP status instead of an upgrade, redirects included. Networks, restarts
      and proxies cause all of these for a while. A message above the limit is transient, too: the next one may be small.

    Args:
        cause: why the attempt or the link ended.
        live: whether the greeting had come.
        may_pass: whether a refusal (1008) may pass.

    Returns:
        The verdict.
    """
    match cause:
        case CertificateRefused() | GreetedAsGuest():
            return Verdict.FATAL
        case ServerError(code=code) | StreamEnded(close_code=code):
            if code == POLICY:
                return Verdict.TRANSIENT if may_pass else Verdict.FATAL
            if code in (401, 403) and not live:
                return Verdict.FATAL
            return Verdict.THROTTLED if is_throttle(code) else Verdict.TRANSIENT
        case UpgradeRefused(status=429):
            return Verdict.THROTTLED
        case _:
            return Verdict.TRANSIENT
