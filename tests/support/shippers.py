"""Logs as containers, shippers and other renderers hand them on, each made from the records of one conformant log."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from typing import Any

import structlog

from realtime_fsm.auditlog.layouts import LAYOUTS, Layout, wrapper
from support.brokenlogs import Record

Write = Callable[[Record], str]
AT = "2026-11-24T05:00:00.123456789Z"
HASH = "3f4e9a0c7b1d2e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7"


def plain(record: Record) -> str:
    return json.dumps(record)


def moved(record: Record, **keys: str) -> Record:
    """The record with other keys."""
    return {keys.get(key, key): value for key, value in record.items()}


def epoch(record: Record) -> float:
    return datetime.fromisoformat(record["timestamp"]).timestamp()


def without(record: Record, *names: str) -> Record:
    return {key: value for key, value in record.items() if key not in names}


def local(record: Record, digits: str = "auto") -> str:
    zone = timezone(timedelta(hours=5, minutes=30))
    return datetime.fromisoformat(record["timestamp"]).astimezone(zone).isoformat(sep=" ", timespec=digits)


def as_texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: as_texts(inner) for key, inner in value.items()}
    return value if value is None or isinstance(value, str) else json.dumps(value)


def rendered(renderer: Any) -> Write:
    return lambda record: renderer(None, "info", dict(record))


def laid_out(fields: Layout) -> Write:
    wrap = wrapper(fields)
    return lambda record: json.dumps(wrap(None, "info", dict(record)))


def in_csv(record: Record) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow([AT, "app-7f", plain(record)])
    return out.getvalue()


FORMATS: dict[str, Write] = {
    "nulls dropped": lambda r: json.dumps({key: value for key, value in r.items() if value is not None}),
    "seconds": lambda r: json.dumps({**r, "timestamp": epoch(r)}),
    "milliseconds": lambda r: json.dumps({**r, "timestamp": round(epoch(r) * 1000)}),
    "microseconds": lambda r: json.dumps({**r, "timestamp": round(epoch(r) * 1_000_000)}),
    "nanoseconds": lambda r: json.dumps({**r, "timestamp": round(epoch(r) * 1_000_000) * 1000}),
    "milliseconds in a text": lambda r: json.dumps({**r, "timestamp": str(round(epoch(r) * 1000))}),
    "local time": lambda r: json.dumps({**r, "timestamp": local(r)}),
    "local time without colon": lambda r: json.dumps(
        {**r, "timestamp": local(r, "milliseconds").replace(".", ",").replace("+05:30", "+0530")}
    ),
    "numbers as texts": lambda r: json.dumps(as_texts(r)),
    "upper-case level": lambda r: json.dumps({**r, "level": "INFO"}),
    "ts": lambda r: json.dumps(moved(r, timestamp="ts")),
    "@timestamp": lambda r: json.dumps(moved(r, timestamp="@timestamp")),
    "message": lambda r: json.dumps(moved(r, event="message")),
    "msg and time": lambda r: json.dumps(moved(r, event="msg", timestamp="time")),
}
"""Plain JSON lines, written by another formatter."""

WRAPPERS: dict[str, Write] = {
    "docker": lambda r: json.dumps({"log": plain(r) + "\n", "stream": "stdout", "time": AT}),
    "cri": lambda r: f"{AT} stdout F {plain(r)}",
    "compose": lambda r: f"app-1  | {plain(r)}",
    "compose in color": lambda r: f"\x1b[36mapp-1  |\x1b[0m {plain(r)}",
    "kubectl --timestamps": lambda r: f"{AT} {plain(r)}",
    "kubectl --prefix": lambda r: f"[pod/app-7f/app] {plain(r)}",
    "journald": lambda r: json.dumps(
        {"__CURSOR": f"s={HASH};i=1", "__REALTIME_TIMESTAMP": "1795496400123456", "PRIORITY": "6", "MESSAGE": plain(r)}
    ),
    "journald short": lambda r: f"Nov 24 05:00:00 host app[17]: {plain(r)}",
    "syslog": lambda r: f'<14>1 {AT} host app 17 - [origin x="{{1}}"] {plain(r)}',
    "cloudwatch tail": lambda r: f"2026-11-24T05:00:00.123000+00:00 app/{HASH} {plain(r)}",
    "basicConfig": lambda r: f"INFO:realtime_fsm:{plain(r)}",
    "formatter of logging": lambda r: f"2026-11-24 05:00:00,123 - realtime_fsm - INFO - {plain(r)}",
    "vector": lambda r: json.dumps({"file": "/var/log/app", "host": "h", "message": plain(r), "source_type": "file"}),
    "vector parsed": lambda r: json.dumps({**r, "file": "/var/log/app", "host": "h", "source_type": "file"}),
    "fluent bit": lambda r: json.dumps({"date": 1795496400.123, "log": plain(r), "kubernetes": {"docker_id": HASH}}),
    "fluent bit merged": lambda r: json.dumps(
        {"@timestamp": AT, **r, "kubernetes": {"docker_id": HASH, "annotations": {"checksum/secret": HASH}}}
    ),
    "fluent bit took the time": lambda r: json.dumps({"date": epoch(r), **without(r, "timestamp")}),
    "fluent bit stdout": lambda r: f'[0] app: [[1795496400.123, {{}}], {{"log"=>{json.dumps(plain(r))}}}]',
    "fluentd file": lambda r: f"{AT}\tkube.app\t{json.dumps({'log': plain(r), 'stream': 'stdout'})}",
    "datadog agent": lambda r: json.dumps({"ddsource": "python", "ddtags": "env:x", "service": "app", "message": plain(r)}),
    "datadog archive": lambda r: json.dumps({"_id": "A1", "date": AT, "service": "app", "status": "info", "attributes": r}),
    "datadog export": lambda r: json.dumps(
        {
            "id": "A1",
            "content": {"message": r["event"], "timestamp": r["timestamp"], "attributes": without(r, "event", "timestamp")},
        }
    ),
    "ecs": lambda r: json.dumps(
        {"@timestamp": r["timestamp"], "log.level": "info", "message": r["event"], "ecs.version": "1.6.0"}
        | without(r, "event", "timestamp")
    ),
    "filebeat": lambda r: json.dumps({"@timestamp": AT, "agent": {"id": HASH}, "ecs": {"version": "8.0.0"}, "message": plain(r)}),
    "gcp text": lambda r: json.dumps({"insertId": "x1", "textPayload": plain(r), "timestamp": AT}),
    "gcp json": lambda r: json.dumps(
        {"insertId": "x1", "severity": "INFO", "timestamp": r["timestamp"]}
        | {"jsonPayload": moved(without(r, "timestamp"), event="message"), "receiveTimestamp": AT}
    ),
    "log": lambda r: json.dumps({"log": plain(r)}),
    "nested": lambda r: json.dumps({"level": "info", "realtime": r}),
    "nested deep": lambda r: json.dumps({"a": {"b": {"c": r}}}),
    "flattened": lambda r: json.dumps({"host": "h", **{f"app.{key}": value for key, value in r.items()}}),
    "twice": lambda r: json.dumps({"log": f"INFO {json.dumps({'message': plain(r)})}\n"}),
    **{f"layout {fields}": laid_out(fields) for fields in LAYOUTS},
    "layout ecs in docker": lambda r: json.dumps({"log": laid_out("ecs")(r) + "\n", "stream": "stdout", "time": AT}),
    "text behind": lambda r: f"{plain(r)} trace={HASH}",
    "csv": in_csv,
    "logfmt": rendered(structlog.processors.LogfmtRenderer()),
    "key-value": rendered(structlog.processors.KeyValueRenderer()),
    "console": rendered(structlog.dev.ConsoleRenderer(colors=False)),
    "console in color": rendered(structlog.dev.ConsoleRenderer(colors=True)),
}
"""Lines that hold a record."""

ALL: dict[str, Write] = FORMATS | WRAPPERS
NOT_IN_VIEWS = {"fluent bit stdout", "flattened", "logfmt", "key-value", "console", "console in color"}
"""The shapes that the head of the script of views names as those that the views do not read."""


def lines_in(shape: str, records: Iterable[Record]) -> list[bytes]:
    """Write records in a shape, a line each."""
    return [ALL[shape](record).encode() + b"\n" for record in records]
