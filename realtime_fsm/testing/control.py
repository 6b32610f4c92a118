"""The control of the embedded server: its faults, its events, its users, and the state of its connections."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from realtime_fsm.testing.core import ServerCore, threadsafe
from realtime_fsm.testing.script import Fault, run
from realtime_fsm.testing.users import EXPIRES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from realtime_fsm.testing.dispatcher import Greeting
    from realtime_fsm.testing.script import ScriptStep


class ServerControl:
    """The calls that fail, publish, manage users and look at the connections; each is safe from any thread.

    Design: `RealtimeServer` and `BlockingServer` share these calls, and differ in the calls that wait.
    """

    def __init__(self, core: ServerCore) -> None:
        self._core = core

    @property
    def endpoint(self) -> str:
        """The endpoint to give to a client, such as ``http://127.0.0.1:40123/v1``.

        Raises:
            RuntimeError: when the port is not known yet: the server has never been started.
        """
        listener = self._core.listener
        if not listener.port:
            raise RuntimeError("the server has no port before it is started")
        return f"http://{listener.host}:{listener.port}/v1"

    @property
    def greet(self) -> Greeting:
        """Whether a new connection gets its ``connected`` frame.

        With False the server upgrades it and never greets it; it answers its pings, and counts it in `connections`. With
        "late" the server greets it when its first message has come, and answers that message as one that was sent too early:
        a subscribe gets error 1008 and the end behind the greeting.
        """
        return self._core.dispatcher.greeting

    @greet.setter
    def greet(self, value: Greeting) -> None:
        self._core.dispatcher.greeting = value

    @property
    @threadsafe
    def connections(self) -> int:
        """The number of connections that are up."""
        return len(self._core.dispatcher.connections)

    @property
    @threadsafe
    def subscriptions(self) -> int:
        """The number of subscriptions of all connections together; in E1 and E2 each connection has one."""
        return sum(len(connection.subscriptions) for connection in self._core.dispatcher.connections)

    @property
    @threadsafe
    def received(self) -> list[list[object]]:
        """The messages of the clients: a list for each connection in the order of the dials, ended ones included.

        A message is decoded JSON, or the text itself if it is not JSON. The server keeps the last 1000 messages of the last
        1000 connections.
        """
        return [list(messages) for messages in self._core.dispatcher.received]

    @threadsafe
    def drop(self) -> None:
        """End every stream without a close frame; new dials are accepted."""
        self._core.listener.close_all()
        self._core.dispatcher.drop_all()

    @threadsafe
    def refuse_dials(self) -> None:
        """Refuse each new dial with HTTP 503, as a proxy does whose server is away; links that are up go on."""
        self._core.listener.refusing = True

    @threadsafe
    def accept_dials(self) -> None:
        """Accept dials again, after `refuse_dials`."""
        self._core.listener.refusing = False

    @threadsafe
    def freeze(self) -> None:
        """Fall silent like a stopped process: connections are accepted but not upgraded, and nothing is answered or sent."""
        self._core.listener.freeze()

    @threadsafe
    def thaw(self) -> None:
        """Go on after a `freeze`: handle the messages that came, and send the frames that were due, in order."""
        self._core.listener.thaw()

    @threadsafe
    def deafen(self, seconds: float | None = None) -> None:
        """Lose the event bus: every link stays up, the server answers messages and pings, and events are lost without a notice.

        A new link gets no events either. A later call replaces an earlier one.

        Args:
            seconds: the length, in seconds of the server's clock; None until `heal`.
        """
        self._core.backend.deafen(math.inf if seconds is None else self._core.clock() + seconds)

    @threadsafe
    def heal(self) -> None:
        """Regain the event bus after a `deafen`; the events of the time between stay lost."""
        self._core.backend.deafen(-math.inf)

    @threadsafe
    def fault(self, seconds: float) -> None:
        """Answer, and be unable to work, like a server whose Redis is away (PROTOCOL: "Messages", rule 10).

        A ping gets error 0 after 2 s, and any other message at once. The server greets a new dial after 2 s, and loses events.
        Then the same links work again. A later call replaces an earlier one.

        Args:
            seconds: the length, in seconds of the event loop; 0 ends the fault.

        Raises:
            ValueError: for a negative length, or one that is not finite.
            RuntimeError: when no event loop is running.
        """
        if not (math.isfinite(seconds) and seconds >= 0):
            raise ValueError(f"seconds: {seconds!r} is not a length of time; give a finite number, at least 0")
        self._core.begin_fault(seconds)

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
        deliveries = self._core.backend.publish(
            [events] if isinstance(events, str) else events,
            [channels] if isinstance(channels, str) else channels,
            payload,
            now=self._core.clock(),
            roles=roles,
            timestamp=timestamp,
            project=project,
            memberships_of=memberships_of,
        )
        self._core.dispatcher.deliver(deliveries)
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
        return self._core.backend.add_user(
            user_id, session_secret=session_secret, attributes=attributes, roles=roles, project=project
        )

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
        return self._core.backend.directory(project).issue_jwt(user_id, expires=0 if expired else EXPIRES)

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
        return self._core.backend.add_key(scopes, project)

    @threadsafe
    def end_session(self, user_id: str, *, project: str | None = None) -> None:
        """End a user's session, as a logout elsewhere does. Links that are up go on.

        From then on the server greets a dial with that session, or with a JWT that came of it, as a guest.

        Args:
            user_id: the id of the user.
            project: the project of the user; None for the first.

        Raises:
            LookupError: when there is no such user or project.
        """
        self._core.backend.directory(project).end_session(user_id)

    async def _run_script(self, steps: Iterable[ScriptStep]) -> None:
        await self._begin_script(steps)

    def _begin_script(self, steps: Iterable[ScriptStep]) -> asyncio.Task[None]:
        faults = {
            "drop": Fault(lambda _: self.drop(), self.drop),
            "refuse": Fault(lambda _: self.refuse_dials(), self.accept_dials),
            "freeze": Fault(lambda _: self.freeze(), self.thaw),
            "deaf": Fault(lambda _: self.deafen(), self.heal),
            "fault": Fault(self.fault, lambda: self.fault(0)),
        }
        task = asyncio.get_running_loop().create_task(run(steps, faults), name="realtime_fsm.testing script")
        self._core.scripts.add(task)
        task.add_done_callback(self._core.scripts.discard)
        return task
