"""The figures of an audit as views of DuckDB, for logs that are too large for one machine.

Invariant: the views read the timestamps that the audit reads. The head of the script names the shapes that they do not read.

Design: the template `stats.sql` takes states, events, columns and rows from the table and the record types. A renamed one
breaks the script here, and not at its user's.
"""

from __future__ import annotations

from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

from realtime_fsm.audit.shapes import TIMES
from realtime_fsm.auditlog.records import SCHEMA
from realtime_fsm.auditlog.schema import FIELDS, KINDS
from realtime_fsm.fsm.table import LIVE, TABLE, Trigger

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from realtime_fsm.auditlog.schema import Holds, RecordKind

_TYPES: dict[Holds, str] = {"integer": "BIGINT", "float": "DOUBLE", "string": "VARCHAR", "boolean": "BOOLEAN", "json": "JSON"}
_COLUMNS = {"event": "VARCHAR"} | {field.name: _TYPES[field.json_type] for field in FIELDS.values()}
_NAMED_ELSE = {"event": ("message", "msg"), "timestamp": ("ts", "time", "@timestamp", "date")}
"""Other names of two columns, as the built-in pass takes them, too."""
_READ = _COLUMNS | {name: "VARCHAR" for names in _NAMED_ELSE.values() for name in names}
_STATES = tuple(state.value for state in TABLE.states)
_VARIABLE = "realtime_logs"
_UNNAMED = f"coalesce(getvariable('{_VARIABLE}'), error('name the logs first: SET VARIABLE {_VARIABLE} = [...]'))"
_LINES = Template(
    "SELECT * FROM read_json($logs, format = 'newline_delimited', records = true, ignore_errors = true, columns = {$columns})"
)
_TEXTS = Template(
    "SELECT object_in(line) AS body, NULL::VARCHAR AS event, NULL::VARCHAR AS told FROM read_csv($logs,"
    " columns = {line: 'VARCHAR'}, delim = E'\\x01', quote = '', escape = '', header = false, auto_detect = false,"
    " ignore_errors = true) WHERE contains(line, 'realtime.')"
)
_UNWRAPPED = Template(
    "SELECT CASE WHEN is_record(body) THEN body ELSE object_in(part_of(body)) END AS body,"
    " coalesce(event_of(body), event) AS event, coalesce(time_of(body), told) AS told FROM ($texts)"
)
_RECORDS = Template("SELECT $columns FROM ($texts) WHERE is_record(body)")
_DEEPEST = 5
"""Wrappers around a record, at most."""
_PARQUET = Template("SELECT * FROM read_parquet($files, union_by_name = true)")
_NOTHING = Template("SELECT $columns WHERE false")
_PLAIN = """\
-- The views read plain records, a JSON object a line, also with `message` or `msg` for `event` and `ts`, `time` or `@timestamp`
-- for `timestamp`. For records in a wrapper, as docker, Kubernetes or shippers write them, make the views with --wrapped.
"""
_WRAPPED = """\
-- With DuckDB 1.3 or later, the views read records that are plain, behind a text, or in a field of an object, up to five deep.
-- They do not read pairs of keys and values (logfmt, consoles), names with a prefix, the output `stdout` of Fluent Bit, or an
-- object with another one behind: `realtime-fsm audit` reads those.
"""
_MACROS = Template("""\
-- The first JSON object in a text.
CREATE OR REPLACE MACRO braced(told) AS regexp_extract(told, '\\{.*\\}', 0, 's');
CREATE OR REPLACE MACRO object_in(told) AS coalesce(
    TRY_CAST(braced(told) AS JSON),
    TRY_CAST(braced(substr(braced(told), 2)) AS JSON),
    TRY_CAST(braced(substr(braced(substr(braced(told), 2)), 2)) AS JSON),
    TRY_CAST(replace(braced(told), '""', '"') AS JSON)
);
CREATE OR REPLACE MACRO is_record(body) AS coalesce(json_exists(body, '$$.connection_id'), false);
-- The values of an object as texts; the one that holds a record; the one that names an event; and the one that tells the moment.
CREATE OR REPLACE MACRO texts_of(body) AS [each->>'$$' FOR each IN map_values(TRY_CAST(body AS MAP(VARCHAR, JSON)))];
CREATE OR REPLACE MACRO part_of(body) AS [each FOR each IN texts_of(body) IF contains(each, 'connection_id')][1];
CREATE OR REPLACE MACRO event_of(body) AS [each FOR each IN texts_of(body) IF each IN ($events)][1];
CREATE OR REPLACE MACRO time_of(body) AS coalesce($times);

""")
_NOTE = f"""\
-- No logs were named, so name them before this script, and in each session that uses the views:
--   SET VARIABLE {_VARIABLE} = ['s3://bucket/logs/*.jsonl.gz'];      (JSON lines)
"""


def script(names: Sequence[str], *, wrapped: bool = False) -> str:
    """Write the views.

    Args:
        names: files, or globs of files, as DuckDB takes them: Parquet where they end in ``.parquet``, else JSON lines, plain
            or compressed. Without any, the script reads the JSON lines that a variable of DuckDB names.
        wrapped: whether the lines may hold a record in a wrapper, which takes several times as long to read.

    Returns:
        The script.
    """
    parquet = [name for name in names if name.lower().endswith(".parquet")]
    lines = [name for name in names if name not in parquet]
    words = _words()
    template = Template(files(__package__).joinpath("stats.sql").read_text(encoding="utf-8"))
    return template.substitute(
        words,
        sources=_sources(lines, parquet, wrapped=wrapped),
        note="" if names else _NOTE,
        reads=_WRAPPED if wrapped else _PLAIN,
        macros=_MACROS.substitute(words, times=", ".join(f"body->>{_text(name)}" for name in ("timestamp", *TIMES)))
        if wrapped
        else "",
    )


def _sources(lines: Sequence[str], parquet: Sequence[str], *, wrapped: bool) -> str:
    """Write the sources of the records, with all columns of records, whatever columns Parquet files have."""
    columns = ", ".join(f"{_name(name)}: '{kind}'" for name, kind in _READ.items())
    nothing = ", ".join(f"NULL::{kind} AS {_name(name)}" for name, kind in _READ.items())
    if lines or not parquet:
        logs = _texts(lines) if lines else _UNNAMED
        sources: list[str] = [_unwrapped(logs) if wrapped else _LINES.substitute(logs=logs, columns=columns)]
    else:
        sources = [_NOTHING.substitute(columns=nothing)]
    if parquet:
        sources.append(_PARQUET.substitute(files=_texts(parquet)))
    return "\n        UNION ALL BY NAME\n        ".join(sources)


def _unwrapped(logs: str) -> str:
    """Write the source of records in wrappers: it unwraps each line as often as a wrapper can be in another one."""
    texts = _TEXTS.substitute(logs=logs)
    for _ in range(_DEEPEST):
        texts = _UNWRAPPED.substitute(texts=texts)
    columns = [
        "coalesce(event_of(body), event) AS event",
        'coalesce(time_of(body), told) AS "timestamp"',
        *(f"body->>{_text(name)} AS {_name(name)}" for name in _COLUMNS if name not in _NAMED_ELSE),
        *(f"NULL::VARCHAR AS {_name(name)}" for names in _NAMED_ELSE.values() for name in names),
    ]
    return _RECORDS.substitute(columns=", ".join(columns), texts=texts)


def _words() -> dict[str, str]:
    events = [kind.event for kind in KINDS]
    changes = {word for kind in KINDS for field in kind.fields if field.name == "change" for word in field.allowed_values}
    spent = "sum(spent) FILTER (moves AND source = {text})"
    return {
        "machine": TABLE.fingerprint,
        "schema": str(SCHEMA),
        "columns": ",\n        ".join(f"{_typed(name, kind)} AS {_name(name)}" for name, kind in _COLUMNS.items()),
        "given": _given(),
        "events": ", ".join(map(_text, events)),
        "live": ", ".join(_text(state) for state in _STATES if state in LIVE),
        "rows": ", ".join(_text(row.id) for row in TABLE.rows),
        "up": " + ".join(_name(state) for state in _STATES if state in LIVE),
        "spent": _each_state(f"coalesce({spent}, 0) AS {{name}}"),
        "spent_in_all": _each_state("sum({name}) AS {name}"),
        "spent_to_the_end": _each_state(
            "{name} + CASE WHEN state = {text} THEN stayed + coalesce(waited, 0) ELSE 0 END AS {name}"
        ),
        "spent_by_all": _each_state("round(sum({name}), 6) AS {name}"),
        **{state: _text(state) for state in _STATES},
        **{f"column_{state}": _name(state) for state in _STATES},
        **{f"on_{trigger}": _text(trigger) for trigger in Trigger},
        **{f"event_{event.rpartition('.')[2]}": _text(event) for event in events},
        **{f"change_{change}": _text(change) for change in changes},
    }


def _typed(name: str, kind: str) -> str:
    names = [_name(each) for each in (name, *_NAMED_ELSE.get(name, ()))]
    if name == "timestamp":
        return f"coalesce({', '.join(f'moment({each}::VARCHAR)' for each in names)})"
    if name == "event":
        return f"coalesce({', '.join(f'of_us({each}::VARCHAR)' for each in names)})"
    if name == "source":  # some shippers reserve the name; the beginning of a rule's id tells the state, too
        states = {row.id[:3]: row.source for row in TABLE.rows}
        cases = " ".join(f"WHEN {_text(start)} THEN {_text(state)}" for start, state in states.items())
        return f"coalesce(TRY_CAST({names[0]} AS {kind}), CASE left({_name('row')}, 3) {cases} END)"
    return f"TRY_CAST({names[0]} AS {kind})"


def _given() -> str:
    """Write the condition that a record has the required fields of its kind."""
    cases = "\n        ".join(f"WHEN {_text(kind.event)} THEN {_present(kind, common=False)}" for kind in KINDS)
    return f"{_present(KINDS[0], common=True)}\n        AND CASE event\n        {cases}\n    END"


def _present(kind: RecordKind, *, common: bool) -> str:
    return (
        " AND ".join(f"{_name(each.name)} IS NOT NULL" for each in kind.fields if each.required and each.common is common)
        or "true"
    )


def _each_state(form: str) -> str:
    return ",\n    ".join(form.format(name=_name(state), text=_text(state)) for state in _STATES)


def _texts(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(_text, texts))}]"


def _text(text: str) -> str:
    """Quote a text for SQL."""
    quoted = text.replace("'", "''")
    return f"'{quoted}'"


def _name(name: str) -> str:
    """Quote a name for SQL, where some are keywords."""
    return f'"{name}"'
