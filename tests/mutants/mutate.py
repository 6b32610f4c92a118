"""Make every small change of a module that its tests must notice.

A mutant replaces one piece of the source text. All other text stays, so a line number of a mutant is a line of the module.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

_OPPOSITES: dict[type[ast.AST], type[Any]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.And: ast.Or, ast.Or: ast.And, ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.Add,
}  # fmt: skip
_STATES = ("DISCONNECTED", "RECONNECTING", "CONNECTED", "SUBSCRIBED", "UNSUBSCRIBED", "PING", "ERROR", "DISPOSING")
_UNCHANGED_NODES = (ast.JoinedStr, ast.Assert, ast.Import, ast.ImportFrom)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one module.

    Attributes:
        path: the module, relative to the root of the project.
        line: the first line of the piece.
        text: the text of that line.
        before: the text of the piece.
        after: the new text.
        start: the first byte of the piece.
        stop: the byte after the piece.
    """

    path: str
    line: int
    text: str
    before: str
    after: str
    start: int
    stop: int

    def applied(self, source: bytes) -> bytes:
        """Return the module with the change."""
        return source[: self.start] + self.after.encode() + source[self.stop :]

    @property
    def name(self) -> str:
        """Name the mutant without its line number, which changes above the line would move."""
        return f"{self.path}: {self.text}: {_short(self.before)}  ->  {_short(self.after)}"

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {_short(self.before)}  ->  {_short(self.after)}"


def mutants_of(path: str, source: bytes) -> list[Mutant]:
    """Return every mutant of a module, in the order of the text."""
    tree = ast.parse(source)
    lines = source.splitlines(keepends=True)
    starts = [0, *accumulate(map(len, lines))]
    mutants = []
    for node, after in _changes(tree):
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start, stop = starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
        text = lines[node.lineno - 1].decode().strip()
        mutants.append(Mutant(path, node.lineno, text, source[start:stop].decode(), after, start, stop))
    return sorted(dict.fromkeys(mutants), key=lambda mutant: (mutant.start, mutant.after))


def _changes(tree: ast.AST) -> Iterator[tuple[Any, str]]:
    """Yield each node to replace, with its new text."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    answers = {id(node) for each in functions if _is_name(each.returns, "bool") for node in ast.walk(each)}  # yes or no
    for node in _running_nodes(tree):
        match node:
            case ast.expr():
                yield from ((node, f"({ast.unparse(other)})") for other in _changed_expressions(node))
            case ast.Expr(value=ast.Call() | ast.Await()):
                yield node, "pass"
            case ast.AugAssign(op=op) if type(op) in _OPPOSITES:
                yield node, ast.unparse(_with(node, op=_OPPOSITES[type(op)]()))
            case ast.Assign(targets=[ast.Attribute()]):
                yield node, "pass"
            case ast.Break():
                yield node, "continue"
            case ast.Continue():
                yield node, "break"
            case ast.Return(value=ast.Constant(value=False)) if id(node) in answers:
                pass  # None is a no as well
            case ast.Return(value=ast.expr() as value) if not _is_none(value):
                yield node, "return None"
        if isinstance(node, ast.If | ast.While | ast.IfExp) and not isinstance(node.test, ast.UnaryOp | ast.Compare):
            yield node.test, f"(not ({ast.unparse(node.test)}))"


def _changed_expressions(node: ast.expr) -> Iterator[ast.AST]:
    match node:
        case ast.Compare(ops=[op, *others]) if type(op) in _OPPOSITES:
            yield _with(node, ops=[_OPPOSITES[type(op)](), *others])
        case ast.BoolOp(op=op):
            yield _with(node, op=_OPPOSITES[type(op)]())
        case ast.BinOp(op=op) if type(op) in _OPPOSITES and not _is_text(node.left) and not _is_text(node.right):
            yield _with(node, op=_OPPOSITES[type(op)]())
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(value=int() | float() as value):
            yield ast.Constant(value + 1)
        case ast.Attribute(value=ast.Name(id="State"), attr=name) if name in _STATES:
            yield _with(node, attr=_STATES[_STATES.index(name) - 1])
        case ast.Tuple(elts=[_, *others], ctx=ast.Load()) if others:
            yield _with(node, elts=others)
        case ast.Call(args=[], keywords=[ast.keyword(arg=str()), *others]):
            yield _with(node, keywords=others)


def _running_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that run: no docstring, annotation, decorator, message or ``if TYPE_CHECKING``."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params", "bases") or isinstance(node, ast.Raise):
            continue
        if isinstance(node, ast.Call) and name == "keywords" and _is_name(node.func, "zip"):
            continue  # `strict=True` is an assertion
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, _UNCHANGED_NODES) or _is_declaration(child):
                continue
            if isinstance(node, ast.Subscript) and isinstance(child, ast.Tuple):
                continue  # the parameters of a type
            if hasattr(child, "lineno"):
                yield child
            yield from _running_nodes(child)


def _is_declaration(node: ast.AST) -> bool:
    match node:
        case ast.If(test=ast.Name(id="TYPE_CHECKING")) | ast.Expr(value=ast.Constant()):
            return True
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name in ("__slots__", "__all__") or _is_type(node.value)
    return False


def _is_type(node: ast.expr) -> bool:
    """Tell whether an expression looks like a type alias or a type variable."""
    match node:
        case ast.Subscript() | ast.BinOp(op=ast.BitOr()):
            return True
        case ast.Call(func=ast.Name(id="TypeVar" | "ParamSpec")):
            return True
    return False


def _with(node: Any, **changes: Any) -> Any:
    other = copy(node)
    for name, value in changes.items():
        setattr(other, name, value)
    return other


def _is_name(node: ast.expr | None, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 100 else f"{text[:97]}..."
