"""The stays of a timeline: on the wall clock, bounded in number, and with trouble kept longest."""

from __future__ import annotations

import random

import pytest

from realtime_fsm.audit.stays import MOST, Stay, Stays, merge
from realtime_fsm.fsm.table import State
from support.brokenlogs import BEGIN, audited, lines_of
from support.wholelog import LINES, PONG, RECORDS

Told = list[tuple[float, str]]


def stays_of(told: Told, begin: float = 0.0) -> list[Stay]:
    stays = []
    for length, state in told:
        stays.append(Stay(begin, length, state))
        begin += length
    return stays


def heartbeats(count: int) -> Told:
    return [(30.0, State.SUBSCRIBED.value), (0.1, State.PING.value)] * count


def test_few_stays_remain_as_they_are() -> None:
    stays = stays_of(heartbeats(3))
    assert merge(stays, 6) == (stays, 0, 0.0)


def test_the_neighbours_of_a_merged_heartbeat_become_one_stay() -> None:
    merged = merge(stays_of([*heartbeats(3), (5.0, "subscribed")]), 5)
    assert merged.stays == [
        (0.0, pytest.approx(30.1 + 30.0), "subscribed"), (pytest.approx(60.1), 0.1, "ping"),
        (pytest.approx(60.2), 30.0, "subscribed"), (pytest.approx(90.2), 0.1, "ping"), (pytest.approx(90.3), 5.0, "subscribed"),
    ]  # fmt: skip
    assert (merged.absorbed, merged.longest) == (1, 0.1)


def test_a_short_time_without_a_link_outlives_longer_stays_with_one() -> None:
    told = [(40.0, "subscribed"), (1.0, "reconnecting"), (50.0, "subscribed"), (45.0, "unsubscribed")]
    assert [stay.state for stay in merge(stays_of(told), 3).stays] == ["reconnecting", "subscribed", "unsubscribed"]


def test_no_stay_reaches_over_a_hole() -> None:
    before, after = stays_of([(10.0, "subscribed")]), stays_of([(0.1, "ping"), (10.0, "subscribed")], begin=1000.0)
    merged = merge([*before, *after], 2)
    assert merged.stays == [*before, after[1]]
    assert merged.absorbed == 1


def test_stays_are_bounded_and_keep_the_whole_time() -> None:
    draw = random.Random(1)
    stays, told = Stays(), list[tuple[float, str]]()
    for number in range(5_000):
        told += heartbeats(1)
        if number % 250 == 0:
            told.append((draw.uniform(1, 90), State.RECONNECTING.value))
    for stay in stays_of(told):
        stays.add(*stay)
    kept = stays.all()
    assert len(kept) <= MOST
    assert sum(stay.length for stay in kept) == pytest.approx(sum(length for length, _ in told))
    assert sum(stay.state == State.RECONNECTING for stay in kept) == 20
    assert stays.absorbed >= 5_000 - MOST
    assert stays.longest <= 30.1 * 250


def test_a_timeline_is_on_the_wall_clock() -> None:
    (connection,) = audited(LINES, detail=True).connections
    steps = [record for record in RECORDS if record.get("source") != record.get("dest")]
    *stays, last = connection.timeline
    assert [(stay.state, _stamp(stay.begin + stay.length)) for stay in stays] == [
        (record["source"], record["timestamp"]) for record in steps
    ]
    assert (last.state, _stamp(last.begin)) == ("disposing", steps[-1]["timestamp"])


def test_the_clock_goes_on_over_a_hole() -> None:
    (whole,) = audited(LINES, detail=True).connections
    (holed,) = audited(lines_of([*RECORDS[:PONG], *RECORDS[PONG + 1 :]]), detail=True).connections
    assert holed.timeline[-1] == whole.timeline[-1]


def test_without_detail_there_is_no_timeline() -> None:
    assert audited(LINES).connections[0].timeline == []


def test_a_connection_without_a_step_has_no_timeline() -> None:
    (connection,) = audited(LINES[:1], detail=True).connections
    assert (connection.records, connection.timeline) == (1, [])


def _stamp(moment: float) -> str:
    return BEGIN.fromtimestamp(round(moment, 3), BEGIN.tzinfo).isoformat()
