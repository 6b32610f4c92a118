"""The embedded server for code without an event loop: the same calls, and waits that block."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from realtime_fsm.client.portal import Portal
from realtime_fsm.testing.control import ServerControl
from realtime_fsm.testing.script import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
    from concurrent.futures import Future

    from realtime_fsm.testing.dispatcher import Greeting

P = ParamSpec("P")
R = TypeVar("R")


def _call(method: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
    """Pass a call on; the server itself runs it on its own loop."""

    @functools.wraps(method)
    def call(self: BlockingServer, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return method(self.server, *args, **kwargs)

    return call


def _wait(method: Callable[Concatenate[Any, P], Coroutine[None, None, R]]) -> Callable[Concatenate[Any, P], R]:
    """Make the blocking form of a coroutine method."""

    @functools.wraps(method)
    def call(self: BlockingServer, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._portal.call(lambda: method(self.server, *args, **kwargs))

    return call


class BlockingServer:
    """A `RealtimeServer` in a thread of its own, for synchronous tests; ``with RealtimeServer() as server`` gives one.

    The calls, their arguments and their errors are those of `RealtimeServer`. Any thread may make them, and a wait blocks.

    Attributes:
        server: the same server, with coroutines as its waits; any thread and any event loop may use it.
    """

    def __init__(self, server: ServerControl) -> None:
        """Start the thread of a server that does not listen yet; `start` makes it listen."""
        self.server = server
        self._portal = Portal("the embedded server")
        self._portal.last = server.stop

    def __repr__(self) -> str:
        return f"{self.server!r} in a thread"

    @property
    def endpoint(self) -> str:
        """The endpoint to give to a client, such as ``http://127.0.0.1:40123/v1``."""
        return self.server.endpoint

    @property
    def greet(self) -> Greeting:
        """Whether a new connection gets its ``connected`` frame; see `RealtimeServer.greet`."""
        return self.server.greet

    @greet.setter
    def greet(self, value: Greeting) -> None:
        self.server.greet = value

    @property
    def connections(self) -> int:
        """The number of connections that are up."""
        return self.server.connections

    @property
    def subscriptions(self) -> int:
        """The number of subscriptions of all connections together; in E1 and E2 each connection has one."""
        return self.server.subscriptions

    @property
    def received(self) -> list[list[object]]:
        """The messages of the clients; see `RealtimeServer.received`."""
        return self.server.received

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

    if TYPE_CHECKING:  # as a checker shall see them

        def drop(self) -> None: ...  # noqa: D102
        def refuse_dials(self) -> None: ...  # noqa: D102
        def accept_dials(self) -> None: ...  # noqa: D102
        def freeze(self) -> None: ...  # noqa: D102
        def thaw(self) -> None: ...  # noqa: D102
        def deafen(self, seconds: float | None = None) -> None: ...  # noqa: D102
        def heal(self) -> None: ...  # noqa: D102
        def fault(self, seconds: float) -> None: ...  # noqa: D102
        def publish(  # noqa: D102
            self, events: str | Sequence[str], channels: str | Sequence[str], payload: object, *, roles: Iterable[str] = ("any",),
            timestamp: str | None = None, project: str | None = None, memberships_of: str | None = None,
        ) -> int: ...  # fmt: skip
        def add_user(  # noqa: D102
            self, user_id: str, *, session_secret: str | None = None, attributes: Mapping[str, object] | None = None,
            roles: Iterable[str] = (), project: str | None = None,
        ) -> str: ...  # fmt: skip
        def issue_jwt(self, user_id: str, *, expired: bool = False, project: str | None = None) -> str: ...  # noqa: D102
        def add_key(self, *, scopes: Iterable[str] = ("users.write",), project: str | None = None) -> str: ...  # noqa: D102
        def end_session(self, user_id: str, *, project: str | None = None) -> None: ...  # noqa: D102
        def wait_for_connections(self, count: int, *, timeout: float = 5) -> None: ...  # noqa: D102
        def wait_for_subscriptions(self, count: int, *, timeout: float = 5) -> None: ...  # noqa: D102
    else:
        drop = _call(ServerControl.drop)
        refuse_dials = _call(ServerControl.refuse_dials)
        accept_dials = _call(ServerControl.accept_dials)
        freeze = _call(ServerControl.freeze)
        thaw = _call(ServerControl.thaw)
        deafen = _call(ServerControl.deafen)
        heal = _call(ServerControl.heal)
        fault = _call(ServerControl.fault)
        publish = _call(ServerControl.publish)
        add_user = _call(ServerControl.add_user)
        issue_jwt = _call(ServerControl.issue_jwt)
        add_key = _call(ServerControl.add_key)
        end_session = _call(ServerControl.end_session)
        wait_for_connections = _wait(ServerControl.wait_for_connections)
        wait_for_subscriptions = _wait(ServerControl.wait_for_subscriptions)

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
        return self._portal.call_soon(lambda: self.server._run_script(steps))  # noqa: SLF001  (the same server)
