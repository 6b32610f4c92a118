"""The page about OpenTelemetry: the mapping in tables, and a configuration of the collector that carries it out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.auditlog.records import SCHEMA
from realtime_fsm.auditlog.schema import KINDS
from realtime_fsm.fsm.table import LIVE, State
from realtime_fsm.ops.telemetry_names import (
    ATTRIBUTES,
    METRICS,
    PROCESS,
    SEVERITIES,
    TIMESTAMP,
    attribute,
    attributes_of,
    event_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from realtime_fsm.auditlog.schema import FieldInfo, Holds, RecordKind
    from realtime_fsm.ops.telemetry_names import Metric

_TYPES: dict[Holds, str] = {"integer": "int", "float": "double", "string": "string", "boolean": "boolean", "json": "map"}

SPANS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    (
        "dial", "CLIENT", "a dial, from its begin to the greeting, the failure, or the trigger that ends it early",
        ("realtime_fsm.connection.id", "realtime_fsm.link.number", "realtime_fsm.dial.attempt", "network.protocol.name",
         *(ATTRIBUTES["realtime.transition"][field] for field in ("era", "cause", "error_code", "close_code", "status"))),
    ),
    ("process", "CONSUMER", "one call of a handler (`Realtime.on`)", PROCESS.by),
)  # fmt: skip
"""The spans: name, kind, meaning and attributes."""

_PLACE = "          "

_HEAD = f"""\
# Events, metrics and spans in OpenTelemetry

Made from the record types (schema {SCHEMA}) and from `realtime_fsm/ops/telemetry_names.py`; `make diagrams` writes it anew.
`realtime_fsm.telemetry.instrument` sends all of it. A program without that call derives most of it from its audit log, with the
[collector](#with-the-collector).

Each record of the audit log is an [event](https://opentelemetry.io/docs/specs/semconv/general/events/): a log record with a name,
attributes and no body. A name of the [semantic conventions](https://opentelemetry.io/docs/specs/semconv/) is used where one means
the same; all others begin with `realtime_fsm.`. A field that is null is no attribute.

| in the log record | is |
|---|---|
| `EventName` | the kind of record, as below |
| `{TIMESTAMP}` | `timestamp` |
| `SeverityText`, `SeverityNumber` | the `level` that the application's logging adds: {{severities}} |
| `Body` | nothing |
| the scope's name | `realtime_fsm` |
| the resource | the application's own attributes: `service.name`, `service.instance.id` |
| `network.protocol.name` | `websocket` |

A connection is no service: a process may have many, so its id is no `service.instance.id`. No record tells where a connection
goes; the reader of the log adds `server.address` where it is wanted.

## Events
"""

_METRICS = """
## Metrics

Units are those of [UCUM](https://ucum.org). A metric without an event needs `instrument`: no log holds its values. No attribute
names a connection, a subscription or a channel, so the number of time series has a bound.

| metric | instrument | unit | event | value | attributes | meaning |
|---|---|---|---|---|---|---|
"""

_SPANS = """
Availability is the part of `realtime_fsm.state.time` in a live state ({live}), of all that is not in `{disconnected}` or
`{disposing}`. `realtime-fsm audit` is more exact: it leaves out the time in `{disconnected}` that the user asked for.

## Spans

A span has a trace of its own: a connection outlives the call that began it. No span lasts as long as a link. No span has an
exception's text, which may quote a payload.

| span | kind | begins and ends | attributes |
|---|---|---|---|
"""

_COLLECTOR = """
## With the collector

The [collector](https://opentelemetry.io/docs/collector/), in its contrib distribution 0.153 or later, reads the log with its
[file log receiver](https://github.com/open-telemetry/opentelemetry-collector-contrib/tree/main/receiver/filelogreceiver) (type
`file_log`; its name was `filelog`), drops other lines, renames the fields and derives the metrics:

```yaml
receivers:
  file_log:
    include: [/var/log/app/*.jsonl]
    start_at: beginning
    operators:
      - type: filter
        expr: 'not (body contains "\\"realtime.")'
      - type: json_parser
        on_error: drop_quiet
        timestamp:
          parse_from: attributes.timestamp
          layout: '%Y-%m-%dT%H:%M:%S.%fZ'
          location: UTC
        severity:
          parse_from: attributes.level
          mapping: {mapping}
      - type: filter
        expr: 'not (attributes.event in [{events}])'
      - type: remove
        field: body

processors:
  transform/realtime_fsm:
    error_mode: ignore
    log_statements:
      - statements:
          - set(scope.name, "realtime_fsm")
          - set(log.attributes["network.protocol.name"], "websocket")
{statements}
      - statements:
          - keep_matching_keys(log.attributes, "{kept}")

connectors:
  signal_to_metrics:
    logs:
{metrics}

exporters:
  debug:

service:
  pipelines:
    logs:
      receivers: [file_log]
      processors: [transform/realtime_fsm]
      exporters: [debug, signal_to_metrics]
    metrics:
      receivers: [signal_to_metrics]
      exporters: [debug]
```

Put your own exporters for `debug`. The metrics are deltas: for a backend that wants sums since the beginning, such as Prometheus,
add the processor `delta_to_cumulative`.
"""


def telemetry_page() -> str:
    """Write the page.

    Returns:
        Markdown.
    """
    return "".join(
        (
            _HEAD.format(severities=", ".join(f"`{level}` is {text} ({n})" for level, (text, n) in SEVERITIES.items())),
            "\nAll events have:\n\n",
            _fields(field for field in KINDS[0].fields if field.common),
            *(_event(kind) for kind in KINDS),
            _METRICS,
            *map(_metric, METRICS),
            _SPANS.format(
                live=", ".join(f"`{state}`" for state in State if state in LIVE),
                disconnected=State.DISCONNECTED.value,
                disposing=State.DISPOSING.value,
            ),
            *(
                f"| `{name}` | {kind} | {means} | {', '.join(f'`{each}`' for each in names)} |\n"
                for name, kind, means, names in SPANS
            ),
            _COLLECTOR.format(
                mapping=_mapping(),
                events=", ".join(f'"{kind.event}"' for kind in KINDS),
                statements="\n".join(_statements()),
                kept=_kept(),
                metrics="\n".join(line for metric in METRICS if metric.event for line in _derived(metric)),
            ),
        )
    )


# --- the tables -------------------------------------------------------------------------------------------------------


def _event(kind: RecordKind) -> str:
    fields = [field for field in kind.fields if not field.common]
    table = f"\n{_fields(fields, kind.event)}" if fields else ""
    return f"\n### `{event_name(kind.event)}`\n\nOf `{kind.event}`: {kind.description[0].lower()}{kind.description[1:]}\n{table}"


def _fields(fields: Iterable[FieldInfo], event: str = "") -> str:
    rows = [f"| `{field.name}` | {_place(event, field)} | {_type(field)} | {field.description} |\n" for field in fields]
    return "".join(("| field | attribute | type | meaning |\n|---|---|---|---|\n", *rows))


def _place(event: str, field: FieldInfo) -> str:
    name = attribute(event, field.name)
    return f"the record's `{TIMESTAMP}`" if name == TIMESTAMP else f"`{name}`"


def _type(field: FieldInfo) -> str:
    words = f": {', '.join(f'`{word}`' for word in field.allowed_values)}" if field.allowed_values else ""
    return f"{_TYPES[field.json_type]}{words}"


def _metric(metric: Metric) -> str:
    value = f"`{metric.value}`" if metric.value else "1"
    by = ", ".join(f"`{name}`" for name in attributes_of(metric).values())
    when = f", where `{' '.join(metric.when).replace('nil', 'null')}`" if metric.when else ""
    source = f"`{event_name(metric.event)}`{when} | {value}" if metric.event else "|"
    return f"| `{metric.name}` | {metric.instrument} | `{metric.unit}` | {source} | {by} | {metric.means} |\n"


# --- the configuration ------------------------------------------------------------------------------------------------


def _mapping() -> str:
    named = ", ".join(f"{text.lower()}: {level}" for level, (text, _) in SEVERITIES.items() if text.lower() != level)
    return f"{{{named}}}"


def _statements() -> Iterator[str]:
    """The renaming, in OTTL. JSON numbers come as doubles, and a code may be a word; what is null is not set."""
    yield from _renaming("", (field for field in KINDS[0].fields if field.common and field.name != "timestamp"))
    for kind in KINDS:
        yield "      - conditions:"
        yield f'{_PLACE}- log.attributes["event"] == "{kind.event}"'
        yield "        statements:"
        yield f'{_PLACE}- set(log.event_name, "{event_name(kind.event)}")'
        yield from _renaming(kind.event, (field for field in kind.fields if not field.common))


def _renaming(event: str, fields: Iterable[FieldInfo]) -> Iterator[str]:
    for field in fields:
        old = f'log.attributes["{field.name}"]'
        value = f"Int({old})" if field.json_type == "integer" else f"String({old})" if field.name == "error_code" else old
        yield f'{_PLACE}- set(log.attributes["{attribute(event, field.name)}"], {value})'


def _kept() -> str:
    """A pattern of the attributes that stay: those that have been renamed, and what the receiver says of the file."""
    names = {attribute(kind.event, field.name) for kind in KINDS for field in kind.fields} - {TIMESTAMP}
    spaces = sorted({name.split(".")[0] for name in names} | {"log", "network"})
    return f"^({'|'.join(spaces)})[.]"


def _derived(metric: Metric) -> Iterator[str]:
    names = {field: attribute(metric.event, field) for kind in KINDS if kind.event == metric.event for field in _names(kind)}
    paths = {field: f'log.attributes["{name}"]' for field, name in names.items()}
    conditions = [
        f'log.event_name == "{event_name(metric.event)}"',
        *([" ".join(paths.get(word, word) for word in metric.when)] if metric.when else []),
    ]
    yield f"      - name: {metric.name}"
    yield f"        description: {metric.means}"
    yield f'        unit: "{metric.unit}"'
    yield f"        conditions: ['{' and '.join(conditions)}']"
    if metric.by:
        yield f"        attributes: [{', '.join(f'{{key: {names[field]}}}' for field in metric.by)}]"
    value = paths[metric.value] if metric.value else "1"
    if metric.instrument == "Histogram":
        yield f"        histogram: {{value: '{value}', buckets: [{', '.join(f'{bound:g}' for bound in metric.buckets)}]}}"
    else:
        yield f"        sum: {{value: '{value}', monotonic: true}}"


def _names(kind: RecordKind) -> Iterator[str]:
    return (field.name for field in kind.fields)
