"""The control of the embedded server: its events, its users, and the state of its connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.testing.faults import FaultsMixin
from realtime_fsm.testing.parts import loopsafe, threadsafe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from realtime_fsm.testing.dispatcher import Greeting


class ServerControl(FaultsMixin):
    """The calls that fail, publish, manage users and look at the connections; each is safe from any thread."""

    @property
    def greet(self) -> Greeting:
        """Whether a new connection gets its ``connected`` frame.

        With False the server upgrades it and never greets it; it answers its pings, and counts it in `connections`. With
        "late" the server greets it when its first message has come, and answers that message as one that was sent too early:
        a subscribe gets error 1008 and the end behind the greeting.
        """
        return self._dispatcher.greeting

    @greet.setter
    def greet(self, value: Greeting) -> None:
        self._dispatcher.greeting = value

    @property
    @threadsafe
    def connections(self) -> int:
        """The number of connections that are up."""
        return len(self._dispatcher.connections)

    @property
    @threadsafe
    def subscriptions(self) -> int:
        """The number of subscriptions of all connections together; in E1 and E2 each connection has one."""
        return sum(len(connection.subscriptions) for connection in self._dispatcher.connections)

    @property
    @threadsafe
    def received(self) -> list[list[object]]:
        """The messages of the clients: a list for each connection in the order of the dials, ended ones included.

        A message is decoded JSON, or the text itself if it is not JSON. The server keeps the last 1000 messages of the last
        1000 connections.
        """
        return [list(messages) for messages in self._dispatcher.received]

    @threadsafe
    def publish(
        self,
        events: str | Sequence[str],
        channels: str | Sequence[str],
        payload: object,
        *,
        roles: Iterable[str] = ("any",),
        timestamp: str | None = None,
        project: str | None = None,
        memberships_of: str | None = None,
    ) -> int:
        """Send an event to every connection with a matching subscription, behind all earlier frames.

        A subscription matches by its channels, its roles and, where the era has them, its queries.

        Args:
            events: names of the event, or one name.
            channels: its channels, or one channel.
            payload: a JSON value. As from PHP, ``{}`` arrives as ``[]`` and ``1.0`` as ``1``.
            roles: the roles that may see it: ``any``, ``guests``, ``users``, ``user:{id}`` or a role given to `add_user`.
            timestamp: the time of the event; None for the server's clock.
            project: the project of the event; None for the first.
            memberships_of: the user whose memberships of teams this event changes, if it changes any. In E1 and E2, a connection
                may have logged in by message as one user and then as another. Then neither this event nor a later one reaches a
                client, until `stop` and `start`.

        Returns:
            The number of connections that get the event.

        Raises:
            TypeError: for a payload that JSON cannot express.
            ValueError: for a payload with a float that is not finite, or nested more than 128 deep.
            LookupError: when there is no such project.
        """
        deliveries = self._backend.publish(
            [events] if isinstance(events, str) else events,
            [channels] if isinstance(channels, str) else channels,
            payload,
            now=self._clock(),
            roles=roles,
            timestamp=timestamp,
            project=project,
            memberships_of=memberships_of,
        )
        self._dispatcher.deliver(deliveries)
        return len(deliveries)

    @threadsafe
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
            user_id: the id of the user.
            session_secret: the secret of the session; None to let the server choose.
            attributes: fields of the user document beside, or instead of, the usual ones.
            roles: roles beside ``any``, ``users`` and ``user:{id}``, such as ``team:t1``.
            project: the project of the user; None for the first.

        Returns:
            The session string, as the SDKs hold it: base64 of ``{"id":...,"secret":...}``.

        Raises:
            ValueError: when the user exists.
            LookupError: when there is no such project.
        """
        return self._backend.add_user(user_id, session_secret=session_secret, attributes=attributes, roles=roles, project=project)

    @threadsafe
    def issue_jwt(self, user_id: str, *, expired: bool = False, project: str | None = None) -> str:
        """Issue a JWT for a user.

        Args:
            user_id: the id of the user.
            expired: whether the JWT has expired.
            project: the project of the user; None for the first.

        Returns:
            The token.

        Raises:
            LookupError: when there is no such user or project.
        """
        return self._backend.issue_jwt(user_id, expired=expired, project=project)

    @threadsafe
    def add_key(self, *, scopes: Iterable[str] = ("users.write",), project: str | None = None) -> str:
        """Add an API key for the one REST call that the server answers: ``Users.create_jwt`` of the official SDK.

        Args:
            scopes: the scopes of the key; the call needs ``users.write``.
            project: the project of the key; None for the first.

        Returns:
            The secret of the key.

        Raises:
            LookupError: when there is no such project.
        """
        return self._backend.add_key(scopes, project)

    def end_session(self, user_id: str, *, project: str | None = None) -> None:
        """End a user's session, as a logout elsewhere does. Links that are up go on.

        From then on the server greets a dial with that session, or with a JWT that came of it, as a guest.

        Args:
            user_id: the id of the user.
            project: the project of the user; None for the first.

        Raises:
            LookupError: when there is no such user or project.
        """
        self._backend.end_session(user_id, project=project)

    @loopsafe
    async def wait_for_connections(self, count: int, *, timeout: float = 5.0) -> None:  # noqa: ASYNC109
        """Wait until exactly ``count`` connections are up.

        Args:
            count: the number of connections.
            timeout: the longest wait, in seconds.

        Raises:
            TimeoutError: when the wait takes longer.
        """
        await self._dispatcher.wait(lambda: self.connections == count, timeout)

    @loopsafe
    async def wait_for_subscriptions(self, count: int, *, timeout: float = 5.0) -> None:  # noqa: ASYNC109
        """Wait until all connections together have exactly ``count`` subscriptions.

        Args:
            count: the number of subscriptions.
            timeout: the longest wait, in seconds.

        Raises:
            TimeoutError: when the wait takes longer.
        """
        await self._dispatcher.wait(lambda: self.subscriptions == count, timeout)
