"""The state of one link: its phase, its timers, its budget, and its counts of frames.

Invariant: each link begins with a new state, so that nothing of a link outlives it.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from msgspec import Struct

from realtime_fsm.fsm.fault import Fault

if TYPE_CHECKING:
    from collections.abc import Collection

    from realtime_fsm.errors import ServerError
    from realtime_fsm.fsm.budget import SendBudget
    from realtime_fsm.protocol.eras import Era

DRAIN_SECONDS = 1.0
"""Seconds for which a draining link still delivers late events, after another link serves everything."""


class Phase(Enum):
    """The phases of a link. The value of the first two is the name of their deadline."""

    DIALING = "upgrade"
    GREETING = "greeting"
    LIVE = "live"


class LinkState(Struct, eq=False):
    """One WebSocket, from dial to end."""

    generation: int
    since: float  # when the phase was entered
    budget: SendBudget
    subscribed_in_url: bool  # whether the URL asked for its subscriptions
    phase: Phase = Phase.DIALING
    frames_received: int = 0  # frames of any kind; the driver counts them
    read_paused: bool = False  # whether the driver reads nothing, so that a slow consumer can catch up
    last_error: LastError | None = None
    request_sent_at: float | None = None  # when the request in flight was sent
    ping_at: float | None = None  # when the next ping is due
    ping_in_flight: PingInFlight | None = None  # the ping that awaits its pong
    pings: int = 0  # how many pings were sent
    renew_at: float | None = None  # when the link reaches its greatest age
    fault: Fault | None = None  # until the server acknowledges a request
    proven_at: float | None = None  # when the server last proved on this link that it works
    proven: bool = False  # whether everything desired was acknowledged at some moment, or nothing was desired
    stable_since: float | None = None  # since when everything desired is acknowledged
    idle_since: float | None = None  # since when nothing is desired any more
    handover_wanted_since: float | None = None  # since when only another URL can ask for a desired subscription
    backoff_reset: bool = False  # whether the connection has forgiven earlier failures
    probed: bool = False  # whether a canary went out on this link

    def suffer(self, since: float) -> None:
        """Begin a server fault unless one is open. The server last worked at `since`."""
        self.fault = self.fault or Fault()
        if not self.fault.is_open:
            self.fault.open(since)

    @property
    def at_fault(self) -> bool:
        """Whether a server fault is open."""
        return self.fault is not None and self.fault.is_open

    @property
    def no_reply_to_ping(self) -> bool:
        """Whether no frame came since the ping in flight, while the driver read the link."""
        return (
            self.ping_in_flight is not None
            and self.frames_received == self.ping_in_flight.frames_received
            and not self.read_paused
        )


class LastError(Struct, frozen=True):
    """The last error frame of a link."""

    cause: ServerError
    frames_received: int  # at that moment; a later frame shows that this error did not end the link
    answered_request: bool  # whether a control request was in flight


class PingInFlight(Struct, frozen=True):
    """A ping that awaits its pong."""

    at: float
    frames_received: int  # before the ping


class DrainingLink(Struct, frozen=True):
    """The old link of a handover, with the facts that the machine needs to return to the link."""

    state: LinkState
    served: Collection[str]  # the ids of the subscriptions that the server had acknowledged on the link
    used: bool  # whether a subscription was desired on the link
    presence_id: str | None  # the id of the presence that the server stored for the link
    hears_canary: bool  # whether the server had acknowledged the canary's hidden subscription
    era: Era | None
    been_up: bool  # `ConnectionContext.been_up` at that moment

    @property
    def generation(self) -> int:
        """The number of the link."""
        return self.state.generation
