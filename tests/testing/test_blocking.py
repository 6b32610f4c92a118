"""The embedded server in a thread of its own: blocking calls, calls from any thread, and awaits on any event loop."""

from __future__ import annotations

import asyncio
import inspect
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest

from realtime_fsm import BadOption, RetriesExhausted, RetryPolicy
from realtime_fsm.sync import Realtime
from realtime_fsm.testing import QUICK_RETRY, BlockingServer, RealtimeServer
from support.stubs import differences

LONG = 20.0


@pytest.fixture
def server() -> Iterator[BlockingServer]:
    with RealtimeServer() as server:
        yield server


@pytest.fixture
def realtime(server: BlockingServer) -> Iterator[Realtime]:
    with Realtime(server.endpoint, "demo", retry=QUICK_RETRY) as realtime:
        yield realtime


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "realtime_fsm loop"]


def test_it_has_every_call_of_the_asynchronous_one() -> None:
    names = {name for name in dir(RealtimeServer) if not name.startswith("_")}
    assert names <= set(dir(BlockingServer))


@pytest.mark.parametrize("name", ["wait_for_connections", "wait_for_subscriptions", "script", "start", "stop"])
def test_a_wait_has_the_arguments_of_the_asynchronous_one(name: str) -> None:
    blocking, asynchronous = (inspect.signature(getattr(kind, name)) for kind in (BlockingServer, RealtimeServer))
    assert blocking.parameters == asynchronous.parameters


def _blocking(method: Any) -> Callable[[Any], Any]:
    return lambda _declaration: method


class Wrong:
    def _made(self, name: str, other: int) -> None: ...

    @_blocking(_made)
    def call(self, name: str = "x") -> None: ...


def test_a_declaration_that_differs_is_named() -> None:
    assert differences(Wrong) == [
        "call: ('POSITIONAL_OR_KEYWORD', 'name', 'str', 'x') is declared for ('POSITIONAL_OR_KEYWORD', 'name', 'str', 'none')",
        "call: ('RETURN', 'None') is declared for ('POSITIONAL_OR_KEYWORD', 'other', 'int', 'none')",
        "call has 4 arguments, and is declared with 3",
    ]


def test_a_conversation(server: BlockingServer, realtime: Realtime) -> None:
    rows = realtime.subscribe("rows")
    server.wait_for_subscriptions(1)
    assert (server.connections, server.subscriptions) == (1, 1)
    assert server.publish("rows.r1.create", "rows", {"n": 1}) == 1
    assert rows.get(LONG).payload == {"n": 1}
    assert [message["type"] for message in server.received[0] if isinstance(message, dict)] == ["subscribe"]
    with pytest.raises(TimeoutError):
        server.wait_for_connections(2, timeout=0.01)


def test_a_drop_heals_in_milliseconds(server: BlockingServer, realtime: Realtime) -> None:
    realtime.connect()
    states = realtime.states()
    server.drop()
    changes = [next(states), next(states)]
    assert [change.dest.value for change in changes] == ["reconnecting", "connected"]
    server.wait_for_connections(1, timeout=LONG)


def test_many_threads_publish_at_once(server: BlockingServer, realtime: Realtime) -> None:
    rows = realtime.subscribe("rows")
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda n: server.publish("e", "rows", {"n": n}), range(200))) == {1}
    assert sorted(rows.get(LONG).payload["n"] for _ in range(200)) == list(range(200))


def test_it_stops_and_starts_on_the_same_port(server: BlockingServer, realtime: Realtime) -> None:
    realtime.subscribe("rows")
    endpoint = server.endpoint
    server.stop()
    server.stop()
    assert server.connections == 0
    server.start()
    assert server.endpoint == endpoint
    server.wait_for_subscriptions(1, timeout=LONG)
    with pytest.raises(RuntimeError, match="already started"):
        server.start()


def test_every_fault_can_be_called_from_here(server: BlockingServer, realtime: Realtime) -> None:
    rows = realtime.subscribe("rows")
    server.refuse_dials()
    with (
        Realtime(server.endpoint, "demo", retry=RetryPolicy(attempts=1)) as refused,
        pytest.raises(RetriesExhausted, match="503"),
    ):
        refused.connect()
    server.accept_dials()
    with Realtime(server.endpoint, "demo") as accepted:
        accepted.connect()
    server.deafen()
    assert server.publish("e", "rows", {"n": 1}) == 0
    server.heal()
    server.fault(60)
    assert server.publish("e", "rows", {"n": 2}) == 0
    server.fault(0)
    server.freeze()
    assert server.publish("e", "rows", {"n": 3}) == 1
    server.thaw()
    assert rows.get(LONG).payload == {"n": 3}


def test_users_log_in(server: BlockingServer) -> None:
    session = server.add_user("u1")
    with Realtime(server.endpoint, "demo", jwt=server.issue_jwt("u1")) as realtime:
        realtime.connect()
        assert realtime.user is not None
        assert realtime.user["$id"] == "u1"
    server.end_session("u1")
    assert session


def test_a_greeting_can_be_withheld(server: BlockingServer, realtime: Realtime) -> None:
    assert server.greet is True
    server.greet = False
    assert server.greet is False
    with pytest.raises(TimeoutError):
        realtime.wait_connected(0.01)


def test_a_script_can_be_awaited_and_cancelled(server: BlockingServer, realtime: Realtime) -> None:
    realtime.subscribe("rows")
    assert server.script("0ms drop; 1ms freeze 5ms").result(LONG) is None
    script = server.script("0ms freeze; 1m drop")
    assert script.cancel()
    with pytest.raises(CancelledError):
        script.result(LONG)
    with pytest.raises(BadOption, match="step 1, '2s dorp': there is no fault 'dorp'"):
        server.script("2s dorp")
    server.thaw()


def test_a_stop_cancels_a_script(server: BlockingServer) -> None:
    script = server.script("1m drop")
    server.stop()
    with pytest.raises(CancelledError):
        script.result(LONG)


def test_it_leaves_no_thread_behind() -> None:
    before = threads()
    with RealtimeServer() as server:
        assert len(threads()) == len(before) + 1
        assert repr(server) == f"<RealtimeServer {server.endpoint[7:-3]} connections=0> in a thread"
        with pytest.raises(OSError, match="address already in use"):
            RealtimeServer(port=int(server.endpoint[7:-3].partition(":")[2])).__enter__()
        assert len(threads()) == len(before) + 1
    server.close()
    assert threads() == before


@pytest.mark.loopback
async def test_a_coroutine_awaits_a_server_in_another_thread() -> None:
    server = RealtimeServer()
    with server:
        await server.wait_for_connections(0)
        with pytest.raises(TimeoutError):
            await server.wait_for_connections(1, timeout=0.01)
        await server.script("0ms drop")
        script = server.script("1m drop")
        script.cancel()
        with pytest.raises(asyncio.CancelledError):
            await script
        await server.stop()
        await server.start()
        assert server.publish("e", "rows", {}) == 0


@pytest.mark.loopback
async def test_another_thread_calls_the_server_of_this_loop() -> None:
    calls: list[Any] = []

    def work(server: RealtimeServer) -> None:
        calls.append(threading.current_thread())
        assert server.publish("e", "rows", {}) == 0
        assert (server.connections, server.received) == (0, [])
        server.fault(60)  # needs the loop of the server
        with pytest.raises(RuntimeError, match="no running event loop"):
            server.script("0ms drop")

    async with RealtimeServer() as server:
        await asyncio.to_thread(work, server)
    assert calls != [threading.main_thread()]


def test_a_server_goes_on_to_another_loop() -> None:
    server = RealtimeServer()

    async def serve() -> int:
        async with server:
            return server.connections

    assert asyncio.run(serve()) == asyncio.run(serve()) == 0
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: asyncio.run(serve())).result(LONG) == 0


def test_the_server_ends_with_its_block() -> None:
    with RealtimeServer() as server:
        where = urlsplit(server.endpoint)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((where.hostname, where.port))
