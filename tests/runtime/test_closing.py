"""The closing handshake under a flood: the event loop has its turns, counted in frames that aiohttp gives."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from realtime_fsm.runtime.transport import _TURN
from support.frames import upgraded

pytestmark = pytest.mark.loops

COUNT = 50_000
CLOSE = b"\x88\x02" + (1000).to_bytes(2, "big")
FLOODS = {"text": b"\x81\x01{", "pings": b"\x89\x00", "pongs": b"\x8a\x00"}


class Counting:
    """The queue that aiohttp reads from; it counts."""

    def __init__(self, queue: Any) -> None:
        self._queue = queue
        self.count = 0

    async def read(self) -> Any:
        message = await self._queue.read()
        self.count += 1
        return message

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)


def counting(socket: Any) -> Counting:
    socket._websocket._reader = queue = Counting(socket._websocket._reader)
    return queue


async def most_between_turns(queue: Counting, task: asyncio.Task[Any]) -> int:
    """The most frames between two turns of the event loop, until the task ends."""
    seen = [queue.count]
    while not task.done():
        await asyncio.sleep(0)
        seen.append(queue.count)
    return max(after - before for before, after in itertools.pairwise(seen))


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
@pytest.mark.parametrize("pump", ["never", "reading", "paused"])
@pytest.mark.loopback
async def test_a_close_reads_to_the_servers_close_frame_with_turns(flood: bytes, pump: str) -> None:
    async with upgraded(b"\x81\x02{}", flood * COUNT, CLOSE, hang_up=False) as socket:
        queue = counting(socket)
        begun, never, turns = asyncio.Event(), asyncio.Event(), itertools.count(1)

        def deliver(_: bytes) -> Any:
            begun.set()
            return never.wait() if pump == "paused" else None if next(turns) % _TURN else asyncio.sleep(0)

        pumping = None if pump == "never" else asyncio.create_task(socket.pump(deliver))
        if pumping is not None:
            await begun.wait()
        closing = asyncio.create_task(socket.close(10))
        assert await most_between_turns(queue, closing) <= 2 * _TURN, "the pump and the close count apart"
        assert queue.count == COUNT + 2, "read to the close frame"
        never.set()
        if pumping is not None:
            # a pump with a turn after the close leaves the rest to it; control frames give none, so it reads the close frame
            reads_on = pump == "reading" and flood != FLOODS["text"]
            assert await pumping == (1000 if reads_on else 1006)


@pytest.mark.parametrize("flood", [FLOODS["pings"], FLOODS["pongs"]], ids=["pings", "pongs"])
@pytest.mark.loopback
async def test_control_frames_leave_the_event_loop_its_turns(flood: bytes) -> None:
    async with upgraded(flood * COUNT, CLOSE, hang_up=False) as socket:
        queue = counting(socket)
        pumping = asyncio.create_task(socket.pump(lambda _: None))
        assert await most_between_turns(queue, pumping) <= _TURN
        assert await pumping == 1000


@pytest.mark.loopback
async def test_a_server_that_never_answers_the_close_frame_is_dropped_in_time() -> None:
    async with upgraded(FLOODS["text"] * COUNT, hang_up=False) as socket:
        queue = counting(socket)
        closing = asyncio.create_task(socket.close(0.5))
        assert await most_between_turns(queue, closing) <= _TURN
        assert socket.transport.is_closing()  # type: ignore[attr-defined]
