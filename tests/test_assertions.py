"""Check the tests: every test asserts, and no assertion is in a loop that may be empty."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from realtime_fsm.testing import virtual
from realtime_fsm.testing.replay import check_path
from support.some import some

TESTS = sorted(Path(__file__).parent.rglob("test_*.py"))
HELPERS = [*sorted(Path(__file__).parent.glob("support/*.py")), Path(virtual.__file__)]
ANY_COLLECTION = {"given", "rule", "invariant", "precondition"}
"""The decorators of properties over any collection, empty ones included; Hypothesis finds full ones."""


def has_items(items: ast.expr) -> bool:
    """Tell whether a loop has items: a literal, a range of constants, a constant, or `some`."""
    match items:
        case ast.Tuple(elts=[_, *_]) | ast.List(elts=[_, *_]) | ast.Set(elts=[_, *_]) | ast.Dict(keys=[_, *_]):
            return True
        case ast.Name(id=name):
            return name.isupper() or name in ("State", "Trigger", "Era")
        case ast.Call(func=ast.Name(id="some")):
            return True
        case ast.Call(func=ast.Name(id="range"), args=limits):
            return all(isinstance(limit, ast.Constant) for limit in limits)
        case ast.Call(func=ast.Name(id="enumerate" | "sorted" | "list" | "reversed"), args=[inner, *_]):
            return has_items(inner)
        case ast.Call(func=ast.Name(id="zip"), args=inners):
            return all(map(has_items, inners))
        case ast.Call(func=ast.Attribute(value=inner, attr="items" | "values" | "keys")):
            return has_items(inner)
    return False


def risky_loops(node: ast.AST) -> Iterator[int]:
    """Yield the lines of loops with assertions that may be empty. After an ``async for``, assert its results."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            names = {part.id for each in child.decorator_list for part in ast.walk(each) if isinstance(part, ast.Name)}
            if names & ANY_COLLECTION:
                continue
        if isinstance(child, ast.For | ast.AsyncFor) and not has_items(child.iter) and any(map(has_assertion, child.body)):
            yield child.lineno
        yield from risky_loops(child)


def has_assertion(node: ast.AST) -> bool:
    """Tell whether a node asserts, or expects an error or a warning of pytest."""
    for part in ast.walk(node):
        match part:
            case (
                ast.Assert()
                | ast.Attribute(value=ast.Name(id="pytest"), attr="raises" | "warns" | "fail")
                | ast.Attribute(attr="assert_outcomes")
            ):
                return True
    return False


def functions(tree: ast.AST, begin: str = "") -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield the functions in a tree, at any depth."""
    for part in ast.walk(tree):
        if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef) and part.name.startswith(begin):
            yield part


def calls_of(node: ast.AST) -> set[str]:
    """Return the names of the functions and methods that a node calls."""
    calls = [part.func for part in ast.walk(node) if isinstance(part, ast.Call)]
    return {func.id if isinstance(func, ast.Name) else getattr(func, "attr", "") for func in calls}


def asserting_helpers(trees: list[ast.Module]) -> set[str]:
    """Return the functions whose every definition asserts, directly or through another. `run` checks for leftover tasks only."""
    defined: dict[str, list[ast.AST]] = {}
    for function in itertools.chain.from_iterable(map(functions, trees)):
        defined.setdefault(function.name, []).append(function)
    del defined["run"]
    found: set[str] = set()
    while (
        more := {name for name, each in defined.items() if all(has_assertion(it) or calls_of(it) & found for it in each)} - found
    ):
        found |= more
    return found


def without_assertion(tree: ast.AST, asserting: set[str]) -> Iterator[str]:
    """Yield the tests without an assertion."""
    for test in functions(tree, "test_"):
        if not has_assertion(test) and not calls_of(test) & asserting:
            yield f"{test.lineno} {test.name}"


def test_no_assertion_in_an_empty_loop() -> None:
    found = [f"{path.name}:{line}" for path in TESTS for line in risky_loops(ast.parse(path.read_text()))]
    assert found == [], "loop over some(...) of support.some, or assert the contents of the collection"


def test_check_finds_empty_loops() -> None:
    source = "def test():\n    for each in found:\n        assert each\n    for each in (1, 2):\n        assert each\n"
    assert list(risky_loops(ast.parse(source))) == [2]
    assert list(risky_loops(ast.parse(source.replace("in found", "in some(found)")))) == []
    assert list(risky_loops(ast.parse("@given(x)\n" + source))) == []
    assert list(risky_loops(ast.parse(source.replace("assert each", "pytest.raises(each)")))) == [2]
    assert list(risky_loops(ast.parse(f"async {source.replace('    for each in found', '    async for each in found')}"))) == [2]


def test_every_test_asserts() -> None:
    trees = [ast.parse(path.read_text()) for path in (*TESTS, *HELPERS)]
    asserting = asserting_helpers(trees) | {check_path.__name__}  # the last is the package's own: emitted tests call it
    assert {"eventually", "assert_silent"} <= asserting
    found = [f"{path.name}:{test}" for path in TESTS for test in without_assertion(ast.parse(path.read_text()), asserting)]
    assert found == [], "add an assertion, or call a helper that asserts"


def test_check_finds_tests_without_assertion() -> None:
    helping = "def run():\n    assert 1\ndef check():\n    assert 1\ndef deep():\n    check()\ndef fake():\n    idle()\n"
    assert (asserting := asserting_helpers([ast.parse(helping)])) == {"check", "deep"}
    for body, found in (("run()", 1), ("fake()", 1), ("pass", 1), ("deep()", 0), ("assert 1", 0), ("pytest.raises(E)", 0)):
        assert len(list(without_assertion(ast.parse(f"def test_it():\n    {body}\n"), asserting))) == found, body


def test_some_yields_items_and_refuses_none() -> None:
    assert list(some(iter("ab"))) == ["a", "b"]
    with pytest.raises(AssertionError, match="nothing to loop over"):
        list(some([]))
