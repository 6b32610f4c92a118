"""The public surface: names to import, fields to read, words to type, and defaults change on purpose or not at all."""

from __future__ import annotations

from support.surface import FROZEN, surface


def test_it_is_what_was_frozen() -> None:
    frozen, present = set(FROZEN.read_text(encoding="utf-8").splitlines()), set(surface())
    hint = "where that is meant: cd tests && python -m support.surface > data/public_surface.txt"
    assert sorted(frozen - present) == [], f"gone; {hint}"
    assert sorted(present - frozen) == [], f"new; {hint}"


def test_it_holds_something_of_each_kind() -> None:
    lines = FROZEN.read_text(encoding="utf-8").splitlines()
    for start in (
        "realtime_fsm.Realtime.subscribe(",
        "realtime_fsm.State.PING",
        "realtime_fsm.RetryPolicy.__init__(attempts, reconnect_attempts",
        "realtime_fsm.audit.configure(",
        "realtime_fsm.testing.replay.check_path(",
        "record realtime.transition: ",
        "rule dis1",
        "realtime-fsm audit --fail-on",
        "report.connections.life.availability",
        "default realtime_fsm.RetryPolicy(attempts=3)",
        "default realtime-fsm serve --port=8090",
    ):
        assert any(line.startswith(start) for line in lines), start
