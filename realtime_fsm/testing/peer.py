"""The brain of the embedded server: the newest protocol, as real servers were seen to speak it.

No I/O, no clock, no random number: bytes and the time come in, frames go out, ids come from a generator that is handed in.
So the same brain serves a loopback socket and a simulated network.

Not built: the ``presence`` message (answered with error 1003), queries in the URL (refused with error 1008), and replies
out of order (each message is answered before the next one is looked at).
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING

from realtime_fsm.testing.backend import Backend, Budget, counted_ids
from realtime_fsm.testing.identity import CONSOLE, Account, Dial, Directory, Request
from realtime_fsm.testing.queries import Query, parse
from realtime_fsm.testing.subscriptions import Subscriptions, rewritten
from realtime_fsm.testing.wire import Refusal, Reply, decode, encode, error

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["FRAME_LIMIT", "HISTORY", "Backend", "Peer", "Reply", "Request", "counted_ids"]

FRAME_LIMIT = 65_536
"""The largest frame, in bytes, that a client may send; its header counts."""
HISTORY = 1_000
"""How many messages of a connection are remembered."""

_HEADER = 8  # of a client's frame that comes near the limit: 2 bytes, 2 of length, 4 of mask
_BAD_MESSAGE, _POLICY = 1003, 1008
_GUEST = frozenset({"any", "guests"})
_SUBSCRIPTION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,35}|unique\(\)")


class Peer:
    """One connection, seen from the server."""

    def __init__(self, backend: Backend) -> None:
        """Make a connection that has not been greeted yet.

        Args:
            backend: what it shares with the others.
        """
        self.directory: Directory | None = None  # also None once the server has forgotten the project
        self.account: Account | None = None
        self.received: deque[object] = deque(maxlen=HISTORY)
        self._backend = backend
        self._budget = Budget(backend.rate_limit)
        self._ended = False
        self._subscriptions = Subscriptions()

    def __repr__(self) -> str:
        return f"<Peer user={self._user_id()!r} subscriptions={list(self.subscriptions)!r}>"

    @property
    def subscriptions(self) -> tuple[str, ...]:
        """The ids of its subscriptions, oldest first."""
        return tuple(self._subscriptions.ids)

    def greet(self, request: Request, now: float) -> Reply:
        """Answer the dial.

        Args:
            request: the upgrade request.
            now: seconds since the epoch.

        Returns:
            The ``connected`` frame; or an error and the end.
        """
        dial = Dial(request)
        try:
            directory = self._backend.directory(dial.project)
            self._backend.count_dial(now)
            if dial.project != CONSOLE:
                dial.check_origin(self._backend.platforms)
            self.account = directory.identify(dial)
            channels = rewritten(dial.channels, self._user_id())
        except Refusal as refusal:
            return self._refuse(refusal, end=True)
        self.directory = directory
        self._backend.peers[self] = None
        if channels:
            self._subscriptions.add(next(self._backend.ids), channels, ())
        greeting = {"channels": channels, "subscriptions": list(self.subscriptions), "user": self._user()}
        return Reply((encode({"type": "connected", "data": greeting}),))

    def handle(self, data: bytes | str, now: float) -> Reply:
        """Answer one message.

        A connection that was never greeted is treated like one whose project is forgotten.

        Args:
            data: the message.
            now: seconds since the epoch.

        Returns:
            What to send, and whether the stream ends. Nothing is raised, whatever the message.
        """
        if self._ended:
            return Reply()
        raw = data.encode(errors="surrogatepass") if isinstance(data, str) else data
        if len(raw) + _HEADER > FRAME_LIMIT:
            self.leave()
            return Reply(reset=True)
        try:
            message: object = decode(raw)
        except ValueError:
            message = None
        self.received.append(raw.decode(errors="replace") if message is None else message)
        try:
            self._budget.spend(now)
            return Reply((encode(self._answer(message)),))
        except Refusal as refusal:
            return self._refuse(refusal, end=refusal.end)

    def leave(self) -> None:
        """Take the connection out of the backend: its stream has ended. May be called again."""
        self._ended = True
        self._backend.peers.pop(self, None)

    def matching(self, channels: Iterable[str], roles: frozenset[str], payload: object) -> list[str]:
        """Find the subscriptions that an event goes to.

        Args:
            channels: the event's channels.
            roles: who may see it.
            payload: its payload, as PHP holds it.

        Returns:
            Their ids, in the order in which the server lists them.
        """
        mine = _GUEST if self.account is None else self.account.roles
        if mine.isdisjoint(roles):
            return []
        return self._subscriptions.matching(channels, payload)

    def _refuse(self, refusal: Refusal, *, end: bool) -> Reply:
        if end:
            self.leave()
        return Reply((error(refusal.code, refusal.message),), end=end)

    def _answer(self, message: object) -> object:
        if isinstance(message, str | int | float):
            raise Refusal(0)
        if not isinstance(message, dict):
            raise Refusal(_BAD_MESSAGE)
        kind, data = message.get("type"), message.get("data")
        if isinstance(kind, dict | list):
            raise Refusal(_BAD_MESSAGE, end=True)  # it kills a worker of the real server, and all its connections
        match kind:
            case "ping":
                return {"type": "pong"}
            case "subscribe":
                return _response("subscribe", subscriptions=self._subscribe(_items(data)))
            case "unsubscribe":
                return _response("unsubscribe", subscriptions=self._unsubscribe(_items(data)))
            case "authentication":
                return _response("authentication", user=self._authenticate(data))
            case _:
                raise Refusal(_BAD_MESSAGE)

    def _subscribe(self, items: list[dict[str, object]]) -> list[object]:
        if self.directory is None:
            raise Refusal(_POLICY, end=True)
        wanted = [(self._identifier(item), self._wanted(item), _queries(item)) for item in items]
        answer: list[object] = []
        for identifier, channels, queries in wanted:
            self._subscriptions.add(identifier, channels, queries)
            texts = [query.text() for query in queries]
            answer.append({"subscriptionId": identifier, "channels": channels, "queries": texts})
        return answer

    def _unsubscribe(self, items: list[dict[str, object]]) -> list[object]:
        named = [item.get("subscriptionId") for item in items]
        identifiers = [name for name in named if isinstance(name, str) and name]
        if len(identifiers) < len(named):
            raise Refusal(_BAD_MESSAGE)
        return [{"subscriptionId": name, "removed": self._subscriptions.remove(name)} for name in identifiers]

    def _authenticate(self, data: object) -> Mapping[str, object] | None:
        session = data.get("session") if isinstance(data, dict) else None
        if self.directory is None or not isinstance(session, str):
            raise Refusal(_BAD_MESSAGE)
        account = self.directory.by_session(session)
        if account is None:
            raise Refusal(_BAD_MESSAGE)
        self._subscriptions.rebind(self._user_id(), account.user_id)
        self.account = account
        if not self._subscriptions.ids:
            self.directory = None
        return self._user()

    def _identifier(self, item: dict[str, object]) -> str:
        if "subscriptionId" not in item:
            return next(self._backend.ids)
        identifier = item["subscriptionId"]
        if not isinstance(identifier, str) or not _SUBSCRIPTION_ID.fullmatch(identifier):
            raise Refusal(_BAD_MESSAGE)
        return identifier

    def _wanted(self, item: dict[str, object]) -> list[str]:
        channels = item.get("channels")
        if not isinstance(channels, list):
            raise Refusal(_BAD_MESSAGE)
        names = [channel for channel in channels if isinstance(channel, str)]
        if len(names) < len(channels):
            raise Refusal(_BAD_MESSAGE)
        if any(name.startswith("console.tail.") for name in names):
            raise Refusal(_POLICY, end=True)
        return rewritten(names, self._user_id())

    def _user_id(self) -> str | None:
        return None if self.account is None else self.account.user_id

    def _user(self) -> Mapping[str, object] | None:
        return None if self.account is None else self.account.document


def _response(to: str, **data: object) -> dict[str, object]:
    return {"type": "response", "data": {"to": to, "success": True, **data}}


def _items(data: object) -> list[dict[str, object]]:
    items = [item for item in data if isinstance(item, dict)] if isinstance(data, list) else []
    if not isinstance(data, list) or len(items) < len(data):
        raise Refusal(_BAD_MESSAGE)
    return items


def _queries(item: dict[str, object]) -> tuple[Query, ...]:
    queries = item.get("queries", [])
    if not isinstance(queries, list):
        raise Refusal(_BAD_MESSAGE)
    return tuple(parse(query) for query in queries)
