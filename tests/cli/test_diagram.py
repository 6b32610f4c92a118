"""``realtime-fsm diagram``, as a command."""

from __future__ import annotations

import json
from pathlib import Path

from support.commands import result_of


def test_the_table_is_drawn(tmp_path: Path) -> None:
    drawn = result_of("diagram", "--view", "state:ping")
    assert (drawn.returncode, drawn.stderr) == (0, "")
    assert "ping" in drawn.stdout
    target = tmp_path / "table.json"
    assert result_of("diagram", "--format", "json", "-o", str(target)).returncode == 0
    assert json.loads(target.read_text(encoding="utf-8"))["fingerprint"]
    wrong = result_of("diagram", "--format", "gif")
    assert (wrong.returncode, "gif" in wrong.stderr) == (2, True)
