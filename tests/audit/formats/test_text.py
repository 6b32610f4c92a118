"""The parts of a report as text."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from realtime_fsm.audit.formats.text import as_text, life_lines, rest_of, worst_of
from realtime_fsm.audit.report import ConnectionStats
from realtime_fsm.audit.rules import ROUNDING
from support.fleetreport import fleet, outages


@pytest.mark.parametrize(
    ("healthy", "left_out", "counts"),
    [(3, 0, ""), (3, 1, "1 more connection"), (4, 1, "1 healthy"), (5, 4, "2 more connections and 2 healthy")],
)
def test_the_connections_that_are_left_out_are_counted(healthy: int, left_out: int, counts: str) -> None:
    whole = fleet(3, hours=1.0)
    connections = [msgspec.structs.replace(each, healthy=True) for each in whole.connections]
    changes: dict[str, Any] = {"connections_total": 3 + left_out, "healthy": healthy, "verdicts": {"conformant": 3 + left_out}}
    report = msgspec.structs.replace(whole, connections=connections, **changes)
    rest = rest_of(report, connections)
    assert rest == (f"... and {counts}: {3 + left_out} conformant in all" if counts else "")


def test_of_more_connections_than_the_most_the_healthy_ones_are_left_out() -> None:
    whole = fleet(3, hours=1.0)
    connections = [
        msgspec.structs.replace(each, healthy=healthy)
        for each, healthy in zip(whole.connections, (False, True, False), strict=True)
    ]
    report = msgspec.structs.replace(whole, connections=connections)
    assert worst_of(report, 3) == connections
    assert worst_of(report, 2) == [connections[0], connections[2]]
    assert worst_of(report, 1) == [connections[0]]


WHEN = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.mark.parametrize(
    ("span", "other"),
    [({}, "2 other lines"), ({"since": WHEN}, "2 lines beside them"), ({"until": WHEN}, "2 lines beside them")],
)
def test_a_report_of_a_span_names_no_lines_of_other_programs(span: dict[str, Any], other: str) -> None:
    report = msgspec.structs.replace(fleet(1, hours=1.0), other=2, **span)
    assert next(as_text(report)).endswith(f", {other})")


@pytest.mark.parametrize(("count", "together"), [(1, False), (2, True)])
def test_a_report_sums_up_several_connections_and_not_one(count: int, together: bool) -> None:
    lines = list(as_text(fleet(count, hours=1.0)))
    assert ("all together" in lines) is together
    assert not any("never taken" in line for line in lines)


def life(**changes: Any) -> ConnectionStats:
    return msgspec.structs.replace(fleet(1, hours=24.0).connections[0].life, **changes)


@pytest.mark.parametrize(("count", "left_out", "rest"), [(20, 0, None), (21, 0, "1 more outage"), (21, 3, "4 more outages")])
def test_twenty_outages_are_listed_and_the_others_counted(count: int, left_out: int, rest: str | None) -> None:
    lines = list(life_lines(life(outages=outages(count), outages_left_out=left_out)))
    assert sum(line.startswith("outage at ") for line in lines) == 20
    assert [line for line in lines if line.startswith("... and ")] == ([] if rest is None else [f"... and {rest}"])


@pytest.mark.parametrize(("lacking", "told"), [(ROUNDING, False), (2 * ROUNDING, True)])
def test_a_report_names_the_part_of_an_outage_unless_a_rounding_explains_it(lacking: float, told: bool) -> None:
    (outage,) = outages(1)
    lines = life_lines(life(outages=[msgspec.structs.replace(outage, seconds=lacking, within=0.0)]))
    assert any("of it in this span" in line for line in lines) is told


@pytest.mark.parametrize(("faults", "at_fault", "told"), [(0, 2.0, ["server faults 0, together 2 s"]), (0, 0.0, [])])
def test_a_report_tells_the_time_of_a_fault_that_began_before_the_span(faults: int, at_fault: float, told: list[str]) -> None:
    lines = life_lines(life(faults=faults, at_fault=at_fault))
    assert [line for line in lines if line.startswith("server faults")] == told
