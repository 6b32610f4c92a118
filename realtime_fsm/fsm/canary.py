"""The canary's control requests: a hidden subscription, and a presence whose event comes back on it.

Invariant: the hidden subscription does not count as desired, so no state depends on it.

Design: The driver decides when a canary is due, and whether its event came back. The user's requests go out first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from realtime_fsm.protocol.spec import SubscriptionSpec

CANARY = "canary"
"""The id of the hidden subscription; the ids of the user's subscriptions are numbered."""
CANARY_STATUS = "canary"
"""The status of a presence that only proves that events arrive."""


class CanaryTracker:
    """The canary of one connection."""

    __slots__ = ("alone", "id", "in_flight", "listening", "presence", "presence_due", "spec", "spec_due")

    alone: bool  # whether the presence in flight serves the canary alone
    id: str  # the id in `presence`
    in_flight: bool  # whether the presence in flight is a canary
    listening: bool  # whether the server has acknowledged the hidden subscription on this link
    presence_due: bool  # whether a presence is to be sent
    spec_due: bool  # whether the hidden subscription is to be requested

    def __init__(self, spec: SubscriptionSpec | None = None) -> None:
        self.spec = spec  # the hidden subscription; None before the first canary, if no channel is configured
        # a presence for the canary alone, where the user wants none; None where the canary needs no presence
        self.presence: bytes | None = None
        self.id = ""
        self.end_link()

    def end_link(self) -> None:
        """Forget everything that the connection asked on the link."""
        self.listening = self.spec_due = self.presence_due = self.in_flight = self.alone = False

    def probe(self, spec: SubscriptionSpec, presence: bytes | None, identifier: str) -> bool:
        """Plan a canary.

        Returns:
            Whether it may go out at once: the link listens, and the canary needs no presence.
        """
        self.spec, self.presence, self.id = spec, presence, identifier
        self.spec_due = not self.listening
        self.presence_due = presence is not None
        return self.listening and presence is None

    @property
    def waits(self) -> bool:
        """Whether a request for the canary waits."""
        return self.spec_due or self.presence_due
