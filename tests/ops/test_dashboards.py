"""The dashboard and the alerts: Prometheus accepts each expression, and an alert fires when it should."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from generated.grafana import dashboard
from generated.prometheus import ALERTS, family, label, series
from realtime_fsm.ops.telemetry_names import METRICS, attributes_of
from support.opentelemetry import Telemetry
from support.some import some

ALERT_FILE = Path(__file__).parents[2] / "diagrams" / "alerts.yml"
TOOL = shutil.which("promtool") or ""
PROMTOOL = pytest.mark.skipif(not TOOL, reason="there is no promtool, which comes with Prometheus")
PANELS: list[dict[str, Any]] = dashboard()["panels"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel.get("targets", ())]
NAMES = {
    f"{family(metric)}{ending}"
    for metric in METRICS
    for ending in (("_bucket", "_count", "_sum") if metric.instrument == "Histogram" else ("",))
}
LABELS = {"job", "instance", "le", *(label(name) for metric in METRICS for name in attributes_of(metric).values())}


def promtool(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([TOOL, *words], capture_output=True, text=True, timeout=60, check=False)


def names_in(expression: str) -> set[str]:
    """The metrics that an expression selects."""
    bare = re.sub(r"\bby \([^)]*\)|\{[^}]*\}", "", expression)
    return set(re.findall(r"\b(?:realtime_fsm|messaging)_\w+", bare))


# --- names ------------------------------------------------------------------------------------------------------------


def test_a_name_in_prometheus_has_its_unit_and_its_kind() -> None:
    assert {
        "realtime_fsm_connection_count", "realtime_fsm_outages_total", "realtime_fsm_state_time_seconds_total",
        "realtime_fsm_ping_duration_seconds_bucket", "messaging_process_duration_seconds_count",
    } <= NAMES  # fmt: skip
    assert series("realtime_fsm.outages", job="=~a|b", realtime_fsm_outage_planned="!=") == (
        'realtime_fsm_outages_total{job=~"a|b", realtime_fsm_outage_planned!=""}'
    )
    with pytest.raises(KeyError):
        series("realtime_fsm.nonsense")


def test_the_exporter_of_opentelemetry_gives_the_same_names() -> None:
    exporter = pytest.importorskip("opentelemetry.exporter.prometheus", reason="there is no opentelemetry-exporter-prometheus")
    client = pytest.importorskip("prometheus_client")
    reader = exporter.PrometheusMetricReader()
    telemetry = Telemetry(readers=[reader])
    try:
        with telemetry.instrument():
            meter = telemetry.meters.get_meter("realtime_fsm", "0.1.0")
            for metric in METRICS:  # the same instruments, with a first value
                if metric.instrument == "Histogram":
                    meter.create_histogram(metric.name, metric.unit, metric.means).record(1)
                elif not metric.is_counted:
                    meter.create_counter(metric.name, metric.unit, metric.means).add(1, {"realtime_fsm.outage.planned": False})
            text = client.generate_latest().decode()
    finally:
        telemetry.meters.shutdown()
    exported = {name for name in re.findall(r"^(\w+)[{ ]", text, re.MULTILINE) if name.startswith(("realtime_fsm", "messaging"))}
    assert exported == NAMES
    assert 'realtime_fsm_outage_planned="false"' in text


def test_expressions_select_metrics_and_labels_that_exist() -> None:
    used = {name for expression in (*EXPRESSIONS, *(alert["expr"] for alert in ALERTS)) for name in names_in(expression)}
    assert used <= NAMES
    assert {re.sub("_(bucket|count|sum)$", "", name) for name in used if name != "realtime_fsm_connection_count"} >= {
        re.sub("_(bucket|count|sum)$", "", name)
        for name in NAMES
        if name not in ("realtime_fsm_connection_count", "realtime_fsm_transitions_total")
        and not name.startswith("realtime_fsm_fault_duration")
    }, "each metric has its place, but for the counts of rules"
    for expression in some((*EXPRESSIONS, *(alert["expr"] for alert in ALERTS))):
        chosen = {name.strip() for group in re.findall(r"by \(([^)]*)\)", expression) for name in group.split(",")}
        chosen |= {name for group in re.findall(r"\{([^}]*)\}", expression) for name in re.findall(r"(\w+)(?:=~|!=|=)\"", group)}
        assert chosen <= LABELS, expression


# --- the dashboard ----------------------------------------------------------------------------------------------------


def test_panels_have_numbers_of_their_own_and_do_not_overlap() -> None:
    assert [panel["id"] for panel in PANELS] == list(range(1, len(PANELS) + 1))
    for one, other in some(list(combinations([panel["gridPos"] for panel in PANELS], 2))):
        apart = (
            one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        )  # fmt: skip
        assert apart, (one, other)
        assert one["x"] + one["w"] <= 24


def test_grafana_finds_its_parts() -> None:
    whole = json.loads(json.dumps(dashboard()))
    variables = {each["name"] for each in whole["templating"]["list"]}
    assert variables == {"datasource", "job", "instance"}
    assert {name for text in EXPRESSIONS for name in re.findall(r"\$(\w+)", text)} <= variables | {"__rate_interval", "__range"}
    for panel in some([panel for panel in PANELS if panel["type"] != "row"]):
        assert panel["type"] in ("stat", "timeseries")
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert [target["refId"] for target in panel["targets"]] == [chr(65 + n) for n in range(len(panel["targets"]))]


@PROMTOOL
def test_prometheus_understands_each_expression_of_the_dashboard(tmp_path: Path) -> None:
    plain = [re.sub(r"\$__\w+", "5m", text) for text in EXPRESSIONS]
    rules = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(plain)]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = promtool("check", "rules", str(file))
    assert (done.returncode, f"{len(rules)} rules found" in done.stdout) == (0, True), done.stderr


# --- the alerts -------------------------------------------------------------------------------------------------------

PLACE = 'job="app", instance="a:1"'
PINGS = series("realtime_fsm.ping.duration", "_bucket")


def state(name: str) -> str:
    return f'realtime_fsm_connection_count{{{PLACE}, realtime_fsm_connection_state="{name}"}}'


# The name of the alert, series with values a minute, the minute, and whether it fires then.
CASES: list[tuple[str, dict[str, str], str, bool]] = [
    ("RealtimeGaveUp", {state("error"): "0 0 1 1 1"}, "3m", True),
    ("RealtimeGaveUp", {state("error"): "0 0 0 0 0", state("subscribed"): "3 3 3 3 3"}, "3m", False),
    ("RealtimeAway", {state("reconnecting"): "0 1x20"}, "7m", True),
    ("RealtimeAway", {state("reconnecting"): "0 1 1 0 1 1 0 1 1 0"}, "8m", False),
    ("RealtimeFlapping", {state("subscribed"): "2x20",
                          f'realtime_fsm_outages_total{{{PLACE}, realtime_fsm_outage_planned="false"}}': "0+1x20"}, "16m", True),
    ("RealtimeFlapping", {state("subscribed"): "9x20",
                          f'realtime_fsm_outages_total{{{PLACE}, realtime_fsm_outage_planned="false"}}': "0+1x20"}, "16m", False),
    ("RealtimeFlapping", {state("subscribed"): "2x20",
                          f'realtime_fsm_outages_total{{{PLACE}, realtime_fsm_outage_planned="true"}}': "0+1x20"}, "16m", False),
    ("RealtimeFlapping", {state("subscribed"): "1x5 0x5",
                          f'realtime_fsm_outages_total{{{PLACE}, realtime_fsm_outage_planned="false"}}': "0x3 1x7"}, "9m", False),
    ("RealtimeServerFault", {f"realtime_fsm_faults_total{{{PLACE}}}": "0x20 1x20"}, "22m", True),
    ("RealtimeServerFault", {f"realtime_fsm_faults_total{{{PLACE}}}": "_x20 1x20"}, "22m", True),
    ("RealtimeServerFault", {f"realtime_fsm_faults_total{{{PLACE}}}": "1x60"}, "40m", False),
    ("RealtimeSlowPings", {f'{PINGS}{{{PLACE}, le="1"}}': "0+1x40", f'{PINGS}{{{PLACE}, le="2.5"}}': "0+2x40",
                           f'{PINGS}{{{PLACE}, le="+Inf"}}': "0+2x40"}, "25m", True),
    ("RealtimeSlowPings", {f'{PINGS}{{{PLACE}, le="1"}}': "0+2x40", f'{PINGS}{{{PLACE}, le="+Inf"}}': "0+2x40"}, "25m", False),
    ("RealtimeEventsDropped", {f"realtime_fsm_dropped_events_total{{{PLACE}}}": "0 0 0 7 7 7"}, "5m", True),
    ("RealtimeEventsDropped", {f"realtime_fsm_dropped_events_total{{{PLACE}}}": "7x20"}, "15m", False),
    ("RealtimeEventsMissed", {f"realtime_fsm_gap_duration_seconds_count{{{PLACE}}}": "_x20 1x20"}, "22m", True),
    ("RealtimeEventsMissed", {f"realtime_fsm_gap_duration_seconds_count{{{PLACE}}}": "1x60"}, "40m", False),
    ("RealtimeSubscriptionRejected", {f"realtime_fsm_subscription_rejections_total{{{PLACE}}}": "0x20 2x20"}, "22m", True),
    ("RealtimeSubscriptionRejected", {f"realtime_fsm_subscription_rejections_total{{{PLACE}}}": "0x60"}, "40m", False),
    ("RealtimeHandlersFail", {f"messaging_process_duration_seconds_count{{{PLACE}}}": "0+9x20",
                              f'messaging_process_duration_seconds_count{{{PLACE}, error_type="E"}}': "0+1x20"}, "15m", True),
    ("RealtimeHandlersFail", {f"messaging_process_duration_seconds_count{{{PLACE}}}": "0+99x20",
                              f'messaging_process_duration_seconds_count{{{PLACE}, error_type="E"}}': "0+1x20"}, "15m", False),
]  # fmt: skip


def test_each_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    names = {alert["alert"] for alert in ALERTS}
    assert {name for name, _, _, fires in CASES if fires} == {name for name, _, _, fires in CASES if not fires} == names


@PROMTOOL
def test_prometheus_accepts_the_alerts() -> None:
    done = promtool("check", "rules", str(ALERT_FILE))
    assert (done.returncode, f"{len(ALERTS)} rules found" in done.stdout) == (0, True), done.stderr


@PROMTOOL
def test_alerts_fire_when_they_should(tmp_path: Path) -> None:
    tests = []
    for name, given, minute, fires in CASES:
        check: dict[str, Any] = {"expr": f'count(ALERTS{{alertname="{name}", alertstate="firing"}})', "eval_time": minute}
        check["exp_samples"] = [{"labels": "{}", "value": 1}] if fires else []
        tests.append({
            "interval": "1m",
            "input_series": [{"series": one, "values": values} for one, values in given.items()],
            "promql_expr_test": [check],
        })  # fmt: skip
    file = tmp_path / "cases.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(ALERT_FILE)], "evaluation_interval": "1m", "tests": tests}))
    done = promtool("test", "rules", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
