"""The lnav format and the OpenTelemetry mapping hold every field and keep the rules of their programs."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest

from generated.lnav import NAME, lnav_format
from generated.telemetrypage import telemetry_page
from realtime_fsm.auditlog.records import RECORDS, AnyRecord
from realtime_fsm.auditlog.schema import FIELDS, KINDS
from realtime_fsm.fsm.table import LIVE, State
from realtime_fsm.ops.telemetry_names import (
    ATTRIBUTES,
    COMMON,
    METRICS,
    SEVERITIES,
    TIMESTAMP,
    attribute,
    attributes_of,
    event_name,
)
from support.some import some

# --- lnav -------------------------------------------------------------------------------------------------------------

# The structure that https://lnav.org/schemas/format-v1.schema.json documents, as far as the format uses it.
FORMAT = {
    "title": str, "description": str, "file-type": str, "timestamp-field": str, "level-field": str, "opid-field": str,
    "body-field": str, "hide-extra": bool, "level": dict, "line-format": list, "value": dict, "highlights": dict, "sample": list,
}  # fmt: skip
ELEMENT = {"field": str, "default-value": str, "min-width": int, "max-width": int, "overflow": str, "prefix": str}
VALUE = {"kind": str, "identifier": bool, "foreign-key": bool, "hidden": bool, "description": str}
LEVELS = {"trace", "debug", "info", "stats", "notice", "warning", "error", "critical", "fatal"}
OURS: dict[str, Any] = lnav_format()[NAME]


def fits(found: dict[str, Any], known: dict[str, type]) -> bool:
    return all(type(value) is known.get(name) for name, value in found.items())


def test_the_lnav_format_has_the_documented_structure() -> None:
    whole = lnav_format()
    assert set(whole) == {"$schema", NAME}
    assert re.fullmatch(r"\w+", NAME)
    assert fits(OURS, FORMAT)
    assert OURS["file-type"] == "json"
    assert set(OURS["level"]) <= LEVELS
    assert all(isinstance(part, str) or ("field" in part and fits(part, ELEMENT)) for part in OURS["line-format"])
    for value in some(OURS["value"].values()):
        assert fits(value, VALUE)
        assert value["kind"] in {"string", "integer", "float", "boolean", "json"}
    assert all(fits(light, {"pattern": str, "color": str}) for light in OURS["highlights"].values())
    assert all(fits(sample, {"line": str, "level": str}) for sample in OURS["sample"])


def test_the_lnav_format_knows_every_field_and_each_one_once() -> None:
    assert set(OURS["value"]) == {"event", "level", *FIELDS}
    assert {name: value["kind"] for name, value in OURS["value"].items() if name in FIELDS} == {
        name: field.json_type for name, field in FIELDS.items()
    }
    shown = [part["field"] for part in OURS["line-format"] if isinstance(part, dict)]
    assert len(shown) == len(set(shown))
    assert set(shown) - {"__timestamp__"} <= set(OURS["value"])
    hidden = {name for name, value in OURS["value"].items() if value.get("hidden")}
    assert hidden | set(shown) | {"timestamp"} == {"__timestamp__", *OURS["value"]}, "what is not shown is hidden, and only that"
    assert not hidden & set(shown)


def test_lnav_finds_what_it_needs_in_a_line() -> None:
    shown = {part["field"] for part in OURS["line-format"] if isinstance(part, dict)}
    assert OURS["opid-field"] == "connection_id"
    assert OURS["opid-field"] in shown, "lnav goes from record to record of a connection by what the line shows"
    for sample in some(OURS["sample"]):
        record = json.loads(sample["line"])
        assert {OURS[f"{name}-field"] for name in ("timestamp", "level", "opid", "body")} <= set(record)
        level = record.pop("level")
        msgspec.convert(record, AnyRecord, strict=True)
        assert [name for name, pattern in OURS["level"].items() if re.search(pattern, level)] == [sample["level"]]


@pytest.mark.parametrize("state", State)
def test_lnav_colours_the_states_by_what_they_mean(state: State) -> None:
    line = f"disposing -> {state} on lost" if state is not State.DISPOSING else f"{state} by end80"
    found = {name for name, light in OURS["highlights"].items() if re.search(light["pattern"], line)}
    assert found == ({"live"} if state in LIVE else {state.value} & {"reconnecting", "error"})


# --- OpenTelemetry ----------------------------------------------------------------------------------------------------


def test_every_field_of_every_record_has_its_attribute_and_nothing_else_has() -> None:
    assert set(ATTRIBUTES) == {str(record.__struct_config__.tag) for record in RECORDS}
    for record in RECORDS:
        event = str(record.__struct_config__.tag)
        assert set(COMMON) | set(ATTRIBUTES[event]) == set(record.__struct_fields__), event
        assert not set(COMMON) & set(ATTRIBUTES[event])
        names = [attribute(event, field) for field in record.__struct_fields__]
        assert len(names) == len(set(names)), f"two fields of {event} are one attribute"
    with pytest.raises(KeyError):
        attribute("realtime.ping", "nonsense")


def test_an_attribute_is_of_one_type_and_of_one_field() -> None:
    fields: dict[str, set[tuple[str, str]]] = {}
    for kind in KINDS:
        for field in kind.fields:
            fields.setdefault(attribute(kind.event, field.name), set()).add((field.name, field.json_type))
    assert {name: found for name, found in fields.items() if len(found) > 1} == {}


def test_names_keep_the_rules_of_the_conventions() -> None:
    attributes = {attribute(kind.event, field.name) for kind in KINDS for field in kind.fields} - {TIMESTAMP}
    events, metrics = {event_name(kind.event) for kind in KINDS}, {metric.name for metric in METRICS}
    for name in some(attributes | events | metrics):
        assert re.fullmatch(r"[a-z](?:[._]?[a-z0-9])*", name)
    foreign = {name for name in attributes if not name.startswith("realtime_fsm.")}
    assert foreign == {"error.type", "http.response.status_code"}, "no own name is in a namespace of the conventions"
    assert all(name.startswith("realtime_fsm.") for name in events)
    assert {name for name in metrics if not name.startswith("realtime_fsm.")} == {
        "messaging.client.consumed.messages", "messaging.process.duration",
    }  # fmt: skip
    namespaces = {name.rsplit(".", depth)[0] for name in attributes for depth in range(1, name.count(".") + 1)}
    assert not attributes & namespaces, "a name is not a namespace, too"
    assert {number for _, number in SEVERITIES.values()} == {5, 9, 13, 17, 21}


def test_metrics_are_made_of_fields_that_exist() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    shapes = {kind.event: {field.name: field for field in kind.fields} for kind in KINDS}
    words = set()
    for metric in METRICS:
        assert (metric.instrument == "Histogram") == bool(metric.buckets)
        assert list(metric.buckets) == sorted(set(metric.buckets))
        assert re.fullmatch(r"s|\{[a-z]+\}", metric.unit), "UCUM: seconds, or an annotation in the singular"
        assert ": " not in metric.means, "it goes into YAML"
        if not metric.event:
            assert not metric.value, metric.name
            assert metric.when is None, metric.name
            continue
        fields = shapes[metric.event]
        assert {*metric.by, *filter(None, (metric.value,))} <= set(fields), metric.name
        if metric.value:
            assert fields[metric.value].json_type in ("float", "integer")
        if metric.when is not None:
            field, _, other = metric.when
            assert field in fields, metric.name
            words.add(other)
            assert other in ("nil", *fields) or other.strip('"') in fields[field].allowed_values, metric.name
    assert words == {"nil", "dest", '"opened"', '"closed"', '"rejected"'}


def test_no_attribute_of_a_metric_has_values_without_end() -> None:
    assert {name for metric in METRICS for name in attributes_of(metric).values()} == {
        "code.function.name", "error.type", "messaging.operation.name", "messaging.system", "realtime_fsm.connection.state",
        "realtime_fsm.malformed.kind", "realtime_fsm.outage.planned", "realtime_fsm.table.row", "realtime_fsm.transition.source",
    }  # fmt: skip


def test_the_page_shows_the_mapping_and_carries_it_out() -> None:
    page = telemetry_page()
    configuration = page.split("```yaml\n")[1].split("```")[0]
    for kind in KINDS:
        section = page.split(f"### `{event_name(kind.event)}`")[1].split("\n#")[0]
        statements = configuration.split(f'== "{kind.event}"\n')[1].split("- conditions")[0]
        for field in some(kind.fields):
            name = attribute(kind.event, field.name)
            if name == TIMESTAMP:
                continue
            assert f"| `{field.name}` | `{name}` |" in (page if field.common else section)
            assert f'set(log.attributes["{name}"], ' in (configuration if field.common else statements)
            assert f'log.attributes["{field.name}"]' in (configuration if field.common else statements)
    kept = re.search(r'keep_matching_keys\(log.attributes, "(.*)"\)', configuration)
    assert kept is not None
    everything = {name for kind in KINDS for field in kind.fields if (name := attribute(kind.event, field.name)) != TIMESTAMP}
    assert all(re.search(kept[1], name) for name in everything | {"network.protocol.name", "log.file.name"})
    assert not any(re.search(kept[1], field) for field in ("event", "level", *FIELDS)), "the names in the file go"
    for metric in METRICS:
        assert f"| `{metric.name}` | {metric.instrument} | `{metric.unit}` |" in page
        assert (f"- name: {metric.name}\n" in configuration) == bool(metric.event)
