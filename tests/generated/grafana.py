"""The dashboard for Grafana, over a Prometheus data source that the reader chooses.

Source: grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from generated.prometheus import label, series
from realtime_fsm.diagram.style import STATE_COLORS
from realtime_fsm.fsm.table import LIVE, State
from realtime_fsm.ops.telemetry_names import CONNECTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_HERE = {"job": "=~$job", "instance": "=~$instance"}
_STATE = label(CONNECTIONS.by[0])
_COLORS = {state.value: color for state, color in STATE_COLORS.items()}
_WIDTH, _HEIGHT = 24, 8


def _of(name: str, ending: str = "", **labels: str) -> str:
    return series(name, ending, **_HERE, **labels)


def _now(*states: State) -> str:
    return f"sum({_of(CONNECTIONS.name, **{_STATE: '=~' + '|'.join(states)})})"


def _per_second(selected: str, *by: str) -> str:
    return f"sum by ({', '.join(map(label, by))}) (rate({selected}[$__rate_interval]))"


def _quantiles(name: str, *by: str) -> list[tuple[str, str]]:
    grouped = ", ".join(map(label, (*by, "le")))
    legend = " ".join(f"{{{{{label(each)}}}}}" for each in by)
    rate = f"sum by ({grouped}) (rate({_of(name, '_bucket')}[$__rate_interval]))"
    return [(f"histogram_quantile({part}, {rate})", f"{part:.0%} {legend}".strip()) for part in (0.5, 0.95, 0.99)]


def _availability() -> str:
    def spent(states: Iterable[State]) -> str:
        chosen = "=~" + "|".join(states)
        return f"sum(increase({_of('realtime_fsm.state.time', realtime_fsm_transition_source=chosen)}[$__range]))"

    wanted = [state for state in State if state not in (State.DISCONNECTED, State.DISPOSING)]
    return f"{spent(filter(LIVE.__contains__, State))} / {spent(wanted)}"


def _panel(
    kind: str, title: str, means: str, targets: list[tuple[str, str]], *, width: int = 8, unit: str = "short",
    custom: dict[str, Any] | None = None, defaults: dict[str, Any] | None = None, colors: dict[str, str] | None = None,
) -> dict[str, Any]:  # fmt: skip
    return {
        "type": kind,
        "title": title,
        "description": means,
        "datasource": _SOURCE,
        "gridPos": {"w": width, "h": 4 if kind == "stat" else _HEIGHT},
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": _SOURCE,
                "expr": expression,
                "legendFormat": legend,
                "instant": kind == "stat",
                "range": kind != "stat",
            }
            for number, (expression, legend) in enumerate(targets)
        ],
        "fieldConfig": {
            "defaults": {"unit": unit, "min": 0, "custom": custom or {}, **(defaults or {})},
            "overrides": [
                {
                    "matcher": {"id": "byName", "options": name},
                    "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": color}}],
                }
                for name, color in (colors or {}).items()
            ],
        },
    }


def _number(title: str, means: str, expression: str, *, bad_from: float | None = None, **more: Any) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    steps += [] if bad_from is None else [{"color": "red", "value": bad_from}]
    defaults = {"thresholds": {"mode": "absolute", "steps": steps}, **more.pop("defaults", {})}
    return _panel("stat", title, means, [(expression, "")], width=6, defaults=defaults, **more)


def _curves(title: str, means: str, *targets: tuple[str, str], stacked: bool = False, **more: Any) -> dict[str, Any]:
    custom = {"fillOpacity": 60, "stacking": {"mode": "normal", "group": "A"}} if stacked else {"fillOpacity": 10}
    return _panel("timeseries", title, means, list(targets), custom=custom, **more)


_ROWS: dict[str, list[dict[str, Any]]] = {
    "Connections": [
        _number("Live", "Connections whose link is up.", _now(*(state for state in State if state in LIVE))),
        _number("Without a link", "Connections that dial, or wait for the next attempt.", _now(State.RECONNECTING), bad_from=1),
        _number("Given up", "Connections in the state error: no attempt follows.", _now(State.ERROR), bad_from=1),
        _number(
            "Availability", "The part of the time in a live state, of the time in which a link was wanted.", _availability(),
            unit="percentunit", defaults={"decimals": 3, "max": 1},
        ),
        _curves(
            "Connections by state", "The number of connections in each state.",
            (f"sum by ({_STATE}) ({_of(CONNECTIONS.name)})", f"{{{{{_STATE}}}}}"), stacked=True, width=16, colors=_COLORS,
        ),
        _curves(
            "Outages", "Outages that began; a planned one follows a call, and nothing failed.",
            (f"sum by (realtime_fsm_outage_planned) (increase({_of('realtime_fsm.outages')}[$__rate_interval]))",
             "planned {{realtime_fsm_outage_planned}}"),
        ),
    ],
    "Recovery": [
        _curves(
            "Time to recover", "How long outages were that have ended.", *_quantiles("realtime_fsm.outage.duration"), unit="s",
        ),
        _curves(
            "Failures", "Links and attempts that failed, by cause.",
            (_per_second(_of("realtime_fsm.link.failures"), "error.type"), "{{error_type}}"), unit="ops",
        ),
        _curves(
            "Dials", "Attempts: greeted, or ended early by a cause or a call.",
            (f"sum(rate({_of('realtime_fsm.dial.duration', '_count', error_type='=')}[$__rate_interval]))", "greeted"),
            (_per_second(_of("realtime_fsm.dial.duration", "_count", error_type="!="), "error.type"), "{{error_type}}"),
            unit="ops",
        ),
        _curves("Ping", "The round trips of pings.", *_quantiles("realtime_fsm.ping.duration"), unit="s"),
        _curves(
            "Server faults", "The server answered, and could not do its work.",
            (f"sum(increase({_of('realtime_fsm.faults')}[$__rate_interval]))", "faults"),
        ),
        _curves("Duration of dials", "Until the greeting or the failure.", *_quantiles("realtime_fsm.dial.duration"), unit="s"),
    ],
    "Events": [
        _curves(
            "Events", "Events from the server, by instance.",
            (_per_second(_of("messaging.client.consumed.messages"), "instance"), "{{instance}}"), unit="ops",
        ),
        _curves(
            "Lost or refused", "Events that a full buffer evicted, gaps, refused subscriptions, and unusable messages.",
            (f"sum(increase({_of('realtime_fsm.dropped.events')}[$__rate_interval]))", "dropped events"),
            (f"sum(increase({_of('realtime_fsm.gap.duration', '_count')}[$__rate_interval]))", "gaps"),
            (f"sum(increase({_of('realtime_fsm.subscription.rejections')}[$__rate_interval]))", "rejected subscriptions"),
            (f"sum(increase({_of('realtime_fsm.malformed.messages')}[$__rate_interval]))", "malformed messages"),
        ),
        _curves(
            "Relay", "Messages that a broker stored for a relay, by instance.",
            (_per_second(_of("realtime_fsm.relayed.messages"), "instance"), "{{instance}}"), unit="ops",
        ),
        _curves("Gaps", "How long subscriptions may have missed events.", *_quantiles("realtime_fsm.gap.duration"), unit="s"),
        _curves(
            "Duration of handlers", "How long a handler worked on an event.",
            *_quantiles("messaging.process.duration", "code.function.name"), unit="s", width=16,
        ),
        _curves(
            "Failures of handlers", "Exceptions of handlers, by handler and type.",
            (_per_second(_of("messaging.process.duration", "_count", error_type="!="), "code.function.name", "error.type"),
             "{{code_function_name}} {{error_type}}"), unit="ops",
        ),
    ],
}  # fmt: skip


def _laid_out() -> list[dict[str, Any]]:
    """Place the panels from left to right, row by row."""
    placed: list[dict[str, Any]] = []
    numbers, top = count(1), 0
    for title, panels in _ROWS.items():
        placed.append({"id": next(numbers), "type": "row", "title": title, "collapsed": False, "panels": [],
                       "gridPos": {"x": 0, "y": top, "w": _WIDTH, "h": 1}})  # fmt: skip
        left, top, height = 0, top + 1, 0
        for panel in panels:
            size = panel["gridPos"]
            if left + size["w"] > _WIDTH:
                left, top, height = 0, top + height, 0
            placed.append({"id": next(numbers), **panel, "gridPos": {"x": left, "y": top, **size}})
            left, height = left + size["w"], max(height, size["h"])
        top += height
    return placed


def _choice(name: str, title: str, query: str) -> dict[str, Any]:
    return {
        "type": "query", "name": name, "label": title, "datasource": _SOURCE, "query": {"query": query, "refId": name},
        "definition": query, "refresh": 2, "includeAll": True, "multi": True, "allValue": ".*", "sort": 1,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }  # fmt: skip


def dashboard() -> dict[str, Any]:
    """Make the dashboard, in Grafana's JSON model."""
    any_metric = series(CONNECTIONS.name)
    return {
        "title": "realtime_fsm",
        "uid": "realtime-fsm",
        "description": "Connections to Appwrite Realtime. Generated by `make diagrams`; do not edit.",
        "tags": ["realtime_fsm", "opentelemetry"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus", "refresh": 1},
                _choice("job", "Job", f"label_values({any_metric}, job)"),
                _choice("instance", "Instance", f'label_values({any_metric}{{job=~"$job"}}, instance)'),
            ]
        },
        "annotations": {"list": []},
        "panels": _laid_out(),
    }
