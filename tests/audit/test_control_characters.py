"""No control character of a log reaches a terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from realtime_fsm.cli.main import main as command
from support.commands import audit as main
from support.wholelog import PONG, RECORDS, edited, write

EVIL = "a\x1b[2J\x07\x7f\x9b31m\u202e\u2028\U000e0001"


@pytest.mark.parametrize("options", [["--format", "text"], ["--format", "markdown"], ["--format", "json"], ["--at"]])
def test_no_control_character_of_a_log_reaches_a_terminal(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = write(tmp_path / "log\x1b[1m", edited(PONG, connection_id=EVIL, row="sub41") + edited(PONG, cause=EVIL))
    asked = ["--at", RECORDS[PONG]["timestamp"]] if options[0] == "--at" else options
    assert main([log, *asked]) == 1
    said = capsys.readouterr().out
    assert all(line.isprintable() for line in said.split("\n"))
    if options == ["--format", "json"]:
        told = json.loads(said)
        assert EVIL in {connection["connection"] for connection in told["connections"]}, "JSON has escapes of its own"
    else:
        assert r"\x1b[" in said


@pytest.mark.parametrize("fields", [{"timestamp": EVIL}, {"cause": EVIL}, {"era": EVIL}, {"row": EVIL}, {"trigger": EVIL}])
def test_no_control_character_reaches_a_terminal_from_a_replay(
    fields: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, lines in (("log", edited(PONG, **fields)), ("\x1b[1m", edited(0, **fields)), ("missing\x1b[1m", [])):
        command(["replay", write(tmp_path / name, lines)])
        said = capsys.readouterr()
        assert said.out or said.err
        assert all(line.isprintable() for line in (said.out + said.err).split("\n"))
