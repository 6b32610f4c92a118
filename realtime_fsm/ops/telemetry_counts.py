"""The metrics that the connections count themselves: a callback reads them when the metrics are collected."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from opentelemetry import metrics

from realtime_fsm import hooks
from realtime_fsm.auditlog.records import CloseRecord
from realtime_fsm.fsm.table import State
from realtime_fsm.ops.telemetry_names import CONNECTIONS, CONSUMED, DROPPED, MESSAGING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation

    from realtime_fsm.auditlog.records import Record
    from realtime_fsm.hooks import Connection


class Counts:
    """Tell the states and the counts of all connections.

    OpenTelemetry cannot remove a callback, and a meter keeps the first one of each name. So each provider of meters keeps one
    object of this class until the process ends. The object tells nothing while no instrumentation is active.
    """

    def __init__(self, meter: Meter) -> None:
        self._is_active = False
        self._lock = Lock()  # metrics are collected in threads of their own
        self._seen: WeakKeyDictionary[Connection, tuple[int, int]] = WeakKeyDictionary()
        self._totals = (0, 0)
        meter.create_observable_up_down_counter(CONNECTIONS.name, [self._by_state], CONNECTIONS.unit, CONNECTIONS.means)
        meter.create_observable_counter(CONSUMED.name, [self._consumed], CONSUMED.unit, CONSUMED.means)
        meter.create_observable_counter(DROPPED.name, [self._dropped], DROPPED.unit, DROPPED.means)

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count from now on, until the end of the context."""
        with self._lock:
            self._seen |= {each: (each.events_received, each.events_dropped) for each in hooks.all_connections()}
        self._is_active = True
        try:
            yield
        finally:
            self._is_active = False

    def on_record(self, _: str, record: Record) -> None:
        """Count the last events of a connection that ends."""
        if isinstance(record, CloseRecord) and (connection := hooks.connections.get(record.connection_id)) is not None:
            with self._lock:
                self._count(connection)

    def _count(self, connection: Connection) -> None:
        """Add what is new. Where a link closes in another thread, a count may be lower for a moment."""
        old = self._seen.get(connection, (0, 0))
        new = max(old[0], connection.events_received), max(old[1], connection.events_dropped)
        self._seen[connection] = new
        self._totals = self._totals[0] + new[0] - old[0], self._totals[1] + new[1] - old[1]

    def _count_all(self) -> tuple[int, int]:
        with self._lock:
            for connection in hooks.all_connections():
                self._count(connection)
            return self._totals

    def _consumed(self, _: CallbackOptions) -> Iterator[Observation]:
        if self._is_active:
            yield metrics.Observation(self._count_all()[0], MESSAGING | {"messaging.operation.name": "receive"})

    def _dropped(self, _: CallbackOptions) -> Iterator[Observation]:
        if self._is_active:
            yield metrics.Observation(self._count_all()[1])

    def _by_state(self, _: CallbackOptions) -> Iterator[Observation]:
        if self._is_active:
            states = [connection.state for connection in hooks.all_connections()]
            for state in State:
                yield metrics.Observation(states.count(state), {CONNECTIONS.by[0]: state.value})


_counts: WeakKeyDictionary[object, Counts] = WeakKeyDictionary()


def counts_of(provider: MeterProvider | None, meter: Meter) -> Counts:
    """Return the counts of a provider; None is the global one, which may be a proxy first and another object later."""
    is_global = provider is None or provider is metrics.get_meter_provider()
    key: object = Counts if is_global else provider
    if key not in _counts:
        _counts[key] = Counts(meter)
    return _counts[key]
