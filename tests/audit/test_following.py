"""An audit that follows a log tells each outage as it begins and as it ends."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from realtime_fsm.audit import tail
from realtime_fsm.cli.audit_follow import _tell_outage
from support.brokenlogs import Record, lines_of
from support.commands import audit as main
from support.corpus import WALKS, begun, later
from support.flatrecord import flat_record


def follow(log: Path, parts: list[list[Record]], monkeypatch: pytest.MonkeyPatch, *options: str, idle: int = 1) -> int:
    """Follow a log that grows part by part; return the exit code."""
    rest = [part for each in parts for part in (each, *([[]] * idle))]
    log.touch()

    def sleep(_: float) -> None:
        if not rest:
            raise KeyboardInterrupt
        with log.open("ab") as file:
            file.write(b"".join(lines_of(rest.pop(0))))

    monkeypatch.setattr(tail.follow_files, "__kwdefaults__", {"sleep": sleep})
    return main(["--follow", str(log), *options])


def test_each_outage_is_told_as_it_begins_and_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    assert follow(log, [WALKS["healed"], WALKS["gave_up"], WALKS["logged_out"]], monkeypatch) == 0
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert len(lines) == 6
    moment = begun("healed").astimezone().strftime("%Y-%m-%d %H:%M:%S")
    assert lines[0].startswith(f"realtime-fsm audit: {moment}")
    assert lines[0].endswith(": connection healed is down: the server, or a middle box, ended the stream (stream_ended)")
    assert ": connection healed is up again after " in lines[1]
    assert lines[1].endswith(" s, 3 attempts")
    assert ": connection gave_up is down: " in lines[2]
    assert ": connection gave_up gave up after " in lines[3]
    assert lines[3].endswith("no connection to the server came about (dial_failed)")
    assert lines[4].endswith(": connection logged_out is down, planned: the program called authenticate() (log_out)")
    assert lines[5].endswith(", planned")
    assert said.out.startswith("verdict: conformant (3 connections, ")


def test_an_outage_is_told_although_a_record_before_it_is_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [record for record in WALKS["gave_up"] if record["seq"] != 6]
    seen: list[str] = []

    def told(_: float) -> None:
        seen.append(capsys.readouterr().err)
        if len(seen) == 20:
            raise KeyboardInterrupt

    log = tmp_path / "log"
    log.write_bytes(b"".join(lines_of(records)))
    monkeypatch.setattr(tail.follow_files, "__kwdefaults__", {"sleep": told})
    assert main(["--follow", str(log)]) == 3
    first = next(index for index, text in enumerate(seen) if "connection gave_up is down" in text)
    assert first < 15, "long before the end"


def test_a_span_of_a_growing_log_counts_from_now(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = later(WALKS["healed"], -20 * 365 * 86400.0)
    assert follow(tmp_path / "log", [old], monkeypatch, "--since", "1s") == 2
    said = capsys.readouterr().out
    assert re.search(r"no record of a connection from .* on is in it: \d+ lines; the log ends at 20", said)
    assert said.count("no record") == 1, "once, though the file is named at its first line, too"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"change": "closed", "dials": 0, "seconds": 0.5}, "is up again after 500 ms, 0 attempts"),
        ({"change": "closed", "dials": -1, "seconds": -2.0}, "is up again after 0 ms, 0 attempts"),
        ({"change": "closed", "dials": 1, "seconds": 2.0, "planned": True}, "is up again after 2 s, 1 attempt, planned"),
    ],
)
def test_an_outage_without_an_attempt_or_with_a_clock_set_back_is_told(
    fields: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _tell_outage(flat_record("outage", **fields))
    assert capsys.readouterr().err.partition(": connection c ")[2] == f"{said}\n"


def test_giving_up_without_an_attempt_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    _tell_outage(flat_record("transition", attempt=0, cause="dial_failed"))
    assert "connection c gave up after 0 attempts: " in capsys.readouterr().err
    _tell_outage(flat_record("ping"))
    assert capsys.readouterr().err == ""


def test_a_directory_is_not_followed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--follow", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"realtime-fsm audit: {tmp_path}: it is a directory; name the files in it\n"


def test_the_first_violation_is_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [
        [{**record, "row": "none"} if "row" in record else record for record in WALKS[name]] for name in ("healthy", "faulty")
    ]
    assert follow(tmp_path / "log", parts, monkeypatch) == 1
    (told,) = [line for line in capsys.readouterr().err.splitlines() if "log:" in line]
    assert told.endswith("log:2: row: no transition rule of the table has this id")
