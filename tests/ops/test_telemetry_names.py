"""Records, metrics and levels have their names and numbers in OpenTelemetry; no secret gets out."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk.metrics.export import HistogramDataPoint, NumberDataPoint

from realtime_fsm import PingPolicy, Realtime, RetryPolicy, SubscriptionRejected
from realtime_fsm.auditlog.schema import KINDS
from realtime_fsm.ops.telemetry_names import METRICS, SEVERITIES, attribute, attributes_of, event_name
from realtime_fsm.testing import RealtimeServer
from realtime_fsm.testing.assertions import recorded
from support.network import Network
from support.opentelemetry import Telemetry, lose
from support.opentelemetry import no_other_connections as no_other_connections  # a fixture
from support.some import some
from support.virtual import eventually


async def test_each_record_is_an_event_with_the_names_of_the_page() -> None:
    network, telemetry = Network(), Telemetry()
    with recorded() as records, telemetry.instrument(logs=True):
        async with network.realtime(ping=PingPolicy(interval=30)) as realtime:
            await realtime.subscribe("rows")
            network.refused_with[b'"files"'] = "42S02"
            with pytest.raises(SubscriptionRejected):
                await realtime.subscribe("files")
            await asyncio.sleep(60)
            await lose(network, realtime)
    names = {kind.event: [field.name for field in kind.fields if field.name != "timestamp"] for kind in KINDS}
    expected = []
    for record in some(records):
        kind, level = record["event"], record["level"]
        fields = {name: record[name] for name in names[kind] if record.get(name) is not None}
        if "error_code" in fields:
            fields["error_code"] = str(fields["error_code"])
        named = {attribute(kind, name): value for name, value in fields.items()} | {"network.protocol.name": "websocket"}
        expected.append((event_name(kind), named, *SEVERITIES[level], None))
    found = [log.log_record for log in telemetry.logs]
    attributes = [dict(log.attributes or {}) for log in found]
    sentences = [str(each.pop("realtime_fsm.record.sentence")) for each in attributes]
    assert sentences[1] == "the program wants subscription s1"
    assert "the server rejects subscription s2 (code 42S02)" in sentences
    assert [
        (
            log.event_name,
            its_own,
            log.severity_text,
            log.severity_number.value if log.severity_number else 0,
            log.body,
        )
        for log, its_own in zip(found, attributes, strict=True)
    ] == expected
    assert {"realtime_fsm.gap", "realtime_fsm.ping", "realtime_fsm.outage"} <= {log.event_name for log in found}
    assert "42S02" in {(log.attributes or {}).get("realtime_fsm.error_frame.code") for log in found}
    assert all(abs((log.timestamp or 0) - time.time_ns()) < 60e9 for log in found)


async def test_no_events_go_out_without_a_provider_of_loggers() -> None:
    network, telemetry = Network(), Telemetry()
    with telemetry.instrument():
        async with network.realtime() as realtime:
            await realtime.connect()
    assert (telemetry.logs, len(telemetry.spans("dial"))) == ([], 1)


@pytest.mark.loopback
async def test_nothing_secret_gets_out_and_metrics_are_those_of_the_page() -> None:
    telemetry, reported = Telemetry(), []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    def handler(event: Any) -> None:
        raise LookupError(event.payload["text"])

    with telemetry.instrument(logs=True):
        async with RealtimeServer() as server:
            session = server.add_user("grace", session_secret="SESSION")  # noqa: S106
            retry = RetryPolicy(base=0.02, cap=0.1)
            async with Realtime(server.endpoint, "demo", session=session, retry=retry) as realtime:
                listener = await realtime.on("databases.HIDDEN.tables.t.rows", handler)
                stuck = await realtime.subscribe("databases.HIDDEN.tables.t.rows", buffer=1)
                for _ in range(3):
                    server.publish(["HIDDEN.create"], ["databases.HIDDEN.tables.t.rows"], {"$id": "1", "text": "PAYLOAD"})
                await eventually(lambda: listener.failures == 3, within=10)
                server.drop()
                await eventually(lambda: stuck.gaps, within=10)
                text = telemetry.text
                known = {metric.name: metric for metric in METRICS}
                for metric in some(telemetry.metrics):
                    means = known.pop(metric.name)
                    assert (metric.unit, metric.description) == (means.unit, means.means)
                    points: list[NumberDataPoint | HistogramDataPoint] = [*metric.data.data_points]
                    for point in some(points):
                        assert {*(point.attributes or {})} <= set(attributes_of(means).values()), metric.name
                        if isinstance(point, HistogramDataPoint):
                            assert tuple(point.explicit_bounds) == means.buckets
                assert set(known) <= {
                    "realtime_fsm.ping.duration",
                    "realtime_fsm.fault.duration",
                    "realtime_fsm.malformed.messages",
                }
    assert "realtime_fsm.subscription.id" in text
    assert "LookupError" in text
    assert [word for word in (session, "SESSION", "PAYLOAD", "HIDDEN", "grace") if word in text] == []


def test_each_level_has_the_number_of_its_name_in_opentelemetry() -> None:
    assert [number for _, number in SEVERITIES.values()] == [SeverityNumber[name].value for name, _ in SEVERITIES.values()]
    assert [*SEVERITIES] == ["debug", "info", "warning", "error", "critical"]
