"""Judge a sample of mutants: ``python -m mutants.run --count 150 --seed 1``. `make mutants` calls this module.

A copy of the project in a temporary directory holds each mutant, and the tests that execute its lines run there. ``.mutants/``
keeps these lines, and a verdict until the module or a test changes, so a stopped run continues.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import queue
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from mutants.equivalents import EQUIVALENTS
from mutants.executed import Executed, directory_of, file_of, stale_files
from mutants.mutate import Mutant, mutants_of

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = [".venv", ".git", ".mutants", ".hypothesis", ".coverage*", "*_cache", "__pycache__", "node_modules", "build", "dist"]
"""The files of the project that no copy needs."""
SEVERAL = 4.0
"""A timeout kills a mutant only if it is that many times as long as the run of its tests without the mutant."""
FIRST = 4
"""The nearest files of tests, which run alone first: to import all others takes seconds."""
KILLED, TIMED_OUT, SURVIVED, EQUIVALENT = "killed", "timeout", "survived", "equivalent"


def sample(root: Path, mutants: Iterable[Mutant], count: int, seed: int) -> list[Mutant]:
    """Choose `count` mutants that compile, from every package in proportion to its size, and at least one of each."""
    packages: dict[str, list[Mutant]] = defaultdict(list)
    for mutant in mutants:
        packages[str(Path(mutant.path).parent)].append(mutant)
    available = sum(map(len, packages.values()))
    random_source = random.Random(seed)
    chosen: list[Mutant] = []
    for name in sorted(packages):
        share = max(1, round(count * len(packages[name]) / available))
        shuffled = random_source.sample(packages[name], len(packages[name]))
        chosen += islice((mutant for mutant in shuffled if _compiles(mutant.applied((root / mutant.path).read_bytes()))), share)
    random_source.shuffle(chosen)
    return chosen[:count]


def all_mutants(root: Path, only: str = "") -> list[Mutant]:
    """Return every mutant of the modules whose path contains `only`."""
    found = []
    for module in sorted((root / "realtime_fsm").rglob("*.py")):
        path = module.relative_to(root).as_posix()
        if only in path:
            found += mutants_of(path, module.read_bytes())
    return found


def _compiles(source: bytes) -> bool:
    try:
        compile(source, "mutant", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return True


class Copy:
    """A copy of the project that judges one mutant after another."""

    def __init__(self, root: Path, directory: Path) -> None:
        self.directory = directory
        self._judged = 0
        shutil.copytree(root, directory, ignore=shutil.ignore_patterns(*LEFT_OUT), dirs_exist_ok=True)

    def judge(self, mutant: Mutant, tests: dict[str, float], timeout: float) -> tuple[str, str]:
        """Insert the mutant, run its tests, and remove the mutant. Return the verdict, and the test that ran last."""
        module = self.directory / mutant.path
        source, modified = module.read_bytes(), module.stat().st_mtime
        self._judged += 1
        module.write_bytes(mutant.applied(source))
        os.utime(module, (self._judged, self._judged))  # Python compares bytecode by size and second of the source
        try:
            return self.run(tests, timeout)
        finally:
            module.write_bytes(source)
            os.utime(module, (modified, modified))

    def run(self, tests: dict[str, float], timeout: float) -> tuple[str, str]:
        """Run tests, each with its own timeout, until one fails. Return the verdict, and the test that ran last."""
        chosen, started = self.directory / "chosen.json", self.directory / "chosen.started"
        chosen.write_text(json.dumps(tests))
        started.write_text("")
        code = self.pytest("-x", f"--choose={chosen}", *dict.fromkeys(map(file_of, tests)), timeout=timeout)
        verdict = {0: SURVIVED, pytest.ExitCode.NO_TESTS_COLLECTED: SURVIVED, None: TIMED_OUT}.get(code, KILLED)
        return verdict, started.read_text()

    def try_in_forks(self, tries: list[dict[str, Any]], timeout: float) -> Iterator[tuple[int, str]]:
        """Yield the number of each mutant that a fork has noticed, and the test that noticed it."""
        file = self.directory / "tries.json"
        file.write_text(json.dumps(tries))
        killers = file.with_suffix(".killers")
        killers.write_text("")
        files = sorted({file_of(test) for each in tries for test in each["tests"]})
        self.pytest(f"--try={file}", *files, timeout=timeout)
        yield from ((number, test) for number, test in map(json.loads, killers.read_text().splitlines()) if test)

    def record(self, directory: Path, files: list[str]) -> None:
        """Run files of tests, and write the lines that each test executes."""
        code = self.pytest(f"--record={directory}", *files, timeout=None)
        if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED):
            raise RuntimeError(f"pytest could not run the tests: {(self.directory / 'output').read_text()[-2000:]}")

    def pytest(self, *arguments: str, timeout: float | None) -> int | None:
        """Run pytest and return its exit code, or None after the timeout, which ends all its processes."""
        plugins = ("-p", "no:cacheprovider", "-p", "mutants.plugin")
        command = [sys.executable, "-m", "pytest", "-q", "--no-header", *plugins, *arguments]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(self.directory), str(self.directory / "tests")]),
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": str(self.directory / ".pycache"),
            "COVERAGE_CORE": "ctrace",  # a core of Python 3.12 tells the first test of a line only
        }
        with (
            (self.directory / "output").open("w") as output,
            subprocess.Popen(
                command, cwd=self.directory, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            ) as process,
        ):
            try:
                return process.wait(timeout)
            except subprocess.TimeoutExpired:
                return None
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


class Verdicts:
    """The stored verdicts, each for one mutant and one state of the module and its tests."""

    def __init__(self, file: Path, root: Path) -> None:
        self._file, self._root = file, root
        self._lock = threading.Lock()
        self._verdicts: dict[str, str] = {}
        if file.exists():
            for line in file.read_text().splitlines():
                with suppress(ValueError):  # an incomplete line
                    stored = json.loads(line)
                    self._verdicts[stored["key"]] = stored["verdict"]

    def key(self, mutant: Mutant, tests: Iterable[str]) -> str:
        """Hash the mutant and everything on which its verdict depends."""
        digest = hashlib.sha256(repr(mutant).encode())
        for name in (mutant.path, *sorted(set(map(file_of, tests)))):
            digest.update((self._root / name).read_bytes())
        return digest.hexdigest()[:24]

    def get(self, key: str) -> str | None:
        """Return the stored verdict."""
        return self._verdicts.get(key)

    def add(self, key: str, mutant: Mutant, verdict: str, test: str) -> None:
        """Store a verdict, with the test that noticed the mutant."""
        self._verdicts[key] = verdict
        with self._lock, self._file.open("a") as out:
            out.write(json.dumps({"key": key, "mutant": str(mutant), "verdict": verdict, "test": test}) + "\n")


class Judge:
    """Judge mutants with the tests that execute their lines."""

    def __init__(self, root: Path, executed: Executed, copies: list[Copy], options: argparse.Namespace) -> None:
        self._root, self._executed = root, executed
        self._copies: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        for copy in copies:
            self._copies.put(copy)
        self._verdicts = Verdicts(root / ".mutants" / "verdicts.jsonl", root)
        self._deadline = time.monotonic() + options.budget
        self._timeout: float = options.seconds
        self._killers: dict[str, list[Mutant]] = defaultdict(list)
        self._passing: set[str] = set()
        self.failing: set[str] = set()

    def judge(self, mutants: list[Mutant], pool: ThreadPoolExecutor) -> list[tuple[Mutant, str | None]]:
        """Return the verdict of each mutant, or None after the budget of the run.

        A test that fails without a mutant proves nothing, so the mutants that it killed are judged again without it.
        """
        self._try(mutants)
        verdicts = dict(zip(mutants, pool.map(self._verdict, mutants), strict=True))
        while unproven := self._killers.keys() - self._passing:
            failing = self._failing_of(sorted(unproven))
            self._passing |= unproven - failing
            self.failing |= failing
            again = [mutant for test in sorted(failing) for mutant in self._killers.pop(test)]
            verdicts |= zip(again, pool.map(self._verdict, again), strict=True)
        return list(verdicts.items())

    def _try(self, mutants: list[Mutant]) -> None:
        """Store the verdicts of mutants that tests notice in a fork of one process."""
        tries = []
        for number, mutant in enumerate(mutants):
            tests = self._tests_for(mutant)
            if mutant.name not in EQUIVALENTS and tests and self._verdicts.get(self._verdicts.key(mutant, tests)) is None:
                source = mutant.applied((self._root / mutant.path).read_bytes()).decode()
                module = ".".join(Path(mutant.path).with_suffix("").parts).removesuffix(".__init__")
                tries.append({"number": number, "module": module, "source": source, "tests": tests, "timeout": self._timeout})
        copy = self._copies.get()
        for number, test in copy.try_in_forks(tries, max(0.0, self._deadline - time.monotonic())) if tries else ():
            self._store(mutants[number], KILLED, test)
        self._copies.put(copy)

    def _tests_for(self, mutant: Mutant) -> dict[str, float]:
        return {test: self._limit(test) for test in self._executed.tests_for(mutant) if test not in self.failing}

    def _store(self, mutant: Mutant, verdict: str, test: str) -> None:
        if verdict != SURVIVED:
            self._killers[test].append(mutant)
        self._verdicts.add(self._verdicts.key(mutant, self._tests_for(mutant)), mutant, verdict, test)
        print(f"{verdict:9} {mutant}", flush=True)

    def _verdict(self, mutant: Mutant) -> str | None:
        if mutant.name in EQUIVALENTS:
            return EQUIVALENT
        tests = self._tests_for(mutant)
        if (stored := self._verdicts.get(self._verdicts.key(mutant, tests))) is not None or time.monotonic() > self._deadline:
            return stored
        copy = self._copies.get()
        try:
            verdict, test = self._run(copy, mutant, tests)
        finally:
            self._copies.put(copy)
        self._store(mutant, verdict, test)
        return verdict

    def _run(self, copy: Copy, mutant: Mutant, tests: dict[str, float]) -> tuple[str, str]:
        nearest = list(dict.fromkeys(map(file_of, tests)))[:FIRST]
        for part in (
            {test: limit for test, limit in tests.items() if file_of(test) in nearest},
            {test: limit for test, limit in tests.items() if file_of(test) not in nearest},
        ):
            verdict, last = self._run_part(copy, mutant, part) if part else (SURVIVED, "")
            if verdict != SURVIVED:
                return verdict, last or next(iter(part))  # without a last test, Python could not import the mutant
        return SURVIVED, ""

    def _run_part(self, copy: Copy, mutant: Mutant, tests: dict[str, float]) -> tuple[str, str]:
        verdict, last = copy.judge(mutant, tests, self._timeout)
        if verdict == TIMED_OUT:
            began = time.monotonic()
            copy.run(tests, 10.0 * self._timeout)
            if self._timeout < (needed := SEVERAL * (time.monotonic() - began)):
                return copy.judge(mutant, tests, needed)
        return verdict, last

    def _failing_of(self, tests: list[str]) -> set[str]:
        """Return the tests that fail without a mutant."""
        copy, failing = self._copies.get(), set()
        try:
            while tests:
                verdict, last = copy.run({test: self._limit(test) for test in tests}, 10.0 * self._timeout)
                if verdict == SURVIVED:
                    break
                failing.add(last)
                tests = tests[tests.index(last) + 1 :] if last in tests else []
        finally:
            self._copies.put(copy)
        return failing

    def _limit(self, test: str) -> float:
        """Return the timeout of a test."""
        return max(60.0, 20.0 * self._executed.seconds[test])


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Judge the sample. Return 1 if the score is below ``--least``, and 2 if a test fails without a mutant."""
    parser = argparse.ArgumentParser(prog="mutants")
    parser.add_argument("--count", type=int, default=150, help="number of mutants (150)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the sample (1)")
    parser.add_argument("--only", default="", help="only modules whose path contains this text")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at once (2)")
    parser.add_argument("--seconds", type=float, default=240.0, help="timeout of one mutant, longer under load (240)")
    parser.add_argument("--budget", type=float, default=3600.0, help="seconds after which no mutant starts (3600)")
    parser.add_argument("--least", type=float, default=0.0, help="the smallest score in percent that passes")
    options = parser.parse_args(arguments)
    chosen = sample(root, all_mutants(root, options.only), options.count, options.seed)
    with tempfile.TemporaryDirectory(prefix="mutants-") as temporary:
        copies = [Copy(root, Path(temporary) / str(number)) for number in range(options.jobs)]
        with ThreadPoolExecutor(options.jobs) as pool:
            if stale := stale_files(root):
                print(f"{len(stale)} files of tests run first, to learn the lines that each test executes", flush=True)
                parts = [stale[number :: options.jobs] for number in range(options.jobs)]
                list(pool.map(lambda copy, files: copy.record(directory_of(root), files), copies, filter(None, parts)))
            judge = Judge(root, Executed(root), copies, options)
            results = judge.judge(chosen, pool)
    code = report(results, options)
    if judge.failing:
        print("Tests that fail without a mutant, so they prove nothing:", *sorted(judge.failing), sep="\n  ")
        return 2
    return code


def report(results: list[tuple[Mutant, str | None]], options: argparse.Namespace) -> int:
    """Print the survivors and the score. Return 1 if the score is below ``--least``."""
    counts = {name: sum(verdict == name for _, verdict in results) for name in (KILLED, TIMED_OUT, SURVIVED, EQUIVALENT)}
    unjudged = sum(verdict is None for _, verdict in results)
    survivors = sorted(str(mutant) for mutant, verdict in results if verdict == SURVIVED)
    if survivors:
        print("\nSurvivors:")
        print("\n".join(f"  {survivor}" for survivor in survivors))
    killed = counts[KILLED] + counts[TIMED_OUT]
    score = 100.0 * killed / max(1, killed + counts[SURVIVED])
    print(
        f"\n{killed} of {killed + counts[SURVIVED]} mutants killed ({counts[TIMED_OUT]} by timeout), "
        f"{counts[EQUIVALENT]} equivalent, {unjudged} not judged within the budget; seed {options.seed}. Score: {score:.1f} %"
    )
    return int(score < options.least)


if __name__ == "__main__":
    sys.exit(main())
