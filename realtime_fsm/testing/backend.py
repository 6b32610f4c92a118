"""What all connections of the embedded server share: the projects, their users, who is connected, and the budgets."""

from __future__ import annotations

import hashlib
import itertools
from typing import TYPE_CHECKING, Literal

from realtime_fsm.testing.eras import EraName, era_named
from realtime_fsm.testing.identity import CONSOLE, Directory
from realtime_fsm.testing.wire import Refusal, as_php, encode, stamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from realtime_fsm.testing.peer import Peer

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
        ids: Iterator[str] | None = None,
    ) -> None:
        """Set up the shared state.

        Args:
            projects: ids of the projects; the first is meant where none is named.
            platforms: host names that an ``Origin`` header may name.
            era: of which time the server is.
            masked: whether error texts are masked as in production, where the era masks any.
            rate_limit: messages a minute of one connection; "era" for what the era allows, None for no limit.
            connection_limit: dials a minute of all connections together; None for no limit.
            ids: where the ids that the server chooses, and secrets, come from; `counted_ids` by default.

        Raises:
            TypeError: for a string in place of a list of projects.
            ValueError: when there is no project, or no such era.
        """
        if isinstance(projects, str):  # its letters would be the projects
            raise TypeError(f"projects: {projects!r} is a single string; give a list, such as [{projects!r}]")
        if not projects:
            raise ValueError("a server needs a project")
        self.era = era_named(era)
        self.masked = masked
        self.platforms = frozenset(platforms)
        self.rate_limit = self.era.rate_limit if rate_limit == "era" else rate_limit
        self.ids = counted_ids() if ids is None else ids
        self.peers: dict[Peer, None] = {}
        self.faulty = False
        self._default = projects[0]
        self._directories = {project: Directory(self.era.unknown) for project in (*projects, CONSOLE)}
        self._dials = Budget(connection_limit)
        self._caused: list[tuple[Peer, bytes]] = []

    def directory(self, project: str) -> Directory:
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

    def count_dial(self, now: float) -> None:
        """Count a dial.

        Args:
            now: seconds since the epoch.

        Raises:
            Refusal: with 1013 when it is one too many in this minute.
        """
        self._dials.spend(now, "Too many requests")

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
    ) -> list[tuple[Peer, bytes]]:
        """Work out who gets an event.

        Args:
            events: names of what happened.
            channels: where it happened; the order decides the order of the subscriptions in the frame.
            payload: a JSON value.
            now: seconds since the epoch.
            roles: who may see it.
            timestamp: what the event says about its time; ``now`` when it is None.
            project: in which project; None for the first.
            memberships_of: the user whose memberships have changed by it; None when nobody's have.

        Returns:
            One frame per receiving connection; where subscriptions have ids, it lists all that match.

        Raises:
            TypeError: for a payload that JSON has no form for.
            ValueError: for a payload with a float that is not finite, or nested more than 128 deep.
            LookupError: when there is no such project.
        """
        directory = self._named(project)
        seen = as_php(payload)
        happening = {"events": events, "channels": channels, "timestamp": timestamp or stamp(now), "payload": seen}
        start = b'{"type":"event","data":' + encode(happening)[:-1]
        if self.faulty:
            return []
        audience = frozenset(roles)
        present = [peer for peer in self.peers if peer.directory is directory]
        if memberships_of is not None:
            for peer in present:
                peer.memberships_changed(memberships_of)
        return [
            (peer, start + (b',"subscriptions":' + encode(matching) if self.era.ids else b"") + b"}}")
            for peer in present
            if (matching := peer.matching(channels, audience, seen))
        ]

    def cause(
        self,
        directory: Directory,
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

    def caused(self) -> list[tuple[Peer, bytes]]:
        """Take what connections have caused others to be sent; to be asked after every message and every end.

        Returns:
            Connections, and a frame for each, in order.
        """
        caused, self._caused = self._caused, []
        return [(peer, frame) for peer, frame in caused if peer in self.peers]

    def _named(self, project: str | None) -> Directory:
        name = self._default if project is None else project
        if name not in self._directories:
            raise LookupError(f"there is no project {name!r}")
        return self._directories[name]


class Budget:
    """So many a minute, in windows that are aligned to the minute."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._window = 0.0
        self._spent = 0

    def spend(self, now: float, text: str = "Too many messages.") -> None:
        """Spend one.

        Args:
            now: seconds since the epoch.
            text: what the server says when it is one too many.

        Raises:
            Refusal: with 1013 when the minute's budget is spent.
        """
        window = now // _MINUTE
        if window != self._window:
            self._window, self._spent = window, 0
        self._spent += 1
        if self._limit is not None and self._spent > self._limit:
            raise Refusal(_TOO_MANY, text)
