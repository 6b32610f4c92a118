"""The canary's part of the subscription book: a hidden subscription, and the presence that is sent to be heard on it.

Invariant: nothing here counts as desired, so no state depends on it.

Design: the driver decides when a canary is due and whether its echo came. The book only merges its messages into the one
sequence of control requests, behind everything that the user asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from realtime_fsm.protocol.spec import SubscriptionSpec

CANARY = "canary"
"""The id of the hidden subscription; those of users are numbered."""
CANARY_STATUS = "canary"
"""The status of a presence that only proves that events arrive."""


class CanaryBook:
    """The canary of one connection.

    Attributes:
        spec: the hidden subscription; None until one is known.
        listening: whether the server has acknowledged it on this link.
        wish_due: whether it is to be asked for.
        presence: a presence of its own, for when the user wants none; None where a presence proves nothing.
        presence_due: whether a presence is to be sent.
        id: the id of that presence.
        out: whether the presence that is in flight is a canary.
        own: whether it is one of its own.
    """

    __slots__ = ("id", "listening", "out", "own", "presence", "presence_due", "spec", "spec_due")

    def __init__(self, spec: SubscriptionSpec | None = None) -> None:
        self.spec = spec
        self.presence: bytes | None = None
        self.id = ""
        self.forget_link()

    def forget_link(self) -> None:
        """The link is gone, and with it all that was asked on it."""
        self.listening = self.spec_due = self.presence_due = self.out = self.own = False

    def probe(self, spec: SubscriptionSpec, presence: bytes | None, identifier: str) -> bool:
        """A canary is due. The answer tells whether it may go out at once, because it is not a presence."""
        self.spec, self.presence, self.id = spec, presence, identifier
        self.spec_due = not self.listening
        self.presence_due = presence is not None
        return self.listening and presence is None

    @property
    def waits(self) -> bool:
        """Whether something is to be asked for."""
        return self.spec_due or self.presence_due
