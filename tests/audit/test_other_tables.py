"""Logs of another table: judged by that table where it is given, else followed for the figures that need no table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from realtime_fsm import TABLE, State, diagram
from realtime_fsm.audit.finding import describe_allowed
from realtime_fsm.audit.report import Report
from realtime_fsm.audit.row_facts import UNKNOWN
from realtime_fsm.audit.tracking import TrackedConnection
from realtime_fsm.cli.main import main as command
from realtime_fsm.replay.log_reader import IncompleteLog, read_connection_log
from support.brokenlogs import Record, audited, lines_of
from support.commands import audit as main
from support.lives import ALL, LIVES, simulated
from support.some import some
from support.views import Figures, Views
from support.views import write as write_log
from support.wholelog import LINES, LOSS, PONG, RECORDS, write

OLD = replace(TABLE, rows=tuple(replace(row, id=f"old_{row.id}") for row in TABLE.rows))
"""The table of another version: its rules have other ids."""
OLD_JSON = diagram("json", "full", table=OLD)


def of_old(records: list[Record]) -> list[Record]:
    """The records as the other version writes them."""
    return [
        record | {"machine": OLD.fingerprint} | ({"row": f"old_{record['row']}"} if "row" in record else {}) for record in records
    ]


def figures(report: Report) -> list[object]:
    """All that needs no table."""
    lives = [(c.connection, c.records, c.first, c.last, c.state, c.ended, c.life, c.timeline) for c in report.connections]
    return [report.records, report.other, lives, report.life, report.recoveries]


@pytest.fixture
def table(tmp_path: Path) -> str:
    path = tmp_path / "table.json"
    path.write_text(OLD_JSON)
    return str(path)


# --- without the table ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LIVES)
def test_a_log_of_an_unknown_table_has_all_figures(name: str) -> None:
    known, found = audited(lines_of(ALL[name]), detail=True), audited(lines_of(of_old(ALL[name])), detail=True)
    assert figures(found) == figures(known)
    notes = {rule: count for rule, count in found.counts.items() if rule != "table"}
    assert (found.verdict, found.counts["table"]) == ("inconclusive", 1)
    assert notes == known.counts


@pytest.mark.parametrize("seed", [7, 14])
def test_a_storm_of_an_unknown_table_has_all_figures(seed: int) -> None:
    records = simulated(seed)
    assert figures(audited(lines_of(of_old(records)))) == figures(audited(lines_of(records)))


def test_the_verdict_names_the_reason_and_the_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = write(tmp_path / "log", lines_of(of_old(RECORDS)))
    assert main([log]) == 3
    told = capsys.readouterr().out
    assert f"the records are of table {OLD.fingerprint}, and this version knows {TABLE.fingerprint}; give it by --table" in told
    assert "--format json" in told, "the command that writes the table"


def test_a_step_of_an_unknown_table_may_be_anything() -> None:
    tracked = TrackedConnection("c", 1, book=UNKNOWN)
    assert describe_allowed(tracked, "pong") == ["anything: the table of this connection is not known"]


def test_what_another_table_allows_is_no_violation() -> None:
    records = of_old(RECORDS)
    records[PONG] |= {"trigger": "moon_rose", "attempt": 77, "cause": "moonlight"}
    report = audited(lines_of(records))
    assert (report.verdict, set(report.counts) - {"outage", "gap"}) == ("inconclusive", {"table"})


def test_a_state_of_another_version_hides_what_follows() -> None:
    records = of_old(RECORDS)
    records[PONG] |= {"dest": "dreaming"}
    report = audited(lines_of(records))
    assert report.verdict == "inconclusive"
    assert report.connections[0].records == len(RECORDS)
    assert set(report.connections[0].life.states) == set(State)


def test_a_secret_is_told_whatever_the_table(tmp_path: Path) -> None:
    records = of_old(RECORDS)
    records[PONG]["machine"] = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VySWQiOiIxIn0.c2lnbmF0dXJlc2lnbmF0dXJl"
    report = audited(lines_of(records))
    assert (report.verdict, report.counts["secret"]) == ("violated", 1)
    assert b"c2lnbmF0dXJl" not in msgspec.json.encode(report)


@pytest.mark.parametrize("index", range(len(RECORDS)))
def test_one_record_of_another_table_is_a_doubt_and_no_violation(index: int) -> None:
    lines = lines_of(RECORDS)
    lines[index : index + 1] = lines_of(of_old(RECORDS)[index : index + 1])
    assert audited(lines).verdict == "inconclusive"


def test_giving_up_is_noted() -> None:
    records = of_old(RECORDS)
    records[LOSS] |= {"dest": "error"}
    report = audited(lines_of(records))
    assert (report.counts["error"], report.life.gave_up) == (1, 1)


def test_the_views_have_the_same_figures(tmp_path: Path) -> None:
    records = [record for name in some(LIVES) for record in of_old(ALL[name])]
    log = write_log(tmp_path / "log.jsonl", records)
    report, found = audited(lines_of(records)), Figures(Views([log]))
    assert found.compare(report) == len(LIVES)
    assert found.transition == dict.fromkeys(found.transition, 0), "rules of another table are not counted"


def test_a_replay_needs_the_own_table(tmp_path: Path) -> None:
    with pytest.raises(IncompleteLog, match="the record is of another table than"):
        read_connection_log([write(tmp_path / "log", lines_of(of_old(RECORDS)))])


# --- with the table ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LIVES)
def test_a_log_is_judged_by_its_own_table(name: str) -> None:
    known, found = audited(lines_of(ALL[name])), audited(lines_of(of_old(ALL[name])), tables=[OLD])
    assert figures(found) == figures(known)
    assert (found.verdict, found.counts, found.machine) == (known.verdict, known.counts, OLD.fingerprint)
    assert [(row.row, row.count) for row in found.rows] == [(f"old_{row.row}", row.count) for row in known.rows]


def test_a_violation_of_the_given_table_is_found(table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = of_old(RECORDS)
    log = write(tmp_path / "log", lines_of(records))
    assert main([log, "--table", table]) == 0
    assert f"judged by table {OLD.fingerprint}, schema 1" in capsys.readouterr().out
    records[LOSS] |= {"row": "old_sub57"}
    assert main([write(tmp_path / "log", lines_of(records)), "--table", table]) == 1
    told = capsys.readouterr().out
    assert "old_sub58" in told, "the report shows what the given table allows"
    records[LOSS] |= {"row": "sub58"}
    assert audited(lines_of(records), tables=[OLD]).counts["row"] == 1, "this id is of the present table"


def test_logs_of_both_tables_are_judged_each_by_its_own(table: str, tmp_path: Path) -> None:
    ours = [record | {"connection_id": "ours"} for record in RECORDS]
    log, out = write(tmp_path / "log", [*lines_of(of_old(RECORDS)), *lines_of(ours)]), tmp_path / "out"
    assert main([log, "--table", table, "--format", "json", "-o", str(out)]) == 0
    report = json.loads(out.read_text())
    assert (report["machine"], report["verdicts"]) == (f"{TABLE.fingerprint}, {OLD.fingerprint}", {"conformant": 2})


@pytest.mark.parametrize("form", ["text", "json", "markdown", "html", "junit"])
def test_each_format_shows_a_log_of_another_table(form: str, table: str, tmp_path: Path) -> None:
    log = write(tmp_path / "log", lines_of(of_old(RECORDS)))
    assert main([log, "--format", form, "--coverage", "-o", str(tmp_path / "out")]) == 3
    assert main([log, "--format", form, "--coverage", "--table", table, "-o", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out").stat().st_size > 0


def test_an_unusable_table_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = write(tmp_path / "log", LINES)
    assert command(["audit", log, "--table", log]) == 2
    assert f"--table: {log} holds no table" in capsys.readouterr().err
    assert command(["audit", log, "--table", str(tmp_path / "none")]) == 2, "1 is for a violation"
