"""The times to re-subscribe, as columns and as a table."""

from __future__ import annotations

import re

import pytest

from realtime_fsm.audit.formats.svg import distribution, spread_rows
from support.elements import parsed


def test_no_recovery_is_a_sentence() -> None:
    assert list(distribution([])) == ["<p>No outage has healed.</p>"]


def test_times_are_counted_by_tenths_of_a_power_of_ten() -> None:
    bars = [(0.0, 1), (0.5, 1), (1.0, 2), (1.2, 3), (1.26, 1_000), (10.0, 1)]
    assert list(spread_rows(bars)) == [
        ("1 us", "1.26 us", "1"),
        ("398 ms", "501 ms", "1"),
        ("1 s", "1.26 s", "5"),
        ("1.26 s", "1.58 s", "1,000"),
        ("10 s", "12.6 s", "1"),
    ]


def test_few_columns_are_60_wide_and_as_high_as_their_counts() -> None:
    picture = parsed("".join(distribution([(1.0, 2), (1.3, 4)])))
    columns = [[each.attributes[name] for name in ("x", "y", "width", "height")] for each in picture.all("rect")]
    assert columns == [
        ["1.0", "150.0", "58.0", "0.0"], ["61.0", "85.0", "58.0", "65.0"],
        ["121.0", "20.0", "58.0", "130.0"], ["181.0", "150.0", "58.0", "0.0"],
    ]  # fmt: skip
    assert [each.text for each in picture.all("title")] == [
        "794 ms to 1 s: 0", "1 s to 1.26 s: 2", "1.26 s to 1.58 s: 4", "1.58 s to 2 s: 0",
    ]  # fmt: skip
    texts = [(each.attributes["x"], each.attributes["y"], each.text) for each in picture.all("text")]
    assert texts == [
        ("0.0", "170", "794 ms"), ("90.0", "80.0", "2"), ("60.0", "170", "1 s"), ("150.0", "15.0", "4"),
        ("120.0", "170", "1.26 s"), ("180.0", "170", "1.58 s"),
    ]  # fmt: skip


def test_many_columns_share_the_width_and_have_a_label_each_70() -> None:
    picture = "".join(distribution([(0.01, 1), (100.0, 1)]))
    columns = re.findall(r'<rect class="column" x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', picture)
    assert len(columns) == 43, "four powers of ten, one before and one behind"
    assert {width for _, width in columns} == {f"{1120 / 43 - 2:.1f}"}
    assert [at for at, _ in columns] == [f"{number * 1120 / 43 + 1:.1f}" for number in range(43)]
    labels = re.findall(r'<text x="([\d.]+)" y="170">([^<]+)', picture)
    assert [at for at, _ in labels] == [f"{number * 1120 / 43:.1f}" for number in range(0, 43, 3)]
    assert labels[1][1] == "15.8 ms"


@pytest.mark.parametrize(("shortest", "longest", "columns", "apart"), [(0.013, 100.0, 42, 3), (0.01, 56.0, 40, 2)])
def test_labels_begin_with_the_first_column_and_leave_70_to_the_next(
    shortest: float, longest: float, columns: int, apart: int
) -> None:
    picture = "".join(distribution([(shortest, 1), (longest, 1)]))
    step = 1120 / columns
    labels = re.findall(r'<text x="([\d.]+)" y="170">', picture)
    assert labels == [f"{number * step:.1f}" for number in range(0, columns, apart)]
