"""Each deadline has a name and a sentence."""

from __future__ import annotations

import pytest

from realtime_fsm.fsm.commands import StepResult
from realtime_fsm.fsm.descriptions import DEADLINES
from realtime_fsm.fsm.inputs import Input
from realtime_fsm.fsm.table import TABLE
from support.bench import Bench
from support.scenes import play
from support.some import some


def test_each_name_is_described_and_each_description_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[str] = set()
    do = Bench.do

    def watched(bench: Bench, input_: Input, *, after: float = 0.0) -> StepResult:
        result = do(bench, input_, after=after)
        name = bench.context.deadline_name
        assert (name != "") == (result.deadline is not None)
        seen.add(name)
        return result

    monkeypatch.setattr(Bench, "do", watched)
    for row in TABLE.rows:
        play(row)
    assert seen - {""} == DEADLINES.keys()


def test_each_sentence_has_a_place_for_the_time_that_is_left() -> None:
    for name, sentence in some(DEADLINES.items()):
        assert sentence.count("{}") == 1, name
