"""Watch pytest for the judge: record the lines that tests execute, run chosen tests, or try mutants in forks."""

from __future__ import annotations

import gc
import importlib
import itertools
import json
import os
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import coverage
import pytest
from hypothesis import Phase, settings

from mutants.executed import digest_of


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", type=Path, help="write the lines that each test executes to this directory")
    parser.addoption("--choose", type=Path, help="run the tests of this file, in its order; each has its own timeout")
    parser.addoption("--try", dest="try_", type=Path, help="try the mutants of this file, each in a fork")


def pytest_configure(config: pytest.Config) -> None:
    phases = (Phase.explicit, Phase.generate)  # to find the smallest example that fails costs minutes
    settings.register_profile("judge", derandomize=True, phases=phases)
    settings.load_profile("judge")
    if config.getoption("--record"):
        config.pluginmanager.register(Recorder(config.getoption("--record"), config.rootpath))
    if config.getoption("--choose"):
        config.pluginmanager.register(Chooser(config.getoption("--choose")))
    if config.getoption("--try"):
        config.pluginmanager.register(Forks(config.getoption("--try")))


class Recorder:
    """Record the tests that execute each line of the package, in one file for each file of tests."""

    def __init__(self, directory: Path, root: Path) -> None:
        self._directory, self._root = directory, root
        self._coverage = coverage.Coverage(data_file=None, config_file=False, include=[str(root / "realtime_fsm" / "*")])
        self._coverage.set_option("run:disable_warnings", ["no-data-collected"])  # some tests execute no line of the package
        self._seconds: dict[str, float] = {}
        self._failed: set[str] = set()
        self._coverage.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[Any]:
        self._coverage.switch_context(item.nodeid)
        began = time.process_time()  # other processes do not count
        result = yield
        self._seconds[item.nodeid] = time.process_time() - began
        if nextitem is None or nextitem.path != item.path:
            self._write(item.path)
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.passed:
            self._failed.add(report.nodeid)

    def _write(self, file: Path) -> None:
        """Write the lines of one file of tests, each line by its text, and forget them. A test that fails judges nothing."""
        self._coverage.stop()
        data = self._coverage.get_data()
        tests = {test: round(seconds, 3) for test, seconds in self._seconds.items() if test not in self._failed}
        numbers = {test: number for number, test in enumerate(tests)}
        lines: dict[str, dict[str, list[int]]] = {}
        for module in data.measured_files():
            texts = Path(module).read_text().splitlines()
            found: dict[str, set[int]] = defaultdict(set)
            for line, contexts in data.contexts_by_lineno(module).items():
                if 0 < line <= len(texts):  # an empty module has a line all the same
                    found[texts[line - 1].strip()].update(numbers[test] for test in contexts if test in numbers)
            lines[self._name(Path(module))] = {text: sorted(executing) for text, executing in found.items() if executing}
        modules = {module: digest_of(self._root / module) for module in lines}
        record = {"file": self._name(file), "digest": digest_of(file), "modules": modules, "tests": tests, "lines": lines}
        (self._directory / f"{self._name(file).replace('/', '.')}.json").write_text(json.dumps(record))
        self._coverage.erase()
        self._seconds.clear()
        self._coverage.start()

    def _name(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()


class Chooser:
    """Run the chosen tests in their order, and write the name of each test when it starts."""

    def __init__(self, file: Path) -> None:
        self._limits: dict[str, float] = json.loads(file.read_text())
        self._started = file.with_suffix(".started")

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        order = {test: number for number, test in enumerate(self._limits)}
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in order])
        items[:] = sorted((item for item in items if item.nodeid in order), key=lambda item: order[item.nodeid])
        for item in items:
            item.add_marker(pytest.mark.timeout(self._limits[item.nodeid]), append=False)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._started.write_text(nodeid)


class Forks:
    """Try each mutant in a fork of this process, which has imported everything, and write the tests that notice it.

    A fork gets the changed functions of the module. All that ran at the import stays, and commands that tests start know no
    mutant: so a mutant that survives here is not judged yet.
    """

    def __init__(self, file: Path) -> None:
        self._tries: list[dict[str, Any]] = json.loads(file.read_text())
        self._killers = file.with_suffix(".killers")

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        for each in self._tries:
            module = importlib.import_module(each["module"])
            child = os.fork()
            if child == 0:
                killer = ""
                with suppress(BaseException):
                    os.setsid()
                    if change_functions(module, each["source"]):
                        chosen = [(items[test], limit) for test, limit in each["tests"].items() if test in items]
                        killer = _first_failure(session, chosen)
                with self._killers.open("a") as out:
                    out.write(json.dumps([each["number"], killer]) + "\n")
                os._exit(0)
            deadline = time.monotonic() + each["timeout"]
            while os.waitpid(child, os.WNOHANG) == (0, 0):
                if time.monotonic() > deadline:
                    os.killpg(child, signal.SIGKILL)
                    os.waitpid(child, 0)
                    break
                time.sleep(0.02)
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)  # what a test started
        return True


def _first_failure(session: pytest.Session, chosen: list[tuple[pytest.Item, float]]) -> str:
    """Run tests until one fails, and return its name."""
    for (item, limit), (following, _) in itertools.zip_longest(chosen, chosen[1:], fillvalue=(None, 0.0)):
        assert item is not None
        item.add_marker(pytest.mark.timeout(limit), append=False)
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed:
            return item.nodeid
    return ""


def change_functions(module: ModuleType, source: str) -> bool:
    """Give the functions of a module the code that another source gives them. Tell whether one of them has changed."""
    file = str(module.__file__)
    before, after = (_codes(compile(text, file, "exec", dont_inherit=True)) for text in (Path(file).read_text(), source))
    changed = {
        old: new
        for name, olds in before.items()
        if len(olds) == len(after[name])  # a change of the outer function may have removed an inner one
        for old, new in zip(olds, after[name], strict=True)
        if _text_of(old) != _text_of(new)
    }
    for function in [each for each in gc.get_objects() if isinstance(each, FunctionType) and each.__module__ == module.__name__]:
        if (code := changed.get(function.__code__)) is not None:
            function.__code__ = code
    return bool(changed)


def _codes(code: CodeType) -> dict[str, list[CodeType]]:
    """Return the code of all functions, by their names."""
    found: dict[str, list[CodeType]] = defaultdict(list)
    for each in (const for const in code.co_consts if isinstance(const, CodeType)):
        found[each.co_qualname].append(each)
        for name, inner in _codes(each).items():
            found[name] += inner
    return found


def _text_of(code: CodeType) -> tuple[Any, ...]:
    """Return all that a code does, without its lines."""
    consts = tuple(_text_of(each) if isinstance(each, CodeType) else (type(each), each) for each in code.co_consts)
    return code.co_code, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, consts
