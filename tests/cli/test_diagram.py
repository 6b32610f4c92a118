"""``realtime-fsm diagram``, as a command."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
from pathlib import Path

import pytest

from realtime_fsm.cli.main import main
from realtime_fsm.diagram import diagram
from support.commands import COMMAND, PATIENCE, result_of


def test_a_png_is_not_written_onto_a_terminal(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    shown = subprocess.run(
        [*COMMAND, "diagram", "--format", "png"], stdout=theirs, stderr=subprocess.PIPE, text=True, timeout=PATIENCE, check=False
    )
    os.write(theirs, b"end")
    assert (shown.returncode, os.read(ours, 100)) == (2, b"end")
    assert shown.stderr == "realtime-fsm: --format: a terminal cannot show a PNG; add -o FILE, or pipe it into a program\n"
    os.close(theirs)
    os.close(ours)
    if shutil.which("dot") is not None:
        target = tmp_path / "table.png"
        assert result_of("diagram", "--format", "png", "-o", str(target)).returncode == 0
        assert target.read_bytes().startswith(b"\x89PNG")


def test_a_drawing_ends_with_0(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["diagram", "--format", "plantuml"]) == 0
    assert capfd.readouterr().out == diagram("plantuml")


def test_the_table_is_drawn(tmp_path: Path) -> None:
    drawn = result_of("diagram", "--view", "state:ping")
    assert (drawn.returncode, drawn.stderr) == (0, "")
    assert "ping" in drawn.stdout
    target = tmp_path / "table.json"
    assert result_of("diagram", "--format", "json", "-o", str(target)).returncode == 0
    assert json.loads(target.read_text(encoding="utf-8"))["fingerprint"]
    wrong = result_of("diagram", "--format", "gif")
    assert (wrong.returncode, "gif" in wrong.stderr) == (2, True)
