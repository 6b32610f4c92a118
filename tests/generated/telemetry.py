"""The names of the records in OpenTelemetry, as data.

Invariant: a name of the semantic conventions serves where one means the same. All other names begin with `realtime_fsm.`, and
none of them is in a namespace of the conventions. A record is an event: the event has the record's name, its details are
attributes, and it has no body.

Sources: opentelemetry.io/docs/specs/semconv, the pages general/naming, general/events, general/metrics, registry/error
and registry/http.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

TIMESTAMP: Final = "Timestamp"
"""Not an attribute, but the field of that name that each log record of OpenTelemetry has."""

COMMON: dict[str, str] = {
    "schema": "realtime_fsm.schema.version",
    "machine": "realtime_fsm.table.fingerprint",
    "connection_id": "realtime_fsm.connection.id",
    "seq": "realtime_fsm.record.number",
    "timestamp": TIMESTAMP,
    "link": "realtime_fsm.link.number",
}
"""The attributes of the fields that all records have."""

ATTRIBUTES: dict[str, dict[str, str]] = {
    "realtime.open": {
        "retry": "realtime_fsm.policy.retry",
        "ping": "realtime_fsm.policy.ping",
        "timeouts": "realtime_fsm.policy.timeouts",
        "auto_reconnect": "realtime_fsm.policy.auto_reconnect",
        "max_link_age": "realtime_fsm.policy.max_link_age",
        "versions": "realtime_fsm.package.versions",
        "protocol": "realtime_fsm.policy.protocol",
        "canary": "realtime_fsm.policy.canary",
    },
    "realtime.transition": {
        "row": "realtime_fsm.table.row",
        "trigger": "realtime_fsm.transition.trigger",
        "source": "realtime_fsm.transition.source",
        "dest": "realtime_fsm.transition.destination",
        "dwell": "realtime_fsm.transition.dwell",
        "attempt": "realtime_fsm.dial.attempt",
        "sends": "realtime_fsm.link.sends",
        "cause": "error.type",
        "error_code": "realtime_fsm.error_frame.code",
        "close_code": "realtime_fsm.websocket.close_code",
        "status": "http.response.status_code",
        "retry_after": "realtime_fsm.dial.retry_after",
        "era": "realtime_fsm.server.era",
        "lag": "realtime_fsm.transition.lag",
        "at": "realtime_fsm.transition.at",
        "draw": "realtime_fsm.transition.draw",
        "enabled": "realtime_fsm.ping.enabled",
        "heard": "realtime_fsm.link.heard",
        "dial_slot": "realtime_fsm.dial.slot",
    },
    "realtime.subscription": {
        "subscription": "realtime_fsm.subscription.id",
        "change": "realtime_fsm.subscription.change",
        "error_code": "realtime_fsm.error_frame.code",
        "dwell": "realtime_fsm.subscription.dwell",
        "size": "realtime_fsm.subscription.size",
    },
    "realtime.presence": {
        "change": "realtime_fsm.presence.change",
        "error_code": "realtime_fsm.error_frame.code",
        "dwell": "realtime_fsm.presence.dwell",
    },
    "realtime.ping": {"round_trip": "realtime_fsm.ping.duration"},
    "realtime.outage": {
        "change": "realtime_fsm.outage.change",
        "planned": "realtime_fsm.outage.planned",
        "seconds": "realtime_fsm.outage.duration",
        "dials": "realtime_fsm.outage.dials",
        "cause": "realtime_fsm.outage.cause",
    },
    "realtime.fault": {
        "change": "realtime_fsm.fault.change",
        "since": "realtime_fsm.fault.since",
        "until": "realtime_fsm.fault.until",
        "seconds": "realtime_fsm.fault.duration",
    },
    "realtime.dropped": {"subscription": "realtime_fsm.subscription.id", "count": "realtime_fsm.dropped.events"},
    "realtime.pause": {
        "change": "realtime_fsm.pause.change",
        "paused": "realtime_fsm.pause.link",
        "seconds": "realtime_fsm.pause.duration",
        "dwell": "realtime_fsm.pause.dwell",
    },
    "realtime.canary": {
        "change": "realtime_fsm.canary.change",
        "error_code": "realtime_fsm.error_frame.code",
        "seconds": "realtime_fsm.canary.duration",
    },
    "realtime.retired": {"retired": "realtime_fsm.retired.link", "dwell": "realtime_fsm.retired.dwell"},
    "realtime.gap": {
        "subscription": "realtime_fsm.subscription.id",
        "since": "realtime_fsm.gap.since",
        "until": "realtime_fsm.gap.until",
        "seconds": "realtime_fsm.gap.duration",
        "dials": "realtime_fsm.gap.dials",
    },
    "realtime.malformed": {"kind": "realtime_fsm.malformed.kind"},
    "realtime.relayed": {
        "stored": "realtime_fsm.relayed.stored",
        "duplicates": "realtime_fsm.relayed.duplicates",
        "lag": "realtime_fsm.relayed.lag",
    },
    "realtime.close": {},
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
    """A metric that the records make.

    Attributes:
        name: its name.
        instrument: what it is.
        unit: its unit, as UCUM writes it.
        event: the kind of records that make it.
        means: what it tells, in a sentence.
        value: the field whose values it takes; empty where it counts records.
        by: the fields that are its attributes.
        when: the condition on the records, in OTTL; the names of fields are in braces.
        buckets: the bounds of a histogram's buckets.
    """

    name: str
    instrument: Literal["Counter", "Histogram"]
    unit: str
    event: str
    means: str
    value: str = ""
    by: tuple[str, ...] = ()
    when: str = ""
    buckets: tuple[float, ...] = ()


METRICS: tuple[Metric, ...] = (
    Metric(
        "realtime_fsm.transitions", "Counter", "{transition}", "realtime.transition", "How often each row was taken.",
        by=("row",),
    ),
    Metric(
        "realtime_fsm.state.time", "Counter", "s", "realtime.transition", "The time in each state, counted when it is left.",
        value="dwell", by=("source",), when="{source} != {dest}",
    ),
    Metric(
        "realtime_fsm.link.failures", "Counter", "{failure}", "realtime.transition", "Links and attempts that failed, and why.",
        by=("cause",), when="{cause} != nil",
    ),
    Metric(
        "realtime_fsm.outages", "Counter", "{outage}", "realtime.outage", "Outages that began.",
        by=("planned",), when='{change} == "opened"',
    ),
    Metric(
        "realtime_fsm.outage.duration", "Histogram", "s", "realtime.outage", "How long outages were that have ended.",
        value="seconds", by=("planned",), when='{change} == "closed"', buckets=_LONG,
    ),
    Metric(
        "realtime_fsm.faults", "Counter", "{fault}", "realtime.fault", "Server faults that began.", when='{change} == "opened"',
    ),
    Metric(
        "realtime_fsm.fault.duration", "Histogram", "s", "realtime.fault", "How long server faults were that have ended.",
        value="seconds", when='{change} == "closed"', buckets=_LONG,
    ),
    Metric(
        "realtime_fsm.ping.duration", "Histogram", "s", "realtime.ping", "The round trips of pings.",
        value="round_trip", buckets=_SHORT,
    ),
    Metric(
        "realtime_fsm.gap.duration", "Histogram", "s", "realtime.gap", "How long subscriptions may have missed events.",
        value="seconds", buckets=_LONG,
    ),
    Metric(
        "realtime_fsm.dropped.events", "Counter", "{event}", "realtime.dropped", "Events that a full buffer evicted.",
        value="count",
    ),
    Metric(
        "realtime_fsm.subscription.rejections", "Counter", "{rejection}", "realtime.subscription",
        "Subscriptions that the server rejected.", when='{change} == "rejected"',
    ),
    Metric(
        "realtime_fsm.malformed.messages", "Counter", "{message}", "realtime.malformed",
        "Messages of the server that could not be used.", by=("kind",),
    ),
    Metric(
        "realtime_fsm.relayed.messages", "Counter", "{message}", "realtime.relayed", "Messages that a broker stored for a relay.",
        value="stored",
    ),
)  # fmt: skip
"""The metrics to derive from the records."""


def event_name(event: str) -> str:
    """Return the name of a kind of records in OpenTelemetry."""
    return f"realtime_fsm.{event.removeprefix('realtime.')}"


def attribute(event: str, field: str) -> str:
    """Return the attribute of a field.

    Raises:
        KeyError: when the field has no name in OpenTelemetry.
    """
    return COMMON[field] if field in COMMON else ATTRIBUTES[event][field]
