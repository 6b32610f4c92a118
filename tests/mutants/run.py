"""Judge a sample of mutants: ``python -m mutants.run --count 150 --seed 1``. `make mutants` calls this module.

A copy of the project in a temporary directory holds each mutant, and the tests of its module run there. ``.mutants/`` keeps a
verdict until the module or a test changes, so a stopped run continues.
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
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path

from mutants.equivalents import EQUIVALENTS
from mutants.mutate import Mutant, mutants_of
from mutants.targets import DRIFT, TABLE, files_for

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("realtime_fsm", "tests", "diagrams", ".ci", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "Makefile")
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
        self.root = root
        self.directory = directory
        for name in COPIED:
            if (source := root / name).is_dir():
                shutil.copytree(source, directory / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
            elif source.exists():
                shutil.copy2(source, directory / name)

    def judge(self, mutant: Mutant, timeout: float) -> str:
        """Insert the mutant, run its tests, and remove the mutant."""
        module = self.directory / mutant.path
        source = module.read_bytes()
        module.write_bytes(mutant.applied(source))
        try:
            return self.run(files_for(mutant.path, self.root), timeout, drift=mutant.path != TABLE)
        finally:
            module.write_bytes(source)

    def run(self, tests: list[str], timeout: float, *, drift: bool = True, output: int = subprocess.DEVNULL) -> str:
        """Run test files; kill a process that exceeds the timeout, with its children."""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider", *tests]
        if not drift:
            command += ["--deselect", DRIFT]
        # Python compares bytecode by size and second, so two mutants of one size could share a stale file.
        environment = {**os.environ, "PYTHONPATH": str(self.directory), "PYTHONDONTWRITEBYTECODE": "1"}
        with subprocess.Popen(
            command, cwd=self.directory, env=environment, stdout=output, stderr=subprocess.DEVNULL, start_new_session=True
        ) as process:
            try:
                return SURVIVED if process.wait(timeout) == 0 else KILLED
            except subprocess.TimeoutExpired:
                return TIMED_OUT
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

    def key(self, mutant: Mutant) -> str:
        """Hash the mutant and everything on which its verdict depends."""
        digest = hashlib.sha256(repr(mutant).encode())
        for name in (mutant.path, *files_for(mutant.path, self._root)):
            digest.update((self._root / name).read_bytes())
        return digest.hexdigest()[:24]

    def get(self, mutant: Mutant) -> str | None:
        """Return the stored verdict."""
        return self._verdicts.get(self.key(mutant))

    def add(self, mutant: Mutant, verdict: str) -> None:
        """Store a verdict."""
        with self._lock:
            self._file.parent.mkdir(exist_ok=True)
            with self._file.open("a") as out:
                out.write(json.dumps({"key": self.key(mutant), "mutant": str(mutant), "verdict": verdict}) + "\n")


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Judge the sample. Return 1 if the score is below ``--least``, and 2 if the tests fail without a mutant."""
    parser = argparse.ArgumentParser(prog="mutants")
    parser.add_argument("--count", type=int, default=150, help="number of mutants (150)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the sample (1)")
    parser.add_argument("--only", default="", help="only modules whose path contains this text")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at once (2)")
    parser.add_argument("--seconds", type=float, default=240.0, help="timeout of one mutant (240)")
    parser.add_argument("--budget", type=float, default=3600.0, help="seconds after which no mutant starts (3600)")
    parser.add_argument("--least", type=float, default=0.0, help="the smallest score in percent that passes")
    options = parser.parse_args(arguments)
    chosen = sample(root, all_mutants(root, options.only), options.count, options.seed)
    verdicts = Verdicts(root / ".mutants" / "verdicts.jsonl", root)
    with tempfile.TemporaryDirectory(prefix="mutants-") as temporary:
        copies: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        for number in range(options.jobs):
            copies.put(Copy(root, Path(temporary) / str(number)))
        deadline = time.monotonic() + options.budget

        def judge(mutant: Mutant) -> tuple[Mutant, str | None]:
            if str(mutant) in EQUIVALENTS:
                return mutant, EQUIVALENT
            if (verdict := verdicts.get(mutant)) is not None:
                return mutant, verdict
            if time.monotonic() > deadline:
                return mutant, None
            copy = copies.get()
            try:
                verdict = copy.judge(mutant, options.seconds)
            finally:
                copies.put(copy)
            verdicts.add(mutant, verdict)
            print(f"{verdict:9} {mutant}", flush=True)
            return mutant, verdict

        with ThreadPoolExecutor(options.jobs) as pool:
            if not _tests_pass(root, chosen, verdicts, copies, pool):
                print("The tests fail without a mutant, so a kill proves nothing. Run: make test")
                return 2
            results = list(pool.map(judge, chosen))
    return report(results, options)


def _tests_pass(
    root: Path, chosen: list[Mutant], verdicts: Verdicts, copies: queue.SimpleQueue[Copy], pool: ThreadPoolExecutor
) -> bool:
    """Tell whether all chosen tests pass without a mutant. Store the verdict until the package or a test changes."""
    tests = sorted({test for mutant in chosen for test in files_for(mutant.path, root)})
    jobs = copies.qsize()
    everything = Mutant("realtime_fsm/__init__.py", 0, digest_of(root), " ".join(tests), 0, 0)
    if verdicts.get(everything) is None:
        print(f"{len(tests)} test files run without a mutant first", flush=True)

        def passes(shard: list[str]) -> bool:
            copy = copies.get()
            try:
                with (copy.directory / "output").open("w+b") as output:
                    passed = not shard or copy.run(shard, 1800.0, output=output.fileno()) == SURVIVED
                    if not passed:
                        print((copy.directory / "output").read_text(errors="replace")[-2000:], flush=True)
                return passed
            finally:
                copies.put(copy)

        if not all(list(pool.map(passes, (tests[number::jobs] for number in range(jobs))))):
            return False
        verdicts.add(everything, SURVIVED)
    return True


def digest_of(root: Path) -> str:
    """Hash the state of the package and its tests."""
    digest = hashlib.sha256()
    for name in ("realtime_fsm", "tests"):
        for file in sorted((root / name).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()


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
