"""The embedded server behind a loopback socket: for code with an event loop, and for code without one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence  # noqa: TC003  (for tools that read annotations)
from typing import TYPE_CHECKING, Any, Literal, Self

from realtime_fsm.client.portal import Portal
from realtime_fsm.errors import BadOption
from realtime_fsm.testing.backend import Backend
from realtime_fsm.testing.channel_warnings import warn_of
from realtime_fsm.testing.control import ServerControl
from realtime_fsm.testing.core import ServerCore, loopsafe
from realtime_fsm.testing.dispatcher import ConnectionDispatcher, Shuffle
from realtime_fsm.testing.eras import EraName  # noqa: TC001
from realtime_fsm.testing.listener import LoopbackServer
from realtime_fsm.testing.script import parse

if TYPE_CHECKING:
    from concurrent.futures import Future

    from realtime_fsm.testing.listener import Listener


class BlockingServer(ServerControl):
    """A `RealtimeServer` in a thread of its own, for synchronous tests; ``with RealtimeServer() as server`` gives one.

    The calls, their arguments and their errors are those of `RealtimeServer`. Any thread may make them, and a wait blocks.

    Attributes:
        server: the same server, with coroutines as its waits; any thread and any event loop may use it.
    """

    def __init__(self, server: RealtimeServer) -> None:
        """Start the thread of a server that does not listen yet; `start` makes it listen."""
        super().__init__(server._core)  # noqa: SLF001  (one server with two controls)
        self.server = server
        self._portal = Portal("the embedded server")
        self._portal.last = server.stop

    def __repr__(self) -> str:
        return f"{self.server!r} in a thread"

    def start(self) -> None:
        """Listen, as `RealtimeServer.start`."""
        self._portal.call(self.server.start)

    def stop(self) -> None:
        """Stop like a server that is shut down; `start` lets it listen again. A second `stop` does nothing."""
        self._portal.call(self.server.stop)

    def close(self) -> None:
        """Stop the server, and end its thread, for good. A second call is harmless."""
        self._portal.close()

    def wait_for_connections(self, count: int, *, timeout: float = 5.0) -> None:
        """Wait until exactly ``count`` connections are up, as `RealtimeServer.wait_for_connections`."""
        self._portal.call(lambda: self.server.wait_for_connections(count, timeout=timeout))

    def wait_for_subscriptions(self, count: int, *, timeout: float = 5.0) -> None:
        """Wait until the connections have ``count`` subscriptions, as `RealtimeServer.wait_for_subscriptions`."""
        self._portal.call(lambda: self.server.wait_for_subscriptions(count, timeout=timeout))

    def script(self, script: str) -> Future[None]:
        """Fail by a script from now on, such as ``"2s drop; 5s freeze 3s"``, as `RealtimeServer.script`.

        Returns:
            A future: ``result()`` waits for the end of the last step, and ``cancel()`` starts no further step.
        """
        steps = parse(script)
        return self._portal.call_soon(lambda: self._run_script(steps))


class RealtimeServer(ServerControl):
    """An Appwrite Realtime server of any era on a loopback host, for tests.

    It answers as real servers were recorded to answer, byte for byte where it can. `publish`, and every way to fail, are the
    same in all eras.

    ``async with RealtimeServer() as server`` serves on the running event loop. ``with RealtimeServer() as server`` serves in a
    thread of its own, and gives a `BlockingServer`: the same calls for code without an event loop.
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
            guest_code: the code of that refusal, a number or a text. No recording shows the code of a real server. With 1008 the
                link ends.
            platforms: host names that an ``Origin`` header may name.
            clock: tells the time, in seconds since the epoch.
            ids: the source of the ids that the server chooses; by default the server counts.
            shuffle: takes the list of a connection's messages that came at once, and changes their order. With `random.shuffle`,
                replies come out of order, as those of real servers may. None to answer in order.

        Raises:
            TypeError: for a string instead of a list of projects.
            ValueError: without a project, for an unknown era, or to deny guests in an era whose servers accept all.
            BadOption: for a ``guest_code`` that is not a code of an error frame.
        """
        if isinstance(guest_code, bool) or not isinstance(guest_code, int | str):
            raise BadOption(
                "guest_code", f"{guest_code!r:.40} is not a code; give a number such as 401, or a text such as '42S02'"
            )
        backend = Backend(
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
        dispatcher = ConnectionDispatcher(backend, clock, shuffle)
        super().__init__(ServerCore(backend, dispatcher, self._make_listener(dispatcher, host, port), clock))
        self._blocking: BlockingServer | None = None

    def __repr__(self) -> str:
        listener = self._core.listener
        return f"<RealtimeServer {listener.host}:{listener.port} connections={self.connections}>"

    def _make_listener(self, handler: ConnectionDispatcher, host: str, port: int) -> Listener[Any]:
        return LoopbackServer(handler, host=host, port=port)

    @loopsafe
    async def start(self) -> None:
        """Listen; after a `stop`, on the same port, with the same users and without connections.

        Raises:
            RuntimeError: when the server listens already.
            OSError: when the port is in use.
        """
        await self._core.start()

    @loopsafe
    async def stop(self) -> None:
        """Stop like a server that is shut down: end every stream without a close frame, and refuse dials.

        A second `stop` does nothing. A `fault` and a `script` end with the server.
        """
        await self._core.stop()

    @loopsafe
    async def wait_for_connections(self, count: int, *, timeout: float = 5.0) -> None:  # noqa: ASYNC109
        """Wait until exactly ``count`` connections are up.

        Args:
            count: the number of connections.
            timeout: the longest wait, in seconds.

        Raises:
            TimeoutError: when the wait takes longer.
        """
        await self._core.dispatcher.wait(lambda: self.connections == count, timeout)

    @loopsafe
    async def wait_for_subscriptions(self, count: int, *, timeout: float = 5.0) -> None:  # noqa: ASYNC109
        """Wait until all connections together have exactly ``count`` subscriptions.

        Args:
            count: the number of subscriptions.
            timeout: the longest wait, in seconds.

        Raises:
            TimeoutError: when the wait takes longer.
        """
        await self._core.dispatcher.wait(lambda: self.subscriptions == count, timeout)

    def script(self, script: str) -> asyncio.Future[None]:
        """Fail by a script from now on, such as ``"2s drop; 2s refuse 3s; 8s freeze 3s; 12s deaf; 20s fault 4s"``.

        A step is a moment from now, a fault and its length: ``drop``, ``refuse`` from `refuse_dials` until `accept_dials`,
        ``freeze`` until `thaw`, ``deaf`` from `deafen` until `heal`, and ``fault``. A time is a number with ``ms``, ``s`` or
        ``m``, by the event loop. ``refuse``, ``freeze`` and ``deaf`` without a length last until the call that ends them,
        ``fault`` needs one, and ``drop`` takes none. `realtime_fsm.testing.script` has the grammar.

        Args:
            script: the steps, with semicolons between them.

        Returns:
            The task that runs the script; a future where the caller has another event loop than the server. Await it to wait for
            the end of the last step. Cancel it to start no further step; a fault that has begun goes on. `stop` cancels it.

        Raises:
            BadOption: for a step that is not valid, or that overlaps one of the same fault; it names the step and the remedy.
            RuntimeError: when no event loop is running.
        """
        steps = parse(script)
        loop, home = asyncio.get_running_loop(), self._core.foreign_loop()
        if home is None:
            return self._begin_script(steps)
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._run_script(steps), home), loop=loop)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def __enter__(self) -> BlockingServer:
        self._blocking = BlockingServer(self)
        try:
            self._blocking.start()
        except BaseException:
            self._blocking.close()
            raise
        return self._blocking

    def __exit__(self, *_: object) -> None:
        assert self._blocking is not None
        self._blocking.close()
