"""What the users want, as the watcher has it: the subscriptions, what is to replace them, and how the user is to be shown."""

from __future__ import annotations

from typing import Any

import msgspec

from realtime_fsm.vocabulary.inputs import Input, PingSwitched, SetPresence, Subscribe, Unsubscribe, Wish
from realtime_fsm.vocabulary.requests import End, Fail, Grant, Lack, Present, Reject, RejectPresence, Remove
from simulation.ledger import Ledger, Stream
from simulation.links import Link
from simulation.outages import Outages


class Wants:
    """The model of the users of one connection.

    Attributes:
        desired: what they want, by id.
        granted: what of it was ever acknowledged.
        granted_by_address: what was ever acknowledged by a greeting.
        streams: the ids under which events are owed to somebody.
        successors: the streams that are to listen to something else, by the id of that.
        pings: whether pings are on.
        presence: the message that shows the user as present.
    """

    def __init__(self, ledger: Ledger, outages: Outages, *, pings: bool) -> None:
        self.desired: dict[str, Wish] = {}
        self.granted: set[str] = set()
        self.granted_by_address: set[str] = set()
        self.streams: set[str] = set()
        self.successors: dict[str, Stream] = {}
        self.pings = pings
        self.presence: bytes | None = None
        self._shown = False
        self._stored: bytes | None = None
        self._ledger = ledger
        self._outages = outages

    def hear(self, happened: Input) -> None:
        """Somebody calls something; nothing of it counts after the end."""
        match happened:
            case Subscribe(wish=wish):
                self.desired[wish.id] = wish
                if wish.id not in self.successors:
                    self._ledger.of[wish.id] = Stream(wish)
                    self.streams.add(wish.id)
            case Unsubscribe(id=identifier):
                self._forget(identifier)
            case PingSwitched(enabled=enabled):
                self.pings = enabled
            case SetPresence(message=message):
                self._show(message)

    def look_at(self, request: Any, link: Link | None, happened: int) -> None:
        """The machine tells what becomes of it; what is granted is granted on a link, after so many events."""
        match request:
            case Reject(id=identifier) | Lack(id=identifier):
                self._end(identifier)
            case Remove(id=identifier):
                self._end(identifier)
            case Fail(withdrawn=withdrawn):
                for identifier in withdrawn:
                    self._end(identifier)
                if not self._shown:
                    self._fall_back()
            case Grant(id=identifier):
                assert link is not None
                self.granted.add(identifier)
                if link.wishes is not None:
                    self.granted_by_address.add(identifier)
                self._grant(identifier, link.generation, happened)
            case Present():
                self._shown = True
            case RejectPresence():
                self._fall_back()
            case End():
                self.streams.clear()

    def shown_by(self, link: Link) -> bool:
        """Whether the server shows the user as wanted."""
        if self.presence is None:
            return True
        assert link.socket is not None
        status = msgspec.json.decode(self.presence)["data"]["status"]
        return any(document["status"] == status for document in link.socket.peer._presences.values())

    def _grant(self, identifier: str, link: int, happened: int) -> None:
        replaced = self.successors.pop(identifier, None)
        stream = self._ledger.of[identifier] if replaced is None else replaced
        if replaced is not None:
            self.streams.discard(stream.wish.id)
            self.streams.add(identifier)
            self._ledger.of[identifier] = stream
            stream.wish, stream.since = self.desired[identifier], happened
        if stream.wish.id == identifier:  # and not what it listened to before
            stream.acknowledged_on = link
            self._outages.grant(stream)
            if not stream.granted:
                stream.granted, stream.since = True, happened

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
        """A call for a presence fails: the one that the server stored before it is wanted again, unless that one failed."""
        self._show(None if self._shown else self._stored)
        self._shown = self.presence is not None
