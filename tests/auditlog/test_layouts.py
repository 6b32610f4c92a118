"""The layouts for log stores: the record arrives whole under one key, and the audit reads it as if it were plain."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from auditlog.test_writer import write_each
from realtime_fsm import BadOption
from realtime_fsm.audit import configure, readable, wrapper
from realtime_fsm.audit.decoding import ExtendedRecord
from realtime_fsm.audit.shapes import Shapes
from realtime_fsm.auditlog.layouts import LAYOUTS, NAMESPACE, Layout
from realtime_fsm.auditlog.records import RECORDS
from realtime_fsm.auditlog.writer import AuditWriter
from support.some import some

# The names that the stores keep for themselves: https://docs.datadoghq.com/logs, and the field sets of the Elastic Common Schema.
RESERVED: dict[Layout, set[str]] = {
    "datadog": {"host", "source", "status", "service", "trace_id", "message", "ddsource", "ddtags", "timestamp"},
    "ecs": {
        "@timestamp", "agent", "client", "container", "ecs", "error", "event", "file", "host", "http", "labels", "log", "message",
        "network", "process", "rule", "server", "service", "source", "tags", "trace", "url", "user",
    },
    "nested": {"event", "level", "timestamp"},
}  # fmt: skip
ALLOWED: dict[Layout, set[str]] = {
    "datadog": {"timestamp", "status", "message"},
    "ecs": {"@timestamp", "log.level", "message", "ecs.version", "event.dataset"},
    "nested": {"timestamp", "level", "event"},
}


@pytest.fixture(autouse=True)
def unconfigured() -> Iterator[None]:
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


def written(path: Path, fields: Layout | None) -> list[dict[str, Any]]:
    """One record of each kind, as `configure` writes it."""
    with configure(path, fields=fields):
        write_each(AuditWriter("c1", lambda failure: None))
    return [json.loads(line) for line in path.read_text().splitlines()]


def read(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records in lines, as the audit finds them."""
    shapes = Shapes()
    found = [shapes.read(json.dumps(line).encode() + b"\n") for line in some(lines)]
    assert all(isinstance(made, ExtendedRecord) for _, made in found), found
    return [json.loads(plain) for plain, _ in found]


@pytest.mark.parametrize("fields", LAYOUTS)
def test_each_kind_of_record_comes_back_as_it_was(fields: Layout, tmp_path: Path) -> None:
    plain, laid_out = written(tmp_path / "plain", None), written(tmp_path / "out", fields)
    assert {line["event"] for line in plain} == {str(kind.__struct_config__.tag) for kind in RECORDS}
    for line, known in zip(laid_out, plain, strict=True):
        line[NAMESPACE]["timestamp"] = known["timestamp"]
        del known["level"]
    if "message" in ALLOWED[fields]:
        assert [line["message"] for line in laid_out] == [known.pop("sentence") for known in plain]
    assert read(laid_out) == plain


@pytest.mark.parametrize("fields", LAYOUTS)
def test_nothing_stands_under_a_reserved_name_but_what_belongs_there(fields: Layout, tmp_path: Path) -> None:
    for line in some(written(tmp_path / "out", fields)):
        assert set(line) == ALLOWED[fields] | {NAMESPACE}
        assert {name for name in line if name.partition(".")[0] in RESERVED[fields]} == ALLOWED[fields]
        assert isinstance(line[NAMESPACE]["event"], str)


def test_the_elastic_layout_has_the_fields_that_its_loggers_must_write(tmp_path: Path) -> None:
    first = written(tmp_path / "out", "ecs")[0]
    assert list(first)[:3] == ["@timestamp", "log.level", "message"]
    assert first["@timestamp"] == first[NAMESPACE]["timestamp"]
    assert (first["log.level"], first["event.dataset"]) == ("debug", "realtime_fsm.audit")
    assert first["message"].startswith("the connection is used for the first time: ")


@pytest.mark.parametrize(
    ("code", "told", "read_as"),
    [(1008, "1008", 1008), (-1, "-1", -1), ("42S02", "42S02", "42S02"), ("23000", "text", "text"), (None, None, None)],
)
def test_a_code_has_one_type_for_elasticsearch(code: int | str | None, told: str | None, read_as: int | str | None) -> None:
    record = {
        "event": "realtime.presence", "schema": 1, "machine": "0123456789ab", "connection_id": "c", "seq": 1, "link": 1,
        "timestamp": "2026-11-24T05:00:00Z", "change": "rejected", "error_code": code,
    }  # fmt: skip
    made = wrapper("ecs")(None, "warning", record)
    assert made[NAMESPACE]["error_code"] == told
    assert read([made])[0]["error_code"] == read_as


def test_a_field_has_one_type_in_all_records_but_the_code(tmp_path: Path) -> None:
    kinds: dict[str, set[str]] = {}
    for line in some(written(tmp_path / "out", "ecs")):
        for name, value in line[NAMESPACE].items():
            if value is not None:
                kinds.setdefault(name, set()).add("object" if isinstance(value, dict) else type(value).__name__)
    assert {name for name, found in kinds.items() if len(found) > 1} == set()
    assert "str" in kinds["error_code"]


def test_other_events_pass_as_they_are() -> None:
    wrap = wrapper("ecs")
    for event in (
        {"event": "request", "source": "app"},
        {"event": ["realtime.ping"]},
        {"source": "app"},
        {"event": "realtime.mine"},
    ):
        assert wrap(None, "info", dict(event)) == event


def test_fields_of_the_application_stay_beside_the_record() -> None:
    made = wrapper("datadog")(None, "info", {"event": "realtime.close", "seq": 1, "timestamp": "t", "level": "INFO", "pod": "a"})
    assert made == {
        "timestamp": "t", "status": "INFO", "message": "realtime.close", "pod": "a",
        NAMESPACE: {"event": "realtime.close", "seq": 1, "timestamp": "t"},
    }  # fmt: skip


def test_a_console_shows_the_sentence_and_the_connection(capfd: pytest.CaptureFixture[str]) -> None:
    structlog.configure(
        processors=[structlog.processors.add_log_level, readable, structlog.dev.ConsoleRenderer(colors=False)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    write_each(AuditWriter("0123456789", lambda failure: None))
    structlog.get_logger().info("ready", port=80)
    lines = [re.sub(r"^\S+ ", "", line.rstrip()) for line in capfd.readouterr().out.splitlines()]
    assert lines[:3] == [
        "[warning  ] link 3 lost: the server, or a middle box, ended the stream (close code 1006); dial 3 in 1.8 s"
        " connection=01234567",
        "[warning  ] the server rejects subscription s1 (code 1003) connection=01234567",
        "[warning  ] the server rejects the presence (code 401) connection=01234567",
    ]
    assert lines[-1].split()[-2:] == ["ready", "port=80"]
    assert len(lines) == 11
    assert max(map(len, lines)) < 140


def test_readable_keeps_the_fields_of_the_application_and_other_events() -> None:
    told = {
        "event": "realtime.close",
        "seq": 1,
        "sentence": "it is over",
        "connection_id": "0123456789",
        "timestamp": "t",
        "pod": "a",
    }
    assert readable(None, "info", told) == {"event": "it is over", "connection": "01234567", "timestamp": "t", "pod": "a"}
    for event in (
        {"event": "request", "sentence": "a"},
        {"event": ["realtime.ping"]},
        {"source": "app"},
        {"event": "realtime.mine"},
        {"event": "realtime.close", "connection_id": "0123456789"},  # a processor has taken the sentence
    ):
        assert readable(None, "info", dict(event)) == event


def test_another_layout_is_refused_and_configures_nothing(tmp_path: Path) -> None:
    layout: Any = "splunk"
    with pytest.raises(BadOption, match="fields: 'splunk' is no layout; use one of ecs, datadog, nested, or None"):
        configure(tmp_path / "log", fields=layout)
    assert not structlog.is_configured()
    assert not (tmp_path / "log").exists()
