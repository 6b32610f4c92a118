"""What is known of one link: how far it has come, what was heard and sent, and when."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from realtime_fsm.fsm.budget import SendBudget

if TYPE_CHECKING:
    from collections.abc import Collection

    from realtime_fsm.errors import ServerError
    from realtime_fsm.fsm.fault import Fault
    from realtime_fsm.protocol.eras import Era

DRAIN_SECONDS = 1.0
"""Seconds for which a draining link still delivers what was on its way, once another link serves everything."""


class Phase(Enum):
    """How far a link has come."""

    DIALING = "upgrade"
    GREETING = "greeting"
    LIVE = "live"


class LinkState:
    """One WebSocket, from dial to end."""

    __slots__ = (
        "backoff_reset",
        "budget",
        "fault",
        "frames_received",
        "generation",
        "handover_wanted_since",
        "idle_since",
        "last_error",
        "phase",
        "ping_at",
        "ping_in_flight",
        "pings",
        "probed",
        "proven",
        "proven_at",
        "read_paused",
        "renew_at",
        "request_sent_at",
        "since",
        "stable_since",
        "subscribed_in_url",
    )  # fmt: skip

    def __init__(self, generation: int, now: float, ping_interval: float, *, planned: bool) -> None:
        self.generation = generation
        self.subscribed_in_url = planned  # whether its channels are in its address
        self.phase = Phase.DIALING
        self.since = now  # when the phase was entered
        self.budget = SendBudget(ping_interval)
        self.frames_received = 0  # frames received, of any kind; the driver counts them
        self.read_paused = False  # whether nothing is read from it, so that a consumer can come after
        self.last_error: LastError | None = None
        self.request_sent_at: float | None = None  # when the request in flight was sent
        self.ping_at: float | None = None  # when the next ping is due
        self.renew_at: float | None = None  # when it is as old as it may grow
        self.ping_in_flight: PingInFlight | None = None  # the ping that is out
        self.pings = 0  # how many have left
        self.fault: Fault | None = None  # of the server, until a request is acknowledged
        self.proven_at: float | None = None  # when the server last proved here that it works; None before it did
        self.stable_since: float | None = None  # since when everything desired is acknowledged
        self.idle_since: float | None = None  # since when nothing is desired any more
        self.handover_wanted_since: float | None = None  # since when something is desired that only another address can ask for
        self.backoff_reset = False
        self.probed = False  # whether a canary was due on it
        self.proven = False  # whether everything desired has once been acknowledged on it

    @property
    def at_fault(self) -> bool:
        """Whether a server fault is under way on it."""
        return self.fault is not None and self.fault.is_open

    @property
    def no_reply_to_ping(self) -> bool:
        """Whether nothing was heard since the ping that is out, although it could have been."""
        return (
            self.ping_in_flight is not None
            and self.frames_received == self.ping_in_flight.frames_received
            and not self.read_paused
        )


@dataclass(frozen=True, slots=True)
class LastError:
    """The last error frame of a link."""

    cause: ServerError
    frames_received: int  # how many frames had come with it: the next one makes it old news
    blamed: bool  # whether a request in flight was there to be blamed


@dataclass(frozen=True, slots=True)
class PingInFlight:
    """A ping that is out."""

    at: float
    frames_received: int  # how many frames had come before it


@dataclass(frozen=True, slots=True)
class DrainingLink:
    """The old link of a handover, and all that the machine needs to go back to it.

    Attributes:
        state: what is known of the link.
        served: the ids that were acknowledged on it.
        used: whether something was desired on it.
        presence_id: the id of the presence that the server stored for it.
        hears_canary: whether its hidden subscription was acknowledged.
        era: the era of its server.
        been_up: whether a link had been up since the user asked for one.
    """

    state: LinkState
    served: Collection[str]
    used: bool
    presence_id: str | None
    hears_canary: bool
    era: Era | None
    been_up: bool

    @property
    def generation(self) -> int:
        """The number of the link."""
        return self.state.generation
