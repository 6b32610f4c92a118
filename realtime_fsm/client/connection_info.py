"""The readable facts of a connection, on an event loop and without one.

Design: health and explanation are loaded when a program asks for them, because their texts would slow down each import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from realtime_fsm.diagram.notebook import NotebookDisplay
from realtime_fsm.errors import Disposed
from realtime_fsm.fsm.table import State
from realtime_fsm.runtime.driver import Driver  # noqa: TC001  (for tools that read annotations)

if TYPE_CHECKING:
    from realtime_fsm.client.explanation import Explanation
    from realtime_fsm.client.health import Health
    from realtime_fsm.errors import RealtimeError
    from realtime_fsm.fsm.change import Failure
    from realtime_fsm.protocol.eras import Era


class ConnectionInfo(NotebookDisplay):
    """The properties of every `Realtime`."""

    _driver: Driver
    _connection_id: str

    def _check_not_disposed(self) -> None:
        """Refuse a call after ``dispose()``, and one from another event loop."""
        if self.state is State.DISPOSING:
            raise Disposed
        self._driver.check_loop()

    @property
    def connection_id(self) -> str:
        """The name of this connection in the audit log."""
        return self._connection_id

    @property
    def state(self) -> State:
        """The state of the connection."""
        return self._driver.state

    @property
    def is_live(self) -> bool:
        """Whether the link is up: in ``connected``, ``subscribed``, ``unsubscribed`` and ``ping``."""
        return self.state.is_live

    @property
    def error(self) -> RealtimeError | None:
        """The reason why no attempt follows, in state ``error``; None in every other state."""
        return self._driver.context.error

    @property
    def last_failure(self) -> Failure | None:
        """The newest failed attempt or lost link, and when the next dial is due.

        None before the first. A later success does not clear it: compare its ``at``.
        """
        return self._driver.failures.last

    def explain(self) -> Explanation:
        """Explain the state: why it is this one, what is awaited and until when, what failed last, and what to do.

        ``print(realtime.explain())`` is the first step where no events arrive. The call changes nothing, and is meant for people:
        its sentences may change with a release. Call it on the event loop of the connection.
        """
        from realtime_fsm.client.explanation import explanation_of

        return explanation_of(self._driver, self.state, self._connection_id)

    def health(self) -> Health:
        """Tell whether the connection can go on, and whether it delivers. Any thread may call it, at any time."""
        from realtime_fsm.client.health import health_of

        return health_of(self._driver, self.state)

    @property
    def era(self) -> Era | None:
        """The server's era, as far as it is known: from ``era=``, or from the greeting."""
        return self._driver.context.era

    @property
    def user(self) -> dict[str, Any] | None:
        """The account that the server named on the newest link; None for a guest, and before the first link."""
        return self._driver.identity.user

    @property
    def malformed(self) -> dict[str, int]:
        """The number of unusable messages of the server, by kind; the log has each kind once.

        The kinds are ``not_json``, ``too_deep``, ``unknown_type``, ``wrong_shape``, and ``unknown_subscription`` for an event
        of a subscription that this connection does not have, or has just ended.
        """
        return dict(self._driver.malformed)
