"""The SQL: DuckDB gives the figures of the built-in audit, whatever the logs are like."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb
import pytest
import structlog

from realtime_fsm.auditing.auditor import Auditor
from realtime_fsm.auditing.report import ConnectionReport, LifeLine, Report, Spread
from realtime_fsm.auditing.sources import in_order, lines_of, open_log
from realtime_fsm.auditing.sql import script
from simulation import ledger, storm
from support.brokenlogs import Record, lines_of as encoded

VIEWS = ("availability", "outages", "percentiles", "rows_taken", "transitions", "subscriptions", "pings", "records", "left_out")


# --- both ways --------------------------------------------------------------------------------------------------------


def built_in(names: Iterable[Path]) -> Report:
    """The report of the built-in audit."""
    auditor = Auditor()
    for name in in_order(map(str, names)):
        auditor.begin(name)
        with open_log(name) as file:
            auditor.feed(lines_of(file))
    return auditor.finish()


class Views:
    """The views of a script, in a DuckDB of their own."""

    def __init__(self, names: Iterable[object]) -> None:
        self.duck = duckdb.connect()
        self.duck.execute(script([str(name) for name in names]))

    def rows(self, sql: str) -> list[dict[str, Any]]:
        found = self.duck.execute(sql)
        columns = [column[0] for column in found.description or ()]
        return [dict(zip(columns, row, strict=True)) for row in found.fetchall()]

    def one(self, sql: str) -> dict[str, Any]:
        (row,) = self.rows(sql)
        return row


def near(value: object) -> Any:
    return pytest.approx(value, abs=2e-6, rel=1e-9) if isinstance(value, float) else value


def compare_life(found: dict[str, Any], life: LifeLine) -> None:
    names = ("failures", "between_failures", "to_recovery", "gave_up", "rejected", "dropped", "gaps", "malformed", "availability")
    for name in names:
        assert found[name] == near(getattr(life, name)), name
    assert {state: found[state] for state in life.states} == {state: near(spent) for state, spent in life.states.items()}


def compare_spread(found: Sequence[dict[str, Any]], spread: Spread) -> None:
    if not spread.count:
        assert not found
        return
    (row,) = found
    assert (row["count"], row["mean"], row["most"]) == (spread.count, near(spread.mean), near(spread.most))
    for percentile in ("p50", "p95", "p99"):
        assert row[percentile] == pytest.approx(getattr(spread, percentile), rel=0.01, abs=2e-6)


def compare_connection(views: Views, connection: ConnectionReport) -> None:
    whose = f"connection_id = '{connection.connection}'"
    found = views.one(f"FROM availability WHERE {whose}")
    assert (found["records"], found["state"], found["ended"]) == (connection.records, connection.state, connection.ended)
    assert (found["first"], found["last"]) == (in_utc(connection.first), in_utc(connection.last))
    compare_life(found, connection.life)
    outages = views.rows(f"FROM outages WHERE {whose} ORDER BY seq LIMIT 100")
    assert len(outages) == len(connection.life.outages)
    for row, outage in zip(outages, connection.life.outages, strict=True):
        assert (row["start"], row["cause"], row["planned"], row["dials"], row["ended"]) == (
            in_utc(outage.start), outage.cause, outage.planned, outage.dials, outage.end,
        )  # fmt: skip
        assert (row["elapsed"], row["seconds"], row["gap"]) == (near(outage.at), near(outage.seconds), near(outage.gap))
    compare_spreads(views, whose, connection.life)


def compare_spreads(views: Views, whose: str, life: LifeLine) -> None:
    for what, spread in (("resubscribe", life.resubscribe), ("ping", life.ping)):
        compare_spread(views.rows(f"FROM percentiles WHERE what = '{what}' AND {whose}"), spread)


def in_utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC).replace(tzinfo=None)


def compare(names: Sequence[Path], views: Views | None = None) -> Report:
    """Compare every figure of both."""
    report, views = built_in(names), views or Views(names)
    assert views.one("SELECT count(*) AS n FROM availability WHERE connection_id IS NOT NULL")["n"] == report.connections_total
    for connection in report.connections:
        compare_connection(views, connection)
    nobody = "connection_id IS NULL"
    compare_life(views.one(f"FROM availability WHERE {nobody}"), report.life)
    compare_spreads(views, nobody, report.life)
    taken = {row["row"]: row["count"] for row in views.rows(f"FROM rows_taken WHERE {nobody}")}
    assert taken == {row.row: row.count for row in report.rows} | dict.fromkeys(report.never_taken, 0)
    return report


# --- logs -------------------------------------------------------------------------------------------------------------


def simulated(seed: int, seconds: float = 200.0) -> list[Record]:
    """The log of a storm, without the records that the application's logging refused."""
    written: list[Record] = []

    class Kept(ledger.Records):
        def __call__(self, logger: object, level: str, record: Any) -> Any:
            try:
                super().__call__(logger, level, record)
            except structlog.DropEvent:
                written.append({**record, "level": level})
                raise

    with patch.object(storm, "Records", Kept):
        assert storm.simulate(seed, seconds=seconds).violation is None
    return written


def write(path: Path, lines: Iterable[bytes]) -> Path:
    data = b"".join(lines)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path
