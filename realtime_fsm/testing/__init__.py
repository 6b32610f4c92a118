"""An Appwrite Realtime server to test against, in the process of the test itself.

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
"""

from realtime_fsm.testing.server import RealtimeServer

__all__ = ["RealtimeServer"]
