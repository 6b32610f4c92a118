"""Any walk of the machine is replayed from its log, and the log with an altered step is not."""

from __future__ import annotations

import random
from pathlib import Path

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from realtime_fsm.replay.divergence import Diverged
from realtime_fsm.replay.log_reader import IncompleteLog
from support.alterations import alterations
from support.brokenlogs import Record
from support.recorded_walk import RecordedWalk
from support.replay_cases import rows, steps_of
from support.replaying import emitted, log_of, replayed, run_emitted


class ReplayedWalk(RecordedWalk):
    """A walk that replays its log at its end, and the log with an altered step."""

    path: Path
    parted: set[tuple[str, type[Exception] | None]]

    def judge(self) -> None:
        log = log_of(self.path, self.records)
        played = replayed(log)
        assert [row for row in rows(played) if row is not None] == steps_of(self.records)
        if played:
            run_emitted(emitted(log, played))
        chance = random.Random(len(self.records))
        steps = [index for index, record in enumerate(self.records) if record["event"] == "realtime.transition"]
        for index in chance.sample(steps, min(2, len(steps))):
            record = self.records[index]
            times = [("at", record["at"] + 0.5), ("dwell", record["dwell"] + 0.5)] if index != steps[0] else []
            for name, value in [*alterations(record, chance), *times]:
                altered = [*self.records[:index], {**self.records[index], name: value}, *self.records[index + 1 :]]
                self.parted.add((name, _refusal(self.path, altered)))


def _refusal(path: Path, records: list[Record]) -> type[Exception] | None:
    """The exception of a replay that does not reproduce the whole log."""
    try:
        log = log_of(path, records)
        replayed(log)
    except (Diverged, IncompleteLog) as refusal:
        return type(refusal)
    return IncompleteLog if log.incomplete_reason is not None or len(log.records) < len(records) else None


def test_any_walk_is_reproduced_and_an_altered_step_is_not(tmp_path: Path) -> None:
    ReplayedWalk.path, ReplayedWalk.parted = tmp_path / "log", set()
    run_state_machine_as_test(ReplayedWalk, settings=settings(max_examples=15, stateful_step_count=30, deadline=None))
    fields = {"link", "row", "trigger", "source", "dest", "at", "dwell"}
    assert ReplayedWalk.parted == {("seq", IncompleteLog)} | {(field, Diverged) for field in fields}
