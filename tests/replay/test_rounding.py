"""The moments of an emitted test: as short as the path allows."""

from __future__ import annotations

from pathlib import Path

import pytest

from realtime_fsm.fsm.commands import SendFrame
from realtime_fsm.fsm.inputs import Connect, Pong
from realtime_fsm.fsm.policies import RetryPolicy
from realtime_fsm.fsm.table import State
from realtime_fsm.replay.harness import MachineHarness, ReplayInput
from realtime_fsm.replay.rounding import _DIGITS, _near, _round_up
from support.bench import Bench
from support.replay_cases import lived, rows
from support.replaying import emitted, log_of, replayed, run_emitted


def test_a_moment_a_microsecond_before_the_budget_has_room_is_exact(tmp_path: Path) -> None:
    """Rounded dwells put the pong before that moment; the exact clock puts it after."""

    def live(bench: Bench) -> None:
        begin = bench.to(State.CONNECTED).now
        bench.expire_until("con64")
        bench.now += 0.2000006
        bench.hear(Pong(1))
        bench.now += 0.1000006
        for number in range(30):
            bench.subscribe(f"s{number}")
            if number < 29:
                bench.acknowledge()
        while bench.now < begin + 90:
            bench.expire_until("sub64")
        bench.now = begin + 90.3000013
        bench.hear(Pong(1))
        assert bench.requests(SendFrame)

    log = log_of(tmp_path / "log", lived(live))
    played = replayed(log)
    assert rows(played)[-1] == "pin42"
    run_emitted(emitted(log, played))


@pytest.mark.parametrize(("stable_after", "moment"), [(29.0, "29.000"), (29.9998, "29.999800"), (30 - 1e-10, "29.999999999900")])
def test_moments_have_the_fewest_digits_that_keep_the_path(stable_after: float, moment: str, tmp_path: Path) -> None:
    """At the next rounded moment the ping would be due, and the client would send it first."""
    policy = RetryPolicy(stable_after=stable_after)
    records = lived(lambda bench: bench.to(State.CONNECTED).expire_until("con65"), retry=policy)
    text = emitted(log_of(tmp_path / "log", records))
    assert f"Step({moment}, Deadline()" in text
    run_emitted(text)


def test_moments_stay_exact_if_every_rounding_changes_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime_fsm.replay.rounding._DIGITS", (0, 1))
    records = lived(lambda bench: bench.to(State.CONNECTED).expire_until("con65"), retry=RetryPolicy(stable_after=29.9998))
    text = emitted(log_of(tmp_path / "log", records))
    assert "Step(1029.9998, Deadline()" in text
    run_emitted(text)


@pytest.mark.parametrize(
    ("moment", "digits", "rounded"), [(0.0431, 3, 0.044), (0.043, 3, 0.043), (5.7000000000000003e-11, 12, 5.8e-11)]
)
def test_a_moment_that_must_have_passed_is_rounded_up(moment: float, digits: int, rounded: float) -> None:
    """The last moment is slightly above 57 units, and a multiplication makes it exactly 57."""
    assert _round_up(moment, digits) == rounded >= moment


def test_a_dial_that_waits_still_waits_after_the_rounding() -> None:
    log = ReplayInput(1000.0006, Connect(), 0.1234567, dial_slot=1000.0008)
    harness = MachineHarness({"retry": RetryPolicy()})
    assert _near(harness, log, 1000.0, 0.0, 3) == ReplayInput(0.001, Connect(), 0.123457, dial_slot=0.002)


def test_a_pause_keeps_its_moment_from_the_first_step_and_its_order() -> None:
    log = ReplayInput(1002.0, Connect(), pauses=((1000.5, True), (1001.25, False)))
    near = _near(MachineHarness({}), log, 1000.0, 0.75, 3)
    assert near == ReplayInput(2.0, Connect(), pauses=((0.75, True), (1.25, False)))


def test_moments_are_rounded_to_three_six_nine_or_twelve_digits() -> None:
    assert _DIGITS == (3, 6, 9, 12)
