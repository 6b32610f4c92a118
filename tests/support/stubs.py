"""The declarations that a type checker sees in place of methods that a decorator makes from others, and the real signatures."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator


def differences(kind: type) -> list[str]:
    """Compare each declaration in a class under the decorator ``_blocking(...)`` with the method that a program gets.

    Returns:
        The differences, in one sentence each; none when all is well.
    """
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(tree, ast.ClassDef)
    methods = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    declared = {node.name: node for node in methods if any(map(_is_blocking, node.decorator_list))}
    assert declared, f"{kind.__name__} declares nothing"
    found: list[str] = []
    for name in sorted(declared):
        here, there = list(_declared(declared[name])), list(_real(inspect.signature(getattr(kind, name))))
        found += [f"{name}: {one} is declared for {other}" for one, other in zip(here, there, strict=False) if one != other]
        found += [f"{name} has {len(there)} arguments, and is declared with {len(here)}"] * (len(here) != len(there))
    return found


def _is_blocking(decorator: ast.expr) -> bool:
    return ast.unparse(decorator).startswith("_blocking(")


def _declared(node: ast.FunctionDef) -> Iterator[tuple[object, ...]]:
    """Yield kind, name, annotation and default of each argument, and the annotation of the answer, of a declaration."""
    assert [node.args.vararg, node.args.kwarg, *node.args.posonlyargs] == [None, None]
    plain, keywords = node.args.args, node.args.kwonlyargs
    missing: list[ast.expr | None] = [None] * (len(plain) - len(node.args.defaults))
    for kind, arguments, defaults in (
        ("POSITIONAL_OR_KEYWORD", plain, [*missing, *node.args.defaults]),
        ("KEYWORD_ONLY", keywords, node.args.kw_defaults),
    ):
        for argument, default in zip(arguments, defaults, strict=True):
            annotation = None if argument.annotation is None else ast.unparse(argument.annotation)
            yield kind, argument.arg, annotation, "none" if default is None else ast.literal_eval(default)
    yield ("RETURN", None if node.returns is None else ast.unparse(node.returns))


def _real(signature: inspect.Signature) -> Iterator[tuple[object, ...]]:
    """Yield the same of a real signature, whose annotations are texts."""
    for each in signature.parameters.values():
        yield each.kind.name, each.name, _text(each.annotation), "none" if each.default is each.empty else each.default
    yield ("RETURN", _text(signature.return_annotation))


def _text(annotation: object) -> str | None:
    return None if annotation is inspect.Signature.empty else ast.unparse(ast.parse(str(annotation), mode="eval"))
