"""The test kit: an Appwrite Realtime server in the process of the test, virtual time, and checks of the audit log.

Example:
    A client of yours, without a mock and without a sleep::

        async def test_my_feature() -> None:
            async with RealtimeServer(projects=("demo",)) as server:
                my_feature = asyncio.create_task(run(server.endpoint, project="demo"))
                await server.wait_for_subscriptions(1)
                server.publish("rows.r1.create", "rows", {"$id": "r1"})
                server.drop()  # every stream ends, as when a server process is killed
                await server.wait_for_connections(1)
                ...

With pytest, `realtime_fsm.testing.plugin` gives the server, a client and virtual time as fixtures. Each name is loaded when it
is used, because pytest imports this package in every run.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realtime_fsm.testing.assertions import AuditRecords, assert_conformant, assert_rows
    from realtime_fsm.testing.memory import InMemoryServer, in_memory
    from realtime_fsm.testing.quick import QUICK_RETRY
    from realtime_fsm.testing.server import BlockingServer, RealtimeServer
    from realtime_fsm.testing.virtual import VirtualClock

__all__ = [
    "QUICK_RETRY", "AuditRecords", "BlockingServer", "InMemoryServer", "RealtimeServer", "VirtualClock", "assert_conformant",
    "assert_rows", "in_memory",
]  # fmt: skip
_MODULES = {
    "QUICK_RETRY": "quick", "AuditRecords": "assertions", "BlockingServer": "server", "InMemoryServer": "memory",
    "RealtimeServer": "server", "VirtualClock": "virtual", "assert_conformant": "assertions", "assert_rows": "assertions",
    "in_memory": "memory",
}  # fmt: skip

if not TYPE_CHECKING:  # for a type checker, each other name is an error

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
