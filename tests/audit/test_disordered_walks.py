"""Loss, repetition and disorder leave doubts: no walk of the machine is violated because of them, at whichever place of its log.

The log of a walk is broken at every place. ``AUDITED_WALKS=10000 pytest tests/audit/test_disordered_walks.py`` tries more walks.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest
from hypothesis import settings

from support.brokenlogs import audited, lines_of
from support.recorded_walk import RecordedWalk
from support.simlogs import SEEDS, logs_of
from support.some import some
from support.wholelog import moved

FARTHEST = 100
"""Places by which a record is moved, at most."""
COUNT = int(os.environ.get("AUDITED_WALKS", "10"))


def disordered(lines: list[bytes], index: int, chance: random.Random) -> Iterator[tuple[str, list[bytes]]]:
    """Break a log at one place, in each way; name the way."""
    there = chance.randint(0, len(lines))
    yield "lost", [*lines[:index], *lines[index + 1 :]]
    yield "without its head", lines[index:]
    yield "doubled", [*lines[: index + 1], *lines[index:]]
    yield "doubled elsewhere", [*lines[:there], lines[index], *lines[there:]]
    yield "swapped", moved(lines, index, 1)
    yield "moved", moved(lines, index, chance.randint(-FARTHEST, FARTHEST))


def judge(lines: list[bytes], index: int, chance: random.Random) -> None:
    for way, broken in some(disordered(lines, index, chance)):
        report = audited(broken)
        assert report.verdict in ("conformant", "inconclusive"), (way, index, lines[index], report.first)


class DisorderedWalk(RecordedWalk):
    """A walk whose log is broken at its end."""

    def judge(self) -> None:
        lines = lines_of(self.records)
        if len(lines) > 1:  # without its only record a log is empty
            for index in some(range(len(lines))):
                judge(lines, index, random.Random(index))


TestDisorderedWalk = DisorderedWalk.TestCase
TestDisorderedWalk.settings = settings(
    max_examples=COUNT, stateful_step_count=30, deadline=None, derandomize="AUDITED_WALKS" not in os.environ
)


@pytest.mark.parametrize("seed", SEEDS[:3])
def test_a_broken_log_of_a_storm_is_not_violated(seed: int) -> None:
    chance = random.Random(seed)
    for records in some(filter(None, logs_of(seed))):
        lines = lines_of(records)
        for index in chance.sample(range(len(lines)), min(5, len(lines))):
            judge(lines, index, chance)
