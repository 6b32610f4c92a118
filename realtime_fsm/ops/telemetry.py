"""OpenTelemetry for the connections of the process; the only module that imports its API.

Invariant: nothing of a payload, a channel or a secret enters a span, a metric or a log record. No failure of a tracer, a meter
or a logger reaches a connection or a handler.

Design: metrics and dials come from the records, and the table says which rows end a dial. The connections count their events
themselves, and a callback reads the counts when the metrics are collected: an event costs nothing.
"""

from __future__ import annotations

import asyncio
import inspect
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from msgspec import UNSET
from opentelemetry import context, metrics, trace

from realtime_fsm import __version__, hooks
from realtime_fsm.auditlog.records import CloseRecord, TransitionRecord
from realtime_fsm.containment import contain
from realtime_fsm.fsm.names import Effect
from realtime_fsm.fsm.table import TABLE, State
from realtime_fsm.ops.telemetry_names import (
    ATTRIBUTES,
    CONNECTIONS,
    CONSUMED,
    DIAL,
    DROPPED,
    METRICS,
    PROCESS,
    SCOPE,
    SEVERITIES,
    TIMESTAMP,
    attribute,
    attributes_of,
    event_name,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry._logs import Logger, LoggerProvider
    from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation
    from opentelemetry.trace import Span, Tracer, TracerProvider

    from realtime_fsm.auditlog.records import Record
    from realtime_fsm.hooks import Connection
    from realtime_fsm.ops.telemetry_names import Metric

T = TypeVar("T")
_MESSAGING = {"messaging.system": "appwrite", "messaging.operation.name": "process"}
_ENDS_DIAL = {
    row.id: Effect.START_LIVE_LINK in row.effects
    for row in TABLE.rows
    if row.source is State.RECONNECTING and {Effect.START_LIVE_LINK, Effect.ABORT_LINK, Effect.CLOSE_LINK} & {*row.effects}
}
"""The rules that end a dial, and whether with a greeting."""


def telemetry(
    meter_provider: MeterProvider | None, tracer_provider: TracerProvider | None, logger_provider: LoggerProvider | None
) -> ExitStack:
    """Add the hooks for some providers, None for the global ones; without a provider of loggers, no logs.

    Returns:
        A stack whose `close` removes the hooks.
    """
    meter = metrics.get_meter(SCOPE, __version__, meter_provider)
    tracer = trace.get_tracer(SCOPE, __version__, tracer_provider)
    stack = ExitStack()
    counts = _counts_of(meter_provider or metrics.get_meter_provider(), meter)
    dials = _Dials(tracer, meter)
    readers = [*_from_records(meter), counts.on_record, dials.on_record]
    if logger_provider is not None:
        readers.append(partial(_emit, logger_provider.get_logger(SCOPE, __version__)))
    stack.enter_context(counts.counting())
    stack.callback(dials.end_all)
    for reader in readers:
        stack.enter_context(hooks.added(hooks.records, reader))
    stack.enter_context(hooks.added(hooks.handlers, _Handlers(tracer, meter).wrap))
    stack.enter_context(hooks.added(hooks.carriers, _carry))
    return stack


def _histogram(meter: Meter, metric: Metric) -> metrics.Histogram:
    return meter.create_histogram(metric.name, metric.unit, metric.means, explicit_bucket_boundaries_advisory=metric.buckets)


# --- the records ------------------------------------------------------------------------------------------------------


def _from_records(meter: Meter) -> Iterator[Callable[[str, Record], None]]:
    """Make a reader of records for each metric that records make."""
    for metric in METRICS:
        if metric.event and not metric.is_counted:
            if metric.instrument == "Histogram":
                yield partial(_measure, metric, attributes_of(metric), _histogram(meter, metric).record)
            else:
                counter = meter.create_counter(metric.name, metric.unit, metric.means)
                yield partial(_measure, metric, attributes_of(metric), counter.add)


def _measure(metric: Metric, by: dict[str, str], write: Callable[[Any, Any], None], _: str, record: Record) -> None:
    if record.__struct_config__.tag == metric.event and _applies(metric, record):
        write(getattr(record, metric.value) if metric.value else 1, {name: getattr(record, field) for field, name in by.items()})


def _applies(metric: Metric, record: Record) -> bool:
    if metric.when is None:
        return True
    field, operator, other = metric.when
    wanted = None if other == "nil" else other.strip('"') if other.startswith('"') else getattr(record, other)
    return (getattr(record, field) == wanted) is (operator == "==")


def _emit(logger: Logger, level: str, record: Record) -> None:
    """Send a record as an event."""
    from opentelemetry._logs import SeverityNumber  # the API of logs may still change, and most programs do not need it

    kind = str(record.__struct_config__.tag)
    text, number = SEVERITIES[level]
    fields = {name: getattr(record, name) for name in record.__struct_fields__}
    named = {attribute(kind, name): value for name, value in fields.items() if value is not None and value is not UNSET}
    if "error_code" in fields and fields["error_code"] is not None:
        named[attribute(kind, "error_code")] = str(fields["error_code"])
    del named[TIMESTAMP]
    logger.emit(
        timestamp=int(datetime.fromisoformat(record.timestamp).timestamp() * 1e9),
        context=context.Context(),
        severity_text=text,
        severity_number=SeverityNumber(number),
        event_name=event_name(kind),
        attributes={**named, "network.protocol.name": "websocket"},
    )


# --- the counts of the connections ------------------------------------------------------------------------------------


class _Counts:
    """Tell the states and counts of all connections, when the metrics of one provider are collected.

    OpenTelemetry cannot remove a callback, and keeps the first of each name. So a provider has one object of this class for ever,
    which tells nothing while telemetry is off.
    """

    def __init__(self, meter: Meter) -> None:
        self._is_on = False
        self._lock = Lock()  # readers of metrics have threads of their own
        self._seen: WeakKeyDictionary[Connection, tuple[int, int]] = WeakKeyDictionary()
        self._totals = [0, 0]
        for metric, create, observe in (
            (CONNECTIONS, meter.create_observable_up_down_counter, self._by_state),
            (CONSUMED, meter.create_observable_counter, self._consumed),
            (DROPPED, meter.create_observable_counter, self._dropped),
        ):
            create(metric.name, [observe], metric.unit, metric.means)

    def counting(self) -> ExitStack:
        """Count from now on; the counts of before are not told."""
        with self._lock:
            for connection in _connections():
                self._seen[connection] = connection.events_received, connection.events_dropped
            self._is_on = True
        stack = ExitStack()
        stack.callback(setattr, self, "_is_on", False)
        return stack

    def on_record(self, _: str, record: Record) -> None:
        """Count a connection that ends, before it is forgotten."""
        if isinstance(record, CloseRecord) and (connection := hooks.connections.get(record.connection_id)) is not None:
            with self._lock:
                self._count(connection)

    def _count(self, connection: Connection) -> None:
        """Add what is new; while a link closes in another thread, a count may be lower for a moment."""
        before = self._seen.get(connection, (0, 0))
        now = max(before[0], connection.events_received), max(before[1], connection.events_dropped)
        self._seen[connection] = now
        self._totals = [total + new - old for total, new, old in zip(self._totals, now, before, strict=True)]

    def _total(self, index: int, attributes: dict[str, str]) -> Iterator[Observation]:
        if self._is_on:
            with self._lock:
                for connection in _connections():
                    self._count(connection)
                yield metrics.Observation(self._totals[index], attributes)

    def _consumed(self, _: CallbackOptions) -> Iterator[Observation]:
        return self._total(0, _MESSAGING | {"messaging.operation.name": "receive"})

    def _dropped(self, _: CallbackOptions) -> Iterator[Observation]:
        return self._total(1, {})

    def _by_state(self, _: CallbackOptions) -> Iterator[Observation]:
        if self._is_on:
            (name,) = CONNECTIONS.by
            states = [connection.state for connection in _connections()]
            for state in State:
                yield metrics.Observation(states.count(state), {name: state.value})


def _connections() -> list[Connection]:
    return [connection for reference in hooks.connections.valuerefs() if (connection := reference()) is not None]


_counts: WeakKeyDictionary[MeterProvider, _Counts] = WeakKeyDictionary()


def _counts_of(provider: MeterProvider, meter: Meter) -> _Counts:
    if provider not in _counts:
        _counts[provider] = _Counts(meter)
    return _counts[provider]


# --- dials ------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Dial:
    """The newest link of a connection, and the span of its dial while that lasts."""

    link: int
    began: float = 0.0
    span: Span | None = None


class _Dials:
    """Make a span and a duration of each dial."""

    def __init__(self, tracer: Tracer, meter: Meter) -> None:
        self._tracer = tracer
        self._durations = _histogram(meter, DIAL)
        self._dials: WeakKeyDictionary[Connection, _Dial] = WeakKeyDictionary()

    def on_record(self, _: str, record: Record) -> None:
        """Begin a span where the number of the link grows, and end it with the rule that ends the dial."""
        if not isinstance(record, TransitionRecord) or (connection := hooks.connections.get(record.connection_id)) is None:
            return
        dial = self._dials.get(connection)
        if dial is None:  # where telemetry comes later than the first dial, nobody knows whether this record begins one
            dial = self._dials[connection] = _Dial(record.link if record.link > 1 else 0)
        if dial.span is not None and record.row in _ENDS_DIAL:
            self._end(dial, dial.span, record)
        if record.link > dial.link:
            dial.link, dial.began = record.link, _moment(record)
            facts = {
                attribute(record.__struct_config__.tag, name): getattr(record, name)
                for name in ("connection_id", "link", "attempt")
            }
            facts["network.protocol.name"] = "websocket"
            dial.span = self._tracer.start_span("dial", context.Context(), trace.SpanKind.CLIENT, facts)

    def _end(self, dial: _Dial, span: Span, record: TransitionRecord) -> None:
        dial.span = None
        greeted = _ENDS_DIAL[record.row] and record.cause is None
        error = {} if greeted else {"error.type": record.cause or record.trigger}
        self._durations.record(_moment(record) - dial.began, error)
        for name in ("era", "status", "error_code", "close_code"):
            if (value := getattr(record, name)) is not None:
                span.set_attribute(ATTRIBUTES["realtime.transition"][name], str(value) if name == "error_code" else value)
        span.set_attributes(error)
        if record.cause is not None:
            span.set_status(trace.StatusCode.ERROR)
        span.end()

    def end_all(self) -> None:
        """End the spans of dials that are under way."""
        for reference in self._dials.keyrefs():
            connection = reference()
            if connection is not None and (span := self._dials[connection].span) is not None:
                span.end()


def _moment(record: TransitionRecord) -> float:
    assert isinstance(record.at, float), "the connection writes it always; old logs lack it"
    return record.at


# --- handlers ---------------------------------------------------------------------------------------------------------


class _Handlers:
    """Make a span and a duration of each call of a handler."""

    def __init__(self, tracer: Tracer, meter: Meter) -> None:
        self._tracer = tracer
        self._durations = _histogram(meter, PROCESS)
        self._has_failed = False

    def wrap(self, name: str, handler: Callable[..., object]) -> Callable[..., object]:
        """Wrap a handler of that name. Its span is current while it runs; the exception's text stays out of the span."""
        facts = {**_MESSAGING, "code.function.name": name}

        async def handle(*given: Any) -> object:
            span = self._quietly(partial(self._tracer.start_span, "process", context.Context(), trace.SpanKind.CONSUMER, facts))
            token = context.attach(trace.set_span_in_context(span or trace.INVALID_SPAN))
            began, error = perf_counter(), {}
            try:
                answer = handler(*given)
                return await answer if inspect.isawaitable(answer) else answer
            except BaseException as failure:
                error = {"error.type": _name_of(type(failure))}
                raise
            finally:
                context.detach(token)
                self._quietly(partial(self._end, span, perf_counter() - began, facts, error))

        return handle

    def _end(self, span: Span | None, seconds: float, facts: dict[str, str], error: dict[str, str]) -> None:
        self._durations.record(seconds, facts | error)
        if span is not None:
            if error:
                span.set_attributes(error)
                span.set_status(trace.StatusCode.ERROR)
            span.end()

    def _quietly(self, call: Callable[[], T]) -> T | None:
        """Call the user's OpenTelemetry; report the first exception only."""
        try:
            return call()
        except BaseException as failure:  # noqa: BLE001  (of any processor of spans; the handler works without them)
            contain(failure)
            if not self._has_failed:
                self._has_failed = True
                problem = {"message": "realtime_fsm: the telemetry of handlers failed", "exception": failure}
                asyncio.get_running_loop().call_exception_handler(problem)
            return None


def _name_of(kind: type[BaseException]) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _carry() -> Callable[[], object]:
    """Take the present span along, into a thread where a handler runs."""
    return partial(context.attach, context.get_current())
