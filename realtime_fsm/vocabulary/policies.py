"""The policies: when to dial again, when to ping, and what a failure means. Plain values without a clock or dice."""

from __future__ import annotations

import enum
import sys
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from realtime_fsm.vocabulary.errors import BadOption, CertificateRefused, GreetedAsGuest, ServerError, StreamEnded, UpgradeRefused
from realtime_fsm.vocabulary.options import seconds

if TYPE_CHECKING:
    from realtime_fsm.vocabulary.errors import LinkFailure

THROTTLE_WINDOW = 60.0
"""Seconds that are sure to reach into the server's next minute, whatever its clock says (PROTOCOL: "Messages", rule 4)."""

MOST_PINGS = 16
"""Pings in a minute on one connection: half of what the server takes (PROTOCOL: "Messages", rule 4)."""
QUICK_PINGS, SLOW_PING = 4, 5.0
"""How many pings of a link keep an interval that the budget cannot carry, and the interval of the others, in seconds."""
_CARRIED = THROTTLE_WINDOW / MOST_PINGS  # the shortest interval that can be kept


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to dial again.

    The delay before dial n+2 of a row is ``min(cap, base * factor**n)``, half of it fixed and half of it random. The first
    dial of all is immediate; the first after a loss waits anything from nothing to ``base``, so that a fleet comes back spread
    out.

    Attributes:
        attempts: how many dials in a row may fail, the first included; None means for ever.
        base: the first delay, in seconds.
        factor: how much longer each next delay is.
        cap: the longest delay, in seconds.
        stable_after: how many seconds a link must live with everything acknowledged before earlier failures are forgiven.
        dials_per_minute: how many dials to one server all connections of this process together may make in a minute; the
            server takes 128 per path and IP. Waiting for one's turn is not a failed attempt. None for no limit.

    Raises:
        BadOption: for values that make no sense.
    """

    attempts: int | None = 3
    base: float = 2.0
    factor: float = 4.0
    cap: float = 30.0
    stable_after: float = 30.0
    dials_per_minute: int | None = 128

    def __post_init__(self) -> None:
        for name in ("attempts", "dials_per_minute"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise BadOption(f"RetryPolicy.{name}", f"{value!r} is not a whole number from 1, or None for no limit")
        seconds("RetryPolicy.base", self.base)
        seconds("RetryPolicy.cap", self.cap)
        seconds("RetryPolicy.stable_after", self.stable_after)
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

    def allows(self, attempt: int) -> bool:
        """Whether another dial may follow after ``attempt`` dials in a row."""
        return self.attempts is None or attempt < self.attempts

    def delay(self, attempt: int, draw: float) -> float:
        """How long to wait before the next dial.

        Args:
            attempt: how many dials of this row were made; 0 after the loss of a link that had proven itself.
            draw: a random number from 0 to 1.

        Returns:
            Seconds.
        """
        if attempt == 0:
            return draw * self.base
        try:
            whole = min(self.cap, self.base * float(self.factor) ** (attempt - 1))
        except OverflowError:  # attempts=None, and a server that has been away for weeks
            whole = self.cap
        return whole * (1 + draw) / 2


class PingPolicyWarning(UserWarning):
    """A `PingPolicy` wants pings faster than the server's budget of messages carries."""


@dataclass(frozen=True, slots=True)
class PingPolicy:
    """When to ask the server for a sign of life with the application's ``ping`` (PROTOCOL: "Messages (E4)").

    Attributes:
        interval: seconds from ping to ping, under traffic too; the first on a link comes at a random moment of the first
            interval, so that connections that came back together do not ping together. Below 3.75 s it is faster than the
            budget of messages carries: four pings of a link keep it, and one every 5 s follows. Warns with
            `PingPolicyWarning`.
        timeout: seconds in which any frame must be heard after a ping; then the link is dead.
        enabled: whether pings are sent at all; ``set_ping_enabled()`` changes it later.

    Raises:
        BadOption: for values that make no sense, or a timeout above the interval.
    """

    interval: float = 30.0
    timeout: float = 10.0
    enabled: bool = True

    def __post_init__(self) -> None:
        seconds("PingPolicy.interval", self.interval)
        seconds("PingPolicy.timeout", self.timeout)
        if self.timeout > self.interval:
            raise BadOption(
                "PingPolicy.timeout",
                f"{self.timeout!r} is above interval ({self.interval!r}): one answer must be due before the next ping",
            )
        if not isinstance(self.enabled, bool):
            raise BadOption("PingPolicy.enabled", f"{self.enabled!r} is not True or False")
        if self._is_too_fast:
            warnings.warn(
                f"PingPolicy.interval: {self.interval!r} s is faster than the budget of messages carries; after the first "
                f"{QUICK_PINGS} of a link there is one every {SLOW_PING:g} s. Give at least {_CARRIED!r} to keep the interval.",
                PingPolicyWarning,
                stacklevel=3,
            )

    @property
    def _is_too_fast(self) -> bool:
        return self.interval < _CARRIED

    def interval_after(self, pings: int) -> float:
        """Tell how long to wait before the next ping.

        Args:
            pings: how many have left on the link.

        Returns:
            Seconds.
        """
        return SLOW_PING if self._is_too_fast and pings >= QUICK_PINGS else self.interval


class Verdict(enum.Enum):
    """What a failure means for the next attempt."""

    FATAL = "fatal"
    THROTTLED = "throttled"
    TRANSIENT = "transient"


def verdict(cause: LinkFailure, *, live: bool) -> Verdict:
    """Judge why an attempt or a link ended. This is the one place that does.

    - A refused **certificate** is fatal: the next attempt would meet the same one, and trusting it is not ours to decide.
    - A greeting **as a guest** where a session or JWT was given is fatal: it was asked for just before this dial.
    - An **error frame** or, where none came, a **close code** 1008 (policy: unknown project, bad origin, no channels) is
      fatal, live or not: the server ends a link with it only for good (PROTOCOL: "Errors and endings").
    - 401 and 403 before the greeting are about who is dialing; dialing again as the same changes nothing: fatal. On a live
      link they answer a request and never end the link, so as the reason for an end they are only the last thing heard.
    - 1013 says "too many": the server's window is a minute, and coming back within it is refused again: throttled. HTTP 429
      is what proxies in front of it say.
    - Any **other code** (1003, 0, 500, a database's own) is the server's bad day: transient.
    - An end **without a word**, an unanswered dial or ping, a name that does not resolve, a refused port, a TLS handshake
      that breaks, an HTTP status instead of an upgrade (a redirect, too, which is not followed): networks, restarts and
      proxies do all of these for a while: transient. So is a message **above the limit**: the next one may be small.

    Args:
        cause: why the attempt or link ended.
        live: whether the greeting had come.

    Returns:
        The verdict.
    """
    match cause:
        case CertificateRefused() | GreetedAsGuest():
            return Verdict.FATAL
        case ServerError(code=code) | StreamEnded(close_code=code):
            if code == 1008 or (code in (401, 403) and not live):
                return Verdict.FATAL
            return Verdict.THROTTLED if code == 1013 else Verdict.TRANSIENT
        case UpgradeRefused(status=429):
            return Verdict.THROTTLED
        case _:
            return Verdict.TRANSIENT
