"""The presence of one connection, and the canary's messages.

Invariant: at most one presence message is in flight. A link has one presence id, because the server ignores a second one.

Design: A new call of the user replaces one that waits. If the server refuses the new presence, the connection wants the one that
the server stored before. A canary sends the user's presence once more. Where the user wants none, it sends a presence of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.errors import PresenceRejected
from realtime_fsm.fsm.canary import CANARY, CanaryTracker
from realtime_fsm.fsm.commands import CanaryOut, CanaryRefused, PresenceRefused, PresenceStored
from realtime_fsm.fsm.control import PRESENCE, SUBSCRIBE, ControlRequest, batched

if TYPE_CHECKING:
    from realtime_fsm.fsm.commands import Command
    from realtime_fsm.protocol.frames import Code
    from realtime_fsm.protocol.spec import SubscriptionSpec

_HIDDEN = (CANARY,)  # the ids of the request for the hidden subscription


class PresenceTracker:
    """The presence of one connection."""

    __slots__ = ("_asked_id", "_before", "_stored", "canary", "id", "message", "on_link", "pending")

    def __init__(self) -> None:
        self.message: bytes | None = None  # the message that shows the user as present; None where the user wants no presence
        self.id: str = ""  # the id in that message
        self.pending: bool = False  # whether the message waits to be sent
        self.on_link: str | None = None  # the id of the presence that the server has stored for the link that is up
        self.canary: CanaryTracker | None = None
        self._asked_id: str | None = None  # the id in the message in flight
        self._stored = False  # whether the server has ever stored the message
        self._before: tuple[bytes, str] | None = None  # the presence to restore if the newest call fails

    def set(self, message: bytes | None, identifier: str = "") -> None:
        """Want a presence, or no presence any more. It replaces a message that waits."""
        if message is None:
            self._before = None
        elif self.message is not None and self._stored:
            self._before = self.message, self.id
        self.message, self.id = message, identifier
        self.pending = message is not None
        self._stored = False

    def drop_unstored(self) -> None:
        """Give up a presence that the server has not stored: its call fails, because no link follows."""
        if not self._stored:
            self._restore()

    def _restore(self) -> None:
        """Want the presence that the server stored before the newest call."""
        message, identifier = (None, "") if self._stored or self._before is None else self._before
        self.set(message, identifier)
        self._stored = message is not None
        self.pending = self._stored and self.on_link is None

    @property
    def needs_link(self) -> bool:
        """Whether the wanted presence needs another link, because the server has another id for this one."""
        return self.message is not None and self.taken_id not in (None, self.id)

    @property
    def taken_id(self) -> str | None:
        """The id that this link has, or gets by the message in flight."""
        return self._asked_id if self.on_link is None else self.on_link

    # --- the link -----------------------------------------------------------------------------------------------------

    def begin_link(self) -> None:
        """Plan to send the wanted presence on a new link."""
        self.pending = self.message is not None

    def end_link(self) -> None:
        """Forget the link, with which the server deletes the presence."""
        self.on_link = self._asked_id = None
        if self.canary is not None:
            self.canary.end_link()

    def resume_link(self, identifier: str | None, *, is_listening: bool) -> None:
        """Return to a link with the presence id that the server stored for it, and with or without the hidden subscription."""
        self.on_link = identifier
        if self.canary is not None:
            self.canary.listening = is_listening

    @property
    def is_listening(self) -> bool:
        """Whether the server has acknowledged the canary's hidden subscription on this link."""
        return self.canary is not None and self.canary.listening

    @property
    def waits(self) -> bool:
        """Whether a presence, or a request for the canary, is to be sent."""
        return self.pending or (self.canary is not None and self.canary.waits)

    def probe(self, spec: SubscriptionSpec, presence: bytes | None, identifier: str) -> list[Command]:
        """Plan a canary on the link that is up. If the canary needs no request, its event may come at once."""
        canary = self.canary = CanaryTracker() if self.canary is None else self.canary
        return [CanaryOut()] if canary.probe(spec, presence, identifier) else []

    def next_request(self) -> ControlRequest:
        """Take the next message: the canary's hidden subscription, its presence, or the user's."""
        canary = self.canary
        if canary is None or not canary.waits:
            return self._presence_request()
        if canary.spec_due:
            canary.spec_due = False
            assert canary.spec is not None
            return batched(SUBSCRIBE, _HIDDEN, (canary.spec.item,))
        canary.presence_due, canary.in_flight, canary.alone = False, True, self.message is None
        if not canary.alone:
            return self._presence_request()
        assert canary.presence is not None
        self._asked_id = canary.id
        return ControlRequest(PRESENCE, (), canary.presence)

    def _presence_request(self) -> ControlRequest:
        assert self.message is not None
        self.pending = False
        self._asked_id = self.id
        return ControlRequest(PRESENCE, (), self.message)

    # --- the answers --------------------------------------------------------------------------------------------------

    def sent(self, request: ControlRequest) -> bool:
        """Tell whether a request is a presence, or asks for the canary's hidden subscription."""
        return request.kind == PRESENCE or request.ids == _HIDDEN

    def accept(self, request: ControlRequest, stored: bytes) -> list[Command]:
        """Keep that the server accepted the request: the hidden subscription, or a presence."""
        if request.ids == _HIDDEN:
            self._known_canary.listening = True
            return [] if self._known_canary.presence_due else [CanaryOut()]
        self.on_link = self.on_link or self._asked_id
        canary, alone = self._end_canary()
        commands: list[Command] = [CanaryOut()] if canary else []
        if alone or self.pending:  # the waiting call gets the reply to the newer presence
            return commands
        self._stored = True
        return [PresenceStored(stored), *commands]

    def refuse(self, request: ControlRequest, code: Code, message: str) -> list[Command]:
        """Give up the canary, or the presence, that the server refused."""
        commands, held_presence = self._give_up_canary(request, code)
        if not held_presence or self.pending:  # a newer presence follows, and the server may accept it
            return commands
        self._restore()
        return [PresenceRefused(PresenceRejected(code, message)), *commands]

    def repeat(self, request: ControlRequest, code: Code) -> tuple[list[Command], bool]:
        """Plan to send the presence again, because it met a server fault. Give up a canary, which would prove nothing now.

        Returns:
            The commands about the canary, and whether the request held the user's presence.
        """
        commands, held_presence = self._give_up_canary(request, code)
        if held_presence:
            self.begin_link()
        return commands, held_presence

    def requeue(self, request: ControlRequest) -> None:
        """Plan to send the request again, because the server dropped it (1013, 429)."""
        if request.ids == _HIDDEN:
            self._known_canary.spec_due = True
            return
        canary, alone = self._end_canary()
        if canary:
            self._known_canary.presence_due = True
        self.pending = self.message is not None and not alone

    def _give_up_canary(self, request: ControlRequest, code: Code) -> tuple[list[Command], bool]:
        """Give up the canary of a request that failed, if it held one; the result is as that of `repeat`."""
        if request.ids == _HIDDEN:
            self._known_canary.presence_due = False
            return [CanaryRefused(code)], False
        self._asked_id = None
        canary, alone = self._end_canary()
        return [CanaryRefused(code)] if canary else [], not alone

    @property
    def _known_canary(self) -> CanaryTracker:
        assert self.canary is not None
        return self.canary

    def _end_canary(self) -> tuple[bool, bool]:
        """Tell whether the presence in flight was a canary, and whether it served the canary alone. It is in flight no more."""
        if self.canary is None:
            return False, False
        ended = self.canary.in_flight, self.canary.alone
        self.canary.in_flight = self.canary.alone = False
        return ended
