"""``realtime-fsm demo``, as a command."""

from __future__ import annotations

import re
from pathlib import Path

from support.commands import result_of


def test_the_demo_shows_the_main_job(tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    log.write_text("an earlier log\n")
    result = result_of("demo", "--log", str(log))
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.count("  event  ") == 4
    assert "without a close frame" in result.stdout
    path = re.search(r"The path: +(.*)", result.stdout)
    assert path is not None
    assert path[1].split(" -> ") == [
        "disconnected", "reconnecting", "connected", "subscribed", "reconnecting", "connected", "subscribed", "unsubscribed",
        "disposing",
    ]  # fmt: skip
    assert f"{log} ({len(log.read_text().splitlines())} records)" in result.stdout
    assert "earlier" not in log.read_text()


def test_the_log_of_the_demo_audits(tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    assert result_of("demo", "--log", str(log)).returncode == 0
    judged = result_of("audit", str(log))
    assert (judged.returncode, judged.stdout.splitlines()[0][:19]) == (0, "verdict: conformant")
    lines = log.read_text(encoding="utf-8").splitlines()
    greeted = next(number for number, text in enumerate(lines) if '"row":"rec22"' in text)
    lines[greeted] = lines[greeted].replace('"dest":"connected"', '"dest":"subscribed"')
    log.write_text("\n".join(lines) + "\n", encoding="utf-8")
    judged = result_of("audit", str(log))
    assert (judged.returncode, f"{log}:{greeted + 1}" in judged.stdout) == (1, True)
