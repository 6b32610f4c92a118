"""`make test` shows one line of progress and one of result."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from support import suite

DOTS = "." * 72


def test_progress_names_each_tenth_once_and_each_failure() -> None:
    progress = suite.Progress()
    lines = [f"{DOTS} [  4%]", f"{DOTS} [ 11%]", f"{DOTS} [ 14%]", ".F.. [ 31%]", "FAILED tests/test_x.py - E", f"{DOTS} [100%]"]
    assert "".join(progress.of(line) for line in lines) == "10 % F 30 % 100 % "


def test_the_output_is_kept_for_the_report_of_a_failure(tmp_path: Path) -> None:
    script = tmp_path / "tests.py"
    script.write_text("import sys\nprint('.... [ 50%]')\nprint('..F. [100%]')\nprint('why')\nsys.exit(1)\n")
    out = io.StringIO()
    code, output = suite.run_with_progress((sys.executable, str(script)), out, tmp_path)
    assert (code, out.getvalue()) == (1, "50 % F 100 % \n")
    assert output.endswith("why\n")


@pytest.mark.parametrize(
    ("output", "summary"),
    [
        ("....  [ 50%]\n..s.  [100%]\n", "7 passed"),
        ("....  [100%]\n8 passed, 1 skipped in 3.20s\n", "8 passed, 1 skipped"),
        ("====== 2 failed, 8 passed in 3.20s ======\n", "2 failed, 8 passed"),
    ],
)
def test_the_summary(output: str, summary: str) -> None:
    assert suite.summary_of(output) == summary


def test_the_expected_duration_is_that_of_the_last_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "LAST", tmp_path / "seconds")
    assert suite.expectation() == "about ten minutes on two cores"
    suite.LAST.write_text("231")
    assert suite.expectation() == "about 231 s, as the last time"
