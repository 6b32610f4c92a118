"""What is known of one link: how far it has come, what was heard and sent, and when."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from realtime_fsm.core.budget import Budget

if TYPE_CHECKING:
    from realtime_fsm.core.fault import Fault
    from realtime_fsm.vocabulary.errors import ServerError

LINGER = 1.0
"""Seconds for which a link that has made room still delivers what was on its way; the next one makes room no earlier."""


class Phase(Enum):
    """How far a link has come."""

    DIALING = "upgrade"
    GREETING = "greeting"
    LIVE = "live"


class Link:
    """One WebSocket, from dial to end."""

    __slots__ = (
        "alone_at", "asked_at", "budget", "fault", "forgiven", "generation", "heard", "idle_since", "last_error", "paused",
        "phase", "ping_at", "pinged", "pings", "planned", "probed", "proven", "proven_at", "renew_at", "since", "stable_since",
        "wanting_since",
    )  # fmt: skip

    def __init__(self, generation: int, now: float, ping_interval: float, *, planned: bool) -> None:
        self.generation = generation
        self.planned = planned  # whether its channels are in its address
        self.phase = Phase.DIALING
        self.since = now  # when the phase was entered
        self.budget = Budget(ping_interval)
        self.heard = 0  # frames received, of any kind; the driver counts them
        self.paused = False  # whether nothing is read from it, so that a consumer can come after
        self.last_error: Blame | None = None
        self.asked_at: float | None = None  # when the request in flight was sent
        self.ping_at: float | None = None  # when the next ping is due
        self.renew_at: float | None = None  # when it is as old as it may grow
        self.pinged: Heartbeat | None = None  # the ping that is out
        self.pings = 0  # how many have left
        self.fault: Fault | None = None  # of the server, until a request is acknowledged
        self.proven_at: float | None = None  # when the server last proved here that it works; None before it did
        self.stable_since: float | None = None  # since when everything desired is acknowledged
        self.idle_since: float | None = None  # since when nothing is desired any more
        self.alone_at = now  # when the one that made room for it is gone
        self.wanting_since: float | None = None  # since when something is desired that only another address can ask for
        self.forgiven = False
        self.probed = False  # whether a canary was due on it
        self.proven = False  # whether everything desired has once been acknowledged on it

    @property
    def at_fault(self) -> bool:
        """Whether a server fault is under way on it."""
        return self.fault is not None and self.fault.is_open

    @property
    def is_silent(self) -> bool:
        """Whether nothing was heard since the ping that is out, although it could have been."""
        return self.pinged is not None and self.heard == self.pinged.heard and not self.paused


@dataclass(frozen=True, slots=True)
class Blame:
    """The last error frame of a link."""

    cause: ServerError
    heard: int  # how many frames had come with it: the next one makes it old news
    blamed: bool  # whether a request in flight was there to be blamed


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A ping that is out."""

    at: float
    heard: int  # how many frames had come before it
