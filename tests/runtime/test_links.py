"""The set of links closes each link in time, and removes duplicates as long as two links may bring them."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from realtime_fsm import LinkPaused, PingPolicy, Timeouts
from realtime_fsm.events import Event
from realtime_fsm.fsm.budget import SendBudget
from realtime_fsm.fsm.context import ConnectionContext
from realtime_fsm.fsm.link import LinkState
from realtime_fsm.runtime.link import LinkIO
from realtime_fsm.runtime.links import LinkSet
from support.delivering import event_for
from support.virtual import Stopwatch


class Links(Stopwatch):
    """The links of a connection. `closed` has the number of each closed link, and the seconds that its close may take."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.closed: list[tuple[int, float]] = []
        self.reported: list[tuple[int, int | None]] = []
        context: Any = ConnectionContext(ping=PingPolicy(enabled=False), timeouts=Timeouts(close=5, reply=2))
        context.draining = SimpleNamespace(served=("s1",))  # from the beginning of a handover on
        owner: Any = SimpleNamespace(loop=self.loop, context=context, feed=lambda _: None)
        self.subscription: Any = Subscription()
        registry: Any = SimpleNamespace(
            established={"s1": self.subscription},
            gaps=SimpleNamespace(
                report_possible_loss=lambda handover: self.reported.append((handover.old.generation, handover.newer))
            ),
        )
        self.links: Any = LinkSet(owner, registry)

        def close(link: LinkIO, seconds: float) -> asyncio.Task[None]:
            self.closed.append((link.generation, seconds))
            return self.loop.create_task(_take_a_second())

        monkeypatch.setattr(LinkIO, "close", close)

    @staticmethod
    def end(link: Any) -> None:
        """End a link: a handover doubts what it has delivered."""
        link._reader = SimpleNamespace(done=lambda: True)

    def create(self, generation: int) -> Any:
        return self.links.create(LinkState(generation, 0.0, SendBudget(30), False), None)


class Subscription:
    """A subscription of both links."""

    seen_until = None


async def _take_a_second() -> None:
    await asyncio.sleep(1)


def event(number: int) -> Event:
    return event_for("s1", n=number)


@pytest.mark.parametrize("graceful", [False, True])
async def test_a_link_that_is_dropped_is_closed_and_waited_for(monkeypatch: pytest.MonkeyPatch, graceful: bool) -> None:
    one = Links(monkeypatch)
    assert (one.links.is_overlapping, one.links.is_cut_off) == (False, False)
    link = one.create(1)
    assert (one.links.current, one.links.current_of(1), one.links.is_cut_off) == (link, link, False)
    one.links.drop(1, graceful=graceful)
    assert (one.links.current, one.closed) == (None, [(1, 5 if graceful else 0)])
    await one.links.wait_closed()
    assert one.now == 1
    assert one.reported == []


async def test_the_old_link_of_a_handover_is_closed_when_it_is_drained(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Links(monkeypatch)
    old = one.create(1)
    assert (one.links.draining, one.links.draining_serves, one.links.is_overlapping) == (None, False, False)
    one.links.begin_handover(1)
    assert (one.links.current, one.links.draining, one.links.draining_serves, one.links.is_overlapping) == (None, old, True, True)
    new = one.create(2)
    one.links.handover.acknowledged(one.subscription)
    one.links.complete_handover(at_fault=False)
    assert (one.links.current, one.links.draining, one.links.draining_serves) == (new, old, False)
    watch = Stopwatch()
    await one.links.wait_drained()
    assert watch.now == 1
    assert (one.closed, one.links.draining, one.links.is_overlapping) == ([(1, 5)], None, False)
    assert one.reported == [], "without pings the link is trusted"
    one.links.close_draining()
    assert one.closed == [(1, 5)]
    await one.links.wait_closed()


async def test_links_are_cut_off_if_either_of_them_is(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Links(monkeypatch)
    link = one.create(1)
    link._reader = SimpleNamespace(cancelling=lambda: 1, done=lambda: False)
    assert one.links.is_cut_off
    one.links.begin_handover(1)
    assert one.links.is_cut_off
    one.create(2)
    assert one.links.is_cut_off
    one.links.close_draining()
    assert not one.links.is_cut_off
    await one.links.wait_closed()


@pytest.mark.parametrize("served", [False, True])
async def test_the_next_handover_closes_an_old_link_that_is_not_drained_yet(
    monkeypatch: pytest.MonkeyPatch, served: bool
) -> None:
    one = Links(monkeypatch)
    old = one.create(1)
    one.links.begin_handover(1)
    one.create(2)
    if served:
        one.links.handover.acknowledged(one.subscription)
    one.end(old)
    one.links.complete_handover(at_fault=False)
    one.links.begin_handover(2)
    assert (one.closed, one.reported) == ([(1, 5)], [(1, 2)] * served)
    assert one.links.draining.generation == 2
    await asyncio.sleep(100)
    assert one.closed == [(1, 5)], "the second one is not complete"
    one.links.close_draining()
    await one.links.wait_closed()


@pytest.mark.parametrize("complete", [False, True])
async def test_a_loss_closes_both_links_only_after_the_new_one_has_served_everything(
    monkeypatch: pytest.MonkeyPatch, complete: bool
) -> None:
    one = Links(monkeypatch)
    old = one.create(1)
    one.links.begin_handover(1)
    one.create(2)
    one.links.handover.acknowledged(one.subscription)
    one.end(old)
    handover = one.links.handover
    if complete:
        one.links.complete_handover(at_fault=False)
    one.links.drop(2, graceful=False)
    assert one.closed == ([(1, 5), (2, 0)] if complete else [(2, 0)])
    assert (handover.newer, one.links.handover) == (None, None if complete else handover)
    assert one.reported == [(1, None)] * complete
    one.links.close_draining()
    await one.links.wait_closed()


@pytest.mark.parametrize("ahead", [False, True])
async def test_after_a_return_to_the_old_link_the_events_of_the_new_one_do_not_come_again(
    monkeypatch: pytest.MonkeyPatch, ahead: bool
) -> None:
    one = Links(monkeypatch)
    old = one.create(1)
    one.links.begin_handover(1)
    new = one.create(2)
    handover = one.links.handover
    handover.acknowledged(one.subscription)
    if ahead:
        assert one.links.filter_new(new, event(1), [one.subscription]) == [one.subscription]
        handover.record(event(1), [one.subscription], [one.subscription], from_old=False)
    one.links.drop(2, graceful=False)
    one.links.resume(1)
    assert (one.links.current, one.links.handover, one.links.is_overlapping) == (old, None, ahead)
    assert (handover.ended.is_set(), one.reported) == (True, [(1, None)] * ahead)
    if ahead:
        assert one.links.filter_new(old, event(1), [one.subscription]) == []
    assert one.links.filter_new(old, event(2), [one.subscription]) == [one.subscription]
    assert not one.links.is_overlapping
    await one.links.wait_closed()


async def test_a_second_handover_keeps_the_leads_and_a_link_after_a_loss_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Links(monkeypatch)
    one.create(1)
    one.links.begin_handover(1)
    two = one.create(2)
    one.links.filter_new(one.links.draining, event(1), [one.subscription])
    one.links.close_draining()
    assert one.links.is_overlapping
    one.links.begin_handover(2)
    one.create(3)
    assert one.links.filter_new(two, event(1), [one.subscription]) == [], "link 1 has brought it"
    one.links.filter_new(two, event(2), [one.subscription])
    one.links.close_draining()
    assert one.links.is_overlapping
    one.links.drop(3, graceful=False)
    one.create(4)
    assert not one.links.is_overlapping
    await one.links.wait_closed()


async def test_a_change_waits_for_the_drain_unless_the_old_link_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Links(monkeypatch)
    old = one.create(1)
    one.links.begin_handover(1)
    one.create(2)
    await one.links.wait_drained()
    assert one.now == 0, "the change takes part in a handover that is not complete"
    one.links.complete_handover(at_fault=False)
    old.paused_since = one.began
    with pytest.raises(LinkPaused, match="read nothing for 2 s"):
        await one.links.wait_drained()
    assert one.now == 2
    waiting = asyncio.ensure_future(one.links.wait_drained())
    await asyncio.sleep(1.7)
    old.paused_since = None
    await waiting
    assert one.now == 4
    await one.links.wait_closed()
