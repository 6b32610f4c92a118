"""The brain of the embedded server: the protocol of each era, as real servers were seen to speak it.

No I/O, no clock, no random number: bytes and the time come in, frames go out, ids come from a generator that is handed in.
So the same brain serves a loopback socket and a simulated network.

A message is answered before the next one is looked at. Real servers work on several at once: who wants their replies out of
order hands the messages in out of order. What a connection causes others to be sent lies in `Backend.caused`.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from realtime_fsm.testing import messages, presence
from realtime_fsm.testing.backend import Backend, MinuteQuota, counted_ids
from realtime_fsm.testing.identity import CONSOLE, Account, Request, UpgradeParams, UserDirectory
from realtime_fsm.testing.subscriptions import GUEST, Subscriptions, rewrite_channels
from realtime_fsm.testing.url import Slot, slots
from realtime_fsm.testing.wire import Refusal, Reply, as_php, decode, encode, error

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["FAULT_DELAY", "FRAME_LIMIT", "HISTORY", "Backend", "Reply", "Request", "ServerConnection", "counted_ids"]

FRAME_LIMIT = 65_536
"""The largest frame, in bytes, that a client may send; its header counts."""
FAULT_DELAY = 2.0
"""Seconds that a server whose Redis is away takes to answer a ping, and to greet a dial (PROTOCOL: "Messages", rule 10)."""
HISTORY = 1_000
"""How many messages of a connection are remembered."""

_HEADER = 8  # of a client's frame that comes near the limit: 2 bytes, 2 of length, 4 of mask
_UNCAUGHT, _POLICY = 0, 1008
_NO_REDIS = "Redis server went away"
_NO_GUESTS = "Guests may not subscribe"  # in words of its own: no server that says it was seen
_NO_PROJECT = "Missing project context. Reconnect to the project first."


class ServerConnection:
    """One connection, seen from the server."""

    def __init__(self, backend: Backend) -> None:
        """Make a connection that has not been greeted yet.

        Args:
            backend: what it shares with the others.
        """
        self.directory: UserDirectory | None = None  # also None once the server has forgotten the project
        self.account: Account | None = None
        self.received: deque[object] = deque(maxlen=HISTORY)
        self._backend = backend
        self._era = backend.era
        self._budget = MinuteQuota(backend.rate_limit)
        self._ended = False
        self._now = 0.0
        self._logged_in: str | None = None  # by message, and as whom
        self._subscriptions = Subscriptions()
        self._presences: dict[object, presence.Document] = {}

    def __repr__(self) -> str:
        return f"<Peer user={self._user_id()!r} subscriptions={list(self.subscriptions)!r}>"

    @property
    def subscriptions(self) -> tuple[str, ...]:
        """The ids of its subscriptions, oldest first; in E1 and E2 there is one, whose id nobody is told."""
        return tuple(self._subscriptions.ids)

    def greet(self, request: Request, now: float) -> Reply:
        """Answer the dial.

        Args:
            request: the upgrade request.
            now: seconds since the epoch.

        Returns:
            The ``connected`` frame; or an error and the end.
        """
        self._now = now
        dial = UpgradeParams(request)
        try:
            directory = self._backend.directory(dial.project)
            self._backend.count_dial(dial, now)
            if dial.project != CONSOLE:
                dial.check_origin(self._backend.platforms)
            self.account = directory.identify(dial)
            channels = rewrite_channels(dial.channels, self._user_id(), actions=self._era.by_message)
            wanted = self._slots(dial, channels)
        except Refusal as refusal:
            return self._refuse(refusal, dialing=True)
        self.directory = directory
        self._backend.peers[self] = None
        ids: dict[str, object] = {}
        for channel in dial.channels:
            self._backend.on_channel(channel)
        for name, slot in wanted.items():
            ids[name] = identifier = next(self._backend.ids)
            self._subscriptions.add(identifier, slot.channels, slot.queries, self._roles())
        greeting: dict[str, object] = {"channels": channels}
        if self._era.ids:
            greeting["subscriptions"] = as_php(ids)
        greeting["user"] = self._user()
        return Reply((encode({"type": "connected", "data": greeting}),))

    def receive_message(self, data: bytes | str, now: float) -> Reply:
        """Answer one message.

        A connection that was never greeted is treated like one whose project is forgotten.

        Args:
            data: the message.
            now: seconds since the epoch.

        Returns:
            What to send, and whether the stream ends. Nothing is raised, whatever the message.
        """
        self._now = now
        if self._ended:
            return Reply()
        raw = data.encode(errors="surrogatepass") if isinstance(data, str) else data
        if len(raw) + _HEADER > FRAME_LIMIT:
            self.close()
            return Reply(reset=True)
        try:
            message: object = decode(raw)
        except ValueError:
            message = None
        self.received.append(raw.decode(errors="replace") if message is None else message)
        if self._backend.faulty:
            pinged = isinstance(message, dict) and message.get("type") == "ping"
            return Reply(self._refuse(Refusal(_UNCAUGHT, _NO_REDIS)).frames, after=FAULT_DELAY if pinged else 0.0)
        try:
            self._budget.spend(now)
            return Reply((encode(self._answer(*messages.read(message, self._era))),))
        except Refusal as refusal:
            return self._refuse(refusal)

    def close(self, now: float | None = None) -> None:
        """Take the connection out of the backend: its stream has ended. May be called again.

        Args:
            now: seconds since the epoch; that of its latest message when it is None.
        """
        self._ended = True
        self._backend.peers.pop(self, None)
        presences, self._presences = self._presences, {}
        for identifier, document in presences.items():
            if self.directory is not None and self.directory.presences.remove(identifier):
                self._announce(document, "delete", self._now if now is None else now)

    def matching_subscriptions(self, channels: Iterable[str], roles: frozenset[str], payload: object) -> list[str]:
        """Find the subscriptions that an event goes to.

        Args:
            channels: the event's channels.
            roles: who may see it.
            payload: its payload, as PHP holds it.

        Returns:
            Their ids, in the order in which the server lists them.
        """
        return self._subscriptions.matching(channels, roles, payload)

    def _slots(self, dial: UpgradeParams, channels: list[str]) -> Mapping[str, Slot]:
        if not channels and not self._era.by_message:
            raise Refusal(_POLICY, "Missing channels")
        if channels:
            self._check_guest()
        return slots(dial.parameters, channels) if self._era.ids else {"0": Slot(channels)}

    def _refuse(self, refusal: Refusal, *, dialing: bool = False) -> Reply:
        end = dialing or refusal.end
        if end:
            self.close()
        text = self._era.text(refusal, dialing=dialing) if self._backend.masked else refusal.message
        return Reply((error(refusal.code, text),), end=end)

    def _answer(self, kind: str, data: object) -> object:
        match kind:
            case "ping":
                return {"type": "pong"}
            case "subscribe":
                return _response("subscribe", success=True, subscriptions=self._subscribe(data))
            case "unsubscribe":
                removed = [(name, self._subscriptions.remove(name)) for name in messages.unsubscribes(data)]
                answer = [{"subscriptionId": name, "removed": known} for name, known in removed]
                return _response("unsubscribe", success=True, subscriptions=answer)
            case "presence":
                return _response("presence", presence=self._store_presence(data))
            case _:
                return _response("authentication", success=True, user=self._authenticate(data))

    def _subscribe(self, data: object) -> list[object]:
        if self.directory is None:
            raise Refusal(_POLICY, _NO_PROJECT, end=True)
        self._check_guest()
        answer: list[object] = []
        for wanted in messages.subscribes(data, self._backend.tails(self.directory)):
            for channel in wanted.channels:
                self._backend.on_channel(channel)
            identifier = next(self._backend.ids) if wanted.identifier is None else wanted.identifier
            channels = rewrite_channels(wanted.channels, self._user_id())
            self._subscriptions.add(identifier, channels, wanted.queries, self._roles())
            texts = [query.text() for query in wanted.queries]
            answer.append({"subscriptionId": identifier, "channels": channels, "queries": texts})
        return answer

    def _check_guest(self) -> None:
        code = self._backend.guest_code
        if code is not None and self.account is None:
            raise Refusal(code, _NO_GUESTS, end=code == _POLICY)

    def _authenticate(self, data: object) -> Mapping[str, object] | None:
        session = messages.session(data, self._era)
        if self.directory is None and self._era.by_message:
            raise Refusal(_POLICY, _NO_PROJECT, end=True)
        account = None if self.directory is None else self.directory.by_session(session)
        if account is None:
            raise messages.bad_message("Session is not valid.")
        if self._era.goes_deaf and self._logged_in not in (None, account.user_id):
            self._backend.stale_login = True
        self._logged_in = account.user_id
        self._era.login(self._subscriptions, self._user_id(), account)
        self.account = account
        if not self._subscriptions.ids:
            self.directory = None
        return self._user()

    def _store_presence(self, data: object) -> presence.Document:
        if self.directory is None:
            raise Refusal(_POLICY, _NO_PROJECT, end=True)
        spec = presence.read(data)
        document = self.directory.presences.store(self.account, spec, self._now, self._backend.ids)
        self._presences[document["$id"]] = document
        self._announce(document, "upsert", self._now)
        return document

    def _announce(self, document: presence.Document, action: str, now: float) -> None:
        assert self.directory is not None  # a presence belongs to a project
        self._backend.cause(self.directory, *presence.events(document, action), document, now)

    def _roles(self) -> frozenset[str]:
        return GUEST if self.account is None else self.account.roles

    def _user_id(self) -> str | None:
        return None if self.account is None else self.account.user_id

    def _user(self) -> Mapping[str, object] | None:
        return None if self.account is None else self.account.document


def _response(to: str, **data: object) -> dict[str, object]:
    return {"type": "response", "data": {"to": to, **data}}
