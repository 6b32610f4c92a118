"""The spans and durations of dials and of handlers.

Design: the records tell of a dial, and the table tells which rules end one. A span has a trace of its own, because a connection
outlives the call that began it. The text of an exception stays out of a span: it may quote a payload.
"""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from opentelemetry import context, trace

from realtime_fsm import hooks
from realtime_fsm.auditlog.records import TransitionRecord
from realtime_fsm.containment import contain
from realtime_fsm.fsm.names import Effect
from realtime_fsm.fsm.table import TABLE, State
from realtime_fsm.ops.telemetry_names import ATTRIBUTES, COMMON, DIAL, MESSAGING, PROCESS

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.metrics import Histogram, Meter
    from opentelemetry.trace import Span, Tracer

    from realtime_fsm.auditlog.records import Record
    from realtime_fsm.ops.telemetry_names import Metric

T = TypeVar("T")
_NAMES = COMMON | ATTRIBUTES["realtime.transition"]
"""The attribute of each field of a transition."""
_GREETS = {row.id for row in TABLE.rows if row.source is State.RECONNECTING and Effect.START_LIVE_LINK in row.effects}
_GIVES_UP = {row.id for row in TABLE.rows if not {Effect.ABORT_LINK, Effect.CLOSE_LINK}.isdisjoint(row.effects)}


def histogram(meter: Meter, metric: Metric) -> Histogram:
    """Make the histogram of a metric."""
    return meter.create_histogram(metric.name, metric.unit, metric.means, explicit_bucket_boundaries_advisory=metric.buckets)


@dataclass(slots=True)
class _Dial:
    """The newest link of a connection, and while its dial lasts, the span with the moment of its begin."""

    link: int
    running: tuple[Span, float] | None = None


class DialSpans:
    """Make a span and a duration of each dial."""

    def __init__(self, tracer: Tracer, meter: Meter) -> None:
        self._tracer = tracer
        self._durations = histogram(meter, DIAL)
        self._dials = WeakKeyDictionary({connection: _Dial(connection.link_number) for connection in hooks.all_connections()})

    def on_record(self, _: str, record: Record) -> None:
        """Begin a span where the number of the link grows, and end it with the rule that ends the dial."""
        if not isinstance(record, TransitionRecord) or (connection := hooks.connections.get(record.connection_id)) is None:
            return
        dial = self._dials.setdefault(connection, _Dial(0))
        if dial.running is not None and record.row in _GREETS | _GIVES_UP:
            running, dial.running = dial.running, None
            self._end(*running, record)
        if record.link > dial.link:
            dial.link = record.link
            facts = {_NAMES[name]: getattr(record, name) for name in ("connection_id", "link", "attempt")}
            facts["network.protocol.name"] = "websocket"
            span = self._tracer.start_span("dial", context.Context(), trace.SpanKind.CLIENT, facts)
            dial.running = span, _moment(record)

    def _end(self, span: Span, began: float, record: TransitionRecord) -> None:
        error = {} if record.row in _GREETS else {"error.type": record.cause or record.trigger}
        self._durations.record(_moment(record) - began, error)
        span.set_attributes(error)
        for name, kind in (("era", str), ("status", int), ("error_code", str), ("close_code", int)):
            if (value := getattr(record, name)) is not None:
                span.set_attribute(_NAMES[name], kind(value))
        if record.cause is not None:
            span.set_status(trace.StatusCode.ERROR)
        span.end()

    def end_all(self) -> None:
        """End the spans of the dials that are under way."""
        for connection in hooks.all_connections():
            if (dial := self._dials.get(connection)) is not None and dial.running is not None:
                dial.running[0].end()


def _moment(record: TransitionRecord) -> float:
    assert isinstance(record.at, float), "the connection writes it always; only old logs lack it"
    return record.at


class HandlerSpans:
    """Make a span and a duration of each call of a handler."""

    def __init__(self, tracer: Tracer, meter: Meter) -> None:
        self._tracer = tracer
        self._durations = histogram(meter, PROCESS)
        self._has_failed = False

    def wrap(self, name: str, handler: Callable[..., object]) -> Callable[..., object]:
        """Wrap a handler of that name; its span is current while it runs."""
        facts = {**MESSAGING, "messaging.operation.name": "process", "code.function.name": name}

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
        """Call the user's OpenTelemetry; report its first exception only."""
        try:
            return call()
        except BaseException as failure:  # noqa: BLE001  (of any processor of spans; the handler works without one)
            contain(failure)
            if not self._has_failed:
                self._has_failed = True
                problem = {"message": "realtime_fsm: the telemetry of handlers failed", "exception": failure}
                asyncio.get_running_loop().call_exception_handler(problem)
            return None


def _name_of(kind: type[BaseException]) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def carry() -> Callable[[], object]:
    """Capture the present context of OpenTelemetry; the answer attaches it in the thread where a handler runs."""
    return partial(context.attach, context.get_current())
