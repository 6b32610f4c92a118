"""A histogram counts times in buckets, and tells percentiles from them."""

from __future__ import annotations

import random

import pytest

from realtime_fsm.audit.histogram import Histogram


def of(*seconds: float) -> Histogram:
    histogram = Histogram()
    for each in seconds:
        histogram.add(each)
    return histogram


def test_percentiles_are_within_one_per_cent() -> None:
    chance = random.Random(7)
    for _ in range(20):
        values = sorted(chance.lognormvariate(chance.uniform(-8, 8), chance.uniform(0.1, 3)) for _ in range(999))
        histogram, other = of(), of()
        for value in values:
            (histogram if chance.random() < 0.8 else other).add(value)
        histogram.merge(other)
        assert (histogram.count, histogram.most) == (999, values[-1])
        assert histogram.total == pytest.approx(sum(values))
        for percentile in (50, 95, 99):
            true = values[-(-percentile * 999 // 100) - 1]
            assert histogram.percentile(percentile) == pytest.approx(true, rel=0.01)


def test_nothing_and_everything_have_a_bucket() -> None:
    assert of().percentile(50) is None
    histogram = of(*[0.0, 1e-7, 1e12] * 50)
    assert histogram.percentile(50) == pytest.approx(1e-6, rel=0.01)
    assert (histogram.most, histogram.count) == (1e12, 150)


@pytest.mark.parametrize(("name", "value"), [("count", 2), ("total", 5.0), ("most", 3.0)])
def test_a_size_of_a_histogram_counts_what_has_just_come(name: str, value: float) -> None:
    assert getattr(of(2.0, 3.0), name) == value


def test_times_beyond_thirty_years_share_a_bucket() -> None:
    assert len(list(of(0.99e9, 1.03e9, 1e12).bars())) == 2
    assert of(0.99e9, 0.99e9, 1e12).percentile(50) == pytest.approx(0.99e9, rel=0.01)


@pytest.mark.parametrize("edge", [1e-6, 1.0195e-6, 1e-6 * 1.0195**500])
def test_a_bucket_begins_at_its_edge(edge: float) -> None:
    below, above = edge * (1 - 1e-9), edge * (1 + 1e-9)
    assert len(list(of(below, above).bars())) == (1 if edge == 1e-6 else 2)
    assert [count for _, count in of(above, above * 1.019, above * 1.02).bars()] == [2, 1]


def test_a_bucket_stands_for_its_middle_and_for_no_more_than_the_longest_time() -> None:
    ((middle, count),) = of(2.0, 2.0, 2.0).bars()
    assert (middle, count) == (2.0, 3), "the middle is above"
    assert of(2.0, 100.0).percentiles(50, 100) == [pytest.approx(2.0 * 1.0045, rel=0.001), pytest.approx(99.36, rel=0.001)]


def test_a_percentile_is_a_time_that_so_many_per_cent_do_not_exceed() -> None:
    histogram = of(1.0, 2.0, 3.0, 4.0)
    near = [pytest.approx(value, rel=0.01) for value in (1.0, 1.0, 2.0, 2.0, 3.0, 4.0)]
    assert histogram.percentiles(0, 25, 26, 50, 75, 76) == near
    assert histogram.percentiles(101) == [None]
    assert (histogram.count, histogram.total, histogram.most) == (4, 10.0, 4.0)


def test_the_times_of_another_histogram_are_added() -> None:
    histogram, other = of(1.0, 1.0), of(1.0, 5.0)
    histogram.merge(of())
    histogram.merge(other)
    assert (histogram.count, histogram.total, histogram.most) == (4, 8.0, 5.0)
    assert [count for _, count in histogram.bars()] == [3, 1]
    other.merge(of(2.0))
    assert (other.most, other.count) == (5.0, 3)


def test_times_are_counted_by_the_hundred() -> None:
    histogram = of(*[1.0] * 99)
    assert histogram._buckets == {}
    histogram.add(1.0)
    assert sum(histogram._buckets.values()) == 100
    assert histogram._new == []
