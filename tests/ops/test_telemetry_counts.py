"""The counts of connections, which each provider of meters has for itself."""

from __future__ import annotations

import pytest
from opentelemetry import metrics

from realtime_fsm import State, hooks
from realtime_fsm.ops.telemetry_counts import Counts, counts_of
from support.opentelemetry import Telemetry, states
from support.opentelemetry import no_other_connections as no_other_connections  # a fixture

CONSUMED = "messaging.client.consumed.messages"
DROPPED = "realtime_fsm.dropped.events"


def test_counts_that_no_instrumentation_uses_tell_nothing(caplog: pytest.LogCaptureFixture) -> None:
    telemetry = Telemetry()
    counts = Counts(telemetry.meters.get_meter("realtime_fsm"))
    assert (telemetry.values(CONSUMED), states(telemetry)) == ({}, {})
    with counts.counting():
        assert len(telemetry.values("realtime_fsm.connection.count")) == len(State)
    assert (telemetry.values(CONSUMED), caplog.records) == ({}, [])


def test_a_count_never_falls_where_a_connection_reads_lower_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    class One:
        state, link_number, events_received, events_dropped = State.SUBSCRIBED, 1, 5, 2

    one, telemetry = One(), Telemetry()
    monkeypatch.setattr(hooks, "all_connections", lambda: [one])
    with telemetry.instrument():
        assert (telemetry.total(CONSUMED), telemetry.total(DROPPED)) == (0, 0)
        seen = []
        for one.events_received, one.events_dropped in ((7, 3), (6, 1), (8, 4)):
            seen.append((telemetry.total(CONSUMED), telemetry.total(DROPPED)))
        assert seen == [(2, 1), (2, 1), (3, 2)]


def test_each_provider_of_meters_has_counts_of_its_own_and_none_is_the_global_one() -> None:
    telemetry = Telemetry()
    meter = telemetry.meters.get_meter("test")
    assert counts_of(None, meter) is counts_of(metrics.get_meter_provider(), meter)
    assert counts_of(telemetry.meters, meter) is counts_of(telemetry.meters, meter)
    assert counts_of(telemetry.meters, meter) is not counts_of(None, meter)
