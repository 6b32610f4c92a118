"""The connection, as its parts see it. The driver is the only implementation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio

    from realtime_fsm.fsm.context import ConnectionContext
    from realtime_fsm.fsm.inputs import Input
    from realtime_fsm.fsm.table import State
    from realtime_fsm.runtime.credentials import Identity


class Connection(Protocol):
    """The connection to which a part belongs."""

    context: ConnectionContext
    identity: Identity

    @property
    def state(self) -> State:
        """The state of the connection."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of the connection."""

    def feed(self, input_: Input) -> None:
        """Step the machine."""

    def report(self, failure: BaseException, heading: str = "an unexpected exception") -> None:
        """Report an exception that no task awaits."""
