"""The simulation in the small: a fixed set of seeds, that a seed replays exactly, and that broken code is caught.

The large one is ``python -m simulation.run``, in this folder.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from simulation.coverage import Coverage
from simulation.known import KNOWN
from simulation.mutations import MUTATIONS
from simulation.run import main
from simulation.storm import simulate

SEEDS = range(10)
FOUND = (5000, 5027, 5260, 5394, 5503, 5692)
"""Seeds with rare turns: events in the moment of a drained link's end, deaf links that come late, faults of draining links, a
throttle in the trial of an identity, and a throttled link whose canary waits for the next window."""
ENOUGH = 80
"""Seeds in which a mutation must be caught; most are in the first two."""
BEGIN = {
    "every refusal may pass": 26,
    "new subscriptions are never rejected": 26,
    "the era is not remembered": 2,
    "the losses of a silently dead link are not told": 2,
    "a guess is made, whatever was said": 26,
    "a presence is not restored": 6,
    "a throttled request is forgotten": 6,
    "any reply is taken for the awaited one": 4,
    "a ping's verdict ignores what was heard": 28,
    "the budget of a link is ignored": 3,
    "a budget of 33": 41,
    "what comes while catching up is lost": 18,
    "events are routed as on the link before": 21,
    "a draining link does not deliver": 2,
    "what was caught up comes again": 7,
    "what came meanwhile is caught up with": 2,
    "a place among the dials is kept": 6,
    "silence after a ping is no loss": 2,
    "what was replaced is not given up": 10,
    "an old link that died is believed to live": 25,
    "the end wakes no waiter": 40,
    "a server fault reports no gap": 7,
    "a server fault ends what was acknowledged": 4,
    "a proof does not end a server fault": 4,
    "a missing echo is not noticed": 14,
    "the gap of a deaf link comes before an echo": 13,
    "a deaf link reports no gap": 13,
}
"""Where to look first, to save time; a seed that does not catch it any more costs nothing but that."""


def test_every_invariant_holds_in_every_storm() -> None:
    coverage, faults, handovers, eras = Coverage(), 0, 0, set[tuple[str, ...]]()
    for seed in SEEDS:
        result = simulate(seed, seconds=200.0)
        assert result.violation is None, f"seed {seed}: {result.violation}"
        coverage.add(result.coverage)
        faults += result.faults.total()
        handovers += result.handovers
        eras.add(result.eras)
    assert faults > 500
    assert handovers > 60
    assert len(eras) > 2, "servers of several eras, and some that change"
    assert len(coverage.rows) > 100


@pytest.mark.parametrize("seed", FOUND)
def test_a_seed_that_once_found_a_defect_finds_none(seed: int) -> None:
    assert simulate(seed, seconds=120.0).violation is None


def test_a_seed_replays_exactly_in_this_process_and_in_another() -> None:
    seed = 3
    here = [simulate(seed), simulate(seed + 1), simulate(seed)]
    assert here[0].trace == here[2].trace != here[1].trace
    assert here[0].faults == here[2].faults
    there = subprocess.run(
        [sys.executable, "-m", "simulation.run", "--seed", str(seed), "--runs", "1"],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert f"trace {here[0].trace}" in there.stdout


@pytest.mark.parametrize("name", MUTATIONS)
def test_broken_code_is_caught(name: str) -> None:
    begin = BEGIN.get(name, 0)
    seeds = (*range(begin, ENOUGH), *range(begin))
    with MUTATIONS[name]():
        found = ((seed, simulate(seed, seconds=100.0).violation) for seed in seeds)
        caught, violation = next(((seed, text) for seed, text in found if text is not None), (None, ""))
    assert caught is not None
    assert not re.search("(Attribute|Name|Type)Error", violation), "the mutation itself is broken"
    assert caught in SEEDS or simulate(caught, seconds=100.0).violation is None, "and the unchanged code is not caught"


def test_a_failing_seed_is_printed_with_the_command_that_replays_it(capsys: pytest.CaptureFixture[str]) -> None:
    with MUTATIONS["the session is in the records"]():
        assert main(["--seed", "7", "--faults", "100"]) == 1
    said = capsys.readouterr().out
    assert "a secret in the record" in said
    assert "python -m simulation.run --seed 7 --runs 1" in said
    assert "the-secret" not in said


def test_no_defect_is_known() -> None:
    assert KNOWN == {}, "each has a proof of its own here"
