"""The metrics as Prometheus stores them: their names, and the alerts on them.

Source: opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics. A dot becomes an underscore, seconds become the
ending ``_seconds``, a unit in braces is left out, and a counter ends with ``_total``.
"""

from __future__ import annotations

from typing import Any

import yaml

from realtime_fsm.fsm.table import State
from realtime_fsm.ops.telemetry_names import METRICS, Metric

_METRICS = {metric.name: metric for metric in METRICS}
_PLACE = "job, instance"


def label(attribute: str) -> str:
    """Return the label of an attribute."""
    return attribute.replace(".", "_")


def family(metric: Metric) -> str:
    """Return the name of a metric, without the endings of a histogram's series."""
    seconds = "_seconds" if metric.unit == "s" else ""
    total = "_total" if metric.instrument == "Counter" else ""
    return f"{label(metric.name)}{seconds}{total}"


def series(name: str, ending: str = "", **labels: str) -> str:
    """Select the series of a metric of ours; a label's value begins with its operator, such as ``=~a|b``.

    Raises:
        KeyError: when there is no such metric.
    """
    chosen = ", ".join(
        f'{name}{(operator := value[: 2 if value[1:2] in "~=" else 1])}"{value[len(operator) :]}"'
        for name, value in labels.items()
    )
    return f"{family(_METRICS[name])}{ending}{{{chosen}}}" if chosen else f"{family(_METRICS[name])}{ending}"


def connections(*states: State) -> str:
    """Count the connections in some states, at each place."""
    chosen = "=" + states[0] if len(states) == 1 else "=~" + "|".join(states)
    return f"sum by ({_PLACE}) ({series('realtime_fsm.connection.count', realtime_fsm_connection_state=chosen)})"


def _rose(selected: str, window: str) -> str:
    """Tell by how much counts grew. A count that is new has no value before: `increase` would not see its first step."""
    return f"sum by ({_PLACE}) ((increase({selected}[{window}]) > 0) or (({selected} unless {selected} offset {window}) > 0)) > 0"


def _alert(name: str, expression: str, wait: str, severity: str, summary: str, remedy: str) -> dict[str, Any]:
    return {
        "alert": f"Realtime{name}",
        "expr": expression,
        **({"for": wait} if wait else {}),
        "labels": {"severity": severity},
        "annotations": {"summary": f"{{{{ $labels.instance }}}}: {summary}", "description": remedy},
    }


_PROCESSED = series("messaging.process.duration", "_count")
_FAILED = series("messaging.process.duration", "_count", error_type="!=")
_PING = series("realtime_fsm.ping.duration", "_bucket")
_LOST = series("realtime_fsm.outages", realtime_fsm_outage_planned="=false")
ALERTS = (
    _alert(
        "GaveUp", f"{connections(State.ERROR)} > 0", "1m", "critical", "{{ $value }} connections have given up",
        "No attempt follows in the state error. The error names its remedy; reconnect() starts afresh.",
    ),
    _alert(
        "Away", f"{connections(State.RECONNECTING)} > 0", "5m", "warning", "{{ $value }} connections have no link",
        "Events are missed meanwhile. The causes are in realtime_fsm.link.failures, by error.type.",
    ),
    _alert(
        "Flapping",
        f"sum by ({_PLACE}) (increase({_LOST}[15m])) / "
        f"clamp_min(sum by ({_PLACE}) ({series('realtime_fsm.connection.count')}), 1) > 3", "",
        "warning", "links are lost {{ $value | humanize }} times per connection in 15 minutes",
        "A middle box or an overloaded server cuts the links. The causes are in realtime_fsm.link.failures, by error.type.",
    ),
    _alert(
        "ServerFault", _rose(series("realtime_fsm.faults"), "10m"), "", "warning", "the server answers, and cannot do its work",
        "Often its Redis or its database is away. Events are missed meanwhile.",
    ),
    _alert(
        "SlowPings",
        f"histogram_quantile(0.95, sum by ({_PLACE}, le) (rate({_PING}[10m]))) > 1", "10m", "warning",
        "5 % of the pings take more than {{ $value | humanize }} s",
        "The network or the server is slow, or the event loop is blocked.",
    ),
    _alert(
        "EventsDropped", f"sum by ({_PLACE}) (increase({series('realtime_fsm.dropped.events')}[5m])) > 0", "", "warning",
        "{{ $value | humanize }} events were dropped in 5 minutes",
        "A consumer is too slow. Make it faster, or choose overflow='pause'.",
    ),
    _alert(
        "EventsMissed", _rose(series("realtime_fsm.gap.duration", "_count"), "15m"), "", "info",
        "{{ $value | humanize }} subscriptions may have missed events", "The program should catch up after each gap (catch_up=).",
    ),
    _alert(
        "SubscriptionRejected", _rose(series("realtime_fsm.subscription.rejections"), "15m"), "", "warning",
        "the server rejected {{ $value | humanize }} subscriptions",
        "The identity may not read a channel, or a query is not allowed.",
    ),
    _alert(
        "HandlersFail",
        f"sum by ({_PLACE}) (rate({_FAILED}[5m])) / sum by ({_PLACE}) (rate({_PROCESSED}[5m])) > 0.05", "5m", "warning",
        "{{ $value | humanizePercentage }} of the calls of handlers fail",
        "messaging.process.duration tells which handlers (code.function.name), and with what exceptions (error.type).",
    ),
)  # fmt: skip


def alerts() -> str:
    """Write the alerts for Prometheus, as a file of rules."""
    head = "# Generated by `make diagrams`; do not edit. Prometheus reads this file by `rule_files`.\n"
    return head + yaml.safe_dump({"groups": [{"name": "realtime_fsm", "rules": list(ALERTS)}]}, sort_keys=False, width=120)
