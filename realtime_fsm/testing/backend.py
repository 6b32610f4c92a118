"""The state that all connections of the embedded server share: projects, users, quotas, and the event bus.

Design: a connection registers itself after its greeting, and the backend knows it only as an `EventReceiver`. `Backend.publish`
returns deliveries, pairs of a connection and a frame, and the caller sends them. A connection may cause events too, such as those
of a presence; the backend keeps their deliveries until `take_caused`. `now` is in seconds since the epoch.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from realtime_fsm.testing.eras import EraName, era_named
from realtime_fsm.testing.messages import TAIL
from realtime_fsm.testing.quota import MinuteQuota
from realtime_fsm.testing.upgrade import CONSOLE
from realtime_fsm.testing.users import UserDirectory
from realtime_fsm.testing.wire import POLICY, Refusal, as_php, encode, format_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from realtime_fsm.testing.eras import EraRules
    from realtime_fsm.testing.upgrade import UpgradeParams

FAULT_DELAY = 2.0
"""Seconds that a server whose Redis is away takes to answer a ping, and to greet a dial (PROTOCOL: "Messages", rule 10)."""


class EventReceiver(Protocol):
    """A connection, as far as the backend knows it."""

    @property
    def directory(self) -> UserDirectory | None:
        """The users of its project; None when the server has forgotten the project."""

    def matching_subscriptions(self, channels: Iterable[str], roles: frozenset[str], payload: object) -> list[str]:
        """Return the ids of its subscriptions that get an event."""


Deliveries: TypeAlias = list[tuple[EventReceiver, bytes]]


def counted_ids() -> Iterator[str]:
    """Count ids of 20 hex digits, from ``00000000000000000001`` on, without an end."""
    return map("{:020x}".format, itertools.count(1))


class Backend:
    """The state that all connections share."""

    def __init__(
        self,
        *,
        projects: Sequence[str] = ("demo",),
        platforms: Iterable[str] = ("localhost",),
        era: EraName = "E4",
        masked: bool = True,
        rate_limit: int | Literal["era"] | None = "era",
        connection_limit: int | None = None,
        guest_code: int | str | None = None,
        ids: Iterator[str] | None = None,
        on_channel: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Set up the shared state; `RealtimeServer` explains the arguments.

        Raises:
            TypeError: for a string instead of a list of projects.
            ValueError: without a project, for an unknown era, or for a guest code in an era whose servers accept all guests.
        """
        if isinstance(projects, str):  # its letters would be the projects
            raise TypeError(f"projects: {projects!r} is a single string; give a list, such as [{projects!r}]")
        if not projects:
            raise ValueError("a server needs a project")
        self.era: EraRules = era_named(era)  # the rules of the server's era
        if guest_code is not None and not self.era.by_message:
            raise ValueError(f"deny_guests: no server of era {era} can deny guests; give era='E4'")
        self.masked = masked  # whether the server masks texts of errors as in production
        self.platforms: frozenset[str] = frozenset(platforms)  # host names that an ``Origin`` header may name
        # messages a minute of one connection; None for no limit
        self.rate_limit: int | None = self.era.rate_limit if rate_limit == "era" else rate_limit
        self.dial_quota: MinuteQuota = MinuteQuota(connection_limit)  # the dials of this minute
        self.guest_code = guest_code  # the code that refuses a guest's subscription; None to accept it
        # the source of the ids, and of the secrets, that the server chooses
        self.ids: Iterator[str] = counted_ids() if ids is None else ids
        self.on_channel = on_channel  # called with each channel that a client subscribes to
        # the connections that are greeted and up, in the order of their greetings
        self.connections: dict[EventReceiver, None] = {}
        self.fault_delay = FAULT_DELAY  # seconds until a faulty server answers a ping, or greets a dial
        self.faulty = False  # whether a server fault lasts: the server answers, and cannot work (PROTOCOL: "Messages", rule 10)
        self._default = projects[0]
        self._directories = {project: UserDirectory(project, self.era.absent_fields) for project in (*projects, CONSOLE)}
        self.caused: Deliveries = []  # of events that connections cause, such as those of a presence
        self._deaf_until = -math.inf
        self.restart()

    def restart(self) -> None:
        """Forget the stale login, and with it the loss of the event bus, as a new process does."""
        self.stale_login = self._bus_lost = False  # whether a connection has made a stale login (`EraRules.goes_deaf`)

    def deafen(self, until: float) -> None:
        """Lose all events until a moment, in seconds since the epoch; messages are answered as before."""
        self._deaf_until = until

    def admit(self, params: UpgradeParams, now: float) -> UserDirectory:
        """Count a dial, and return the users of its project.

        Refuse with 1008 an unknown project or a foreign origin, and with 1013 a dial beyond the quota of the path and the client.
        """
        directory = self._directories.get(params.project)
        if directory is None:
            raise Refusal(POLICY, "Missing or unknown project ID")
        self.dial_quota.spend(now, "Too many requests", (params.path, params.client_ip))
        if params.project != CONSOLE:
            params.check_origin(self.platforms)
        return directory

    def tails(self, directory: UserDirectory) -> frozenset[str]:
        """Return the channels of the live tail: in the console's own project, one for each other project."""
        if directory.project != CONSOLE:
            return frozenset()
        return frozenset(TAIL + project for project in self._directories if project != CONSOLE)

    def directory(self, project: str | None = None) -> UserDirectory:
        """Return the users of a project; None for the first project. Without such a project, raise `LookupError`."""
        name = self._default if project is None else project
        if name not in self._directories:
            raise LookupError(f"there is no project {name!r}")
        return self._directories[name]

    def add_user(
        self,
        user_id: str,
        *,
        session_secret: str | None = None,
        attributes: Mapping[str, object] | None = None,
        roles: Iterable[str] = (),
        project: str | None = None,
    ) -> str:
        """Add a user with a session; `RealtimeServer.add_user` explains the arguments."""
        if session_secret is None:
            session_secret = hashlib.sha256(next(self.ids).encode()).hexdigest()
        return self.directory(project).add(user_id, session_secret, attributes or {}, roles)

    def add_key(self, scopes: Iterable[str], project: str | None = None) -> str:
        """Add an API key; `RealtimeServer.add_key` explains the arguments."""
        secret = f"standard_{hashlib.sha256(next(self.ids).encode()).hexdigest()}"
        self.directory(project).keys[secret] = frozenset(scopes)
        return secret

    def publish(
        self,
        events: Sequence[str],
        channels: Sequence[str],
        payload: object,
        *,
        now: float,
        roles: Iterable[str] = ("any",),
        timestamp: str | None = None,
        project: str | None = None,
        memberships_of: str | None = None,
    ) -> Deliveries:
        """Return the deliveries of an event; `RealtimeServer.publish` explains the arguments and the errors.

        The order of the channels decides the order of the subscriptions in the frame.
        """
        directory, moment, payload = self.directory(project), timestamp or format_timestamp(now), as_php(payload)
        frame = _frame_for_ids(events, channels, moment, payload, console=directory.project == CONSOLE, ids=self.era.ids)
        if self.faulty:
            return []
        if memberships_of is not None and self.stale_login:
            self._bus_lost = True
        if self._bus_lost or now < self._deaf_until:
            return []
        visible_to = frozenset(roles)
        return [
            (connection, frame(matching))
            for connection in self.connections
            if connection.directory is directory
            and (matching := connection.matching_subscriptions(channels, visible_to, payload))
        ]

    def take_caused(self) -> Deliveries:
        """Take the deliveries that connections have caused. Call this after every message and every end of a link."""
        caused, self.caused = self.caused, []
        return [(connection, frame) for connection, frame in caused if connection in self.connections]


def _frame_for_ids(
    events: Sequence[str], channels: Sequence[str], moment: str, payload: object, *, console: bool, ids: bool
) -> Callable[[Sequence[str]], bytes]:
    """Encode an event once; the returned function adds the ids of the subscriptions that get the event.

    The form depends on the channels, on the console's own project and on the era's `ids` (PROTOCOL: "Messages", rule 12).
    """
    is_tail = console and any(channel.startswith(TAIL) for channel in channels)
    fields: dict[str, object] = {"events": events, "channels": channels, "timestamp": moment, "payload": payload}
    last = b""
    if is_tail:  # the live tail names no time, and its payload comes last
        fields, last = {"channels": channels, "events": events}, b',"payload":' + encode(payload)
    start = b'{"type":"event","data":' + encode(fields)[:-1]
    if not is_tail and (not ids or (console and "project" in channels)):  # E1, E2 and the statistics name no subscriptions
        return lambda _: start + b"}}"
    return lambda subscriptions: start + b',"subscriptions":' + encode(subscriptions) + last + b"}}"
