"""An outage lasts from the loss of a live link until everything is served again; its records tell its cause and its dials."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from realtime_fsm.errors import LinkFailure, StreamEnded
from realtime_fsm.fsm.table import State, Trigger
from realtime_fsm.runtime.outages import OutageTracker


class Life:
    """An outage tracker, its steps, and the records that it writes."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.tracker = OutageTracker(SimpleNamespace(outage=self._tell))  # type: ignore[arg-type]

    def _tell(self, change: str, cause: str, *, planned: bool, dials: int, seconds: float | None = None) -> None:
        self.told.append((change, cause, planned, dials, *(() if seconds is None else (seconds,))))

    def begin(self, now: float, trigger: Trigger = Trigger.CLOSED, cause: LinkFailure | None = None) -> None:
        self.tracker.begin_step(SimpleNamespace(cause=cause, row=SimpleNamespace(trigger=trigger)), now)  # type: ignore[arg-type]

    def change(self, source: State, dest: State, *, draining_serves: bool = False) -> None:
        self.tracker.on_transition(source, dest, draining_serves=draining_serves)
        self.tracker.end_step()

    def lose(self, now: float = 10.0, **options: Any) -> None:
        self.begin(now, cause=StreamEnded())
        self.change(State.SUBSCRIBED, State.RECONNECTING, **options)


@pytest.mark.parametrize("served", [State.SUBSCRIBED, State.UNSUBSCRIBED])
def test_an_outage_ends_when_everything_is_served(served: State) -> None:
    life = Life()
    life.lose(10.0)
    life.tracker.end_step()
    assert life.told == [("opened", "stream_ended", False, 0)]
    for now in (11.0, 13.0):
        life.begin(now)
        life.tracker.dial()
        life.tracker.end_step()
    life.begin(17.0)
    life.change(State.RECONNECTING, State.CONNECTED)
    assert len(life.told) == 1, "nothing is acknowledged yet"
    life.begin(17.5)
    life.change(State.CONNECTED, served)
    assert life.told[1:] == [("closed", "stream_ended", False, 2, 7.5)]
    assert life.tracker.current is None


def test_an_outage_without_a_failure_is_planned_and_counts_the_dial_of_its_first_step() -> None:
    life = Life()
    life.begin(1.0)
    life.tracker.dial()
    life.tracker.end_step()
    assert life.told == [], "no outage is under way"
    life.begin(5.0, Trigger.RECONNECT)
    life.tracker.dial()
    life.change(State.SUBSCRIBED, State.RECONNECTING)
    assert life.told == [("opened", "reconnect", True, 1)]


def test_the_dial_of_an_earlier_step_does_not_count() -> None:
    life = Life()
    life.begin(1.0)
    life.tracker.dial()
    life.lose()
    assert life.told == [("opened", "stream_ended", False, 0)]


@pytest.mark.parametrize(
    ("source", "dest", "draining_serves"),
    [
        (State.SUBSCRIBED, State.RECONNECTING, True),
        (State.SUBSCRIBED, State.DISPOSING, False),
        (State.SUBSCRIBED, State.PING, False),
        (State.RECONNECTING, State.ERROR, False),
        (State.RECONNECTING, State.SUBSCRIBED, False),
    ],
)
def test_no_outage_begins_where_no_live_link_is_lost(source: State, dest: State, draining_serves: bool) -> None:
    life = Life()
    life.begin(1.0)
    life.change(source, dest, draining_serves=draining_serves)
    assert (life.tracker.current, life.told) == (None, [])


def test_a_second_loss_counts_in_the_same_outage() -> None:
    life = Life()
    life.lose(10.0)
    outage = life.tracker.current
    assert outage is not None
    assert (outage.began, outage.missing_since, outage.losses) == (10, 10, 1)
    life.lose(20.0)
    assert life.tracker.current is outage
    assert (outage.began, outage.missing_since, outage.losses) == (10, 10, 2)
    assert len(life.told) == 1


def test_two_losses_in_one_step_count_once() -> None:
    life = Life()
    life.begin(10.0, cause=StreamEnded())
    life.tracker.lose(retired=True)
    life.change(State.SUBSCRIBED, State.RECONNECTING)
    assert life.tracker.current is not None
    assert life.tracker.current.losses == 1
    assert life.told == [("opened", "retired", False, 0)]


def test_the_loss_of_an_old_link_has_the_cause_retired_in_any_step() -> None:
    life = Life()
    life.begin(10.0, Trigger.RECONNECT)
    life.tracker.lose(retired=True)
    life.change(State.RECONNECTING, State.SUBSCRIBED)
    assert life.told == [("opened", "retired", False, 0), ("closed", "retired", False, 0, 0.0)], "in this order"


def test_events_are_missing_since_a_fault_on_the_lost_link() -> None:
    life = Life()
    life.begin(8.0)
    life.tracker.reach_back(3.0)
    life.lose(10.0)
    outage = life.tracker.current
    assert outage is not None
    assert (outage.began, outage.missing_since, life.tracker.faulty_since) == (10, 5, None)


def test_a_fault_counts_from_the_first_one_and_is_over_once() -> None:
    life = Life()
    assert life.tracker.end_fault(8.0) is None
    life.begin(8.0)
    life.tracker.reach_back(3.0)
    life.tracker.reach_back(1.0)
    assert (life.tracker.end_fault(9.0), life.tracker.end_fault(9.0)) == (4.0, None)
