"""Replays for tests: of records, without files."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import pytest

from realtime_fsm.cli.main import main
from realtime_fsm.replay.log_reader import ConnectionLog, read_connection_log
from realtime_fsm.replay.replayer import ReplayedStep, Replayer
from realtime_fsm.replay.test_writer import write_test
from simulation.coverage import machine
from support.brokenlogs import Record, lines_of

TEST = "test_the_connection_takes_the_path_that_was_logged"


def log_of(path: Any, records: Iterable[Record], connection: str = "") -> ConnectionLog:
    return read_connection_log([write_log(path, records)], [connection])


def replayed(log: ConnectionLog) -> list[ReplayedStep]:
    return list(Replayer(log).play())


def emitted(log: ConnectionLog, played: list[ReplayedStep] | None = None) -> str:
    played = replayed(log) if played is None else played
    return "".join(f"{line}\n" for line in write_test(log.policies, played, log.connection, log.incomplete_reason))


def write_log(path: Path, records: Iterable[Record]) -> str:
    path.write_bytes(b"".join(lines_of(records)))
    return str(path)


def run_replay(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run ``realtime-fsm replay`` in this process: its code, its output and its errors."""
    code = main(["replay", *arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def run_emitted(text: str) -> None:
    """Run an emitted test in this process."""
    module = ModuleType("emitted")
    with patch.dict(sys.modules, {"emitted": module}):
        exec(compile(text, "emitted", "exec"), module.__dict__)  # noqa: S102  (our own text)
        getattr(module, TEST)()


@contextmanager
def changed(row: str, **fields: Any) -> Iterator[None]:
    """The table with another row in place of one."""
    table = machine.TABLE
    rows = tuple(replace(each, **fields) if each.id == row else each for each in table.rows)
    machine._shared_machine.cache_clear()
    try:
        with patch.object(machine, "TABLE", replace(table, rows=rows)):
            yield
    finally:
        machine._shared_machine.cache_clear()
