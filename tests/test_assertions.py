"""The tests hold what they say: no assertion stands in a loop that may never turn."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.some import some

TESTS = sorted(Path(__file__).parent.rglob("test_*.py"))
ANY_COLLECTION = {"given", "rule", "invariant", "precondition"}
"""What decorates a property of every collection, empty ones included. Hypothesis finds full ones."""


def is_full(items: ast.expr) -> bool:
    """Whether a loop surely turns: over a literal, a range from constants, a constant, or `some`."""
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
            return is_full(inner)
        case ast.Call(func=ast.Name(id="zip"), args=inners):
            return all(map(is_full, inners))
        case ast.Call(func=ast.Attribute(value=inner, attr="items" | "values" | "keys")):
            return is_full(inner)
    return False


def empty_claims(node: ast.AST) -> Iterator[int]:
    """Yield the lines of loops with assertions that may never turn. Assert behind an ``async for`` what it found."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            names = {part.id for each in child.decorator_list for part in ast.walk(each) if isinstance(part, ast.Name)}
            if names & ANY_COLLECTION:
                continue
        if isinstance(child, ast.For | ast.AsyncFor) and not is_full(child.iter) and any(map(has_assertion, child.body)):
            yield child.lineno
        yield from empty_claims(child)


def has_assertion(node: ast.AST) -> bool:
    """Tell whether a node asserts, or expects an error or a warning of pytest."""
    for part in ast.walk(node):
        match part:
            case ast.Assert() | ast.Attribute(value=ast.Name(id="pytest"), attr="raises" | "warns" | "fail"):
                return True
    return False


def functions(tree: ast.AST, begin: str = "") -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield the functions in a tree, at any depth."""
    for part in ast.walk(tree):
        if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef) and part.name.startswith(begin):
            yield part


def called(node: ast.AST) -> set[str]:
    """Give the names of the functions and methods that a node calls."""
    calls = [part.func for part in ast.walk(node) if isinstance(part, ast.Call)]
    return {func.id if isinstance(func, ast.Name) else getattr(func, "attr", "") for func in calls}


def helpers(trees: list[ast.Module]) -> set[str]:
    """Give the names whose every definition asserts, itself or through another. `run` asserts only that no task is left."""
    defined: dict[str, list[ast.AST]] = {}
    for function in itertools.chain.from_iterable(map(functions, trees)):
        defined.setdefault(function.name, []).append(function)
    del defined["run"]
    found: set[str] = set()
    while more := {name for name, each in defined.items() if all(has_assertion(it) or called(it) & found for it in each)} - found:
        found |= more
    return found


def without_claim(tree: ast.AST, known: set[str]) -> Iterator[str]:
    """Yield the tests that claim no more than that nothing is raised."""
    for test in functions(tree, "test_"):
        if not has_assertion(test) and not called(test) & known:
            yield f"{test.lineno} {test.name}"


def test_no_assertion_stands_in_a_loop_that_may_never_turn() -> None:
    found = [f"{path.name}:{line}" for path in TESTS for line in empty_claims(ast.parse(path.read_text()))]
    assert found == [], "loop over some(...) of support.some, or assert what the collection holds"


def test_the_check_finds_such_loops() -> None:
    source = "def test():\n    for each in found:\n        assert each\n    for each in (1, 2):\n        assert each\n"
    assert list(empty_claims(ast.parse(source))) == [2]
    assert list(empty_claims(ast.parse(source.replace("in found", "in some(found)")))) == []
    assert list(empty_claims(ast.parse("@given(x)\n" + source))) == []
    assert list(empty_claims(ast.parse(source.replace("assert each", "pytest.raises(each)")))) == [2]
    assert list(empty_claims(ast.parse(f"async {source.replace('    for each in found', '    async for each in found')}"))) == [2]


def test_every_test_claims_something() -> None:
    known = helpers([ast.parse(path.read_text()) for path in (*TESTS, *sorted(Path(__file__).parent.glob("support/*.py")))])
    assert {"eventually", "assert_silent"} <= known
    found = [f"{path.name}:{test}" for path in TESTS for test in without_claim(ast.parse(path.read_text()), known)]
    assert found == [], "assert what it does, or call a helper that asserts"


def test_the_check_finds_tests_without_a_claim() -> None:
    helping = "def run():\n    assert 1\ndef check():\n    assert 1\ndef deep():\n    check()\ndef fake():\n    idle()\n"
    assert (known := helpers([ast.parse(helping)])) == {"check", "deep"}
    for body, found in (("run()", 1), ("fake()", 1), ("pass", 1), ("deep()", 0), ("assert 1", 0), ("pytest.raises(E)", 0)):
        assert len(list(without_claim(ast.parse(f"def test_it():\n    {body}\n"), known))) == found, body


def test_some_gives_each_and_refuses_nothing() -> None:
    assert list(some(iter("ab"))) == ["a", "b"]
    with pytest.raises(AssertionError, match="nothing to loop over"):
        list(some([]))
