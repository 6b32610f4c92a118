"""The embedded server for code without an event loop: the same calls, and waits that block."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.client.portal import Portal
from realtime_fsm.testing.async_control import AsyncServerControl  # noqa: TC001  (for tools that read annotations)
from realtime_fsm.testing.control import ServerControl
from realtime_fsm.testing.script import parse

if TYPE_CHECKING:
    from concurrent.futures import Future


class BlockingServer(ServerControl):
    """A `RealtimeServer` in a thread of its own, for synchronous tests; ``with RealtimeServer() as server`` gives one.

    The calls, their arguments and their errors are those of `RealtimeServer`. Any thread may make them, and a wait blocks.

    Attributes:
        server: the same server, with coroutines as its waits; any thread and any event loop may use it.
    """

    def __init__(self, server: AsyncServerControl) -> None:
        """Start the thread of a server that does not listen yet; `start` makes it listen."""
        super().__init__(server._core)  # noqa: SLF001  (one server with two controls)
        self.server = server
        self._portal = Portal("the embedded server")
        self._portal.last = server.stop

    def __repr__(self) -> str:
        return f"{self.server!r} in a thread"

    def start(self) -> None:
        """Listen; after a `stop`, on the same port, with the same users and without connections.

        Raises:
            RuntimeError: when the server listens already.
            OSError: when the port is in use.
        """
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
        """Fail by a script from now on, as `RealtimeServer.script`.

        Args:
            script: the steps, such as ``"2s drop; 5s freeze 3s"``.

        Returns:
            A future: ``result()`` waits for the end of the last step, and ``cancel()`` starts no further step.

        Raises:
            BadOption: for a step that is not valid, or that overlaps one of the same fault.
        """
        steps = parse(script)
        return self._portal.call_soon(lambda: self._run_script(steps))
