"""The protocol core of the embedded server: one connection, in the protocol of each era as real servers were seen to speak it.

Invariant: the core does no I/O, reads no clock and draws no random number. A caller gives it each message with the time (`now`,
in seconds since the epoch), and sends the frames that it returns. So one core serves a loopback socket and a simulated network.

Design: the core answers a message before it reads the next one. A real server works on several at once; a caller that wants
replies out of order changes the order of the messages. Frames for other connections wait in `Backend.take_caused`.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from realtime_fsm.testing import messages, presence
from realtime_fsm.testing.accounts import GUEST, Account
from realtime_fsm.testing.quota import MinuteQuota
from realtime_fsm.testing.subscriptions import Subscriptions, rewrite_channels
from realtime_fsm.testing.upgrade import UpgradeParams
from realtime_fsm.testing.url import Slot, slots
from realtime_fsm.testing.wire import POLICY, UNCAUGHT, Refusal, Reply, as_php, bad_message, decode, encode, error

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from realtime_fsm.testing.backend import Backend
    from realtime_fsm.testing.eras import EraRules
    from realtime_fsm.testing.request import HttpRequest
    from realtime_fsm.testing.users import UserDirectory

MAX_CLIENT_FRAME = 65_536
"""The largest frame, in bytes, that a client may send; its header counts."""
HISTORY = 1_000
"""The most messages that `ServerConnection.received` keeps."""

_HEADER = 8  # bytes of a client's frame near the limit: 2, then 2 of length, then 4 of mask
_NO_REDIS = "Redis server went away"
_NO_GUESTS = "Guests may not subscribe"  # not recorded: no real server was seen to refuse guests
_NO_PROJECT = "Missing project context. Reconnect to the project first."


class ServerConnection:
    """One connection, on the side of the server."""

    def __init__(self, backend: Backend) -> None:
        """Make a connection that has not been greeted yet."""
        self.era: EraRules = backend.era  # the rules of the era that this connection speaks, whatever era the backend changes to
        # the users of the project; None before the greeting, and when the server has forgotten the project
        self.directory: UserDirectory | None = None
        self.account: Account | None = None  # the user; None for a guest
        self.quota: MinuteQuota = MinuteQuota(backend.rate_limit)  # the messages of this minute
        self.received: deque[object] = deque(maxlen=HISTORY)  # the latest messages of the client
        self.presences: dict[object, presence.Document] = {}  # the presences that the client has sent, by their ids
        self._backend = backend
        self._ended = False
        self._now: float  # of the latest message
        self._logged_in_as: str | None = None  # by message
        self._subscriptions = Subscriptions()

    def __repr__(self) -> str:
        return f"<ServerConnection user={self._user_id()!r} subscriptions={list(self.subscriptions)!r}>"

    @property
    def subscriptions(self) -> tuple[str, ...]:
        """The ids of the subscriptions, oldest first; in E1 and E2 there is one, and the server does not send its id."""
        return tuple(self._subscriptions.ids)

    @property
    def channels(self) -> set[str]:
        """The channels of the subscriptions."""
        return self._subscriptions.channels

    def receive_upgrade(self, request: HttpRequest, now: float) -> Reply:
        """Answer an upgrade request, with the ``connected`` frame or with an error and the end."""
        params = UpgradeParams(request)
        try:
            directory = self._backend.admit(params, now)
            self.account = directory.identify(params, now)
            channels = rewrite_channels(params.channels, self._user_id(), actions=self.era.by_message)
            requested = self._slots(params, channels)
        except Refusal as refusal:
            return self._refuse(refusal, dialing=True)
        self.directory = directory
        self._backend.connections[self] = None
        ids: dict[str, object] = {}
        for channel in params.channels:
            self._backend.on_channel(channel)
        for name, slot in requested.items():
            ids[name] = identifier = next(self._backend.ids)
            self._subscriptions.add(identifier, slot.channels, slot.queries, self._roles())
        greeting: dict[str, object] = {"channels": channels}
        if self.era.ids:
            greeting["subscriptions"] = as_php(ids)
        greeting["user"] = self._user()
        return Reply((encode({"type": "connected", "data": greeting}),))

    def receive_message(self, data: bytes | str, now: float) -> Reply:
        """Answer any message. Without a greeting, the server answers as if it had forgotten the project."""
        self._now = now
        if self._ended:
            return Reply()
        raw = data.encode(errors="surrogatepass") if isinstance(data, str) else data
        if len(raw) + _HEADER > MAX_CLIENT_FRAME:
            self.close()
            return Reply(reset=True)
        try:
            message: object = decode(raw)
        except ValueError:
            message = None
        self.received.append(raw.decode(errors="replace") if message is None else message)
        if self._backend.faulty:
            is_ping = isinstance(message, dict) and message.get("type") == "ping"
            return Reply(self._refuse(Refusal(UNCAUGHT, _NO_REDIS)).frames, after=self._backend.fault_delay if is_ping else 0.0)
        try:
            self.quota.spend(now)
            return Reply((encode(self._answer(*messages.read(message, self.era))),))
        except Refusal as refusal:
            return self._refuse(refusal)

    def close(self, now: float | None = None) -> None:
        """Leave the backend, because the stream has ended; a second call changes nothing.

        Without `now`, the end has the moment of the latest message.
        """
        self._ended = True
        self._backend.connections.pop(self, None)
        presences, self.presences = self.presences, {}
        for identifier, document in presences.items():
            if self.directory is not None and self.directory.presences.remove(identifier):
                self._announce(document, "delete", self._now if now is None else now)

    def matching_subscriptions(self, channels: Iterable[str], roles: frozenset[str], payload: object) -> list[str]:
        """Return the ids of the subscriptions that get an event, as `Subscriptions.matching`."""
        return self._subscriptions.matching(channels, roles, payload)

    def _slots(self, params: UpgradeParams, channels: list[str]) -> Mapping[str, Slot]:
        if not channels and not self.era.by_message:
            raise Refusal(POLICY, "Missing channels")
        if channels:
            self._check_guest()
        return slots(params.parameters, channels) if self.era.ids else {"0": Slot(channels)}

    def _refuse(self, refusal: Refusal, *, dialing: bool = False) -> Reply:
        end = dialing or refusal.end
        if end:
            self.close()
        text = self.era.text(refusal, dialing=dialing) if self._backend.masked else refusal.message
        return Reply((error(refusal.code, text),), end=end)

    def _answer(self, kind: str, data: object) -> object:
        match kind:
            case "ping":
                return {"type": "pong"}
            case "subscribe":
                return _response("subscribe", success=True, subscriptions=self._subscribe(data))
            case "unsubscribe":
                removed = [(name, self._subscriptions.remove(name)) for name in messages.read_unsubscribe(data)]
                items = [{"subscriptionId": name, "removed": found} for name, found in removed]
                return _response("unsubscribe", success=True, subscriptions=items)
            case "presence":
                return _response("presence", presence=self._store_presence(data))
            case _:
                return _response("authentication", success=True, user=self._authenticate(data))

    def _subscribe(self, data: object) -> list[object]:
        directory = self._project()
        self._check_guest()
        answer: list[object] = []
        for item in messages.read_subscribe(data, self._backend.tails(directory)):
            for channel in item.channels:
                self._backend.on_channel(channel)
            identifier = next(self._backend.ids) if item.identifier is None else item.identifier
            channels = rewrite_channels(item.channels, self._user_id())
            self._subscriptions.add(identifier, channels, item.queries, self._roles())
            queries = [query.text() for query in item.queries]
            answer.append({"subscriptionId": identifier, "channels": channels, "queries": queries})
        return answer

    def _authenticate(self, data: object) -> Mapping[str, object] | None:
        session = messages.read_authentication(data, self.era)
        directory = self._project() if self.era.by_message else self.directory
        account = None if directory is None else directory.by_session(session)
        if account is None:
            raise bad_message("Session is not valid.")
        if self.era.goes_deaf and self._logged_in_as not in (None, account.user_id):
            self._backend.stale_login = True
        self._logged_in_as = account.user_id
        self.era.login(self._subscriptions, self._user_id(), account)
        self.account = account
        if not self._subscriptions.ids:
            self.directory = None
        return self._user()

    def _store_presence(self, data: object) -> presence.Document:
        directory = self._project()
        document = directory.presences.store(self.account, presence.read(data), self._now, self._backend.ids)
        self.presences[document["$id"]] = document
        self._announce(document, "upsert", self._now)
        return document

    def _announce(self, document: presence.Document, action: str, now: float) -> None:
        assert self.directory is not None  # a presence belongs to a project
        names, channels, roles = presence.event_of(document, action)
        project = self.directory.project
        self._backend.caused += self._backend.publish(names, channels, document, now=now, roles=roles, project=project)

    def _project(self) -> UserDirectory:
        if self.directory is None:
            raise Refusal(POLICY, _NO_PROJECT, end=True)
        return self.directory

    def _check_guest(self) -> None:
        code = self._backend.guest_code
        if code is not None and self.account is None:
            raise Refusal(code, _NO_GUESTS, end=code == POLICY)

    def _roles(self) -> frozenset[str]:
        return GUEST if self.account is None else self.account.roles

    def _user_id(self) -> str | None:
        return None if self.account is None else self.account.user_id

    def _user(self) -> Mapping[str, object] | None:
        return None if self.account is None else self.account.document


def _response(to: str, **data: object) -> dict[str, object]:
    return {"type": "response", "data": {"to": to, **data}}
