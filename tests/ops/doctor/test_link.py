"""The checks of a link wait for a bounded time, and tell the times of the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, Self

import pytest

from realtime_fsm.fsm.canary import CANARY_STATUS
from realtime_fsm.ops.doctor import link
from realtime_fsm.ops.doctor.link import LinkExaminer
from realtime_fsm.ops.doctor.report import Checks, ExaminationEnded
from realtime_fsm.protocol.eras import Era
from support.doctoring import made, remedy
from support.virtual import Stopwatch

LIVE, DOWN = (SimpleNamespace(dest=SimpleNamespace(is_live=is_live)) for is_live in (True, False))


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the checks read the virtual clock."""
    monkeypatch.setattr(link, "time", SimpleNamespace(perf_counter=lambda: asyncio.get_running_loop().time()))


class Link:
    """Stands for a link whose server answers after some seconds; None is never.

    Args:
        reply: the seconds until the server acknowledges a subscription.
        end: the seconds until the server ends a subscription.
        event: the seconds until an event, or the answer to the first ping after a pause, comes.
        changes: the changes of state, each with the seconds before it.
    """

    era, malformed, last_failure, is_live = Era.E4, dict[str, int](), None, True
    missing_channels = ()

    def __init__(
        self,
        reply: float | None = 0.0,
        event: float | None = None,
        changes: list[tuple[float, Any]] | None = None,
        end: float | None = 0.0,
    ) -> None:
        self.reply, self.event, self.end, self.changes = reply, event, end, changes or []
        self.user: dict[str, str] | None = {"$id": "alice"}
        self.observation = SimpleNamespace(
            upgrade=None, greeting=None, pings=list[float](), errors=[], sent=3, dials=1, throttled=False
        )
        self.ping_policy = SimpleNamespace(interval_after=lambda _: 1.0)
        self.asked: list[Any] = []

    async def connect(self) -> None:
        self.asked.append("connect")

    def subscribe(self, channel: str, queries: list[str] | None = None) -> Any:
        self.asked.append((channel, queries) if queries else channel)
        return self._subscribed()

    async def _subscribed(self) -> Self:
        await after(self.reply)
        return self

    async def unsubscribe(self) -> None:
        self.asked.append("unsubscribe")
        await after(self.end)

    async def __anext__(self) -> None:
        await after(self.event)

    async def set_presence(self, status: str, *, presence_id: str) -> None:
        assert len(presence_id) == 32
        self.asked.append(status)

    def set_ping_enabled(self, enabled: bool) -> None:
        if enabled and self.event is not None:
            self.changes = [(self.event, PONG)]

    async def states(self) -> AsyncIterator[Any]:
        while self.changes:
            seconds, change = self.changes.pop(0)
            await after(seconds)
            if change is PONG:
                self.observation.pings.append(0.5)
            yield LIVE if change is PONG else change
        await after(None)


PONG = object()


async def after(seconds: float | None) -> None:
    await (asyncio.Event().wait() if seconds is None else asyncio.sleep(seconds))


@pytest.fixture
def checks() -> Checks:
    return Checks(None)


def examiner(realtime: Link, checks: Checks) -> LinkExaminer:
    given: Any = realtime
    return LinkExaminer(given, given, checks, has_headers=False)


def told(checks: Checks) -> list[tuple[str, str, str]]:
    return [(check.name, check.status.value, check.text) for check in made(checks)]


# --- the beginning ----------------------------------------------------------------------------------------------------


async def test_upgrade_and_greeting_tell_their_times(checks: Checks) -> None:
    realtime = Link()
    realtime.observation.upgrade, realtime.observation.greeting = 0.25, 0.5
    await examiner(realtime, checks).check_connect()
    assert told(checks) == [
        ("upgrade", "ok", "to WebSocket in 250 ms"), ("greeting", "ok", "after 500 ms"), ("identity", "ok", "user alice"),
    ]  # fmt: skip


# --- pings ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pings", "status", "text"),
    [([0.25, 1.0], "ok", "answered in 250 ms, 1 s"), ([1.25, 0.25], "warning", "slow: 1.25 s, 250 ms")],
)
async def test_an_answer_after_more_than_a_second_is_slow(pings: list[float], status: str, text: str, checks: Checks) -> None:
    realtime = Link(changes=[(0.1, LIVE)])
    realtime.observation.pings = pings
    await examiner(realtime, checks).check_pings(2)
    assert told(checks) == [("ping", status, text)]


async def test_each_ping_is_awaited_for_its_interval_and_five_seconds(checks: Checks) -> None:
    realtime = Link(changes=[(5.9, PONG), (5.9, PONG)])
    watch = Stopwatch()
    await examiner(realtime, checks).check_pings(2)
    assert told(checks) == [("ping", "ok", "answered in 500 ms, 500 ms")]
    assert watch.now == 11.8
    late = Link(changes=[(5.9, PONG)])
    watch = Stopwatch()
    with pytest.raises(ExaminationEnded):
        await examiner(late, checks).check_pings(2)
    assert told(checks)[1:] == [("ping", "failed", "ping 2: no answer")]
    assert watch.now == 5.9 + 6.0


async def test_the_end_of_a_link_ends_the_wait_for_its_pings(checks: Checks) -> None:
    realtime = Link(changes=[(2.0, DOWN)])
    realtime.last_failure = SimpleNamespace(error="the stream ended")  # type: ignore[assignment]
    watch = Stopwatch()
    with pytest.raises(ExaminationEnded):
        await examiner(realtime, checks).check_pings(1)
    assert told(checks) == [("ping", "failed", "ping 1: the stream ended")]
    assert watch.now == 2.0


# --- subscriptions ----------------------------------------------------------------------------------------------------


async def test_a_subscription_tells_its_time_and_is_awaited_for_five_seconds(checks: Checks) -> None:
    await examiner(Link(reply=0.25), checks).check_subscriptions(("rows",))
    watch = Stopwatch()
    await examiner(Link(reply=None), checks).check_subscriptions(("files", "teams"))
    assert watch.now == 5.0
    assert told(checks) == [
        ("subscribe", "ok", "rows: acknowledged in 250 ms"),
        ("subscribe", "failed", "files: no reply within 5 s; not checked: teams"),
    ]


# --- echo, idleness, budget -------------------------------------------------------------------------------------------


async def test_an_echo_tells_its_time_and_is_awaited_for_ten_seconds(checks: Checks) -> None:
    realtime = Link(event=0.5)
    await examiner(realtime, checks).check_echo()
    mine = '{"method":"equal","attribute":"userId","values":["alice"]}'
    assert realtime.asked == [("presences", [mine]), CANARY_STATUS, "unsubscribe"]
    watch = Stopwatch()
    realtime = Link()
    await examiner(realtime, checks).check_echo()
    assert (watch.now, realtime.asked[-1]) == (10.0, "unsubscribe")
    assert told(checks) == [
        ("echo", "ok", "an event came back 500 ms after its cause"), ("echo", "failed", "no event within 10 s"),
    ]  # fmt: skip


async def test_an_echo_waits_five_seconds_for_the_end_of_its_subscription(checks: Checks) -> None:
    watch = Stopwatch()
    await examiner(Link(event=0.5, end=None), checks).check_echo()
    assert (watch.now, told(checks)) == (5.5, [("echo", "ok", "an event came back 500 ms after its cause")])
    watch = Stopwatch()
    await examiner(Link(end=None), checks).check_echo()
    assert (watch.now, told(checks)[1:]) == (15.0, [("echo", "failed", "no event within 10 s")])


async def test_an_echo_without_its_subscription_ends_none(checks: Checks) -> None:
    realtime = Link(reply=None)
    await examiner(realtime, checks).check_echo()
    assert len(realtime.asked) == 1
    assert told(checks) == [("echo", "failed", "no event within 10 s")]


@pytest.mark.parametrize(
    ("changes", "status", "text"),
    [
        ([(30.0, DOWN)], "failed", "the link ended after 30 s without traffic"),
        ([(12.0, LIVE), (19.0, DOWN)], "warning", "the link ended after 31 s without traffic"),
        ([(50.0, LIVE)], "ok", "the link survives 40 s without traffic"),
        ([], "warning", "the link was dead after 40 s without traffic: no answer to a ping"),
    ],
)
async def test_the_doctor_tells_how_long_a_link_survives_without_traffic(
    changes: list[tuple[float, Any]], status: str, text: str, checks: Checks
) -> None:
    realtime = Link(event=0.5 if status == "ok" else None, changes=changes)
    await examiner(realtime, checks).check_idle(40.0)
    assert told(checks) == [("idle", status, text)]
    assert (made(checks)[0].remedy == "") is (status == "ok")


def test_the_budget_counts_what_was_sent_and_dialed(checks: Checks) -> None:
    realtime = Link()
    examiner(realtime, checks).check_budget()
    assert told(checks) == [("budget", "ok", "29 of 32 messages and 127 of 128 dials a minute are left")]
    realtime.observation.throttled = True
    with pytest.raises(ExaminationEnded):
        examiner(realtime, checks).check_budget()
    assert made(checks)[1].text == "the server refuses message 3 of this link with 1013: its budget was spent before"
    assert made(checks)[1].remedy == remedy("budget")
