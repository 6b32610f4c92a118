"""The embedded server: the brain of `realtime_fsm.testing.peer` behind a loopback socket."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Literal, Self

from realtime_fsm.errors import BadOption
from realtime_fsm.testing.channel_warnings import warn_of
from realtime_fsm.testing.dispatcher import ConnectionDispatcher
from realtime_fsm.testing.listener import LoopbackServer
from realtime_fsm.testing.peer import Backend
from realtime_fsm.testing.script import Act, parse, play
from realtime_fsm.testing.url import is_routed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

    from realtime_fsm.testing.dispatcher import Greeting, Shuffle
    from realtime_fsm.testing.eras import EraName


class RealtimeServer:
    """An Appwrite Realtime server of any era on a loopback address, for tests.

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
            projects: ids of the projects; the first is meant where none is named.
            host: the address to listen on.
            port: the port; with 0 the system chooses one, and later starts keep it.
            era: which servers it is like: "E1" (Appwrite 1.0 to 1.6.0), "E2" (1.6.1 to 1.8.x), "E3" (1.9.0) or "E4" (1.9.5
                and later).
            masked: whether error texts are masked as in production; False for what a server in development says.
            rate_limit: messages a minute of one connection, in windows aligned to the minute; the next gets error 1013 and
                is dropped. "era" for what the era allows: 32, and in E2 as many as one likes. None for no limit.
            connection_limit: dials a minute of one path and one address, which is the first in ``X-Forwarded-For`` where there is
                one; the next gets error 1013 and the end. A real server's is 128. None for no limit.
            deny_guests: whether a guest's subscription is refused, as a project of Appwrite 2.x can have it; a guest may connect
                and authenticate. In E4 alone.
            guest_code: the code of that refusal, a number or a text. That of a real server has not been seen; with 1008 the link
                ends.
            platforms: host names that an ``Origin`` header may name.
            clock: tells the time, in seconds since the epoch.
            ids: where the ids that the server chooses come from; they are counted by default.
            shuffle: is given the messages of a connection that came at once, to change their order: `random.shuffle`, say, for
                replies that come out of order, as real servers' do. None to answer in order.

        Raises:
            ValueError: when there is no project, no such era, or guests are denied in an era that does not know it.
            BadOption: for a ``guest_code`` that is no code of an error frame.
        """
        if isinstance(guest_code, bool) or not isinstance(guest_code, int | str):
            raise BadOption("guest_code", f"{guest_code!r:.40} is no code; give a number such as 401, or a text such as '42S02'")
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

        With False it is upgraded and never greeted; its pings are answered all the same, and it counts in `connections`.
        With "late" it is greeted when its first message has come, which is answered as one that was sent too early: a
        subscribe gets error 1008 and the end behind the greeting.
        """
        return self._dispatcher.greet

    @greet.setter
    def greet(self, value: Greeting) -> None:
        self._dispatcher.greet = value

    @property
    def connections(self) -> int:
        """How many connections are up."""
        return len(self._dispatcher.links)

    @property
    def subscriptions(self) -> int:
        """How many subscriptions all connections hold together; in E1 and E2 a connection holds one."""
        return sum(len(peer.subscriptions) for peer in self._dispatcher.links)

    @property
    def received(self) -> list[list[object]]:
        """What the clients sent: a list for each connection in the order of the dials, ended ones included.

        A message is decoded JSON, or the text itself where it is none. The last 1000 messages of the last 1000 connections
        are kept.
        """
        return [list(messages) for messages in self._dispatcher.received]

    async def start(self) -> None:
        """Listen; after a `stop`, on the same port, with the same users and nobody connected.

        Raises:
            RuntimeError: when it listens already.
            OSError: when the port is taken.
        """
        await self._listener.start()

    async def stop(self) -> None:
        """Stop like a server that is shut down: every stream ends without a close frame, and dials are refused.

        A stopped server may be stopped again. A `fault` and a `script` end with it.
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
        self._listener.end_all()
        self._dispatcher.drop_all()

    def freeze(self) -> None:
        """Fall silent like a stopped process: connections are accepted but not upgraded, and nothing is answered or sent."""
        self._listener.freeze()

    def thaw(self) -> None:
        """Go on after a `freeze`: what came and what was to be sent meanwhile is dealt with, in order."""
        self._listener.thaw()

    def deafen(self, seconds: float | None = None) -> None:
        """Lose the event bus: every link stays up, messages and pings are answered, and events are lost without a notice.

        Links that come meanwhile are deaf, too. A later call replaces an earlier one.

        Args:
            seconds: for how long, by the server's clock; None until `heal`.
        """
        self._backend.deafen(math.inf if seconds is None else self._clock() + seconds)

    def heal(self) -> None:
        """Find the event bus again after a `deafen`; the events of that time stay lost."""
        self._backend.deafen(-math.inf)

    def fault(self, seconds: float) -> None:
        """Answer, and be unable to work, like a server whose Redis is away (PROTOCOL: "Messages", rule 10).

        A ping gets error 0 after 2 s, and any other message at once; a new dial is greeted after 2 s; events are lost. Then the
        same links work again. A fault that is under way is replaced.

        Args:
            seconds: for how long, in seconds of the event loop; with 0 a fault that is under way ends.

        Raises:
            ValueError: when it is negative, or not finite.
            RuntimeError: when no event loop is running.
        """
        if not (math.isfinite(seconds) and seconds >= 0):
            raise ValueError(f"seconds: {seconds!r} is no length of time; give a finite number, at least 0")
        loop = asyncio.get_running_loop()
        self._recover()
        if seconds:
            self._backend.faulty = True
            self._recovery = loop.call_later(seconds, self._recover)

    def script(self, script: str) -> asyncio.Task[None]:
        """Fail by a script from now on, such as ``"2s drop; 5s freeze 3s; 12s deaf; 20s fault 4s"``.

        A step is a moment from now, a fault and its length: ``drop``, ``freeze`` until `thaw`, ``deaf`` from `deafen` until
        `heal`, and ``fault``. A time is a number with ``ms``, ``s`` or ``m``, by the event loop. ``freeze`` and ``deaf`` without
        a length last for good, ``fault`` needs one, and ``drop`` takes none. `realtime_fsm.testing.script` has the grammar.

        Args:
            script: the steps, with semicolons between them.

        Returns:
            The task that plays it. Await it to wait for the end of the last step. Cancel it to play no further step; a fault that
            has begun goes on. `stop` cancels it.

        Raises:
            BadOption: for a step that cannot be read, or that overlaps one of its name; it names the step and the remedy.
            RuntimeError: when no event loop is running.
        """
        acts = {
            "drop": Act(lambda _: self.drop(), self.drop),
            "freeze": Act(lambda _: self.freeze(), self.thaw),
            "deaf": Act(lambda _: self.deafen(), self.heal),
            "fault": Act(self.fault, lambda: self.fault(0)),
        }
        steps = parse(script)
        task = asyncio.get_running_loop().create_task(play(steps, acts), name="realtime_fsm.testing script")
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
        """Send an event to every connection with a matching subscription, behind everything that was sent before.

        A subscription matches by its channels, its roles and, where the era has them, its queries.

        Args:
            events: names of what happened, or one of them.
            channels: where it happened, or one channel.
            payload: a JSON value. As from PHP, ``{}`` arrives as ``[]`` and ``1.0`` as ``1``.
            roles: who may see it: ``any``, ``guests``, ``users``, ``user:{id}`` or a role given to `add_user`.
            timestamp: what the event says about its time; the server's clock when it is None.
            project: in which project; None for the first.
            memberships_of: the user whose memberships of teams this event changes; None when nobody's. On a server of E1 or E2
                where a connection has logged in by message as one user and then as another, neither this event nor a later one
                reaches anyone, until `stop` and `start`.

        Returns:
            How many connections it went to.

        Raises:
            TypeError: for a payload that JSON has no form for.
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
        for peer, frame in deliveries:
            self._dispatcher.links[peer].send(frame)
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
        return self._backend.add_user(user_id, session_secret=session_secret, attributes=attributes, roles=roles, project=project)

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
        return self._backend.issue_jwt(user_id, expired=expired, project=project)

    def end_session(self, user_id: str, *, project: str | None = None) -> None:
        """End a user's session, as a logout elsewhere does. Links that are up go on.

        From then on a dial with that session, or with a JWT that came of it, is greeted as a guest's.

        Args:
            user_id: whose.
            project: of which project; None for the first.

        Raises:
            LookupError: when there is no such user or project.
        """
        self._backend.end_session(user_id, project=project)

    async def wait_for_connections(self, count: int, *, timeout: float = 5.0) -> None:  # noqa: ASYNC109
        """Wait until exactly so many connections are up.

        Args:
            count: how many.
            timeout: for how long, in seconds.

        Raises:
            TimeoutError: when it takes longer.
        """
        await self._dispatcher.wait(lambda: self.connections == count, timeout)

    async def wait_for_subscriptions(self, count: int, *, timeout: float = 5.0) -> None:  # noqa: ASYNC109
        """Wait until all connections together hold exactly so many subscriptions.

        Args:
            count: how many.
            timeout: for how long, in seconds.

        Raises:
            TimeoutError: when it takes longer.
        """
        await self._dispatcher.wait(lambda: self.subscriptions == count, timeout)

    def _recover(self) -> None:
        self._backend.faulty = False
        if self._recovery is not None:
            self._recovery.cancel()
            self._recovery = None
