"""The model of the desired state: the subscriptions, their pending updates, and the presence of the user."""

from __future__ import annotations

from typing import Any

import msgspec

from realtime_fsm.errors import UnsupportedByServer
from realtime_fsm.fsm.commands import (
    EndStreams,
    FailWaiters,
    PresenceRefused,
    PresenceStored,
    ResumeLink,
    SubscriptionAcknowledged,
    SubscriptionRefused,
    SubscriptionRemoved,
    SubscriptionUnsupported,
)
from realtime_fsm.fsm.inputs import Input, PingEnabledChanged, SetPresence, Subscribe, Unsubscribe
from realtime_fsm.protocol.spec import SubscriptionSpec
from simulation.ledger import Ledger, Stream
from simulation.links import Link
from simulation.outages import Outages


class Wants:
    """The model of the users of one connection.

    Attributes:
        desired: what they want, by id.
        granted: what of it was ever acknowledged.
        granted_by_address: what was ever acknowledged by a greeting.
        streams: the ids whose events a consumer must get.
        successors: the streams that are to listen to something else, by the id of that.
        pings: whether pings are on.
        presence: the message that shows the user as present.
    """

    def __init__(self, ledger: Ledger, outages: Outages, *, pings: bool) -> None:
        self.desired: dict[str, SubscriptionSpec] = {}
        self.granted: set[str] = set()
        self.granted_by_address: set[str] = set()
        self.streams: set[str] = set()
        self.successors: dict[str, Stream] = {}
        self.pings = pings
        self.presence: bytes | None = None
        self._shown = False
        self._stored: bytes | None = None  # the presence before the newest, which counts again if the newest fails
        self._ledger = ledger
        self._outages = outages

    def hear(self, input_: Input) -> None:
        """Follow a call of a user; nothing counts after the end."""
        match input_:
            case Subscribe(spec=spec):
                self.desired[spec.id] = spec
                if spec.id not in self.successors:
                    self._ledger.of[spec.id] = Stream(spec)
                    self.streams.add(spec.id)
            case Unsubscribe(id=identifier):
                self._forget(identifier)
            case PingEnabledChanged(enabled=enabled):
                self.pings = enabled
            case SetPresence(message=message):
                self._show(message)

    def look_at(self, request: Any, link: Link | None, input_: int) -> None:
        """The machine tells what becomes of it; what is granted is granted on a link, after so many events."""
        match request:
            case SubscriptionRefused(id=identifier) | SubscriptionUnsupported(id=identifier):
                self._end(identifier)
            case SubscriptionRemoved(id=identifier):
                self._end(identifier)
            case ResumeLink(withdrawn=withdrawn):
                for identifier in withdrawn:
                    self._end(identifier)
            case FailWaiters(withdrawn=withdrawn):
                for identifier in withdrawn:
                    self._end(identifier)
                if not self._shown:
                    self._fall_back()
            case SubscriptionAcknowledged(id=identifier):
                assert link is not None
                self.granted.add(identifier)
                if link.specs is not None:
                    self.granted_by_address.add(identifier)
                self._grant(identifier, link.generation, input_)
            case PresenceStored():
                self._shown = True
            case PresenceRefused(error=UnsupportedByServer()):
                self._show(None)
            case PresenceRefused():
                self._fall_back()
            case EndStreams():
                self.streams.clear()

    def shown_by(self, link: Link) -> bool:
        """Whether the server shows the user as wanted."""
        if self.presence is None:
            return True
        assert link.socket is not None
        status = msgspec.json.decode(self.presence)["data"]["status"]
        return any(document["status"] == status for document in link.socket.peer.presences.values())

    def _grant(self, identifier: str, link: int, input_: int) -> None:
        replaced = self.successors.pop(identifier, None)
        stream = self._ledger.of[identifier] if replaced is None else replaced
        if replaced is not None:
            self.streams.discard(stream.spec.id)
            self.streams.add(identifier)
            self._ledger.of[identifier] = stream
            stream.spec, stream.since = self.desired[identifier], input_
        if stream.spec.id == identifier:  # and not what it listened to before
            stream.acknowledged_on = link
            self._outages.grant(stream)
            if not stream.granted:
                stream.granted, stream.since = True, input_

    def _forget(self, identifier: str) -> None:
        self.desired.pop(identifier, None)
        self.granted.discard(identifier)

    def _end(self, identifier: str) -> None:
        self._forget(identifier)
        self.streams.discard(identifier)
        self.successors.pop(identifier, None)

    def _show(self, message: bytes | None) -> None:
        if message is None:
            self._stored = None
        elif self._shown and self.presence is not None:
            self._stored = self.presence
        self.presence, self._shown = message, False

    def _fall_back(self) -> None:
        stored = None if self._shown else self._stored
        self._show(stored)
        self._shown = stored is not None
