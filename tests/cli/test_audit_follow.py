"""The command follows growing logs: it feeds an auditor, gives late records up, and prints a violation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from realtime_fsm.cli import audit_follow

VIOLATION = SimpleNamespace(place="a:7", rule="row", text="no transition rule of the table has this id")


PROBLEMS: dict[str, str] = {}
"""Why a file cannot be opened."""


class Auditor:
    """An auditor that notes its calls, and finds a violation in the line ``bad``."""

    def __init__(self, **asked: Any) -> None:
        assert {*asked} == {"only", "on_outage"}
        self.calls: list[tuple[str, ...]] = []
        self.violation: Any = None

    def begin(self, name: str) -> None:
        self.calls.append(("begin", name))

    def feed(self, lines: tuple[bytes]) -> None:
        (line,) = lines
        self.calls.append(("feed", line.decode()))
        if line == b"bad":
            self.violation = VIOLATION

    def unusable(self, name: str, text: str) -> None:
        self.calls.append(("unusable", name, text))

    def settle(self) -> None:
        self.calls.append(("settle",))


@pytest.fixture
def followed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[tuple[str, ...]]]:
    """Return a function that follows the files a and b until an interrupt, and returns the calls of the auditor."""

    def follow(*looks: tuple[str, list[bytes]]) -> list[tuple[str, ...]]:
        def follow_files(names: list[str], feed: Callable[[str, Iterator[bytes]], None]) -> None:
            assert names == ["a", "b"]
            for name, lines in looks:
                feed(name, iter(lines))
            raise KeyboardInterrupt

        monkeypatch.setattr(audit_follow, "follow_files", follow_files)
        auditor: Any = audit_follow.follow(["a", "b", "a"], only=())
        calls: list[tuple[str, ...]] = auditor.calls
        assert calls[:2] == [("begin", "a"), ("begin", "b")], "the report names also a file without a line"
        return calls[2:]

    monkeypatch.setattr(audit_follow, "Auditor", Auditor)
    monkeypatch.setattr(audit_follow, "find_problem", lambda name: PROBLEMS.get(name, ""))
    return follow


def test_the_auditor_learns_from_which_file_lines_come(followed: Callable[..., list[tuple[str, ...]]]) -> None:
    assert followed(("a", [b"1", b"2"]), ("b", [b"3"]), ("b", [b"4"]), ("a", [b"5"])) == [
        ("begin", "a"), ("feed", "1"), ("feed", "2"), ("begin", "b"), ("feed", "3"), ("feed", "4"), ("begin", "a"), ("feed", "5"),
    ]  # fmt: skip


@pytest.mark.parametrize(("looks", "settled"), [(15, 0), (16, 1), (40, 1)])
def test_the_auditor_gives_late_records_up_once_after_eight_looks_at_each_file(
    looks: int, settled: int, followed: Callable[..., list[tuple[str, ...]]]
) -> None:
    nothing: list[tuple[str, list[bytes]]] = [("a", []), ("b", [])]
    silence = (nothing * looks)[:looks]
    settling = [("settle",)] * settled
    assert followed(*silence) == settling
    assert followed(*silence[:10], ("b", [b"1"]), *silence) == [("begin", "b"), ("feed", "1"), *settling]


def test_a_missing_file_is_named_at_once_and_in_the_report_unless_it_comes(
    followed: Callable[..., list[tuple[str, ...]]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "ab":
        monkeypatch.setitem(PROBLEMS, name, "No such file or directory")
    assert followed(("a", [b"1"])) == [
        ("begin", "a"), ("feed", "1"), ("begin", "b"), ("unusable", "b", "No such file or directory"),
    ]  # fmt: skip
    problems = [f"realtime-fsm audit: {name}: No such file or directory; waiting for it" for name in "ab"]
    assert capsys.readouterr().err.splitlines() == problems


@pytest.mark.parametrize(("rule", "told"), [("row", "a:7: row: no transition rule of the table has this id\n"), ("outage", "")])
def test_the_command_prints_the_first_violation_at_once_unless_it_is_an_outage(
    rule: str,
    told: str,
    followed: Callable[..., list[tuple[str, ...]]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(VIOLATION, "rule", rule)
    followed(("a", [b"good", b"bad"]), ("a", [b"bad"]))
    assert capsys.readouterr().err.removeprefix("realtime-fsm audit: ") == told
