"""The command itself: version, misuse and failures."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from realtime_fsm.cli import demo, main
from support.commands import PATIENCE, result_of


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("listen", "ftp://localhost", "--project", "demo", "rows"), 2, "endpoint: scheme 'ftp' cannot be dialed"),
        (
            ("listen", "http://127.0.0.1:1/v1", "--project", "demo", "--attempts", "1", "rows"),
            1,
            "at http://127.0.0.1:1/v1: gave up after 1 attempt",
        ),
        (
            ("listen", "http://127.0.0.1:1/v1", "--project", "demo", "--log", "/nowhere/log", "rows"),
            1,
            "realtime-fsm: --log /nowhere/log: the folder /nowhere does not exist\n",
        ),
        (("diagram", "-o", "/nowhere/x.svg"), 1, "/nowhere/x.svg: the folder /nowhere does not exist\n"),
        (("listen", "http://127.0.0.1:1/v1", "--project", "demo", "--attempts", "few", "rows"), 2, "'few' is not a whole number"),
        (("listen", "http://127.0.0.1:1/v1", "--project", "demo", "--attempts", "0", "rows"), 2, "from 1 on, or 'forever'"),
        (("serve", "--port", "99999"), 2, "'99999' is not a port from 0 to 65535"),
        (("serve", "--port", "few"), 2, "'few' is not a port from 0 to 65535"),
        (("serve", "--every", "nan"), 2, "'nan' is not a number of seconds from 0 to 3600"),
        (("serve", "--every", "soon"), 2, "'soon' is not a number of seconds"),
        (("serve", "--project", "a b"), 2, "project: 'a b' is not a project id"),
        (("replay", "--speed", "quick", "log"), 2, "'quick' is not a factor above 0"),
        (("replay", "--to", "-3", "log"), 2, "'-3' is not the number of a record"),
        (("serve", "--era", "E9"), 2, "invalid choice: 'E9'"),
        ((), 2, "usage"),
        (("doctor", "http://h/v1", "--project", "demo", "--bogus"), 2, "doctor: error: unrecognized arguments: --bogus"),
    ],
)
def test_misuse_and_failures(arguments: tuple[str, ...], code: int, sentence: str) -> None:
    result = result_of(*arguments)
    assert result.returncode == code
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_completion_knows_commands_and_files(shell: str) -> None:
    pytest.importorskip("shtab")
    printed = result_of("--print-completion", shell)
    assert (printed.returncode, printed.stderr) == (0, "")
    for word in ("listen", "diagram", "--as-user", "--follow"):
        assert word in printed.stdout
    program = shutil.which(shell)
    if program is not None:
        check = subprocess.run(
            [program, "-n"], input=printed.stdout, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert (check.returncode, check.stderr) == (0, "")


def test_bash_completes_a_command_an_option_and_a_file(tmp_path: Path) -> None:
    pytest.importorskip("shtab")
    (tmp_path / "audit.jsonl").touch()
    asked = [("lis", "listen"), ("listen --as-u", "--as-user"), ("audit aud", "audit.jsonl")]
    script = result_of("--print-completion", "bash").stdout
    for line, _ in asked:
        words = ["realtime-fsm", *line.split(" ")]
        script += f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; COMPREPLY=()\n"
        script += f'_shtab_realtime_fsm realtime-fsm {words[-1]} {words[-2]} 2>/dev/null; echo "{line}: ${{COMPREPLY[*]}}"\n'
    done = subprocess.run(
        ["/bin/bash"], input=script, capture_output=True, text=True, timeout=PATIENCE, check=False, cwd=tmp_path
    )
    assert done.stdout.splitlines() == [f"{line}: {answer}" for line, answer in asked]


def test_without_shtab_the_remedy_is_named(tmp_path: Path) -> None:
    (tmp_path / "shtab.py").write_text("raise ImportError")
    printed = result_of("--print-completion", "bash", env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert (printed.returncode, printed.stdout) == (2, "")
    assert printed.stderr == "realtime-fsm: --print-completion: it needs the package shtab; install it with: pip install shtab\n"


def test_the_version() -> None:
    assert re.fullmatch(r"realtime-fsm \d+\.\d+\.\d+\n", result_of("--version").stdout)


def test_a_reader_that_has_gone_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_: object) -> int:
        raise BrokenPipeError

    discarded: list[bool] = []
    monkeypatch.setattr(demo, "run", run)
    monkeypatch.setattr(main, "discard_stdout", lambda: discarded.append(True))
    assert (main.main(["demo"]), discarded) == (0, [True])
