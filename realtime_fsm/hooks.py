"""The hooks by which telemetry, the inspector and the test kit see all connections of the process.

Invariant: a hook changes nothing. The connection contains the exceptions of the hooks in `records`.

Design: a hook is an item of a list. Without hooks an event costs nothing, and a record or a handler's call costs one look at
an empty list. The connections keep plain counts for hooks to read.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from realtime_fsm.fsm.table import State

T = TypeVar("T")


class Connection(Protocol):
    """The part of a connection that a hook may read, from any thread."""

    @property
    def state(self) -> State:
        """The state of the connection."""

    @property
    def link_number(self) -> int:
        """The number of the newest link; 0 before the first."""

    @property
    def events_received(self) -> int:
        """How many events its subscriptions got."""

    @property
    def events_dropped(self) -> int:
        """How many of them full buffers dropped."""


connections: WeakValueDictionary[str, Connection] = WeakValueDictionary()
"""The connections in use, by id: from the first call to the disposal."""

records: list[Callable[[str, Any], object]] = []
"""Called with the level and each record, in the thread and the context of the connection."""

handlers: list[Callable[[str, Callable[..., object]], Callable[..., object]]] = []
"""Called with the name of a user's handler and the handler, before each call; the connection calls the result instead."""

carriers: list[Callable[[], Callable[[], object]]] = []
"""Called before a plain callable of a user runs in a thread; the portal calls the result in the context of that thread."""


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=connections.clear)  # a child has the objects of its parent, and none of their links


def all_connections() -> list[Connection]:
    """Return the connections in use; safe in any thread."""
    return [connection for reference in connections.valuerefs() if (connection := reference()) is not None]


@contextmanager
def added(hooks: list[T], hook: T) -> Iterator[None]:
    """Keep a hook in its list until the end of the context."""
    hooks.append(hook)
    try:
        yield
    finally:
        hooks.remove(hook)
