"""Logs that real clients write audit as conformant: of the demonstration, and of storms. Those of the other tests are audited
where they are written (`conftest.py`)."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest
import structlog

from realtime_fsm.cli import demo
from support.brokenlogs import audited, lines_of
from support.commands import audit as main
from support.simlogs import SEEDS, logs_of
from support.some import some


def test_the_log_of_the_demonstration_is_conformant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = str(tmp_path / "demo.jsonl")
    asyncio.run(demo.show(log, io.StringIO()))
    structlog.reset_defaults()
    assert main([log]) == 0
    said = capsys.readouterr().out
    assert "1 failure" in said
    assert "disposed of" in said


@pytest.mark.parametrize("seed", SEEDS)
def test_the_logs_of_a_storm_are_conformant(seed: int) -> None:
    """Also where the process is suspended: the machine says by how much it was late."""
    for records in some(filter(None, logs_of(seed))):
        report = audited(lines_of(records))
        assert report.verdict == "conformant", report.first


def test_the_storms_are_wild_enough_to_mean_something() -> None:
    counts = {rule for seed in SEEDS for records in filter(None, logs_of(seed)) for rule in audited(lines_of(records)).counts}
    assert {"late", "outage", "gap", "rejected", "dropped", "error", "malformed"} <= counts
