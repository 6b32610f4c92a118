"""Run all tests with coverage, as ``make test`` does: one line of progress, one line of result, and reports of failures alone."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TextIO

ROOT = Path(__file__).resolve().parents[2]
LAST = Path(sys.prefix) / ".test-seconds"
"""The seconds that the last run took."""
COVERAGE = (sys.executable, "-m", "coverage")
TESTS = (*COVERAGE, "run", "-m", "pytest", "--numprocesses", "auto", "--dist", "worksteal")
REPORTS = (
    ("--fail-under=95",),
    ("--fail-under=100", "--include=realtime_fsm/protocol/*,realtime_fsm/fsm/*"),
)


class Progress:
    """The line of progress: each tenth of the tests, and a mark for each failure, as they come."""

    def __init__(self) -> None:
        self._done = 0

    def of(self, line: str) -> str:
        """Return the news in a line of pytest's output."""
        news = "F " * len(re.findall(r"[FE]", line)) if re.match(r"[.sxXFE]+ *(\[|$)", line) else ""
        if (found := re.search(r"\[ *(\d+)%\]$", line)) and (tenth := int(found[1]) // 10) > self._done:
            self._done = tenth
            news += f"{tenth * 10} % "
        return news


def run_with_progress(command: Sequence[str], out: TextIO, where: Path = ROOT) -> tuple[int, str]:
    """Run a command, show its progress on one line, and return its exit code and its output."""
    progress, lines = Progress(), []
    with subprocess.Popen(command, cwd=where, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        output: IO[str] | None = process.stdout
        assert output is not None
        for line in output:
            lines.append(line)
            out.write(progress.of(line.rstrip()))
            out.flush()
    out.write("\n")
    return process.returncode, "".join(lines)


def summary_of(output: str) -> str:
    """Return pytest's counts, such as ``12 passed, 1 skipped``; of a run without failures, the number of dots."""
    found = re.search(r"^=*\s*(\d+ (?:failed|passed|skipped|error).*?)(?: in [\d.]+s.*)?$", output, re.MULTILINE)
    if found:
        return found[1]
    return f"{sum(line.partition('[')[0].count('.') for line in output.splitlines() if line.endswith('%]')):,} passed"


def expectation() -> str:
    """Tell how long the run takes: as long as the last one did here."""
    if not LAST.exists():
        return "about ten minutes on two cores"
    return f"about {float(LAST.read_text(encoding='ascii')):.0f} s, as the last time"


def main() -> int:
    """Run the tests and judge their coverage; return the exit code."""
    print(f"== test: run all tests with branch coverage ({expectation()})", flush=True)
    for stale in ROOT.glob(".coverage*"):
        stale.unlink()
    began = time.monotonic()
    code, output = run_with_progress(TESTS, sys.stdout)
    seconds = time.monotonic() - began
    if code:
        print(f"{output}== test: failed, after {seconds:.0f} s; the report is above")
        return code
    LAST.write_text(f"{seconds:.0f}", encoding="ascii")
    subprocess.run((*COVERAGE, "combine", "--quiet"), cwd=ROOT, check=True)
    for options in REPORTS:
        judged = subprocess.run((*COVERAGE, "report", *options), cwd=ROOT, check=False, capture_output=True, text=True)
        if judged.returncode:
            print(f"{judged.stdout}{judged.stderr}== test: the tests pass, but cover too little; the table is above")
            return judged.returncode
    print(f"== test: {summary_of(output)} in {seconds:.0f} s; they cover protocol and fsm in full, and the rest to at least 95 %")
    return 0


if __name__ == "__main__":
    sys.exit(main())
