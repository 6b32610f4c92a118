"""Docstrings and comments quote names that exist: a rename that forgets a text fails here."""

from __future__ import annotations

import ast
import builtins
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "realtime_fsm"
MODULES = sorted(PACKAGE.rglob("*.py"))
QUOTED = re.compile(r"(?<!`)`([A-Za-z_][\w.]*)`(?!`)")
FOREIGN = {"AsyncBoundLogger", "appwrite", "capture_locals", "dataclasses", "publish_async"}
"""Names of other libraries that the package quotes and never uses."""


def _names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        for field in ("name", "id", "attr", "arg"):
            if isinstance(name := getattr(node, field, None), str):
                yield from name.split(".")
        match node:
            case ast.ClassDef(body=body):  # the values of an enumeration
                yield from (line.value.value for line in body if _is_text(line))  # type: ignore[attr-defined]
            case ast.Subscript(value=ast.Name(id="Literal"), slice=values):
                yield from (str(value.value) for value in ast.walk(values) if isinstance(value, ast.Constant))


def _is_text(line: ast.stmt) -> bool:
    return isinstance(line, ast.Assign) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)


@cache
def _existing() -> set[str]:
    modules = {part for module in MODULES for part in (module.stem, module.name, *module.parts)}
    return modules | set(dir(builtins)) | FOREIGN | {name for module in MODULES for name in _names(ast.parse(module.read_text()))}


def _texts(source: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def unknown(source: str) -> list[str]:
    """Return each quoted name of a module that exists nowhere in the package, with its line."""
    quoted = ((line, name) for line, text in _texts(source) for name in QUOTED.findall(text))
    return [f"{line}: {name}" for line, name in quoted if name not in _existing() and not _existing() >= set(name.split("."))]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.relative_to(PACKAGE).as_posix())
def test_each_quoted_name_exists(module: Path) -> None:
    assert unknown(module.read_text()) == []


def test_a_name_that_does_not_exist_is_found() -> None:
    assert unknown('"""Use `no_such_name` and `State`."""\n# as `Absent.put`\n') == ["1: no_such_name", "2: Absent.put"]
