"""A link feeds the events of its socket, counts its pings, and closes the socket once."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from realtime_fsm.errors import DialFailed, FrameTooLarge, StreamEnded
from realtime_fsm.fsm.inputs import Closed, DialFailure, LinkClosed, Opened
from realtime_fsm.protocol.eras import UrlPlan
from realtime_fsm.protocol.frames import PING, decode
from realtime_fsm.runtime.link import LinkIO
from realtime_fsm.testing.wire import error

HANG = "hang"

PONG = b'{"type":"pong"}'


class Linked:
    """A link, and stubs for the transport and the socket below it."""

    def __init__(self, plan: Any = None) -> None:
        self.loop = asyncio.get_running_loop()
        self.fed: list[Any] = []
        self.reported: list[BaseException] = []
        self.dialed: list[tuple[str, Any]] = []
        self.sent: list[bytes] = []
        self.closed: list[float] = []
        self.outcome: Any = self
        self.end: asyncio.Future[Any] = self.loop.create_future()
        owner: Any = SimpleNamespace(
            loop=self.loop, feed=self.fed.append, report=self.reported.append,
            message_handler=lambda link, held=False: self._handler(held=held),
        )  # fmt: skip
        self.delivered: list[tuple[bytes, bool]] = []
        self.link = LinkIO(SimpleNamespace(generation=3), owner, plan)  # type: ignore[arg-type]

    def _handler(self, *, held: bool) -> Any:
        return lambda data: self.delivered.append((data, held))

    @property
    def held(self) -> Any:
        return self.link.read_ahead

    def open(self) -> None:
        async def headers() -> dict[str, str]:
            return {"a": "b"}

        self.link.open(self, "ws://h/?project=p", headers)  # type: ignore[arg-type]

    # the transport and the socket

    async def dial(self, url: str, headers: Any) -> Any:
        self.dialed.append((url, headers))
        if self.outcome == HANG:
            await asyncio.Event().wait()
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome

    async def pump(self, deliver: Any) -> Any:
        try:
            return await self.end
        finally:
            self.fed.append("read")

    async def send(self, data: bytes) -> None:
        await asyncio.sleep(1_000 if data == b"slow" else 0)
        if data == b"lost":
            raise StreamEnded
        self.sent.append(data)

    async def close(self, timeout: float) -> None:  # noqa: ASYNC109
        self.closed.append(timeout)
        if timeout and not self.end.done():
            self.end.set_result(1000)


@pytest.mark.parametrize("end", [1006, FrameTooLarge(5)])
async def test_a_link_feeds_its_upgrade_and_its_end_in_order(end: Any) -> None:
    one = Linked()
    assert not one.link.ended
    one.open()
    await asyncio.sleep(1)
    assert (one.dialed, one.fed, one.link.ended) == ([("ws://h/?project=p", {"a": "b"})], [Opened(3)], False)
    one.end.set_result(end)
    await asyncio.sleep(1)
    assert one.fed[1:] == ["read", LinkClosed(3, end) if isinstance(end, int) else LinkClosed(3, cause=end)]
    assert (one.link.ended, one.link.is_cut_off, one.closed) == (True, False, [])


async def test_a_link_feeds_a_failed_dial_whose_url_has_the_planned_channels() -> None:
    one, failure = Linked(SimpleNamespace(query="channels[]=rows")), DialFailed("refused")
    one.outcome = failure
    one.open()
    await asyncio.sleep(1)
    assert (one.fed, one.dialed[0][0]) == ([DialFailure(3, failure)], "ws://h/?project=p&channels[]=rows")


async def test_a_defect_is_reported_and_counts_as_a_loss() -> None:
    one, defect = Linked(), ZeroDivisionError("a defect")
    one.outcome = defect
    one.open()
    await asyncio.sleep(1)
    assert (one.fed, one.reported) == ([LinkClosed(3)], [defect])


async def test_frames_leave_in_order_and_pings_are_counted() -> None:
    one = Linked()
    one.open()
    await asyncio.sleep(1)
    for frame in (b"a", PING, b"b", PING):
        one.link.send(frame)
    assert one.link.pings_in_flight == 2
    await asyncio.sleep(1)
    assert len(asyncio.all_tasks()) == 2, "an idle link has a reader, and no writer"
    one.link.send(b"c")
    await asyncio.sleep(1)
    assert (one.sent, one.link.pings_in_flight) == ([b"a", PING, b"b", PING, b"c"], 2)
    await one.link.close(0)


async def test_after_a_frame_that_does_not_leave_no_ping_is_answered() -> None:
    one = Linked()
    one.open()
    await asyncio.sleep(1)
    for frame in (b"lost", PING):
        one.link.send(frame)
    await asyncio.sleep(1)
    assert len(asyncio.all_tasks()) == 2, "the writer has ended"
    one.link.count_pong(decode(PONG), drains=True)
    assert (one.sent, one.link.pings_in_flight) == ([], 1)
    await one.link.close(0)


@pytest.mark.parametrize("plan", [None, UrlPlan("", {}, {})])
@pytest.mark.parametrize("drains", [True, False])
async def test_a_pong_and_an_error_in_its_place_answer_one_ping(plan: UrlPlan | None, drains: bool) -> None:
    one = Linked()
    one.link.plan = plan
    for frame, before, after in (
        (PONG, 2, 1),
        (error(1003), 2, 2 if plan is None else 1),
        (error(1013), 2, 1),
        (error(429), 2, 1),
        (error(1008), 2, 2),
        (error(500), 2, 2),
        (b"{", 2, 2),
        (PONG, 0, 0),
    ):
        one.link.pings_in_flight = before
        one.link.count_pong(decode(frame), drains=drains)
        assert one.link.pings_in_flight == after
    unsure = 2 if drains and plan is None else 0
    assert one.link.unsure_answers == max(0, unsure - 1), "the last pong was one too many, so a 1013 had answered another message"


async def test_a_1013_on_a_draining_link_is_in_doubt_until_the_pong_has_come_as_well() -> None:
    one = Linked()
    one.link.pings_in_flight = 1
    counts = []
    for frame in (error(1013), PONG, error(1013)):
        one.link.count_pong(decode(frame), drains=True)
        counts.append((one.link.pings_in_flight, one.link.unsure_answers))
    assert counts == [(0, 1), (0, 0), (0, 0)], "after the pong nothing is awaited"


async def test_a_ping_that_waits_for_the_socket_is_not_answered_yet() -> None:
    one = Linked()
    one.open()
    await asyncio.sleep(1)
    one.link.send(PING)
    one.link.count_pong(decode(PONG), drains=True)
    assert one.link.pings_in_flight == 1
    await asyncio.sleep(1)
    one.link.count_pong(decode(PONG), drains=True)
    assert (one.sent, one.link.pings_in_flight) == ([PING], 0)
    await one.link.close(0)


@pytest.mark.parametrize("seconds", [0, 5.0])
async def test_a_link_closes_its_socket_once_and_feeds_nothing_else(seconds: float) -> None:
    one = Linked()
    one.open()
    await asyncio.sleep(1)
    one.link.send(b"slow")
    await one.link.close(seconds)
    assert (one.closed, one.fed) == ([seconds], [Opened(3), "read", Closed(3)]), "after the end of the reader"
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("dialing", [False, True])
async def test_a_link_without_a_socket_is_closed_too(dialing: bool) -> None:
    one = Linked()
    one.outcome = HANG
    if dialing:
        one.open()
    await one.link.close(5.0)
    assert (one.closed, one.fed, one.link.is_cut_off) == ([], [Closed(3)], False)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_reader_that_the_event_loop_cancels_drops_the_socket() -> None:
    one = Linked()
    one.open()
    await asyncio.sleep(1)
    (reader,) = asyncio.all_tasks() - {asyncio.current_task()}
    assert not one.link.is_cut_off
    reader.cancel()
    assert one.link.is_cut_off
    await asyncio.wait([reader])
    assert (reader.cancelled(), one.closed, one.fed) == (True, [0], [Opened(3), "read"])


async def test_a_pause_holds_messages_and_ends_with_the_link() -> None:
    one, over = Linked(), asyncio.Event()
    one.open()
    await asyncio.sleep(1)
    await one.link.pause(over.wait)  # type: ignore[arg-type]
    assert one.link.read_ahead is not None
    one.link.read_ahead.hold(b"a")
    one.end.set_result(1006)
    await asyncio.sleep(1)
    assert one.fed == [Opened(3), "read"], "the end comes behind what is held"
    over.set()
    await asyncio.sleep(1)
    assert (one.delivered, one.fed[2:], one.held) == ([(b"a", True)], [LinkClosed(3, 1006)], None)
    again = asyncio.Event()
    await one.link.pause(again.wait)  # type: ignore[arg-type]
    held = one.link.read_ahead
    assert held is not None
    held.hold(b"b")
    nested = asyncio.ensure_future(one.link.pause(again.wait))  # type: ignore[arg-type]
    await asyncio.sleep(1)
    assert (nested.done(), one.link.read_ahead) == (False, held)
    await one.link.close(0)
    assert (one.held, held.size, one.delivered) == (None, 0, [(b"a", True)])
    assert asyncio.all_tasks() == {asyncio.current_task(), nested}
    await one.link.pause(again.wait)  # type: ignore[arg-type]
    assert one.link.read_ahead is None, "a closed link holds nothing"
    again.set()
    await nested
