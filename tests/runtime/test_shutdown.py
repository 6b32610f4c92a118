"""The end: nothing is left by those who dispose, and those who do not are told."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import warnings
import weakref
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from realtime_fsm import BadOption, Realtime, RetryPolicy, State, Timeouts
from realtime_fsm.testing import RealtimeServer
from support.eras import NO_SERVER, ON_EVERY_ERA, only
from support.network import Network
from support.virtual import eventually, run

pytestmark = ON_EVERY_ERA

DESCRIPTORS = Path("/proc/self/fd")
FORGETFUL = """
import asyncio
from realtime_fsm import Realtime, RetryPolicy
from realtime_fsm.testing import RealtimeServer

async def main():
    server = RealtimeServer()
    await server.start()
    realtime = Realtime(server.endpoint, "demo")
    await realtime.subscribe("rows")
    await server.stop()

asyncio.run(main())
print("the end")
"""


ABANDONED = """
import asyncio, sys, threading
from realtime_fsm import Realtime
from realtime_fsm.testing import RealtimeServer

ready, over, box = threading.Event(), threading.Event(), {}

async def serve():
    async with RealtimeServer() as server:
        box["endpoint"] = server.endpoint
        ready.set()
        await asyncio.to_thread(over.wait)

async def main():
    realtime = Realtime(box["endpoint"], "demo")
    await realtime.subscribe("rows")
    if sys.argv[1] == "held":
        box["held"] = realtime

server = threading.Thread(target=asyncio.run, args=(serve(),))
server.start()
ready.wait()
asyncio.run(main())
box.pop("held", None)
over.set()
server.join()
"""


def open_files() -> int:
    return len(list(DESCRIPTORS.iterdir()))


@only("E4", because="a program of its own takes its time, and its end is the same on every era")
def test_a_program_that_forgets_to_dispose_is_told_and_does_not_hang() -> None:
    result = subprocess.run(
        [sys.executable, "-W", "always", "-c", FORGETFUL], capture_output=True, text=True, timeout=60, check=False
    )
    assert (result.returncode, result.stdout) == (0, "the end\n")
    assert "ResourceWarning: a Realtime was not disposed of" in result.stderr


def test_one_that_was_never_used_or_is_at_rest_need_not_be_disposed_of() -> None:
    async def main() -> None:
        network = Network()
        realtime = network.realtime()
        await realtime.connect()
        await realtime.disconnect()
        assert realtime.state is State.DISCONNECTED

    gc.collect()  # what other tests have left on purpose is not ours
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Realtime("http://localhost/v1", "demo")
        run(main)
        gc.collect()
    assert not [warning for warning in caught if "disposed" in str(warning.message)]


@only("E4", because="a program of its own takes its time, and its end is the same on every era")
@pytest.mark.parametrize("how", ["held", "forgotten"])
def test_at_the_end_of_its_loop_nothing_complains_but_the_connection_itself(how: str) -> None:
    result = subprocess.run(
        [sys.executable, "-W", "always", "-c", ABANDONED, how], capture_output=True, text=True, timeout=60, check=False
    )
    told = [line for line in result.stderr.splitlines() if not line.startswith("  ")]  # without the source line of a warning
    assert result.returncode == 0
    assert len(told) == 1, result.stderr
    assert told[0].endswith("ResourceWarning: a Realtime was not disposed of: use 'async with', or await dispose()")


async def test_one_that_is_forgotten_is_told_and_ends() -> None:
    network = Network()
    realtime = network.realtime(timeouts=Timeouts(close=3))
    await realtime.subscribe("rows")
    with pytest.warns(ResourceWarning, match="not disposed of") as told:
        del realtime
    assert told[0].filename == __file__, "the warning shows the line that let it go"
    await eventually(lambda: network.released)
    assert network.socket.closed == 3, "with a closing handshake"


@pytest.mark.parametrize("held", ["subscription", "iterator", "batches", "states", "listener"])
async def test_a_held_part_keeps_its_connection_alive(held: str) -> None:
    network = Network()
    realtime = network.realtime()
    heard: list[int] = []
    part: object
    if held == "listener":  # works without being held
        await realtime.on("rows", lambda event: heard.append(event.payload["n"]))
        part = None
    else:
        subscription = await realtime.subscribe("rows")
        parts: dict[str, Callable[[], object]] = {
            "subscription": lambda: subscription,
            "iterator": lambda: aiter(subscription),
            "batches": subscription.batches,
            "states": realtime.states,
        }
        part = parts[held]()
        del subscription, parts
    state = realtime._driver._machine
    dispose = weakref.WeakMethod(realtime.dispose)
    del realtime
    gc.collect()
    network.publish("rows", payload={"n": 1})
    await asyncio.sleep(1)
    assert state.state is State.SUBSCRIBED
    if held == "iterator":
        assert isinstance(part, AsyncIterator)
        assert (await anext(part)).payload["n"] == 1
    elif held == "listener":
        assert heard == [1]
    end = dispose()
    assert end is not None
    await end()


@NO_SERVER
def test_one_that_was_not_built_in_full_goes_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []
    with monkeypatch.context() as patch:
        patch.setattr(sys, "unraisablehook", told.append)
        with pytest.raises(BadOption):
            Realtime("ftp://localhost/v1", "demo")
        gc.collect()
    assert told == []


@pytest.mark.skipif(not DESCRIPTORS.exists(), reason="counts file descriptors where Linux shows them")
@pytest.mark.loops
@pytest.mark.loopback
async def test_nothing_is_left_after_many_lives() -> None:
    async def life(server: RealtimeServer, number: int) -> None:
        async with Realtime(server.endpoint, "demo", retry=RetryPolicy(dials_per_minute=None)) as realtime:
            if number % 3 == 0:
                await realtime.connect()
            elif number % 3 == 1:
                await realtime.subscribe("rows")
            else:
                asyncio.ensure_future(realtime.subscribe("rows")).add_done_callback(lambda done: done.exception())
                await asyncio.sleep(0)

    async with RealtimeServer(era=Network.era) as server:
        await life(server, 1)
        await server.wait_for_connections(0)
        before = open_files()
        await asyncio.gather(*(life(server, number) for number in range(60)))
        await server.wait_for_connections(0)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert {task.get_name() for task in left if "realtime_fsm" in task.get_name()} == set()
        await eventually(lambda: open_files() <= before)  # a loop closes the last sockets a turn later
