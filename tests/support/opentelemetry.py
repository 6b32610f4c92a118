"""An OpenTelemetry that keeps in memory what it gets."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from weakref import WeakValueDictionary

import pytest
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader, Metric, MetricReader, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from realtime_fsm import Realtime, State, hooks
from realtime_fsm.telemetry import Instrumentation, instrument
from support.network import Network
from support.virtual import eventually


class Telemetry:
    """Providers that keep everything in memory.

    Args:
        processors: further processors of spans, which come first.
        readers: further readers of metrics.
    """

    def __init__(self, *processors: SpanProcessor, readers: Sequence[MetricReader] = ()) -> None:
        gc.collect()  # connections of earlier tests, which no one holds any more, would count
        self._reader = InMemoryMetricReader()
        self._spans = InMemorySpanExporter()
        self._logs: InMemoryLogRecordExporter = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
        self.meters = MeterProvider([self._reader, *readers], shutdown_on_exit=False)
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.loggers = LoggerProvider(shutdown_on_exit=False)
        for processor in (*processors, SimpleSpanProcessor(self._spans)):
            self.tracers.add_span_processor(processor)
        self.loggers.add_log_record_processor(SimpleLogRecordProcessor(self._logs))

    def instrument(self, *, logs: bool = False) -> Instrumentation:
        return instrument(
            meter_provider=self.meters, tracer_provider=self.tracers, logger_provider=self.loggers if logs else None
        )

    @property
    def metrics(self) -> list[Metric]:
        """The metrics as they are now."""
        data = self._reader.get_metrics_data()
        resources = [] if data is None else data.resource_metrics
        return [metric for resource in resources for scope in resource.scope_metrics for metric in scope.metrics]

    def points(self, name: str) -> dict[tuple[object, ...], HistogramDataPoint | NumberDataPoint]:
        """The points of a metric, by the values of their attributes in the order of the attributes' names."""
        points = [point for metric in self.metrics if metric.name == name for point in metric.data.data_points]
        return {tuple(value for _, value in sorted((point.attributes or {}).items())): point for point in points}  # type: ignore[misc]

    def values(self, name: str) -> dict[tuple[object, ...], float]:
        """The values of a metric; of a histogram, how many there are."""
        points = self.points(name).items()
        return {key: point.count if isinstance(point, HistogramDataPoint) else point.value for key, point in points}

    def total(self, name: str) -> float:
        return sum(self.values(name).values())

    def spans(self, name: str) -> list[ReadableSpan]:
        return [span for span in self._spans.get_finished_spans() if span.name == name]

    @property
    def logs(self) -> list[ReadableLogRecord]:
        return list(self._logs.get_finished_logs())

    @property
    def text(self) -> str:
        """Everything, as text."""
        spans, logs = (each.to_json() for each in self._spans.get_finished_spans()), (each.to_json() for each in self.logs)
        return "\n".join((*spans, *logs, *(metric.to_json() for metric in self.metrics)))


def states(telemetry: Telemetry) -> dict[object, float]:
    """The states that connections are in, with their number."""
    return {state: count for (state,), count in telemetry.values("realtime_fsm.connection.count").items() if count}


@pytest.fixture(autouse=True)
def no_other_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the connections of other tests that no garbage collection has reached."""
    monkeypatch.setattr(hooks, "connections", WeakValueDictionary())


async def lose(network: Network, realtime: Realtime) -> None:
    """Lose the link, and wait for the next."""
    before = len(network.sockets)
    network.socket.cut()
    await eventually(lambda: len(network.sockets) > before and realtime.state is State.SUBSCRIBED)
