"""The calls of users wait for an answer, refuse features, and are in the log."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from realtime_fsm import LinkPaused, State
from realtime_fsm.errors import UnsupportedByServer
from realtime_fsm.fsm.inputs import SetPresence, Subscribe, Unsubscribe
from realtime_fsm.protocol.eras import Era
from realtime_fsm.protocol.spec import SubscriptionSpec
from realtime_fsm.runtime.calls import IDLE_STATES, Calls, record_call
from support.virtual import Stopwatch

REPLY = 2.0


class Called(Stopwatch):
    """The calls of a connection; a test may pause its link."""

    def __init__(self) -> None:
        super().__init__()
        self.links = SimpleNamespace(current=None)
        context = SimpleNamespace(timeouts=SimpleNamespace(reply=REPLY), era=None)
        self.owner: Any = SimpleNamespace(loop=self.loop, links=self.links, context=context)
        self.calls = Calls(self.owner, None)  # type: ignore[arg-type]

    def pause(self, since: float | None) -> None:
        self.links.current = SimpleNamespace(paused_since=None if since is None else self.began + since)


@pytest.mark.parametrize(("begun", "paused", "raised"), [(10, 5, 12), (10, 15, 17), (10, 10.5, 12.5)])
async def test_a_call_gives_up_after_the_reply_timeout_of_a_pause(begun: float, paused: float, raised: float) -> None:
    one = Called()
    one.pause(paused if paused < begun else None)
    await one.until(begun)
    future: asyncio.Future[int] = one.loop.create_future()
    asking = asyncio.ensure_future(one.calls.answer(future))
    if paused > begun:
        await one.until(paused)
        one.pause(paused)
    with pytest.raises(LinkPaused, match="read nothing for 2 s"):
        await asking
    assert one.now == raised


@pytest.mark.parametrize("link", [True, False])
async def test_a_call_waits_for_its_answer_while_the_link_is_read_or_there_is_none(link: bool) -> None:
    one = Called()
    if link:
        one.pause(None)
    future: asyncio.Future[int] = one.loop.create_future()
    one.loop.call_at(one.began + 101, future.set_result, 7)
    assert await one.calls.answer(future) == 7
    assert one.now == 101


async def test_a_cancelled_wait_cancels_its_future_and_its_timer() -> None:
    one = Called()
    future: asyncio.Future[int] = one.loop.create_future()
    asking = asyncio.ensure_future(one.calls.answer(future))
    await one.until(1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert future.cancelled()
    one.owner.links = None  # a wait that goes on would look at the link
    await one.until(100)


async def test_each_caller_waits_by_itself_for_the_end_of_a_subscription() -> None:
    one = Called()
    delivery: Any = SimpleNamespace(removed=one.loop.create_future())
    first, second, third = (asyncio.ensure_future(one.calls.wait_removed(delivery)) for _ in range(3))
    await one.until(1)
    first.cancel()
    one.pause(1)
    with pytest.raises(LinkPaused):
        await second
    assert (one.now, third.done(), delivery.removed.done()) == (3, True, False)
    assert isinstance(third.exception(), LinkPaused)
    one.pause(None)
    later = asyncio.ensure_future(one.calls.wait_removed(delivery))
    await one.until(4)
    delivery.removed.set_result(None)
    await later


async def test_a_feature_is_refused_only_where_the_server_is_known_to_lack_it() -> None:
    one = Called()
    for era in (None, Era.E4):
        one.owner.context.era = era
        one.calls.require_feature("presence")
    for era in (Era.E1, Era.E2, Era.E3):
        one.owner.context.era = era
        with pytest.raises(UnsupportedByServer, match="has no realtime presence"):
            one.calls.require_feature("presence")


def test_the_states_in_which_no_link_will_come() -> None:
    assert {*IDLE_STATES} == {State.DISCONNECTED, State.ERROR, State.DISPOSING}


async def test_ids_are_numbered() -> None:
    one = Called()
    assert [one.calls.next_id() for _ in range(3)] == ["s1", "s2", "s3"]


def recorded(input_: Any, state: State, desired: tuple[str, ...] = ()) -> list[tuple[Any, ...]]:
    told: list[tuple[Any, ...]] = []

    def tell(*given: Any, **facts: Any) -> None:
        told.append((*given, *facts.values()))

    audit: Any = SimpleNamespace(subscription=tell, presence=tell)
    context: Any = SimpleNamespace(state=state, subscriptions=SimpleNamespace(desired=desired))
    record_call(input_, audit, context, 1.5)
    return told


def test_the_log_records_calls_that_change_a_wish_and_none_after_the_end() -> None:
    spec = SubscriptionSpec("s1", ("rows",))
    calls: list[tuple[Any, tuple[Any, ...]]] = [
        (Subscribe(spec), ("s1", "desired", 1.5, len(spec.item))),
        (SetPresence(None), ("withdrawn", 1.5)),
        (SetPresence(b"{}", "p"), ("desired", 1.5)),
    ]
    assert [recorded(input_, State.ERROR) for input_, _ in calls] == [[record] for _, record in calls]
    assert [recorded(input_, State.DISPOSING) for input_, _ in calls] == [[]] * 3
    assert recorded(Unsubscribe("s1"), State.ERROR, desired=("s1",)) == [("s1", "withdrawn", 1.5)]
    assert recorded(Unsubscribe("s1"), State.ERROR, desired=("s2",)) == []
