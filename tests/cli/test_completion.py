"""The completion: what it completes, and how the command ends. ``test_main.py`` tries it in the shells."""

from __future__ import annotations

import argparse
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from realtime_fsm.cli.completion import _arguments
from realtime_fsm.cli.main import main
from realtime_fsm.cli.words import by_kind

FILE = object()


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_files_and_words_are_completed(shell: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    parsers: list[argparse.ArgumentParser] = []

    def complete(parser: argparse.ArgumentParser, asked: str) -> str:
        assert asked == shell
        parsers.append(parser)
        return "the script"

    monkeypatch.setitem(sys.modules, "shtab", SimpleNamespace(FILE=FILE, complete=complete))
    with pytest.raises(SystemExit) as ended:
        main(["--print-completion", shell])
    assert (ended.value.code, capsys.readouterr().out) == (0, "the script\n")
    arguments: list[Any] = list(_arguments(parsers[0]))
    assert {each.dest for each in arguments if getattr(each, "complete", None) is FILE} == {
        "files", "output", "table", "log", "diff",
    }  # fmt: skip
    assert {each.metavar for each in arguments if getattr(each, "complete", None) is FILE} == {"FILE", "OLD.json"}
    (words,) = [each.choices for each in arguments if each.metavar == "WORD"]
    known = {meaning.word for meanings in by_kind().values() for meaning in meanings}
    assert words == sorted(words)
    assert {word.lower() for word in words} == {word.lower() for word in known}
    assert set(words) <= known


def test_another_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--print-completion", "fish"])
    assert (ended.value.code, "invalid choice: 'fish'" in capsys.readouterr().err) == (2, True)
