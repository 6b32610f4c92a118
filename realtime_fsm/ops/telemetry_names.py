"""The names of records and metrics in OpenTelemetry, as data: for `realtime_fsm.telemetry`, and for the generated files.

Invariant: a name of the semantic conventions serves where one means the same. All other names begin with ``realtime_fsm.``, and
none of them is in a namespace of the conventions. A record is an event: the event has the record's name, its details are
attributes, and it has no body. No attribute of a metric names a connection, a subscription or a channel: each value would make
a time series of its own.

Sources: opentelemetry.io/docs/specs/semconv, the pages general/naming, general/events, general/metrics, messaging,
registry/error and registry/http.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from realtime_fsm.auditlog.schema import KINDS

SCOPE: Final = "realtime_fsm"
"""The name of the instrumentation scope."""

TIMESTAMP: Final = "Timestamp"
"""Not an attribute, but the field of that name that each log record of OpenTelemetry has."""

COMMON: dict[str, str] = {
    "schema": "realtime_fsm.schema.version",
    "machine": "realtime_fsm.table.fingerprint",
    "connection_id": "realtime_fsm.connection.id",
    "seq": "realtime_fsm.record.number",
    "timestamp": TIMESTAMP,
    "link": "realtime_fsm.link.number",
    "sentence": "realtime_fsm.record.sentence",
}
"""The attributes of the fields that all records have."""

_OTHER_NAMES: dict[str, str] = {
    "open.versions": "realtime_fsm.package.versions",
    "transition.row": "realtime_fsm.table.row",
    "transition.dest": "realtime_fsm.transition.destination",
    "transition.attempt": "realtime_fsm.dial.attempt",
    "transition.sends": "realtime_fsm.link.sends",
    "transition.cause": "error.type",
    "transition.close_code": "realtime_fsm.websocket.close_code",
    "transition.status": "http.response.status_code",
    "transition.retry_after": "realtime_fsm.dial.retry_after",
    "transition.era": "realtime_fsm.server.era",
    "transition.enabled": "realtime_fsm.ping.enabled",
    "transition.heard": "realtime_fsm.link.heard",
    "transition.dial_slot": "realtime_fsm.dial.slot",
    "transition.delay": "realtime_fsm.dial.delay",
    "ping.round_trip": "realtime_fsm.ping.duration",
    "dropped.count": "realtime_fsm.dropped.events",
    "pause.paused": "realtime_fsm.pause.link",
    "retired.retired": "realtime_fsm.retired.link",
}
_SHARED_NAMES = {"error_code": "realtime_fsm.error_frame.code", "subscription": "realtime_fsm.subscription.id"}


def _attribute(event: str, field: str) -> str:
    """Name a field: ``realtime_fsm.KIND.FIELD``, unless it is in a table above."""
    kind = event.removeprefix("realtime.")
    space = "policy" if kind == "open" else kind
    word = "duration" if field == "seconds" else field
    return _SHARED_NAMES.get(field) or _OTHER_NAMES.get(f"{kind}.{field}") or f"realtime_fsm.{space}.{word}"


ATTRIBUTES: dict[str, dict[str, str]] = {
    kind.event: {field.name: _attribute(kind.event, field.name) for field in kind.fields if not field.common} for kind in KINDS
}
"""The attributes of the other fields, by kind of record."""

SEVERITIES: dict[str, tuple[str, int]] = {
    "debug": ("DEBUG", 5),
    "info": ("INFO", 9),
    "warning": ("WARN", 13),
    "error": ("ERROR", 17),
    "critical": ("FATAL", 21),
}
"""The severity of each level, as structlog names it: its short name and its number."""

_SHORT = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
_LONG = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric.

    Attributes:
        name: its name.
        instrument: the kind of its instrument.
        unit: its unit, as UCUM writes it.
        means: its meaning, in a sentence.
        event: the kind of records that make it; empty where records cannot.
        value: the field whose values it takes; empty where it counts records.
        by: the fields that are its attributes; without records, the attributes themselves.
        when: the condition on the records: a field, an operator, and ``nil``, a text in quotes or another field.
        buckets: the bounds of a histogram's buckets.
        values: the values of its only attribute, where these are few: its counts begin with 0.
        is_counted: whether the connections keep the count themselves; `realtime_fsm.telemetry` then needs no record.
    """

    name: str
    instrument: Literal["Counter", "Histogram", "UpDownCounter"]
    unit: str
    means: str
    event: str = ""
    value: str = ""
    by: tuple[str, ...] = ()
    when: tuple[str, Literal["==", "!="], str] | None = None
    buckets: tuple[float, ...] = ()
    values: tuple[bool, ...] = ()
    is_counted: bool = False


MESSAGING: Final = {"messaging.system": "appwrite"}
"""The attribute of all names that begin with ``messaging.``."""

_OPENED: Final = ("change", "==", '"opened"')
_CLOSED: Final = ("change", "==", '"closed"')

CONNECTIONS: Final = Metric(
    "realtime_fsm.connection.count", "UpDownCounter", "{connection}", "The connections of the process, by state.",
    by=("realtime_fsm.connection.state",), is_counted=True,
)  # fmt: skip
CONSUMED: Final = Metric(
    "messaging.client.consumed.messages", "Counter", "{message}",
    "Events that links brought, dropped ones included; each counts once for each of its subscriptions.",
    by=("messaging.system", "messaging.operation.name"), is_counted=True,
)  # fmt: skip
DROPPED: Final = Metric(
    "realtime_fsm.dropped.events", "Counter", "{event}", "Events that a full buffer evicted.", "realtime.dropped",
    value="count", is_counted=True,
)  # fmt: skip
DIAL: Final = Metric(
    "realtime_fsm.dial.duration", "Histogram", "s",
    "How long dials took, until the greeting or the failure; the cause, or the trigger that ended the dial early.",
    by=("error.type",), buckets=_SHORT,
)  # fmt: skip
PROCESS: Final = Metric(
    "messaging.process.duration", "Histogram", "s", "How long handlers worked on an event, and the exception of a failure.",
    by=("messaging.system", "messaging.operation.name", "code.function.name", "error.type"), buckets=_SHORT,
)  # fmt: skip

METRICS: tuple[Metric, ...] = (
    CONNECTIONS,
    Metric(
        "realtime_fsm.transitions", "Counter", "{transition}", "How often each transition rule was taken.", "realtime.transition",
        by=("row",),
    ),
    Metric(
        "realtime_fsm.state.time", "Counter", "s", "The time in each state, counted when it is left.", "realtime.transition",
        value="dwell", by=("source",), when=("source", "!=", "dest"),
    ),
    DIAL,
    Metric(
        "realtime_fsm.link.failures", "Counter", "{failure}", "Links and attempts that failed, and why.", "realtime.transition",
        by=("cause",), when=("cause", "!=", "nil"),
    ),
    Metric(
        "realtime_fsm.outages", "Counter", "{outage}", "Outages that began.", "realtime.outage", by=("planned",), when=_OPENED,
        values=(False, True),
    ),
    Metric(
        "realtime_fsm.outage.duration", "Histogram", "s", "How long outages were that have ended.", "realtime.outage",
        value="seconds", by=("planned",), when=_CLOSED, buckets=_LONG,
    ),
    Metric("realtime_fsm.faults", "Counter", "{fault}", "Server faults that began.", "realtime.fault", when=_OPENED),
    Metric(
        "realtime_fsm.fault.duration", "Histogram", "s", "How long server faults were that have ended.", "realtime.fault",
        value="seconds", when=_CLOSED, buckets=_LONG,
    ),
    Metric(
        "realtime_fsm.ping.duration", "Histogram", "s", "The round trips of pings.", "realtime.ping",
        value="round_trip", buckets=_SHORT,
    ),
    Metric(
        "realtime_fsm.gap.duration", "Histogram", "s", "How long subscriptions may have missed events.", "realtime.gap",
        value="seconds", buckets=_LONG,
    ),
    CONSUMED,
    DROPPED,
    PROCESS,
    Metric(
        "realtime_fsm.subscription.rejections", "Counter", "{rejection}", "Subscriptions that the server rejected.",
        "realtime.subscription", when=("change", "==", '"rejected"'),
    ),
    Metric(
        "realtime_fsm.malformed.messages", "Counter", "{message}", "Messages of the server that could not be used.",
        "realtime.malformed", by=("kind",),
    ),
    Metric(
        "realtime_fsm.relayed.messages", "Counter", "{message}", "Messages that a broker stored for a relay.", "realtime.relayed",
        value="stored",
    ),
)  # fmt: skip
"""All metrics. A program without `realtime_fsm.telemetry` derives those with an `event` from its log."""


def event_name(event: str) -> str:
    """Return the name of a kind of records in OpenTelemetry."""
    return f"realtime_fsm.{event.removeprefix('realtime.')}"


def attribute(event: str, field: str) -> str:
    """Return the attribute of a field.

    Raises:
        KeyError: when the field has no name in OpenTelemetry.
    """
    return COMMON[field] if field in COMMON else ATTRIBUTES[event][field]


def attributes_of(metric: Metric) -> dict[str, str]:
    """Return the attributes of a metric, each by its field; where no record makes the metric, by its own name."""
    return {name: attribute(metric.event, name) if metric.event else name for name in metric.by}
