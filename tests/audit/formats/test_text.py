"""The parts of a report as text."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from realtime_fsm.audit.formats.text import rest_of, worst_of
from support.fleetreport import fleet


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
