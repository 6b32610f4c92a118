"""The policies: when to dial again, when to ping, and what a failure means.

Invariant: a policy is a plain value, without a clock and a random source.
"""

from __future__ import annotations

import enum
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from realtime_fsm.callers import warn
from realtime_fsm.errors import BadOption, CertificateRefused, GreetedAsGuest, ServerError, StreamEnded, UpgradeRefused
from realtime_fsm.protocol.faults import is_throttle
from realtime_fsm.protocol.options import check_seconds

if TYPE_CHECKING:
    from realtime_fsm.errors import LinkFailure

RATE_LIMIT_WINDOW = 60.0
"""Seconds that reach into the server's next minute, wherever its clock is (PROTOCOL: "Messages", rule 4)."""

MOST_PINGS = 16
"""Pings in a minute on one connection: half of what the server takes (PROTOCOL: "Messages", rule 4)."""
QUICK_PINGS, SLOW_PING = 4, 5.0
"""How many pings of a link keep an interval that the budget cannot carry, and the interval of the others, in seconds."""
CARRIED = RATE_LIMIT_WINDOW / MOST_PINGS  # the shortest interval that the budget carries


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to dial again.

    A link *has been up* once everything desired was acknowledged on it, or it was greeted with nothing desired. Until then, after
    `connect()`, `authenticate()`, or a `subscribe()`, `reconnect()` or `set_presence()` without a link, ``attempts`` counts: a
    wrong endpoint fails within seconds. For everything later ``reconnect_attempts`` counts: a client should outlast a server that
    is away for an hour.

    The delay before dial n+2 of a row is ``min(cap, base * factor**n)``, half of it fixed and half of it random. The first
    dial of all is immediate; the first after a loss waits from nothing to ``base``, so that a fleet comes back spread out.

    Attributes:
        attempts: how many dials in a row may fail before a link has been up, the first included; None for no limit. After as
            many refusals in a row (1008) the connection gives up after a link has been up, too.
        reconnect_attempts: how many dials in a row may fail after a link has been up; None for no limit.
        base: the first delay, in seconds.
        factor: how much longer each next delay is.
        cap: the longest delay, in seconds.
        stable_after: how many seconds a link must live with everything acknowledged before earlier failures are forgiven.
        dials_per_minute: how many dials to one server may leave this process in any 60 seconds, before a connection with this
            policy dials; the dials of all its connections count, and the server takes 128 per path and IP. At most eight leave
            at once, and the others follow evenly: one every 60/128 s. Such a wait is no failed attempt. None for no limit.

    Raises:
        BadOption: for values that make no sense.
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
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise BadOption(f"RetryPolicy.{name}", f"{value!r} is not a whole number from 1, or None for no limit")
        check_seconds("RetryPolicy.base", self.base)
        check_seconds("RetryPolicy.cap", self.cap)
        check_seconds("RetryPolicy.stable_after", self.stable_after)
        if (
            isinstance(self.factor, bool)
            or not isinstance(self.factor, int | float)
            or not 1 <= self.factor <= sys.float_info.max
        ):
            raise BadOption(
                "RetryPolicy.factor", f"{self.factor!r:.40} is not a number from 1 (below it the delays would shrink)"
            )
        if self.cap < self.base:
            raise BadOption("RetryPolicy.cap", f"{self.cap!r} is below base ({self.base!r})")

    def allows(self, attempt: int, *, been_up: bool = False) -> bool:
        """Tell whether another dial may follow.

        Args:
            attempt: how many dials in a row were made.
            been_up: whether a link has been up.
        """
        most = self.reconnect_attempts if been_up else self.attempts
        return most is None or attempt < most

    def delay(self, attempt: int, jitter: float) -> float:
        """Tell how long to wait before the next dial.

        Args:
            attempt: how many dials in a row were made; 0 after the loss of a link that had proven itself.
            jitter: a random number from 0 to 1.

        Returns:
            Seconds.
        """
        if attempt == 0:
            return jitter * self.base
        try:
            whole = min(self.cap, self.base * float(self.factor) ** (attempt - 1))
        except OverflowError:  # attempts=None, and a server that has been away for weeks
            whole = self.cap
        return whole * (1 + jitter) / 2


class PingPolicyWarning(UserWarning):
    """A `PingPolicy` wants pings faster than the server's budget of messages carries."""


@dataclass(frozen=True, slots=True)
class PingPolicy:
    """When to send the application's ``ping``, which the server answers (PROTOCOL: "Messages").

    Attributes:
        interval: seconds from ping to ping, under traffic too; the first on a link comes at a random moment of the first
            interval, so that connections that came back together do not ping together. The budget of messages does not carry an
            interval below 3.75 s: four pings of a link keep it, then one every 5 s follows. Warns with `PingPolicyWarning`.
        timeout: seconds after a ping within which the server must send a frame of any kind; otherwise the link counts as dead.
        enabled: whether pings are sent at all; ``set_ping_enabled()`` changes it later.

    Raises:
        BadOption: for values that make no sense, or a timeout above the interval.
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
                f"PingPolicy.interval: {self.interval!r} s is faster than the budget of messages carries; after the first "
                f"{QUICK_PINGS} of a link there is one every {SLOW_PING:g} s. Give at least {CARRIED!r} to keep the interval.",
                PingPolicyWarning,
            )

    @property
    def _is_too_fast(self) -> bool:
        return self.interval < CARRIED

    def interval_after(self, pings: int) -> float:
        """Tell how long to wait before the next ping.

        Args:
            pings: how many have left on the link.

        Returns:
            Seconds.
        """
        return SLOW_PING if self._is_too_fast and pings >= QUICK_PINGS else self.interval


class Verdict(enum.Enum):
    """The meaning of a failure for the next attempt."""

    FATAL = "fatal"
    THROTTLED = "throttled"
    TRANSIENT = "transient"


POLICY = 1008
"""The code of a refusal: of an error frame, or of a close where no error frame came."""


def verdict(cause: LinkFailure, *, live: bool, may_pass: bool = False) -> Verdict:
    """Judge why an attempt or a link ended. Nothing else judges that.

    - A refused **certificate** is fatal: the next attempt would meet the same one, and only the user may trust it.
    - A greeting **as a guest** where a session or JWT was given is fatal: the driver asked for the credential just before.
    - An **error frame** or, where none came, a **close code** 1008 (policy: unknown project, bad origin, no channels) is
      fatal on the way to the first link: the server ends a link with it (PROTOCOL: "Errors and endings"), and a wrong project
      stays wrong. It may pass where a link has been up, because a server that starts, or loses its database, sends it for a
      while; and where the request in flight is to blame. The caller counts the refusals, and tells the result by ``may_pass``.
    - 401 and 403 before the greeting concern the identity; another dial with the same one changes nothing: fatal. On a live
      link they answer a request and never end the link, so they explain no end.
    - 1013 means too many messages: the server's window is a minute, and it refuses a dial within it: throttled. Proxies send
      429.
    - Any **other code** (1003, 0, 500, a database's own) tells of a fault of the server: transient.
    - An end **without an error frame**, an unanswered dial or ping, a name that does not resolve, a refused port, a TLS handshake
      that breaks, an HTTP status instead of an upgrade (a redirect, too, which is not followed): networks, restarts and
      proxies do all of these for a while: transient. So is a message **above the limit**: the next one may be small.

    Args:
        cause: why the attempt or link ended.
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
