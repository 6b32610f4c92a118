"""List the public surface, one name or default a line.

``python -m support.surface > data/public_surface.txt``, in the folder tests/, freezes the surface again.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec

from realtime_fsm.audit.report import Report
from realtime_fsm.auditlog.records import RECORDS
from realtime_fsm.cli.main import _parser
from realtime_fsm.fsm.table import TABLE
from realtime_fsm.fsm.values import Value

FROZEN = Path(__file__).resolve().parents[1] / "data" / "public_surface.txt"
MODULES = (
    "realtime_fsm",
    "realtime_fsm.audit",
    "realtime_fsm.catch_up",
    "realtime_fsm.health",
    "realtime_fsm.identity",
    "realtime_fsm.inspect",
    "realtime_fsm.ops.doctor",
    "realtime_fsm.relay",
    "realtime_fsm.sync",
    "realtime_fsm.telemetry",
    "realtime_fsm.testing",
    "realtime_fsm.testing.replay",
)


def surface() -> Iterator[str]:
    """Yield the names that users import, read in logs and reports, and type."""
    for module in MODULES:
        for name in importlib.import_module(module).__all__:
            yield f"{module}.{name}"
            value = getattr(importlib.import_module(module), name)
            if inspect.isclass(value):
                yield from sorted({f"{module}.{name}.{member}" for member in _members(value)})
            elif inspect.isroutine(value):
                yield f"{module}.{name}({', '.join(_parameters(value))})"
    for record in RECORDS:
        fields: Any = record.__struct_encode_fields__
        yield f"record {record.__struct_config__.tag}: {', '.join(sorted(fields))}"
    yield from (f"rule {row.id}" for row in TABLE.rows)
    yield from _words(_parser())
    yield from sorted(_keys("report", Report))
    yield from sorted(set(_defaults()))


def _defaults() -> Iterator[str]:
    """Yield the plain defaults of calls, records and commands."""
    for module in MODULES:
        for name in importlib.import_module(module).__all__:
            value = getattr(importlib.import_module(module), name)
            yield from _defaults_of(f"{module}.{name}", value)
            own = [base for base in getattr(value, "__mro__", ()) if base.__module__.startswith("realtime_fsm")]
            for member in [member for base in own for member in vars(base) if not member.startswith("_")]:
                yield from _defaults_of(f"{module}.{name}.{member}", getattr(value, member))
    for record in RECORDS:
        yield from _defaults_of(f"record {record.__struct_config__.tag}", record)
    for parser in parsers(_parser()):
        for action in parser._actions:
            if action.default not in (None, argparse.SUPPRESS):
                yield f"default {parser.prog} {' '.join(action.option_strings) or action.dest}={action.default!r}"


def _defaults_of(path: str, call: Any) -> Iterator[str]:
    if not (inspect.isroutine(call) or (inspect.isclass(call) and not issubclass(call, Enum))):
        return
    try:
        parameters = inspect.signature(call).parameters.values()
    except ValueError:  # a class without arguments of its own
        return
    for parameter in parameters:
        if isinstance(parameter.default, bool | int | float | str | bytes | tuple) and not parameter.name.startswith("_"):
            yield f"default {path}({parameter.name}={parameter.default!r})"


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield a parser and those of its commands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from parsers(command)


def _members(kind: type) -> Iterator[str]:
    own = [base for base in kind.__mro__ if base.__module__.startswith("realtime_fsm")]
    for base in own:
        for name, member in vars(base).items():
            if name.startswith("_"):
                continue
            yield f"{name}({', '.join(_parameters(member))})" if inspect.isfunction(member) else name
        yield from (name for name in inspect.get_annotations(base) if not name.startswith("_"))
    names = {name for base in own for name in vars(base)}
    if ("__init__" in names or issubclass(kind, Value)) and not issubclass(kind, Enum):
        yield f"__init__({', '.join(_parameters(kind))})"


def _parameters(value: Any) -> list[str]:
    if inspect.isclass(value) and issubclass(value, Value):
        return list(value.__struct_fields__)
    return [name for name in inspect.signature(value).parameters if name != "self" and not name.startswith("_")]


def _words(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for _, command in sorted(action.choices.items()):
                yield from _words(command)
        else:
            yield f"{parser.prog} {' '.join(action.option_strings) or action.dest}"


def _keys(path: str, kind: Any) -> Iterator[str]:
    for field in msgspec.structs.fields(kind):
        yield f"{path}.{field.encode_name}"
        for part in (field.type, *getattr(field.type, "__args__", ())):
            if inspect.isclass(part) and issubclass(part, msgspec.Struct):
                yield from _keys(f"{path}.{field.encode_name}", part)


if __name__ == "__main__":
    print("\n".join(surface()))
