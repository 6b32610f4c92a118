"""Test `make mutants`: the changes, the choice of tests, and the verdicts on a project of one module."""

from __future__ import annotations

import shutil
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from mutants import plugin
from mutants.equivalents import EQUIVALENTS
from mutants.mutate import mutants_of
from mutants.run import all_mutants, main, sample

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


def test_an_assertion_stays() -> None:
    assert changes("assert number > 0\nzip(one, other, strict=True)") == {("zip(one, other, strict=True)", "pass")}


@pytest.mark.parametrize(("answer", "changed"), [("bool", set()), ("bool | None", {"return None"})])
def test_none_is_a_change_of_a_no_only_where_a_third_answer_exists(answer: str, changed: set[str]) -> None:
    assert {after for _, after in changes(f"def small() -> {answer}:\n    return False\n")} == {"(True)", *changed}


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


def test_the_list_of_equivalents_names_mutants_that_exist() -> None:
    """An entry whose line has changed must change with the line, or it excuses another mutant."""
    assert set(EQUIVALENTS) - {mutant.name for mutant in all_mutants(ROOT)} == set()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # the plugin of the test kit is not in the small project
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p pytest_timeout")
    for package in ("realtime_fsm", "tests/mutants"):
        (tmp_path / package).mkdir(parents=True)
        (tmp_path / package / "__init__.py").write_text("")
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    for name in ("plugin.py", "executed.py", "mutate.py"):
        shutil.copy(ROOT / "tests" / "mutants" / name, tmp_path / "tests" / "mutants")
    return tmp_path


def judge(project: Path, module: str, test: str, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    (project / "realtime_fsm" / "catch_up.py").write_text(module)
    (project / "tests" / "test_catch_up.py").write_text(f"from realtime_fsm.catch_up import *\n\n\n{test}")
    code = main(["--jobs", "1", "--count", "9", "--only", "catch_up", *options], project)
    assert (project / "realtime_fsm" / "catch_up.py").read_text() == module, "the run changes a copy only"
    return code, capsys.readouterr().out


def test_a_change_that_removes_an_inner_function_is_tried_in_a_fork(tmp_path: Path) -> None:
    file = tmp_path / "small.py"
    file.write_text("def small():\n    return [n for n in range(3)]\n\n\ndef other():\n    return 2\n")
    spec = spec_from_file_location("small", file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    assert not plugin.change_functions(module, file.read_text())
    assert plugin.change_functions(module, file.read_text().replace("return [n for n in range(3)]", "return None"))
    assert (module.small(), module.other()) == (None, 2)


SMALL = "def small(n):\n    return n < 10\n"


def test_report_names_survivors_and_score(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    test = "def test_it():\n    assert small(3)\n"
    code, out = judge(project, SMALL, test, capsys, "--least", "90")
    assert out.splitlines()[-4:] == [
        "  realtime_fsm/catch_up.py:2: 10  ->  (11)",
        "  realtime_fsm/catch_up.py:2: n < 10  ->  (n <= 10)",
        "",
        "1 of 3 mutants killed (0 by timeout), 0 equivalent, 0 not judged within the budget; seed 1. Score: 33.3 %",
    ]
    assert code == 1
    _, second = judge(project, SMALL, test, capsys)
    assert "catch_up.py:2: return n < 10" not in second, "the run reuses the stored verdict"
    assert "Score: 33.3 %" in second


def test_a_changed_test_judges_again(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judge(project, SMALL, "def test_it():\n    assert small(3)\n", capsys)
    _, out = judge(project, SMALL, "def test_it():\n    assert small(9) and not small(10)\n", capsys)
    assert "Score: 100.0 %" in out


def test_tests_that_execute_the_line_judge_it(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No name leads from the test to the module, and the line has moved since the record."""
    (project / "realtime_fsm" / "other.py").write_text("from realtime_fsm.catch_up import small\n")
    (project / "tests" / "test_other.py").write_text(
        "from realtime_fsm.other import small\n\n\ndef test_it():\n    assert small(9) and not small(10)\n"
    )
    judge(project, SMALL, "", capsys)
    _, out = judge(project, f"import os\n{SMALL}", "", capsys)
    assert "killed    realtime_fsm/catch_up.py:3: 10  ->  (11)" in out
    assert "Score: 100.0 %" in out


def test_after_a_change_of_the_module_the_tests_of_the_function_judge_it(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A weak test executed the text `return n < 10` before, and no record says that the strong one does now."""
    before = "def old(n):\n    return n < 10\n\ndef small(n):\n    n += 1\n    return n in range(10)\n"
    (project / "realtime_fsm" / "other.py").write_text("from realtime_fsm.catch_up import small\n")
    (project / "tests" / "test_other.py").write_text(
        "from realtime_fsm.other import small\n\n\ndef test_it():\n    assert small(8) and not small(9)\n"
    )
    weak = "def test_it():\n    assert old(3)\n"
    judge(project, before, weak, capsys, "--count", "99")
    _, out = judge(project, before.replace("n in range(10)", "n < 10"), weak, capsys, "--count", "99")
    assert "realtime_fsm/catch_up.py:6: 10  ->  (11)" in [line.removeprefix("killed    ") for line in out.splitlines()]


def test_a_change_of_what_runs_at_the_import_is_judged_too(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No fork sees it, because the module was imported before."""
    module = "LIMIT = 10\n\ndef small(n):\n    return n < LIMIT\n"
    _, out = judge(project, module, "def test_it():\n    assert small(9) and not small(10)\n", capsys)
    assert "killed    realtime_fsm/catch_up.py:1: 10  ->  (11)" in out
    assert "3 of 3 mutants killed" in out


def test_a_hanging_mutant_is_killed(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = "def wait():\n    while True:\n        break\n"
    code, out = judge(project, module, "def test_it():\n    wait()\n", capsys, "--seconds", "8")
    assert "timeout   realtime_fsm/catch_up.py:3: break  ->  continue" in out
    assert code == 0


def test_a_timeout_that_slow_tests_explain_kills_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module, test = "def limit():\n    return 3\n", "import time\n\ndef test_it():\n    time.sleep(1)\n    limit()\n"
    _, out = judge(project, module, test, capsys, "--seconds", "0.5")
    assert "0 of 2 mutants killed (0 by timeout)" in out


def test_failing_tests_prove_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = "def limit():\n    return 3\n"
    judge(project, module, "def test_it():\n    assert limit() == 3\n", capsys, "--count", "1")
    code, out = judge(project, module.replace("3", "4"), "def test_it():\n    assert limit() == 3\n", capsys)
    assert code == 2
    assert out.splitlines()[-2:] == [
        "Tests that fail without a mutant, so they prove nothing:", "  tests/test_catch_up.py::test_it"
    ]  # fmt: skip
