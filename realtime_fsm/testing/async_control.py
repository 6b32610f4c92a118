"""The calls of the embedded server that wait, for code with an event loop."""

from __future__ import annotations

import asyncio

from realtime_fsm.testing.control import ServerControl
from realtime_fsm.testing.core import loopsafe
from realtime_fsm.testing.script import parse


class AsyncServerControl(ServerControl):
    """The control of a server, with coroutines as its waits; each is safe to await on any event loop."""

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
