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


def test_a_second_without_a_link_weighs_as_much_as_a_minute_with_one() -> None:
    assert [Stay(0.0, 2.0, state.value).weight for state in State] == [2.0 if state.is_live else 120.0 for state in State]
    stays = stays_of([(100.0, "error"), (119.0, "subscribed"), (2.0, "reconnecting"), (100.0, "error")])
    assert [stay.state for stay in merge(stays, 3).stays] == ["error", "reconnecting", "error"]
    stays[1] = Stay(100.0, 121.0, "subscribed")
    assert [stay.state for stay in merge(stays, 3).stays] == ["error", "subscribed", "error"]


@pytest.mark.parametrize(("hole", "joined"), [(1.0, True), (-1.0, True), (1.5, False), (-1.5, False)])
def test_stays_adjoin_where_their_clocks_differ_by_a_second(hole: float, joined: bool) -> None:
    stays = [Stay(0.0, 10.0, "subscribed"), Stay(10.0 + hole, 5.0, "subscribed"), Stay(15.0 + hole, 0.1, "ping")]
    merged = merge(stays, 2)
    first = Stay(0.0, 15.1 + hole, "subscribed") if joined else stays[0]
    assert list(merged.stays[0]) == [0.0, pytest.approx(first.length), "subscribed"]
    assert len(merged.stays) == (1 if joined else 2)


def test_a_light_stay_at_the_beginning_is_left_out() -> None:
    stays = stays_of([(0.1, "ping"), (30.0, "subscribed"), (5.0, "error")])
    assert merge(stays, 2) == (stays[1:], 1, 0.1)


def test_half_of_the_surplus_is_merged_at_a_time() -> None:
    """The lightest go first, and the neighbours of each become one stay, so that two steps leave three."""
    told = [(50.0, "subscribed"), (0.1, "ping"), (40.0, "subscribed"), (0.2, "ping"), (30.0, "subscribed")]
    merged = merge(stays_of(told), 3)
    assert (merged.absorbed, merged.longest) == (1, 0.1)
    found = [(stay.state, round(stay.length, 6)) for stay in merged.stays]
    assert found == [("subscribed", 90.1), ("ping", 0.2), ("subscribed", 30.0)]


def test_the_stays_that_wait_to_be_merged_are_as_many_as_those_that_are_kept() -> None:
    stays, told = Stays(), stays_of(heartbeats(MOST))
    for stay in told[:-1]:
        stays.add(*stay)
    assert (stays.absorbed, stays.longest) == (0, 0.0)
    stays.add(*told[-1])
    assert (stays.absorbed, stays.longest) == (50, 0.1)
    assert len(stays.all()) == MOST
    for stay in stays_of([(70.0, "error"), (80.0, "subscribed"), (90.0, "error")], begin=told[-1].begin + 1.0):
        stays.add(*stay)
    assert [stay.state for stay in stays.all()][-3:] == ["error", "subscribed", "error"]


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
