"""Test `make mutants`: the changes, the choice of tests, and the verdicts on a project of one module."""

from __future__ import annotations

from pathlib import Path

import pytest

from mutants.equivalents import EQUIVALENTS
from mutants.mutate import mutants_of
from mutants.run import all_mutants, main, sample
from mutants.targets import PACKAGES, TABLE, file_of, files_for

ROOT = Path(__file__).parents[2]
MODULE = '''
"""A docstring with True in it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    LIMIT: int = 1


def small(number: int = 2) -> bool:
    assert number > 0
    if number != number:
        raise ValueError(f"{number + 1}")
    return number < 10 and not number == 3
'''


def changes(source: str) -> set[tuple[str, str]]:
    return {(mutant.before, mutant.after) for mutant in mutants_of("module.py", source.encode())}


def test_only_running_code_changes() -> None:
    assert changes(MODULE) == {
        ("2", "(3)"),
        ("number != number", "(number == number)"),
        ("return number < 10 and not number == 3", "return None"),
        ("number < 10 and not number == 3", "(number < 10 or not number == 3)"),
        ("number < 10", "(number <= 10)"),
        ("10", "(11)"),
        ("not number == 3", "(number == 3)"),
        ("number == 3", "(number != 3)"),
        ("3", "(4)"),
    }


@pytest.mark.parametrize(
    ("source", "after"),
    [
        ("dest = State.PING", "(State.UNSUBSCRIBED)"),
        ("effects = ('a', 'b')", "(('b',))"),
        ("row(guard='is_one', dest=1)", "(row(dest=1))"),
        ("act()", "pass"),
        ("thing.count = 1", "pass"),
        ("count += 1", "count -= 1"),
        ("while yes: break", "continue"),
        ("while yes: break", "(not (yes))"),
        ("flag = True", "(False)"),
        ("é = 1 in them", "(1 not in them)"),
    ],
)
def test_each_kind_of_change(source: str, after: str) -> None:
    assert after in {made for _, made in changes(source)}


def test_change_is_in_place() -> None:
    source = 'é = "ü"; a = 1 < 2\n'.encode()
    (mutant,) = [mutant for mutant in mutants_of("module.py", source) if mutant.before == "1 < 2"]
    assert mutant.applied(source).decode() == 'é = "ü"; a = (1 <= 2)\n'
    assert str(mutant) == "module.py:1: 1 < 2  ->  (1 <= 2)"


def test_sample_repeats_and_covers_packages() -> None:
    everything = all_mutants(ROOT)
    chosen = sample(ROOT, everything, 150, 1)
    assert chosen == sample(ROOT, everything, 150, 1)
    assert chosen != sample(ROOT, everything, 150, 2)
    assert len(set(chosen)) == len(chosen)
    assert {Path(mutant.path).parent for mutant in chosen} == {Path(mutant.path).parent for mutant in everything}


def test_every_module_has_tests() -> None:
    modules = {mutant.path for mutant in all_mutants(ROOT)}
    assert TABLE in modules
    assert {path: files_for(path, ROOT) for path in modules if not files_for(path, ROOT)} == {}
    listed = [file_of(name) for names in PACKAGES.values() for name in names.split()]
    assert [name for name in listed if not (ROOT / name).exists()] == []


def test_the_list_of_equivalents_names_mutants_that_exist() -> None:
    """An entry whose line has moved must move with the line, or it excuses another mutant."""
    assert set(EQUIVALENTS) - {str(mutant) for mutant in all_mutants(ROOT)} == set()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # the plugin of the test kit is not in the small project
    (tmp_path / "realtime_fsm").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "realtime_fsm" / "__init__.py").write_text("")
    return tmp_path


def judge(project: Path, module: str, test: str, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    (project / "realtime_fsm" / "catch_up.py").write_text(module)
    (project / "tests" / "test_catch_up.py").write_text(f"from realtime_fsm.catch_up import *\n\n\n{test}")
    code = main(["--jobs", "1", "--count", "9", "--only", "catch_up", *options], project)
    assert (project / "realtime_fsm" / "catch_up.py").read_text() == module, "the run changes a copy only"
    return code, capsys.readouterr().out


def test_report_names_survivors_and_score(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module, test = "def small(n):\n    return n < 10\n", "def test_it():\n    assert small(3)\n"
    code, out = judge(project, module, test, capsys, "--least", "90")
    assert out.splitlines()[-4:] == [
        "  realtime_fsm/catch_up.py:2: 10  ->  (11)",
        "  realtime_fsm/catch_up.py:2: n < 10  ->  (n <= 10)",
        "",
        "1 of 3 mutants killed (0 by timeout), 0 equivalent, 0 not judged within the budget; seed 1. Score: 33.3 %",
    ]
    assert code == 1
    _, second = judge(project, module, test, capsys)
    assert "catch_up.py:2: return n < 10" not in second, "the run reuses the stored verdict"
    assert "Score: 33.3 %" in second


def test_timeout_kills_a_hanging_mutant(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = "def wait():\n    while True:\n        break\n"
    code, out = judge(project, module, "def test_it():\n    wait()\n", capsys, "--seconds", "8")
    assert "timeout   realtime_fsm/catch_up.py:3: break  ->  continue" in out
    assert code == 0


def test_failing_tests_prove_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = judge(project, "LIMIT = 3\n", "def test_it():\n    assert LIMIT == 4\n", capsys)
    assert code == 2
    assert "a kill proves nothing" in out
