"""The end: nothing is left by those who dispose, and those who do not are told."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from realtime_fsm import Realtime, RetryPolicy, State
from realtime_fsm.testing import RealtimeServer
from support.eras import NO_SERVER, ON_EVERY_ERA, only
from support.network import Network
from support.virtual import run

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


@NO_SERVER
def test_one_that_was_not_built_in_full_goes_quietly() -> None:
    from realtime_fsm.edges.driver import Driver

    Driver.__new__(Driver).__del__()


@pytest.mark.skipif(not DESCRIPTORS.exists(), reason="counts file descriptors where Linux shows them")
@pytest.mark.loops
def test_nothing_is_left_after_many_lives() -> None:
    async def life(server: RealtimeServer, number: int) -> None:
        async with Realtime(server.endpoint, "demo", retry=RetryPolicy(dials_per_minute=None)) as realtime:
            if number % 3 == 0:
                await realtime.connect()
            elif number % 3 == 1:
                await realtime.subscribe("rows")
            else:
                asyncio.ensure_future(realtime.subscribe("rows")).add_done_callback(lambda done: done.exception())
                await asyncio.sleep(0)

    async def main() -> None:
        async with RealtimeServer(era=Network.era) as server:
            await life(server, 1)
            await server.wait_for_connections(0)
            before = open_files()
            await asyncio.gather(*(life(server, number) for number in range(60)))
            await server.wait_for_connections(0)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert {task.get_name() for task in left if "realtime_fsm" in task.get_name()} == set()
            assert open_files() <= before + 1

    asyncio.run(main())
