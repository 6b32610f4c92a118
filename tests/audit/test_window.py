"""A span of time: the records and statistics in it, and the end of an outage after it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from realtime_fsm.audit.decoding import FlatRecord
from realtime_fsm.audit.facts import OpenOutage
from realtime_fsm.audit.tracking import TrackedConnection
from realtime_fsm.audit.window import Window
from support.brokenlogs import BEGIN, audited, lines_of
from support.corpus import WALKS, end
from support.flatrecord import flat_record
from support.lives import ALL
from support.wholelog import LINES, RECORDS

SECOND = timedelta(seconds=1)


def record(seq: int, event: str, second: float, **fields: Any) -> FlatRecord:
    return flat_record(event, second, seq=seq, **fields)


def in_outage() -> TrackedConnection:
    """A connection whose outage began with its third record, after two seconds."""
    tracked = TrackedConnection("c", 1, seq=3)
    tracked.facts.outages.current = OpenOutage(2.0, record(3, "outage", 2.0, change="opened"))
    return tracked


def closing(seq: int, began: float = 2.0, second: float = 20.0) -> FlatRecord:
    return record(seq, "outage", second, change="closed", seconds=second - began)


# --- after the span ---------------------------------------------------------------------------------------------------


def test_the_first_record_after_the_span_may_end_the_outage() -> None:
    tracked, last = in_outage(), closing(4)
    window = Window(None, BEGIN + 10 * SECOND)
    assert window.includes(tracked, record(4, "pause", 10.0)), "the last moment counts"
    assert not window.includes(tracked, last)
    assert tracked.healed is last
    assert not window.includes(tracked, record(5, "pause", 9.0)), "also where the clock is set back later"


@pytest.mark.parametrize(("began", "ends"), [(7.0, True), (-3.0, True), (7.5, False), (-3.5, False)])
def test_the_end_of_an_outage_may_contradict_its_beginning_by_five_seconds(began: float, ends: bool) -> None:
    tracked, last = in_outage(), closing(9, began)
    Window.look_back(tracked, last)
    assert (tracked.healed is last) is ends


def test_the_first_end_after_the_span_counts_whatever_the_order_of_the_records() -> None:
    tracked, first, doubled, later = in_outage(), closing(6), closing(6, 1.0), closing(7)
    Window.look_back(tracked, later)
    Window.look_back(tracked, record(5, "outage", 3.0, change="opened", seconds=0.0))
    assert tracked.healed is later
    for each in (first, later, doubled):
        Window.look_back(tracked, each)
        assert tracked.healed is first


def test_a_record_of_the_span_that_comes_again_ends_no_outage() -> None:
    tracked = in_outage()
    for seq in (2, 3):
        Window.look_back(tracked, closing(seq))
        assert tracked.healed is None
    Window.look_back(TrackedConnection("c", 1), closing(1))
    assert tracked.healed is None


def test_the_longest_gap_before_the_end_belongs_to_the_outage() -> None:
    tracked = in_outage()
    for seq, seconds, longest in ((5, 3.0, 3.0), (4, 2.0, 3.0), (7, 4.0, 4.0)):
        Window.look_back(tracked, record(seq, "gap", 20.0, seconds=seconds))
        assert tracked.facts.outages.gap == longest
    Window.look_back(tracked, closing(8))
    for seq, longest in ((9, 4.0), (8, 4.0), (6, 9.0)):
        Window.look_back(tracked, record(seq, "gap", 20.0, seconds=9.0))
        assert tracked.facts.outages.gap == longest


# --- the span itself --------------------------------------------------------------------------------------------------


def test_a_report_of_a_span_tells_the_first_and_the_last_record_in_it() -> None:
    moments = [BEGIN + number * SECOND for number in range(len(RECORDS))]  # of the whole log, a record a second
    (connection,) = audited(LINES, since=moments[4], until=moments[9]).connections
    assert (connection.first, connection.last, connection.records) == (moments[4], moments[9], 6)
    (connection,) = audited(LINES, until=moments[9]).connections
    assert (connection.first, connection.last, connection.records) == (moments[0], moments[9], 10)
    (connection,) = audited(LINES).connections
    assert (connection.first, connection.last, connection.records) == (moments[0], moments[-1], len(RECORDS))


def test_a_connection_counts_in_a_span_between_two_of_its_records() -> None:
    """The user wants no link for 50 seconds. The span has five of them, and no record."""
    records = ALL["disconnected_by_the_user"]
    disconnected = next(record for record in records if record.get("dest") == "disconnected")
    begin = BEGIN.fromisoformat(disconnected["timestamp"]) + 20 * SECOND
    report = audited(lines_of(records), since=begin, until=begin + 5 * SECOND)
    assert (report.verdict, report.connections_total, report.records) == ("conformant", 1, 0)
    (connection,) = report.connections
    assert (connection.state, connection.life.failures) == ("disconnected", 0)
    assert {state: seconds for state, seconds in connection.life.states.items() if seconds} == {"disconnected": 5.0}


def test_an_outage_that_lasts_through_a_span_without_a_record_fills_it() -> None:
    since = end("still_away") + 3600 * SECOND
    report = audited(lines_of(WALKS["still_away"]), since=since, until=since + 60 * SECOND)
    (connection,) = report.connections
    assert (connection.records, connection.life.availability) == (0, 0.0)
    assert {state: seconds for state, seconds in connection.life.states.items() if seconds} == {"reconnecting": 60.0}
    (outage,) = connection.life.outages
    assert (outage.within, outage.end) == (60.0, "")
    assert audited(lines_of(WALKS["healthy"]), since=since, until=since + 60 * SECOND).verdict == "unusable"
    assert audited(lines_of(WALKS["still_away"]), since=since).verdict == "unusable", "the log ends before"
