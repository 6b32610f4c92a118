"""The embedded server: the protocol core of `realtime_fsm.testing.connection` behind a loopback socket."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Literal, Self

from realtime_fsm.errors import BadOption
from realtime_fsm.testing.backend import Backend
from realtime_fsm.testing.channel_warnings import warn_of
from realtime_fsm.testing.dispatcher import ConnectionDispatcher
from realtime_fsm.testing.listener import LoopbackServer
from realtime_fsm.testing.script import Fault, parse, run
from realtime_fsm.testing.url import is_routed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

    from realtime_fsm.testing.dispatcher import Greeting, Shuffle
    from realtime_fsm.testing.eras import EraName


class RealtimeServer:
    """An Appwrite Realtime server of any era on a loopback host, for tests.

    It answers as real servers were recorded to answer, byte for byte where it can. `publish`, and every way to fail, are the
    same in all eras.
    """

    def __init__(
        self,
        *,
        projects: Sequence[str] = ("demo",),
        host: str = "127.0.0.1",
        port: int = 0,
        era: EraName = "E4",
        masked: bool = True,
        rate_limit: int | Literal["era"] | None = "era",
        connection_limit: int | None = None,
        deny_guests: bool = False,
        guest_code: int | str = 401,
        platforms: Iterable[str] = ("localhost",),
        clock: Callable[[], float] = time.time,
        ids: Iterator[str] | None = None,
        shuffle: Shuffle | None = None,
    ) -> None:
        """Prepare a server; `start`, or ``async with``, makes it listen.

        Args:
            projects: ids of the projects; a call that names no project means the first.
            host: the host to listen on.
            port: the port; with 0 the system chooses one, and later starts keep it.
            era: the era of the server: "E1" (Appwrite 1.0 to 1.6.0), "E2" (1.6.1 to 1.8.x), "E3" (1.9.0) or "E4" (1.9.5
                and later).
            masked: whether the server masks the texts of errors, as in production; False to show them, as in development.
            rate_limit: messages a minute of one connection, in windows aligned to the minute; the server drops the next one and
                answers with error 1013. "era" for the limit of the era: none in E2, 32 in the others. None for no limit.
            connection_limit: dials a minute of one path and one IP, which is the first in ``X-Forwarded-For`` if there is
                one; the next gets error 1013 and the end. A real server's is 128. None for no limit.
            deny_guests: whether the server refuses a guest's subscriptions, as a project of Appwrite 2.x may; a guest may connect
                and authenticate. In E4 only.
            guest_code: the code of that refusal, a number or a text. That of a real server has not been seen; with 1008 the link
                ends.
            platforms: host names that an ``Origin`` header may name.
            clock: tells the time, in seconds since the epoch.
            ids: the source of the ids that the server chooses; by default the server counts.
            shuffle: takes the list of a connection's messages that came at once, and changes their order. With `random.shuffle`,
                say, replies come out of order, as those of real servers may. None to answer in order.

        Raises:
            TypeError: for a string instead of a list of projects.
            ValueError: without a project, for an unknown era, or to deny guests in an era whose servers accept all.
            BadOption: for a ``guest_code`` that is not a code of an error frame.
        """
        if isinstance(guest_code, bool) or not isinstance(guest_code, int | str):
            raise BadOption(
                "guest_code", f"{guest_code!r:.40} is not a code; give a number such as 401, or a text such as '42S02'"
            )
        self._backend = Backend(
            projects=projects,
            platforms=platforms,
            era=era,
            masked=masked,
            rate_limit=rate_limit,
            connection_limit=connection_limit,
            guest_code=guest_code if deny_guests else None,
            on_channel=warn_of,
            ids=ids,
        )
        self._clock = clock
        self._dispatcher = ConnectionDispatcher(self._backend, clock, shuffle)
        self._host = host
        self._listener = LoopbackServer(self._dispatcher, host=host, port=port, routed=is_routed)
        self._scripts: set[asyncio.Task[None]] = set()
        self._recovery: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<RealtimeServer {self._authority} connections={self.connections}>"

    @property
    def _authority(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host  # an IPv6 address
        return f"{host}:{self._listener.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()

    @property
    def endpoint(self) -> str:
        """The endpoint to give to a client, such as ``http://127.0.0.1:40123/v1``.

        Raises:
            RuntimeError: when the port is not known yet: the server has never been started.
        """
        if not self._listener.port:
            raise RuntimeError("the server has no port before it is started")
        return f"http://{self._authority}/v1"

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
    def connections(self) -> int:
        """The number of connections that are up."""
        return len(self._dispatcher.connections)

    @property
    def subscriptions(self) -> int:
        """The number of subscriptions of all connections together; in E1 and E2 each connection has one."""
        return sum(len(connection.subscriptions) for connection in self._dispatcher.connections)

    @property
    def received(self) -> list[list[object]]:
        """The messages of the clients: a list for each connection in the order of the dials, ended ones included.

        A message is decoded JSON, or the text itself if it is not JSON. The server keeps the last 1000 messages of the last
        1000 connections.
        """
        return [list(messages) for messages in self._dispatcher.received]

    async def start(self) -> None:
        """Listen; after a `stop`, on the same port, with the same users and without connections.

        Raises:
            RuntimeError: when the server listens already.
            OSError: when the port is in use.
        """
        await self._listener.start()

    async def stop(self) -> None:
        """Stop like a server that is shut down: end every stream without a close frame, and refuse dials.

        A second `stop` does nothing. A `fault` and a `script` end with the server.
        """
        scripts = list(self._scripts)
        for script in scripts:
            script.cancel()
        await asyncio.gather(*scripts, return_exceptions=True)
        self._recover()
        await self._listener.stop()
        self._backend.restart()

    def drop(self) -> None:
        """End every stream without a close frame; new dials are accepted."""
        self._listener.close_all()
        self._dispatcher.drop_all()

    def freeze(self) -> None:
        """Fall silent like a stopped process: connections are accepted but not upgraded, and nothing is answered or sent."""
        self._listener.freeze()

    def thaw(self) -> None:
        """Go on after a `freeze`: handle the messages that came, and send the frames that were due, in order."""
        self._listener.thaw()

    def deafen(self, seconds: float | None = None) -> None:
        """Lose the event bus: every link stays up, the server answers messages and pings, and events are lost without a notice.

        A new link gets no events either. A later call replaces an earlier one.

        Args:
            seconds: the length, in seconds of the server's clock; None until `heal`.
        """
        self._backend.deafen(math.inf if seconds is None else self._clock() + seconds)

    def heal(self) -> None:
        """Regain the event bus after a `deafen`; the events of the time between stay lost."""
        self._backend.deafen(-math.inf)

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
        loop = asyncio.get_running_loop()
        self._recover()
        if seconds:
            self._backend.faulty = True
            self._recovery = loop.call_later(seconds, self._recover)

    def script(self, script: str) -> asyncio.Task[None]:
        """Fail by a script from now on, such as ``"2s drop; 5s freeze 3s; 12s deaf; 20s fault 4s"``.

        A step is a moment from now, a fault and its length: ``drop``, ``freeze`` until `thaw`, ``deaf`` from `deafen` until
        `heal`, and ``fault``. A time is a number with ``ms``, ``s`` or ``m``, by the event loop. ``freeze`` and ``deaf`` without
        a length last until `thaw` and `heal`, ``fault`` needs one, and ``drop`` takes none. `realtime_fsm.testing.script` has
        the grammar.

        Args:
            script: the steps, with semicolons between them.

        Returns:
            The task that runs the script. Await it to wait for the end of the last step. Cancel it to start no further step; a
            fault that has begun goes on. `stop` cancels it.

        Raises:
            BadOption: for a step that is not valid, or that overlaps one of the same fault; it names the step and the remedy.
            RuntimeError: when no event loop is running.
        """
        faults = {
            "drop": Fault(lambda _: self.drop(), self.drop),
            "freeze": Fault(lambda _: self.freeze(), self.thaw),
            "deaf": Fault(lambda _: self.deafen(), self.heal),
            "fault": Fault(self.fault, lambda: self.fault(0)),
        }
        steps = parse(script)
        task = asyncio.get_running_loop().create_task(run(steps, faults), name="realtime_fsm.testing script")
        self._scripts.add(task)
        task.add_done_callback(self._scripts.discard)
        return task

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

    async def wait_for_connections(self, count: int, *, timeout: float = 5.0) -> None:  # noqa: ASYNC109
        """Wait until exactly ``count`` connections are up.

        Args:
            count: the number of connections.
            timeout: the longest wait, in seconds.

        Raises:
            TimeoutError: when the wait takes longer.
        """
        await self._dispatcher.wait(lambda: self.connections == count, timeout)

    async def wait_for_subscriptions(self, count: int, *, timeout: float = 5.0) -> None:  # noqa: ASYNC109
        """Wait until all connections together have exactly ``count`` subscriptions; otherwise as `wait_for_connections`."""
        await self._dispatcher.wait(lambda: self.subscriptions == count, timeout)

    def _recover(self) -> None:
        self._backend.faulty = False
        if self._recovery is not None:
            self._recovery.cancel()
            self._recovery = None
