"""``realtime-fsm audit``: its options and its output; ``tests/audit/test_command.py`` tests the reports."""

from __future__ import annotations

import re
import sys
from io import StringIO
from pathlib import Path

import pytest

from realtime_fsm.audit.rules import RULES, Severity
from realtime_fsm.cli import audit
from realtime_fsm.cli.main import _parser, main
from support.wholelog import LINES, write


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--wrapped", "log"], "--wrapped goes with --sql; the audit itself reads wrapped records anyway"),
        ([], "name a FILE, or - for standard input"),
        (["--follow", "log", "-"], "--follow is for files; standard input is read to its end anyway"),
        (["--at", "03:12", "log", "--since", "1h"], "--at does not go with --since"),
        (["--at", "03:12", "log", "--coverage"], "--at does not go with --coverage"),
        (["--at", "03:12", "log", "--format", "html"], "--at does not go with --format html"),
        (["--sql", "log", "--connection", "c"], "--connection does not go with --sql; ask the views for it"),
        (["--sql", "log", "-"], "--sql is for files: DuckDB reads them, and not the standard input of this command"),
    ],
)
def test_a_misuse_is_one_sentence(words: list[str], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", *words]) == 2
    assert capsys.readouterr().err == f"realtime-fsm audit: {problem}\n"


def test_the_help_names_each_rule_with_its_weight(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "999")
    with pytest.raises(SystemExit):
        main(["audit", "--help"])
    told = re.findall(r"^(rules that .*|notes .*): +(.*)$", capsys.readouterr().out, re.MULTILINE)
    weights = (Severity.VIOLATION, Severity.DOUBT, Severity.NOTE)
    assert [set(names.split(", ")) for _, names in told] == [
        {rule.name for rule in RULES.values() if rule.weight is weight} for weight in weights
    ]


def test_a_reader_that_leaves_ends_the_output_quietly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Left(StringIO):
        def flush(self) -> None:
            raise BrokenPipeError

    discarded: list[bool] = []
    monkeypatch.setattr(audit, "discard_stdout", lambda: discarded.append(True))
    log = write(tmp_path / "log", LINES)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", Left())
        assert audit.run(_parser().parse_args(["audit", log])) == 0
    assert discarded == [True]
