"""The command: what it prints in each format, its flags, and with which code it ends."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from realtime_fsm.audit import collector as ledger
from realtime_fsm.audit.times import tell_moment
from realtime_fsm.cli import audit as command
from realtime_fsm.fsm.table import State
from support.bench import Bench
from support.brokenlogs import Record, Scribe, audited, collected, lines_of
from support.commands import audit as main
from support.simlogs import logs_of
from support.wholelog import DIAL, LINES, PONG, RECORDS, edited, kind, renamed, without, write


@pytest.mark.parametrize("form", ["text", "json", "markdown", "junit", "html"])
def test_every_format_names_the_first_violation(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = write(tmp_path / "bad", edited(PONG, row="sub41"))
    assert main([bad, write(tmp_path / "good", renamed("good")), "--format", form]) == 1
    said = capsys.readouterr().out
    assert f'"line": {PONG + 1}' in said if form == "json" else f"{bad}:{PONG + 1}" in said
    assert "pin42" in said, "what the table allows there"
    if form == "junit":
        suite = ET.fromstring(said)[0]  # noqa: S314  (our own)
        assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "1", "0")
    if form == "json":
        report = json.loads(said)
        assert (report["verdict"], report["exit_code"], report["verdicts"]) == ("violated", 1, {"conformant": 1, "violated": 1})
        assert [shown["record"]["seq"] for shown in report["first"]["before"]] == list(range(PONG - 4, PONG + 1))


@pytest.mark.parametrize("form", ["text", "markdown", "junit", "html"])
def test_every_format_tells_of_doubts_and_of_what_is_unusable(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    doubtful = write(tmp_path / "doubtful", [*without(PONG), b'{"event":"realtime.ping","connection_id":'])
    assert main([doubtful, str(tmp_path / "missing"), "--format", form]) == 2
    said = capsys.readouterr().out
    assert str(tmp_path / "missing") in said
    if form == "junit":
        suite = ET.fromstring(said)[0]  # noqa: S314  (our own)
        assert [suite.get(size) for size in ("tests", "failures", "errors")] == ["3", "0", "3"], (
            "one connection and two loose ends"
        )
        assert len(suite.findall("testcase")) == int(suite.get("tests", ""))


def test_many_connections_are_summed_up(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = lines_of([{**record, "connection_id": "bad"} for record in RECORDS if record["seq"] != PONG])
    kept = 120
    monkeypatch.setattr(ledger, "KEPT", kept)
    lines = [line for number in range(kept + 5) for line in renamed(f"c{number}")]
    report = audited([*lines, *bad])
    assert (report.connections_total, len(report.connections)) == (kept + 6, kept)
    assert report.connections[0].connection == "bad"
    log = write(tmp_path / "log", lines[: 110 * len(LINES)])
    for form in ("text", "markdown"):
        assert main([log, "--format", form]) == 0
        assert "more connections" in capsys.readouterr().out


# --- flags ------------------------------------------------------------------------------------------------------------


def test_notes_and_doubts_can_be_made_to_fail(tmp_path: Path) -> None:
    good, hole = write(tmp_path / "good", LINES), write(tmp_path / "hole", without(PONG))
    assert [main([good]), main([good, "--fail-on", "outage"]), main([good, "--fail-on", "gap"])] == [0, 1, 0]
    assert [main([hole]), main([hole, "--fail-on", "seq"])] == [3, 1]
    assert main([write(tmp_path / "open", LINES[:-1]), "--fail-on", "open"]) == 1


def test_a_loss_that_is_to_fail_is_told_where_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([write(tmp_path / "good", LINES), "--fail-on", "outage", "--fail-on", "error"]) == 1
    said = capsys.readouterr().out
    assert f"first violation: {tmp_path / 'good'}:{kind('outage') + 1}\n" in said
    assert "here: a link is lost: stream_ended" in said


def test_the_evidence_begins_with_the_sentence_of_the_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = {**RECORDS[PONG], "row": "sub41", "sentence": "the server answered the ping"}
    bad = write(tmp_path / "bad", [*LINES[:PONG], *lines_of([record])])
    assert main([bad]) == 1
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("  > "))
    assert line.startswith(f"  > {bad}:{PONG + 1}: transition: the server answered the ping {{")
    shown = json.loads(line[line.index("{") :])
    common = {"schema", "machine", "connection_id", "event", "level", "logger", "sentence"}
    assert shown.keys() == {name for name, value in record.items() if value is not None} - common, "and nothing is left out"


def test_giving_up_is_told_where_it_was() -> None:
    with collected() as records:
        bench = Bench()
        Scribe(bench)
        bench.to(State.ERROR)
    (index,) = (number for number, record in enumerate(records) if record.get("dest") == "error")
    first = audited(lines_of(records), fail_on=["error", "open"]).first
    assert first is not None
    assert (first.rule, first.place.line, first.text) == ("error", index + 1, "the connection gives up: error_frame")


def moment_of(record: Record) -> str:
    return tell_moment(datetime.fromisoformat(record["timestamp"]), UTC)


def days_after(record: Record, days: int) -> str:
    return (datetime.fromisoformat(record["timestamp"]) + timedelta(days=days)).isoformat()


def test_what_is_not_there_of_what_was_asked_for_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = write(tmp_path / "good", LINES)
    first, last = moment_of(RECORDS[0]), moment_of(RECORDS[-1])
    for asked, text in (
        (["--connection", "zzz"], "connection 'zzz' is in it: {}; it holds 'c1'"),
        (
            ["--connection", "a", "--connection", "b", "--until", "2000-01-01 00:00Z"],
            "connection 'a' or 'b' until 2000-01-01 00:00:00 UTC is in it: {}; it holds 'c1'",
        ),
        (
            ["--since", "2030-01-01 00:00Z"],
            f"a connection from 2030-01-01 00:00:00 UTC on is in it: {{}}; the log ends at {last}",
        ),
        (
            ["--connection", "c", "--until", "2000-01-01 00:00Z"],
            f"connection 'c' until 2000-01-01 00:00:00 UTC is in it: {{}}; the first record of connection 'c' is at {first}",
        ),
    ):
        assert main([good, *asked]) == 2
        said = capsys.readouterr().out
        assert f"unusable: {good}: no record of {text.format(f'{len(LINES)} lines')}\n" in said
        assert "rules never taken" not in said, "none was looked for"


def test_the_ends_of_one_connection_are_not_those_of_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    late = [{**record, "connection_id": "late", "timestamp": days_after(record, 8)} for record in RECORDS]
    log = write(tmp_path / "log", [*LINES, *lines_of(late)])
    since, until = (days_after(RECORDS[0], days) for days in (3, 5))
    for asked, hint in (
        (["--connection", "late", "--until", until], f"; the first record of connection 'late' is at {moment_of(late[0])}"),
        (["--connection", "c1", "--since", since], f"; the last record of connection 'c1' is at {moment_of(RECORDS[-1])}"),
        (["--since", since, "--until", until], ""),
    ):
        assert main([log, *asked]) == 2
        assert f"is in it: {2 * len(LINES)} lines{hint}\n" in capsys.readouterr().out


def test_a_span_of_time_is_judged_alone(tmp_path: Path) -> None:
    bad = write(tmp_path / "bad", edited(PONG, row="sub41"))
    moment = RECORDS[PONG + 1]["timestamp"]
    assert main([bad]) == 1
    assert main([bad, "--since", RECORDS[DIAL]["timestamp"]]) == 0
    assert main([bad, "--until", RECORDS[PONG - 1]["timestamp"]]) == 0
    assert main([bad, "--until", moment]) == 1
    assert main([bad, "--since", moment, "--until", moment]) != 2, "a span of one instant"
    assert main([bad, "--since", "2030-01-01T00:00:00+00:00"]) == 2
    with pytest.raises(SystemExit):
        main([bad, "--since", "tomorrow"])


def test_a_report_can_be_written_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = write(tmp_path / "log", LINES)
    assert main([log, "--output", str(tmp_path / "report.txt")]) == 0
    assert (tmp_path / "report.txt").read_text(encoding="utf-8").startswith("verdict: conformant")
    assert main([log, "--output", str(tmp_path / "no" / "report.txt")]) == 2
    assert "No such file" in capsys.readouterr().err


def test_it_can_be_added_to_a_command_line(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    options = parser.parse_args(["audit", write(tmp_path / "log", LINES)])
    assert options.run(options) == 0


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (without(PONG), "1 record is missing before number"),
        ([*LINES[:PONG], *LINES[PONG + 2 :]], "2 records are missing before number"),
        ([b"x\n"], "is in it: 1 line\n"),
        ([*LINES, b"x\n"], ", 1 other line)"),
    ],
)
def test_a_number_agrees_with_its_noun(lines: list[bytes], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([write(tmp_path / "log", lines)])
    assert told in capsys.readouterr().out


def test_the_figures_do_not_depend_on_the_order_of_sets(tmp_path: Path) -> None:
    log = write(tmp_path / "log", lines_of(logs_of(0)[0]))
    command_line = [sys.executable, "-m", "realtime_fsm", "audit", "--format", "json", log]

    def told(seed: str) -> bytes:
        return subprocess.run(command_line, check=False, capture_output=True, env=os.environ | {"PYTHONHASHSEED": seed}).stdout

    assert told("1") == told("2") == told("3") != b""
