"""OpenTelemetry for the connections of the process: add the hooks, and make metrics and events of the records.

Invariant: nothing of a payload, a channel or a secret enters a span, a metric or an event. No failure of a tracer, a meter or a
logger reaches a connection or a handler.

Design: the metrics of `telemetry_names` with an event come from the records. The connections count their events themselves
(`telemetry_counts`), so an event costs nothing.
"""

from __future__ import annotations

from contextlib import ExitStack
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from opentelemetry import context, metrics, trace

from realtime_fsm import __version__, hooks
from realtime_fsm.auditlog.sentences import sentence
from realtime_fsm.ops.telemetry_counts import counts_of
from realtime_fsm.ops.telemetry_names import METRICS, SCOPE, SEVERITIES, TIMESTAMP, attribute, attributes_of, event_name
from realtime_fsm.ops.telemetry_spans import DialSpans, HandlerSpans, carry, histogram

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry._logs import Logger, LoggerProvider
    from opentelemetry.metrics import Meter, MeterProvider
    from opentelemetry.trace import TracerProvider

    from realtime_fsm.auditlog.records import Record
    from realtime_fsm.ops.telemetry_names import Metric


def telemetry(
    meter_provider: MeterProvider | None, tracer_provider: TracerProvider | None, logger_provider: LoggerProvider | None
) -> ExitStack:
    """Add the hooks for some providers, None for the global ones; without a provider of loggers, none for events.

    The `close` of the returned stack removes the hooks.
    """
    meter = metrics.get_meter(SCOPE, __version__, meter_provider)
    tracer = trace.get_tracer(SCOPE, __version__, tracer_provider)
    counts, dials = counts_of(meter_provider, meter), DialSpans(tracer, meter)
    stack = ExitStack()
    stack.enter_context(counts.counting())
    stack.callback(dials.end_all)
    readers = [_measurer(meter), counts.on_record, dials.on_record]
    if logger_provider is not None:
        readers.append(partial(_emit, logger_provider.get_logger(SCOPE, __version__)))
    for reader in readers:
        stack.enter_context(hooks.added(hooks.records, reader))
    stack.enter_context(hooks.added(hooks.handlers, HandlerSpans(tracer, meter).wrap))
    stack.enter_context(hooks.added(hooks.carriers, carry))
    return stack


def _measurer(meter: Meter) -> Callable[[str, Record], None]:
    """Make the hook that feeds the metrics which come from records."""
    of_event: dict[str, list[Callable[[Record], None]]] = {}
    for metric in METRICS:
        if metric.event and not metric.is_counted:
            by, write = attributes_of(metric), _instrument(meter, metric)
            of_event.setdefault(metric.event, []).append(partial(_measure, metric, by, write))

    def measure(_: str, record: Record) -> None:
        for one in of_event.get(str(record.__struct_config__.tag), ()):
            one(record)

    return measure


def _instrument(meter: Meter, metric: Metric) -> Callable[[Any, Any], None]:
    if metric.instrument == "Histogram":
        return histogram(meter, metric).record
    counter = meter.create_counter(metric.name, metric.unit, metric.means)
    known = [{name: value} for name in attributes_of(metric).values() for value in metric.values]
    for attributes in known if metric.by else [{}]:
        counter.add(0, attributes)  # a rate needs a value before the first count
    return counter.add


def _measure(metric: Metric, by: dict[str, str], write: Callable[[Any, Any], None], record: Record) -> None:
    if metric.when is not None:
        field, operator, other = metric.when
        wanted = None if other == "nil" else other.strip('"') if other.startswith('"') else getattr(record, other)
        if (getattr(record, field) == wanted) is not (operator == "=="):
            return
    value = getattr(record, metric.value) if metric.value else 1
    write(value, {name: getattr(record, field) for field, name in by.items()})


def _emit(logger: Logger, level: str, record: Record) -> None:
    """Send a record as an event."""
    from opentelemetry._logs import SeverityNumber  # the API of logs may still change, and most programs do not use it

    fields = msgspec.to_builtins(record) | {"sentence": sentence(record)}
    kind = fields.pop("event")
    if fields.get("error_code") is not None:
        fields["error_code"] = str(fields["error_code"])
    named = {attribute(kind, name): value for name, value in fields.items() if value is not None}
    moment = datetime.fromisoformat(named.pop(TIMESTAMP))
    text, number = SEVERITIES[level]
    logger.emit(
        timestamp=round(moment.timestamp() * 1e6) * 1000,
        context=context.Context(),
        severity_text=text,
        severity_number=SeverityNumber(number),
        event_name=event_name(kind),
        attributes={**named, "network.protocol.name": "websocket"},
    )
