"""The tests hold what they say: no assertion stands in a loop that may never turn."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.some import some

TESTS = sorted(Path(__file__).parent.glob("test_*.py"))
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
    """The lines of loops with assertions that may never turn. An ``async for`` over a stream waits for its items instead."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            names = {part.id for each in child.decorator_list for part in ast.walk(each) if isinstance(part, ast.Name)}
            if names & ANY_COLLECTION:
                continue
        if isinstance(child, ast.For) and not is_full(child.iter) and any(map(has_assertion, child.body)):
            yield child.lineno
        yield from empty_claims(child)


def has_assertion(statement: ast.stmt) -> bool:
    return any(isinstance(part, ast.Assert) for part in ast.walk(statement))


def test_no_assertion_stands_in_a_loop_that_may_never_turn() -> None:
    found = [f"{path.name}:{line}" for path in TESTS for line in empty_claims(ast.parse(path.read_text()))]
    assert found == [], "loop over some(...) of support.some, or assert what the collection holds"


def test_the_check_finds_such_loops() -> None:
    source = "def test():\n    for each in found:\n        assert each\n    for each in (1, 2):\n        assert each\n"
    assert list(empty_claims(ast.parse(source))) == [2]
    assert list(empty_claims(ast.parse(source.replace("in found", "in some(found)")))) == []
    assert list(empty_claims(ast.parse("@given(x)\n" + source))) == []


def test_some_gives_each_and_refuses_nothing() -> None:
    assert list(some(iter("ab"))) == ["a", "b"]
    with pytest.raises(AssertionError, match="nothing to loop over"):
        list(some([]))
