"""A handover pings its old link, waits for the last answer, and keeps the overlaps in which events may be lost."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest

from realtime_fsm import PingPolicy
from realtime_fsm.errors import Overdue
from realtime_fsm.fsm.budget import SendBudget
from realtime_fsm.fsm.context import ConnectionContext
from realtime_fsm.fsm.inputs import LinkClosed
from realtime_fsm.fsm.link import LinkState
from realtime_fsm.protocol.frames import PING
from realtime_fsm.runtime.handover import Handover
from realtime_fsm.runtime.timestamps import parse_or_none
from support.delivering import Registered, event_for
from support.some import some
from support.virtual import Stopwatch

QUICK = PingPolicy(interval=30, timeout=3)
OFF = PingPolicy(enabled=False)
EARLIER, LATER = "2026-11-24T10:00:00.000+00:00", "2026-11-24T10:00:01.000+00:00"


class Served:
    """A subscription of the old link."""

    seen_until = parse_or_none(EARLIER)


class Draining(Stopwatch):
    """A handover from link 1 to link 2; each of its acts has its seconds since the beginning."""

    def __init__(self, ping: PingPolicy = QUICK, *, in_flight: int = 0, first_ping: float | None = None) -> None:
        super().__init__()
        due = None if first_ping is None else self.began + first_ping
        self.state = LinkState(1, self.began, SendBudget(ping.interval), False, ping_at=due)
        self.old: Any = SimpleNamespace(
            generation=1,
            state=self.state,
            ended=False,
            paused=False,
            unsure_answers=0,
            pings_in_flight=in_flight,
            send=self._send,
        )
        self.pings: list[float] = []
        self.fed: list[tuple[float, Any]] = []
        self.drained: list[float] = []
        owner: Any = SimpleNamespace(
            context=ConnectionContext(ping=ping), loop=self.loop, feed=lambda input_: self.fed.append((self.now, input_))
        )
        self.subscription: Any = Served()
        old, served = cast("Any", self.old), cast("Any", {"s1": self.subscription})
        self.handover = Handover(old, owner, served, on_drained=lambda: self.drained.append(self.now))
        self.handover.newer = 2

    def _send(self, data: bytes) -> None:
        assert data == PING
        self.old.pings_in_flight += 1
        self.pings.append(self.now)

    def answer(self) -> None:
        self.old.pings_in_flight -= 1
        self.state.frames_received += 1


# --- the first stage --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first_ping", "pings"), [(None, [30, 60, 90]), (5.0, [5, 35, 65, 95]), (-5.0, [0, 30, 60, 90])])
async def test_the_old_link_is_pinged_at_the_usual_pace(first_ping: float | None, pings: list[float]) -> None:
    one = Draining(first_ping=first_ping)
    for number, at in some(enumerate(pings, 1)):
        await one.until(at + 1)
        assert one.pings == pings[:number]
        one.answer()
    await one.until(99)
    assert (one.pings, one.fed, one.state.budget.frames_sent) == (pings, [], 0), "only frames of the machine count"
    one.handover.drained()


@pytest.mark.parametrize(("in_flight", "overdue"), [(0, 33.0), (1, 3.0)])
async def test_an_old_link_that_answers_no_ping_counts_as_ended(in_flight: int, overdue: float) -> None:
    one = Draining(in_flight=in_flight)
    await one.until(200)
    ((at, closed),) = one.fed
    assert (at, type(closed), closed.generation, type(closed.cause), str(closed.cause)) == (
        overdue, LinkClosed, 1, Overdue, "no pong within 3 seconds",
    )  # fmt: skip


async def test_a_ping_in_flight_at_the_beginning_may_be_answered() -> None:
    one = Draining(in_flight=1)
    await one.until(1)
    one.answer()
    await one.until(29)
    assert (one.pings, one.fed) == ([], [])
    one.handover.drained()


async def test_silence_proves_nothing_while_the_client_does_not_read_the_old_link() -> None:
    one = Draining(first_ping=0.0)
    one.old.paused = True
    await one.until(10)
    assert (one.pings, one.fed) == ([0], [])
    one.old.paused = False  # the moments of the checks are 3, 6, 9 and 12
    await one.until(20)
    assert [at for at, _ in one.fed] == [12]


async def test_a_handover_without_pings_does_not_ping_its_old_link() -> None:
    one = Draining(OFF, first_ping=1.0)
    await one.until(200)
    assert (one.pings, one.fed) == ([], [])
    one.handover.drained()


async def test_a_ping_waits_for_room_in_the_budget_until_the_next_one_is_due() -> None:
    one = Draining()
    one.state.budget.block_for_window(asyncio.get_running_loop().time())
    await one.until(62)
    assert one.pings == [60], "the budget has room exactly then"
    one.handover.drained()


async def test_a_ping_takes_from_the_budget_of_pings_alone() -> None:
    one, now = Draining(PingPolicy(interval=60)), asyncio.get_running_loop().time()
    budget = one.state.budget
    while budget.available_at(now, ping=False) <= now:
        budget.record_send(now, ping=False)
    budget.record_send(now, ping=True)
    assert budget.available_at(now, ping=True) == now
    await asyncio.sleep(0)
    one.handover.greeted(at_fault=False)
    assert one.pings == [0]
    assert budget.available_at(now, ping=True) == now + 60
    one.handover.drained()


async def test_a_link_that_has_ended_is_not_pinged() -> None:
    one = Draining()
    one.old.ended = True
    await one.until(100)
    one.handover.greeted(at_fault=False)
    assert one.pings == []
    one.handover.drained()


# --- the second stage -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answered", "read_again", "drained", "confirmed"),
    [
        (0.3, None, 1.0, True),
        (2.2, None, 2.5, True),
        (None, None, 3.0, False),
        (0.3, 4.2, 4.5, True),
        (None, 4.2, 7.0, False),
    ],
)
async def test_the_old_link_is_drained_with_its_answer_or_its_timeout(
    answered: float | None, read_again: float | None, drained: float, confirmed: bool
) -> None:
    one = Draining(first_ping=2.0)
    await asyncio.sleep(0)  # the first check of the first stage has run
    one.handover.greeted(at_fault=False)
    assert (one.pings, one.handover.is_complete, one.handover.is_confirmed) == ([0], True, False)
    one.old.paused = read_again is not None
    if answered is not None:
        await one.until(answered)
        one.answer()
    if read_again is not None:
        await one.until(read_again)
        one.old.paused = False
    await one.until(20)
    assert (one.drained, one.fed, one.pings) == ([drained], [], [0])
    assert one.handover.is_confirmed is confirmed


async def test_without_a_ping_the_old_link_is_drained_after_a_second() -> None:
    for why, confirmed in {"off": True, "ended": False, "no room": False, "at fault": False}.items():
        one = Draining(OFF if why in ("off", "at fault") else QUICK)
        one.old.ended = why == "ended"
        if why == "no room":
            one.state.budget.block_for_window(asyncio.get_running_loop().time())
        one.handover.greeted(at_fault=why == "at fault")
        await one.until(10)
        assert (why, one.drained, one.pings, one.handover.is_confirmed) == (why, [1], [], confirmed)


async def test_a_handover_is_not_confirmed_before_the_new_link_serves_everything() -> None:
    one = Draining(first_ping=0.0)
    await one.until(1)
    one.answer()
    assert not one.handover.is_confirmed
    one.handover.drained()


async def test_after_its_end_a_handover_does_nothing() -> None:
    for end in ("drained", "failed"):
        one = Draining(first_ping=1.0)
        one.handover.greeted(at_fault=False)
        getattr(one.handover, end)()
        assert one.handover.ended.is_set()
        await one.until(100)
        assert (one.drained, one.fed, one.pings) == ([], [], [0])


# --- the overlaps -----------------------------------------------------------------------------------------------------


async def test_an_overlap_tells_how_long_the_old_link_had_delivered_alone() -> None:
    one, stranger = Draining(), Served()
    for link, moment in ((2, 2.0), (3, 5.0)):
        await one.until(moment)
        one.handover.newer = link
        one.handover.acknowledged(one.subscription)
        one.subscription.seen_until = parse_or_none(LATER)
        one.handover.acknowledged(stranger)  # type: ignore[arg-type]
        ((subscription, overlap),) = one.handover.overlaps.items()
        assert (subscription, overlap.since, overlap.link, overlap.seconds) == (one.subscription, Served.seen_until, link, moment)
        assert abs(overlap.until - datetime.now(UTC)) < timedelta(minutes=1)
    one.handover.greeted(at_fault=False)
    one.handover.newer = 4
    one.handover.acknowledged(one.subscription)
    assert overlap.link == 3, "the new link serves everything already"
    one.handover.drained()


async def test_the_old_link_delivers_only_to_what_it_serves() -> None:
    it = Registered()
    one: Any = Draining()
    handover = Handover(one.old, one.handover._owner, {"s1": it.one}, lambda: None)
    found = partial(handover.find, deliveries=it.registry.deliveries)
    assert found("s1", event_for("s1", channels=("files",))) is it.one, "the server knows best"
    assert found("s2", event_for("s2")) is None, "the new link brings that event, too"
    it.registry.remove("s1")
    assert found("s1", event_for("s1")) is None
    handover.drained()
    one.handover.drained()


@pytest.mark.parametrize("stage", [1, 2])
@pytest.mark.parametrize("from_old", [True, False])
@pytest.mark.parametrize("is_new", [True, False])
async def test_an_event_of_the_old_link_counts_as_in_order_before_the_second_stage(
    stage: int, from_old: bool, is_new: bool
) -> None:
    one, other = Draining(), Served()
    one.handover.acknowledged(one.subscription)
    (overlap,) = one.handover.overlaps.values()
    if stage == 2:
        one.handover.greeted(at_fault=False)
    recipients: Any = [other, one.subscription]
    one.handover.record(event_for("s1", timestamp=LATER), recipients, {one.subscription} if is_new else set(), from_old=from_old)
    in_order = from_old and stage == 1
    assert parse_or_none(overlap.since) == parse_or_none(LATER if in_order else EARLIER)
    assert len(overlap.ahead) == int(is_new and not in_order)
    one.handover.incomplete.add(one.subscription)
    one.handover.record(event_for("s1", timestamp="2026-11-24T10:00:02.000+00:00"), recipients, set(), from_old=True)
    assert parse_or_none(overlap.since) == parse_or_none(LATER if in_order else EARLIER), "an event before this one was dropped"
    one.handover.disordered.add(one.subscription)
    one.handover.record(event_for("s1", timestamp=LATER), recipients, {one.subscription}, from_old=False)
    assert len(overlap.ahead) == int(is_new and not in_order), "its gap begins before all of them"
    one.handover.drained()


@pytest.mark.parametrize("end", ["drained", "failed"])
@pytest.mark.parametrize("doubt", ["order", "events ahead", "no answer", None])
async def test_the_overlaps_in_which_nothing_is_in_doubt_are_dropped(end: str, doubt: str | None) -> None:
    one = Draining()
    one.handover.acknowledged(one.subscription)
    if doubt == "order":
        one.handover.disordered.add(one.subscription)
    if doubt == "events ahead":
        one.handover.record(event_for("s1", timestamp=LATER), [one.subscription], [one.subscription], from_old=False)
    if end == "drained":
        one.handover.greeted(at_fault=False)
        if doubt != "no answer":
            one.answer()
    getattr(one.handover, end)()
    kept = ("order", "no answer") if end == "drained" else ("order", "events ahead")
    assert list(one.handover.overlaps) == [one.subscription] * (doubt in kept)
    assert (one.subscription in one.handover.disordered) == (doubt == "order" or (end == "failed" and doubt == "events ahead"))
