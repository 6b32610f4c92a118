"""Judge a sample of mutants: ``python -m mutants.run --count 150 --seed 1``. `make mutants` calls it.

Each mutant lives in a copy of the project in a temporary directory, and runs against the tests that concern its module. A verdict
is kept in ``.mutants/`` until the module or a test changes, so a run that was stopped goes on where it was.
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
    """So many mutants that compile, of every package in proportion to its size, and at least one of each."""
    packages: dict[str, list[Mutant]] = defaultdict(list)
    for mutant in mutants:
        packages[str(Path(mutant.path).parent)].append(mutant)
    total = sum(map(len, packages.values()))
    dice = random.Random(seed)
    chosen: list[Mutant] = []
    for name in sorted(packages):
        share = max(1, round(count * len(packages[name]) / total))
        shuffled = dice.sample(packages[name], len(packages[name]))
        chosen += islice((mutant for mutant in shuffled if _compiles(mutant.applied((root / mutant.path).read_bytes()))), share)
    dice.shuffle(chosen)
    return chosen[:count]


def all_mutants(root: Path, only: str = "") -> list[Mutant]:
    """Every mutant of the modules whose path contains a text."""
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
    """A copy of the project, in which mutants are judged one after another."""

    def __init__(self, root: Path, place: Path) -> None:
        self.root = root
        self.place = place
        for name in COPIED:
            if (source := root / name).is_dir():
                shutil.copytree(source, place / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
            elif source.exists():
                shutil.copy2(source, place / name)

    def judge(self, mutant: Mutant, seconds: float) -> str:
        """Put the mutant in, run its tests, and take it out."""
        module = self.place / mutant.path
        source = module.read_bytes()
        module.write_bytes(mutant.applied(source))
        try:
            return self.run(files_for(mutant.path, self.root), seconds, drift=mutant.path != TABLE)
        finally:
            module.write_bytes(source)

    def run(self, tests: list[str], seconds: float, *, drift: bool = True, output: int = subprocess.DEVNULL) -> str:
        """Run test files within so many seconds; a process that hangs is killed with all that it started."""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider", *tests]
        if not drift:
            command += ["--deselect", DRIFT]
        # Bytecode is not kept: two mutants of one size may fall into one second of the file's time.
        environment = {**os.environ, "PYTHONPATH": str(self.place), "PYTHONDONTWRITEBYTECODE": "1"}
        with subprocess.Popen(
            command, cwd=self.place, env=environment, stdout=output, stderr=subprocess.DEVNULL, start_new_session=True
        ) as process:
            try:
                return SURVIVED if process.wait(seconds) == 0 else KILLED
            except subprocess.TimeoutExpired:
                return TIMED_OUT
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


class Verdicts:
    """What is known already: a verdict counts for one change of one state of the module and its tests."""

    def __init__(self, file: Path, root: Path) -> None:
        self._file, self._root = file, root
        self._lock = threading.Lock()
        self._known: dict[str, str] = {}
        if file.exists():
            for line in file.read_text().splitlines():
                with suppress(ValueError):  # a line that was cut
                    known = json.loads(line)
                    self._known[known["key"]] = known["verdict"]

    def key(self, mutant: Mutant) -> str:
        """The name of the mutant, and of all that its verdict depends on."""
        digest = hashlib.sha256(repr(mutant).encode())
        for name in (mutant.path, *files_for(mutant.path, self._root)):
            digest.update((self._root / name).read_bytes())
        return digest.hexdigest()[:24]

    def get(self, mutant: Mutant) -> str | None:
        """The verdict, if it is known."""
        return self._known.get(self.key(mutant))

    def add(self, mutant: Mutant, verdict: str) -> None:
        """Keep a verdict."""
        with self._lock:
            self._file.parent.mkdir(exist_ok=True)
            with self._file.open("a") as out:
                out.write(json.dumps({"key": self.key(mutant), "mutant": str(mutant), "verdict": verdict}) + "\n")


def main(given: list[str] | None = None, root: Path = ROOT) -> int:
    """Judge the sample. Returns 1 if the score is below the least that was asked for, 2 if no kill would prove anything."""
    parser = argparse.ArgumentParser(prog="mutants")
    parser.add_argument("--count", type=int, default=150, help="how many mutants (150)")
    parser.add_argument("--seed", type=int, default=1, help="of the sample (1)")
    parser.add_argument("--only", default="", help="only modules whose path contains this")
    parser.add_argument("--jobs", type=int, default=2, help="how many at once (2)")
    parser.add_argument("--seconds", type=float, default=240.0, help="for one mutant (240)")
    parser.add_argument("--budget", type=float, default=3600.0, help="seconds after which no other mutant is begun (3600)")
    parser.add_argument("--least", type=float, default=0.0, help="the least score in percent that passes")
    options = parser.parse_args(given)
    chosen = sample(root, all_mutants(root, options.only), options.count, options.seed)
    verdicts = Verdicts(root / ".mutants" / "verdicts.jsonl", root)
    with tempfile.TemporaryDirectory(prefix="mutants-") as temporary:
        places: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        for number in range(options.jobs):
            places.put(Copy(root, Path(temporary) / str(number)))
        end = time.monotonic() + options.budget

        def judge(mutant: Mutant) -> tuple[Mutant, str | None]:
            if str(mutant) in EQUIVALENTS:
                return mutant, EQUIVALENT
            if (verdict := verdicts.get(mutant)) is not None:
                return mutant, verdict
            if time.monotonic() > end:
                return mutant, None
            place = places.get()
            try:
                verdict = place.judge(mutant, options.seconds)
            finally:
                places.put(place)
            verdicts.add(mutant, verdict)
            print(f"{verdict:9} {mutant}", flush=True)
            return mutant, verdict

        with ThreadPoolExecutor(options.jobs) as pool:
            if not _sound(root, chosen, verdicts, places, pool):
                print("The tests fail without any mutant, so a kill proves nothing. Run: make test")
                return 2
            judged = list(pool.map(judge, chosen))
    return report(judged, options)


def _sound(
    root: Path, chosen: list[Mutant], verdicts: Verdicts, places: queue.SimpleQueue[Copy], pool: ThreadPoolExecutor
) -> bool:
    """Whether all tests that are to judge pass without a mutant. That is known until the package or a test changes."""
    tests = sorted({test for mutant in chosen for test in files_for(mutant.path, root)})
    jobs = places.qsize()
    everything = Mutant("realtime_fsm/__init__.py", 0, digest_of(root), " ".join(tests), 0, 0)
    if verdicts.get(everything) is None:
        print(f"{len(tests)} test files run without a mutant first", flush=True)

        def passes(shard: list[str]) -> bool:
            place = places.get()
            try:
                with (place.place / "output").open("w+b") as output:
                    sound = not shard or place.run(shard, 1800.0, output=output.fileno()) == SURVIVED
                    if not sound:
                        print((place.place / "output").read_text(errors="replace")[-2000:], flush=True)
                return sound
            finally:
                places.put(place)

        if not all(list(pool.map(passes, (tests[number::jobs] for number in range(jobs))))):
            return False
        verdicts.add(everything, SURVIVED)
    return True


def digest_of(root: Path) -> str:
    """A name for the state of the package and its tests."""
    digest = hashlib.sha256()
    for name in ("realtime_fsm", "tests"):
        for file in sorted((root / name).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def report(judged: list[tuple[Mutant, str | None]], options: argparse.Namespace) -> int:
    """Print the survivors and the score. Returns 1 if the score is below the least that was asked for."""
    counts = {name: sum(verdict == name for _, verdict in judged) for name in (KILLED, TIMED_OUT, SURVIVED, EQUIVALENT)}
    open_ones = sum(verdict is None for _, verdict in judged)
    survivors = sorted(str(mutant) for mutant, verdict in judged if verdict == SURVIVED)
    if survivors:
        print("\nSurvivors:")
        print("\n".join(f"  {survivor}" for survivor in survivors))
    dead = counts[KILLED] + counts[TIMED_OUT]
    score = 100.0 * dead / max(1, dead + counts[SURVIVED])
    print(
        f"\n{dead} of {dead + counts[SURVIVED]} mutants killed ({counts[TIMED_OUT]} by timeout), "
        f"{counts[EQUIVALENT]} equivalent, {open_ones} not judged within the budget; seed {options.seed}. Score: {score:.1f} %"
    )
    return int(score < options.least)


if __name__ == "__main__":
    sys.exit(main())
