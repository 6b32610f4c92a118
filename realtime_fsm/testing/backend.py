"""What all connections of the embedded server share: the projects, their users, who is connected, and the budgets."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections import Counter
from typing import TYPE_CHECKING, Literal

from realtime_fsm.testing.eras import EraName, era_named
from realtime_fsm.testing.eventframes import shape_of
from realtime_fsm.testing.identity import CONSOLE, UserDirectory
from realtime_fsm.testing.messages import TAIL
from realtime_fsm.testing.wire import Refusal, as_php, format_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from realtime_fsm.testing.identity import UpgradeParams
    from realtime_fsm.testing.peer import ServerConnection

_MINUTE = 60.0  # seconds
_POLICY, _TOO_MANY = 1008, 1013


def counted_ids() -> Iterator[str]:
    """Count ids of 20 hex digits.

    Returns:
        ``00000000000000000001`` and so on, without an end.
    """
    return map("{:020x}".format, itertools.count(1))


class Backend:
    """What all connections share: the projects, their users, and who is connected.

    Attributes:
        guest_code: the code with which a guest's subscription is refused; None to accept it.
        on_channel: called with each channel that a client subscribes to.
        stale_login: whether a connection of E1 or E2 logged in by message as one user, and then as another.
        faulty: whether the server's Redis is away: the server answers, and cannot work (PROTOCOL: "Messages", rule 10).
    """

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
        """Set up the shared state.

        Args:
            projects: ids of the projects; the first is meant where none is named.
            platforms: host names that an ``Origin`` header may name.
            era: of which time the server is.
            masked: whether error texts are masked as in production, where the era masks any.
            rate_limit: messages a minute of one connection; "era" for what the era allows, None for no limit.
            connection_limit: dials a minute of one path and one address; None for no limit.
            guest_code: the code with which a guest's subscription is refused; None to accept it.
            ids: where the ids that the server chooses, and secrets, come from; `counted_ids` by default.
            on_channel: called with each channel that a client subscribes to.

        Raises:
            TypeError: for a string in place of a list of projects.
            ValueError: when there is no project, no such era, or guests are denied in an era that does not know it.
        """
        if isinstance(projects, str):  # its letters would be the projects
            raise TypeError(f"projects: {projects!r} is a single string; give a list, such as [{projects!r}]")
        if not projects:
            raise ValueError("a server needs a project")
        self.era = era_named(era)
        if guest_code is not None and not self.era.by_message:
            raise ValueError(f"deny_guests: no server of era {era} can deny guests; give era='E4'")
        self.guest_code = guest_code
        self.on_channel = on_channel
        self.masked = masked
        self.platforms = frozenset(platforms)
        self.rate_limit = self.era.rate_limit if rate_limit == "era" else rate_limit
        self.ids = counted_ids() if ids is None else ids
        self.peers: dict[ServerConnection, None] = {}
        self.faulty = False
        self._default = projects[0]
        self._directories = {project: UserDirectory(self.era.absent_fields) for project in (*projects, CONSOLE)}
        self._dials = MinuteQuota(connection_limit)
        self._caused: list[tuple[ServerConnection, bytes]] = []
        self._deaf_until = -math.inf
        self.restart()

    def restart(self) -> None:
        """Forget what a process forgets that starts anew: that its event bus was lost behind a stale login."""
        self.stale_login = self._lost = False

    def deafen(self, until: float) -> None:
        """Lose the event bus: until a moment no event reaches anyone, and messages are answered as before.

        Args:
            until: the moment, in seconds since the epoch; one that has passed ends it.
        """
        self._deaf_until = until

    def directory(self, project: str) -> UserDirectory:
        """The users of a project, for a dial.

        Args:
            project: its id.

        Returns:
            Its directory.

        Raises:
            Refusal: with 1008 when there is no such project.
        """
        try:
            return self._directories[project]
        except KeyError:
            raise Refusal(_POLICY, "Missing or unknown project ID") from None

    def tails(self, directory: UserDirectory) -> frozenset[str]:
        """The channels of the live tail: in the console's own project, one for each other project.

        Args:
            directory: the users of the project that a connection belongs to.

        Returns:
            The channels; none outside the console.
        """
        if directory is not self._directories[CONSOLE]:
            return frozenset()
        return frozenset(TAIL + project for project in self._directories if project != CONSOLE)

    def count_dial(self, dial: UpgradeParams, now: float) -> None:
        """Count a dial, for its path and for where it comes from.

        Args:
            dial: the dial.
            now: seconds since the epoch.

        Raises:
            Refusal: with 1013 when it is one too many in this minute.
        """
        self._dials.spend(now, "Too many requests", (dial.path, dial.address))

    def add_user(
        self,
        user_id: str,
        *,
        session_secret: str | None = None,
        attributes: Mapping[str, object] | None = None,
        roles: Iterable[str] = (),
        project: str | None = None,
    ) -> str:
        """Add a user who is logged in.

        Args:
            user_id: the user's id.
            session_secret: the secret of the session; one is made up when it is None.
            attributes: what the user document says beyond, or instead of, the usual.
            roles: roles beyond ``any``, ``users`` and ``user:{id}``, such as ``team:t1``.
            project: of which project; None for the first.

        Returns:
            The session string, as the SDKs hold it: base64 of ``{"id":...,"secret":...}``.

        Raises:
            ValueError: when the user exists.
            LookupError: when there is no such project.
        """
        if session_secret is None:
            session_secret = hashlib.sha256(next(self.ids).encode()).hexdigest()
        return self._named(project).add(user_id, session_secret, attributes or {}, roles)

    def issue_jwt(self, user_id: str, *, expired: bool = False, project: str | None = None) -> str:
        """Issue a JWT.

        Args:
            user_id: for whom.
            expired: whether it is worthless already.
            project: of which project; None for the first.

        Returns:
            The token.

        Raises:
            LookupError: when there is no such user or project.
        """
        return self._named(project).issue_jwt(user_id, expired=expired)

    def end_session(self, user_id: str, *, project: str | None = None) -> None:
        """End a user's session.

        Args:
            user_id: whose.
            project: of which project; None for the first.

        Raises:
            LookupError: when there is no such user or project.
        """
        self._named(project).end_session(user_id)

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
    ) -> list[tuple[ServerConnection, bytes]]:
        """Work out who gets an event.

        Args:
            events: names of what happened.
            channels: where it happened; the order decides the order of the subscriptions in the frame.
            payload: a JSON value.
            now: seconds since the epoch.
            roles: who may see it.
            timestamp: what the event says about its time; ``now`` when it is None.
            project: in which project; None for the first.
            memberships_of: the user whose memberships have changed by it; None when nobody's have. With a stale login in E1 or
                E2, neither this event nor a later one reaches anyone.

        Returns:
            One frame per receiving connection; where subscriptions have ids, it lists all that match.

        Raises:
            TypeError: for a payload that JSON has no form for.
            ValueError: for a payload with a float that is not finite, or nested more than 128 deep.
            LookupError: when there is no such project.
        """
        directory = self._named(project)
        seen = as_php(payload)
        console = directory is self._directories[CONSOLE]
        shape = shape_of(channels, console=console, ids=self.era.ids)
        frame = shape(events, channels, timestamp or format_timestamp(now), seen)
        if self.faulty:
            return []
        if memberships_of is not None and self.stale_login:
            self._lost = True
        if self._lost or now < self._deaf_until:
            return []
        audience = frozenset(roles)
        return [
            (peer, frame(matching))
            for peer in self.peers
            if peer.directory is directory and (matching := peer.matching_subscriptions(channels, audience, seen))
        ]

    def cause(
        self,
        directory: UserDirectory,
        events: Sequence[str],
        channels: Sequence[str],
        roles: frozenset[str],
        payload: object,
        now: float,
    ) -> None:
        """Publish what a connection has caused.

        Args:
            directory: the users of the project.
            events: names of what happened.
            channels: where it happened.
            roles: who may see it.
            payload: a JSON value.
            now: seconds since the epoch.
        """
        project = next(name for name, users in self._directories.items() if users is directory)
        self._caused += self.publish(events, channels, payload, now=now, roles=roles, project=project)

    def take_caused(self) -> list[tuple[ServerConnection, bytes]]:
        """Take what connections have caused others to be sent; to be asked after every message and every end.

        Returns:
            Connections, and a frame for each, in order.
        """
        caused, self._caused = self._caused, []
        return [(peer, frame) for peer, frame in caused if peer in self.peers]

    def _named(self, project: str | None) -> UserDirectory:
        name = self._default if project is None else project
        if name not in self._directories:
            raise LookupError(f"there is no project {name!r}")
        return self._directories[name]


class MinuteQuota:
    """So many a minute, in windows that are aligned to the minute."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._window = 0.0
        self._spent: Counter[object] = Counter()

    def spend(self, now: float, text: str = "Too many messages.", key: object = None) -> None:
        """Spend one.

        Args:
            now: seconds since the epoch.
            text: what the server says when it is one too many.
            key: whose it is; each key has a budget of its own.

        Raises:
            Refusal: with 1013 when the minute's budget is spent.
        """
        window = now // _MINUTE
        if window != self._window:
            self._window = window
            self._spent.clear()
        self._spent[key] += 1
        if self._limit is not None and self._spent[key] > self._limit:
            raise Refusal(_TOO_MANY, text)
