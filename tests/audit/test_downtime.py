"""The standing of a connection at an instant, and the rest of a time in which it is down."""

from __future__ import annotations

from datetime import timedelta

import pytest

from realtime_fsm.audit.answer import Answer
from realtime_fsm.audit.downtime import FAULT, LOST, MOST_MISSED, DownPeriod, Watch
from realtime_fsm.audit.facts import Facts, OpenOutage
from realtime_fsm.fsm.inputs import Connect, Disconnect
from support.bench import Bench
from support.brokenlogs import BEGIN, Record, Scribe, answered, collected, lines_of
from support.flatrecord import flat_record

SECOND = timedelta(seconds=1)


def asked(records: list[Record], second: float) -> Answer:
    return answered(lines_of(records), BEGIN.fromisoformat(records[0]["timestamp"]) + second * SECOND)


# --- how it stands ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "closed", "standing"),
    [
        ("subscribed", False, "up"), ("unsubscribed", False, "up"), ("ping", False, "up"), ("connected", False, "up"),
        ("disconnected", False, "unwanted"), ("disposing", False, "absent"), ("disposing", True, "absent"),
        (None, True, "absent"), ("subscribed", True, "absent"), (None, False, "unknown"), ("reconnecting", False, "unknown"),
        ("error", False, "unknown"),
    ],
)  # fmt: skip
def test_the_state_tells_how_a_connection_stands_before_its_next_record(state: str | None, closed: bool, standing: str) -> None:
    facts = Facts(state=state, closed_by_record=closed)
    watch = Watch(BEGIN + 10 * SECOND, BEGIN, facts)
    told = []
    for second in (10, 11):
        watch.before(BEGIN + second * SECOND)
        told.append(watch.standing)
    assert told == [None, standing], "a record of the instant itself counts"
    assert watch.period is None


@pytest.mark.parametrize(("first", "is_hole", "standing"), [(11, False, "absent"), (11, True, "unknown"), (10, True, "up")])
def test_a_connection_is_absent_before_its_first_record(first: int, is_hole: bool, standing: str) -> None:
    watch = Watch(BEGIN + 10 * SECOND, BEGIN + first * SECOND, Facts(state="subscribed"))
    watch.before(BEGIN + 12 * SECOND, is_hole=is_hole)
    assert watch.standing == standing


@pytest.mark.parametrize(("state", "planned", "standing"), [
    ("reconnecting", False, "down"), ("connected", False, "down"), ("error", False, "down"), ("disconnected", False, "down"),
    ("reconnecting", True, "down"), ("disconnected", True, "unwanted"), ("subscribed", False, "up"), ("ping", True, "up"),
])  # fmt: skip
def test_an_outage_under_way_tells_more_than_the_state(state: str, planned: bool, standing: str) -> None:
    facts = Facts(state=state)
    facts.outages.current = OpenOutage(2.0, flat_record("outage", 2.0, change="opened", planned=planned, dials=1))
    watch = Watch(BEGIN + 10 * SECOND, BEGIN, facts)
    watch.before(BEGIN + 11 * SECOND)
    assert watch.standing == standing
    assert (watch.period is not None) is (standing == "down")


# --- how it goes on ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("until", "goes_on"), [(None, True), (9.0, True), (8.5, False)])
def test_a_fault_goes_on_as_an_outage_that_begins_within_a_second(until: float | None, goes_on: bool) -> None:
    period = DownPeriod(FAULT, BEGIN, "error_frame", until=None if until is None else BEGIN + until * SECOND, end="healed")
    period.go_on_as_outage(flat_record("outage", 10.0, change="opened", cause="stream_ended", dials=2))
    if goes_on:
        assert (period.kind, period.cause, period.until, period.end, period.dials) == (LOST, "stream_ended", None, "", 2)
    else:
        assert (period.kind, period.cause, period.end, period.dials) == (FAULT, "error_frame", "healed", 0)


@pytest.mark.parametrize(("seconds", "is_missed"), [(6.0, True), (5.0, False), (4.0, False)])
def test_a_gap_belongs_to_an_outage_that_it_began_in(seconds: float, is_missed: bool) -> None:
    period = DownPeriod(LOST, BEGIN, "stream_ended", until=BEGIN + 5 * SECOND)
    period.miss(flat_record("gap", 10.0, subscription="s1", seconds=seconds))
    spans = [(each.subscription, each.since, each.until, each.seconds) for each in period.missed]
    assert spans == [("s1", BEGIN + (10 - seconds) * SECOND, BEGIN + 10 * SECOND, seconds)] * is_missed


def test_the_subscriptions_of_a_connection_that_is_still_down_are_listed_up_to_a_hundred() -> None:
    facts = Facts(state="reconnecting")
    facts.outages.current = OpenOutage(2.0, flat_record("outage", 2.0, change="opened", dials=1))
    facts.subscriptions.desired = {f"s{number:03}" for number in range(150)}
    watch = Watch(BEGIN + 10 * SECOND, BEGIN, facts)
    watch.before(BEGIN + 11 * SECOND)
    for number in (7, 8, 200):
        watch.after(flat_record("gap", 12.0, subscription=f"s{number:03}", seconds=1.0), 9)
    assert watch.conclude(BEGIN + 12 * SECOND, BEGIN + 60 * SECOND) == "down"
    assert watch.period is not None
    missed = watch.period.missed
    names = [f"s{number:03}" for number in (7, 8, 200, *(each for each in range(99) if each not in (7, 8)))]
    assert [each.subscription for each in missed] == names
    assert len(missed) == MOST_MISSED
    assert {(each.since, each.until, each.seconds) for each in missed[3:]} == {(BEGIN + 2 * SECOND, None, 58.0)}


def test_the_first_step_alone_corrects_an_unsure_look() -> None:
    watch = Watch(BEGIN + 10 * SECOND, BEGIN, Facts(state=None))
    told = []
    for second, source, dest, dwell in [(12.0, "reconnecting", "connected", 1.0), (8.0, "subscribed", "ping", 0.5)]:
        watch.before(BEGIN + second * SECOND)
        watch.after(flat_record("transition", second, source=source, dest=dest, dwell=dwell), 1)
        told.append(watch.standing)
    assert told == ["unknown", "unknown"], "the clock of the machine jumps back before the second step"


def test_a_connection_that_was_told_to_connect_again_is_down_since_then() -> None:
    with collected() as records:
        bench = Bench()
        Scribe(bench)
        bench.do(Connect())
        bench.do(Disconnect(), after=2.0)
        bench.do(Connect(), after=2.0)
        bench.fail_dial()
    assert (asked(records, 3.0).unwanted, asked(records, 3.0).down_total) == (1, 0)
    (down,) = asked(records, 4.0).down
    start = BEGIN.fromisoformat(records[0]["timestamp"])
    assert (down.kind, down.since, down.is_exact) == ("no link yet", start + 4 * SECOND, True)


@pytest.mark.parametrize(("enabled", "second", "silent"), [(True, 119.0, 0), (True, 121.0, 1), (False, 121.0, 0)])
def test_a_connection_is_silent_after_three_pings_without_a_record(enabled: bool, second: float, silent: int) -> None:
    """A ping every 30 seconds, with an answer within 10."""
    with collected() as records:
        bench = Bench()
        Scribe(bench)
        bench.do(Connect())
        bench.open()
        bench.greet()
    records[0]["ping"] = {"interval": 30.0, "timeout": 10.0, "enabled": enabled}
    last = (BEGIN.fromisoformat(records[-1]["timestamp"]) - BEGIN.fromisoformat(records[0]["timestamp"])).total_seconds()
    later = {**records[0], "connection_id": "other", "timestamp": (BEGIN + 86_400 * SECOND).isoformat()}
    answer = asked([*records, later], last + second)
    assert (answer.silent, answer.healthy) == (silent, 1 - silent)
