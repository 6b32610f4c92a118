"""Choose the tests that judge a mutant: the tests that execute its lines, the nearest and the quickest first."""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from mutants.mutate import Mutant

LONG = (
    "simulation/test_simulation",
    "bench/test_bench",
    "mutants/test_mutants",
    "runtime/test_fleet",
    "runtime/test_uvloop",
    "testing/test_peers",
    "test_distribution",
    "test_site",
)
"""Tests that judge no mutant, because they take long or measure."""
OF_ALL = ("tests/test_public_surface.py", "tests/test_structs.py", "tests/test_limits.py")
"""The tests of what runs at the import of any module: all defaults, all structures, all documented numbers."""
TABLE = "realtime_fsm/fsm/table.py"
DRIFT = "tests/diagram/test_generated.py::test_the_committed_diagrams_are_those_of_the_table"
"""The check that compares diagrams/ with the table. It alone would kill every mutant of the table."""
SECONDS = 60.0
"""The recorded seconds of CPU time of the tests that judge one mutant, together."""


class Executed:
    """The tests that execute each line of the package, as ``.mutants/executed/`` records them.

    The text of a line is its name, so an edit moves no other line. A record is stale when its file of tests has changed. Of a
    module that has changed since, a record may miss a line, so the tests of the whole function judge its mutants.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.seconds: dict[str, float] = {}
        self._changed: set[str] = set()
        self._lines: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        digest = cache(digest_of)
        for file in sorted(directory_of(root).glob("*.json")):
            record = json.loads(file.read_text())
            self.seconds |= record["tests"]
            tests = list(record["tests"])
            for module, lines in record["lines"].items():
                if record["modules"][module] != digest(root / module):
                    self._changed.add(module)
                for text, numbers in lines.items():
                    self._lines[module][text].update(tests[number] for number in numbers)

    def tests_for(self, mutant: Mutant) -> list[str]:
        """Return the tests that judge a mutant, in the order of the run.

        They are the tests that execute it, and those of near files; where it runs at the import, also those of the same folder.
        """
        source = (self.root / mutant.path).read_text()
        texts = [line.strip() for line in source.splitlines()]
        tree = ast.parse(source)

        def executing(lines: Iterable[int]) -> set[str]:
            return set().union(*(self._lines[mutant.path].get(texts[line - 1], ()) for line in lines))

        importing = executing(node.lineno for node in tree.body)  # a test that imports a module is no test of all that runs then
        piece, *around = _scopes(tree, mutant.line, mutant.line + mutant.before.count("\n"))
        found = executing(piece) - importing
        exact = bool(found) and mutant.path not in self._changed
        if around and not exact:
            found |= executing(around.pop(0)) - importing
        while around and not found:
            found = executing(around.pop(0)) - importing
        near = near_files(mutant.path, self.root)
        folder = f"tests/{Path(mutant.path).parent.relative_to('realtime_fsm')}/"
        rank = {file: min(number, 1) for number, file in enumerate(near)}
        rank |= {} if exact else dict.fromkeys(OF_ALL, 0)
        others = {test for test in self.seconds if file_of(test) in rank or (test.startswith(folder) and not exact)}

        def order(test: str) -> tuple[bool, int, bool, float, str]:
            away = test not in found
            return away and exact, rank.get(file_of(test), 2), away, self.seconds[test], test

        chosen: list[str] = []
        total = 0.0
        for test in sorted(found | others, key=order):
            total += self.seconds[test]
            if (not chosen or total <= SECONDS) and (mutant.path, test) != (TABLE, DRIFT):
                chosen.append(test)
        return chosen


def _scopes(tree: ast.Module, first: int, last: int) -> list[Iterable[int]]:
    """Return the lines of a piece, of each function around it, the innermost first, and of all functions.

    Python runs a piece outside of a body at the import: then it has no lines.
    """
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    functions.sort(key=lambda node: -node.lineno)
    bodies = [range(node.body[0].lineno, (node.end_lineno or 0) + 1) for node in functions]
    around = [body for node, body in zip(functions, bodies, strict=True) if node.lineno <= first < body.stop]
    piece = range(first, last + 1) if any(first in body for body in around) else ()
    return [piece, *around, [line for body in bodies for line in body]]


@cache
def _texts(root: Path) -> dict[str, str]:
    """Return the text of each file of tests that may judge, by its path."""
    files = {file.relative_to(root).as_posix(): file for file in sorted((root / "tests").rglob("test_*.py"))}
    return {name: file.read_text() for name, file in files.items() if name[len("tests/") : -len(".py")] not in LONG}


@cache
def near_files(module: str, root: Path) -> list[str]:
    """Return the files of tests that name a module: its namesake first, then the files that import the module."""
    path = Path(module)
    dotted = ".".join(path.with_suffix("").parts)
    package, _, stem = dotted.rpartition(".")
    imports = re.compile(rf"(?:from|import) {re.escape(dotted)}\b|from {re.escape(package)} import (?:\([^)]*|[^(\n]*)\b{stem}\b")
    mirror = path.relative_to("realtime_fsm")
    namesake = (Path("tests") / mirror.parent / f"test_{mirror.name}").as_posix()
    found = [name for name, text in _texts(root).items() if stem in text and imports.search(text)]
    return [name for name in dict.fromkeys([namesake, *found]) if name in _texts(root)]


def file_of(test: str) -> str:
    """Return the file of a test."""
    return test.partition("::")[0]


def digest_of(file: Path) -> str:
    """Hash a file. An absent file, as of a module that was moved, has a digest too."""
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else ""


def directory_of(root: Path) -> Path:
    """Return the directory of the records, and make it."""
    directory = root / ".mutants" / "executed"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def stale_files(root: Path) -> list[str]:
    """Return the files of tests that changed since their record, and remove the records of files that are gone."""
    current = {name: digest_of(root / name) for name in _texts(root)}
    for file in directory_of(root).glob("*.json"):
        record = json.loads(file.read_text())
        if record["file"] not in current:
            file.unlink()
        elif record["digest"] == current[record["file"]]:
            del current[record["file"]]
    return list(current)
