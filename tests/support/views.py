"""The figures of an audit both ways, by the built-in pass and by DuckDB; and what tells them apart."""

from __future__ import annotations

import gzip
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from realtime_fsm.audit.auditor import Auditor
from realtime_fsm.audit.report import ConnectionReport, ConnectionStats, Percentiles, Report
from realtime_fsm.audit.sources import open_log, read_lines, sort_by_content
from realtime_fsm.audit.sql import script
from support.brokenlogs import Record
from support.brokenlogs import lines_of as encoded


def built_in(names: Iterable[Path]) -> Report:
    """The report of the built-in audit."""
    auditor = Auditor()
    for name in sort_by_content(map(str, names)):
        auditor.begin(name)
        with open_log(name) as file:
            auditor.feed(read_lines(file))
    return auditor.finish()


class Views:
    """The views of a script, in a DuckDB of their own."""

    def __init__(self, names: Iterable[object], before: str = "", *, wrapped: bool = False) -> None:
        self.duck = duckdb.connect()
        self.duck.execute(before)
        self.duck.execute(script([str(name) for name in names], wrapped=wrapped))

    def rows(self, sql: str) -> list[dict[str, Any]]:
        found = self.duck.execute(sql)
        columns = [column[0] for column in found.description or ()]
        return [dict(zip(columns, row, strict=True)) for row in found.fetchall()]

    def one(self, sql: str) -> dict[str, Any]:
        (row,) = self.rows(sql)
        return row


class Figures:
    """All that the views say of lives, by connection; of all together under None."""

    def __init__(self, views: Views) -> None:
        self.lives = {row["connection_id"]: row for row in views.rows("FROM availability")}
        self.outages: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in views.rows("FROM outages ORDER BY seq"):
            self.outages[row["connection_id"]].append(row)
        self.spreads = {(row["connection_id"], row["what"]): row for row in views.rows("FROM percentiles")}
        self.transition = {row["row"]: row["count"] for row in views.rows("FROM rows_taken WHERE connection_id IS NULL")}

    def compare(self, report: Report, *, fair: Callable[[ConnectionReport], bool] = lambda _: True) -> int:
        """Compare them with those of a report. The answer tells how many connections were compared."""
        assert set(self.lives) == {connection.connection for connection in report.connections} | {None}
        compared = list(filter(fair, report.connections))
        for connection in compared:
            self.compare_connection(connection)
        if len(compared) == report.connections_total:
            self.compare_life(None, report.life)
            transition = {row.row: row.count for row in report.rows} | dict.fromkeys(report.never_taken, 0)
            assert self.transition == transition
        return len(compared)

    def compare_connection(self, connection: ConnectionReport) -> None:
        name, found = connection.connection, self.lives[connection.connection]
        assert (found["records"], found["state"], found["ended"]) == (connection.records, connection.state, connection.ended)
        assert (found["first"], found["last"]) == (in_utc(connection.first), in_utc(connection.last))
        self.compare_life(name, connection.life)
        for row, outage in zip(self.outages[name][:100], connection.life.outages, strict=True):
            assert (row["start"], row["cause"], row["planned"], row["dials"], row["ended"]) == (
                in_utc(outage.start), outage.cause, outage.planned, outage.dials, outage.end,
            )  # fmt: skip
            assert (row["elapsed"], row["seconds"], row["gap"]) == (near(outage.at), near(outage.seconds), near(outage.gap))

    def compare_life(self, name: str | None, life: ConnectionStats) -> None:
        found = self.lives[name]
        for figure in (
            "failures", "between_failures", "to_recovery", "gave_up", "rejected", "dropped", "gaps", "malformed", "faults",
            "at_fault", "availability",
        ):  # fmt: skip
            assert found[figure] == near(getattr(life, figure)), (name, figure)
        assert {state: found[state] for state in life.states} == {state: near(spent) for state, spent in life.states.items()}
        for what, spread in (("resubscribe", life.resubscribe), ("ping", life.ping)):
            compare_spread(self.spreads.get((name, what)), spread)


def compare_spread(found: dict[str, Any] | None, spread: Percentiles) -> None:
    if not spread.count:
        assert found is None
        return
    assert found is not None
    assert (found["count"], found["mean"], found["most"]) == (spread.count, near(spread.mean), near(spread.most))
    for percentile in ("p50", "p95", "p99"):
        assert found[percentile] == pytest.approx(getattr(spread, percentile), rel=0.01, abs=2e-6)


def near(value: object) -> Any:
    return pytest.approx(value, abs=2e-6, rel=1e-9) if isinstance(value, float) else value


def in_utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC).replace(tzinfo=None)


def compare(names: Sequence[Path], views: Views | None = None) -> Report:
    """Compare every figure of both."""
    report = built_in(names)
    assert Figures(views or Views(names)).compare(report) == report.connections_total
    return report


def write(path: Path, records: Iterable[Record]) -> Path:
    data = b"".join(encoded(records))
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def into_parquet(path: Path, logs: Path) -> Path:
    Views([logs]).duck.execute(f"COPY (FROM records) TO '{path}' (FORMAT parquet)")
    return path
