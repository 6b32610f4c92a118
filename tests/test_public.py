"""The public names, the README, and the layers of the package."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from pathlib import Path
from typing import get_type_hints

import pytest

import realtime_fsm
from realtime_fsm import errors, sync, testing
from realtime_fsm.fsm.table import State
from realtime_fsm.testing import replay
from support.pages import ROOT

PACKAGE = Path(realtime_fsm.__file__).parent
README = ROOT / "README.md"
LAYERS = (
    ("protocol",),
    ("fsm",),
    ("auditlog",),
    ("runtime", "diagram"),
    ("client",),
    ("audit", "replay"),
    ("testing",),
    ("ops", "relay"),
    ("cli",),
)
RANKS = {package: rank for rank, layer in enumerate(LAYERS) for package in layer}
OWNERS = {
    "transitions": {"fsm/machine.py"},
    "structlog": {"auditlog/writer.py"},
    "nats": {"relay/broker_link.py"},
    # The client uses aiohttp in one file; so do the embedded server, a tool for tests, and the pages of operators.
    "aiohttp": {"runtime/transport.py", "testing/listener.py", "ops/web.py"},
    "opentelemetry": {"telemetry.py", "ops/telemetry.py", "ops/telemetry_counts.py", "ops/telemetry_spans.py"},
}
MODULES = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
KNOWN: set[frozenset[str]] = set()
"""The import circles that are left. The list is exact, so it can only shrink."""


def imports(path: Path) -> set[str]:
    """The names that a module imports, under TYPE_CHECKING and inside functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def dotted(name: str) -> str:
    """The name of a module, by its path in the package."""
    return ".".join(["realtime_fsm", *name.removesuffix(".py").split("/")]).removesuffix(".__init__")


def import_circles() -> set[frozenset[str]]:
    """The groups of modules that import each other, directly or through others."""
    names = {dotted(name): imports(path) for name, path in MODULES.items()}
    graph = {
        module: {name if name in names else name.rpartition(".")[0] for name in imported} & names.keys() - {module}
        for module, imported in names.items()
    }

    def reachable(module: str) -> set[str]:
        found: set[str] = set()
        left = [module]
        while left:
            new = graph[left.pop()] - found
            found |= new
            left += new
        return found

    reached = {module: reachable(module) for module in graph}
    circles = {frozenset(other for other in reached[module] if module in reached[other]) for module in graph}
    return {frozenset(module.removeprefix("realtime_fsm.") for module in circle) for circle in circles if circle}


def test_the_public_names_are_sorted_and_there() -> None:
    for module in (realtime_fsm, testing):
        names = module.__all__
        assert sorted(names, key=lambda name: (not name.isupper(), name)) == names
        assert all(hasattr(module, name) for name in names)


def test_every_error_can_be_imported_from_the_top() -> None:
    named = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, errors.RealtimeError)}
    assert named <= set(realtime_fsm.__all__)


def test_every_public_name_says_what_it_is() -> None:
    undocumented = [name for name in realtime_fsm.__all__ if not (getattr(realtime_fsm, name).__doc__ or "").strip()]
    assert undocumented == []


def test_each_package_has_its_layer() -> None:
    packages = {name.split("/")[0] for name in MODULES if "/" in name}
    assert packages == set(RANKS)


@pytest.mark.parametrize("name", [name for name in MODULES if name.split("/")[0] in RANKS])
def test_an_import_goes_down_only(name: str) -> None:
    rank = RANKS[name.split("/")[0]]
    inner = [module.split(".")[1] for module in imports(MODULES[name]) if module.startswith("realtime_fsm.")]
    assert [package for package in inner if RANKS.get(package, 0) > rank] == []


def test_no_modules_import_each_other_but_for_the_known_circles() -> None:
    circles = import_circles()
    new = sorted(map(sorted, circles - KNOWN))
    assert not new, f"these modules import each other: {new}; move what they share into a module below them"
    broken = sorted(map(sorted, KNOWN - circles))
    assert not broken, f"these circles are no more; remove them from KNOWN: {broken}"


def test_no_module_is_longer_than_400_lines() -> None:
    lengths = {name: path.read_text(encoding="utf-8").count("\n") for name, path in MODULES.items()}
    assert {name: length for name, length in lengths.items() if length > 400} == {}, "divide what has more than one job"


@pytest.mark.parametrize("library", OWNERS)
def test_a_library_enters_where_it_may(library: str) -> None:
    users = {name for name, path in MODULES.items() if any(module.split(".")[0] == library for module in imports(path))}
    assert users == OWNERS[library]


@pytest.mark.parametrize("name", [name for name in MODULES if name.split("/")[0] in ("protocol", "fsm")])
def test_the_inner_layers_do_no_io_and_take_no_other_package(name: str) -> None:
    allowed = {"realtime_fsm", "msgspec", "transitions", "typing_extensions"} | (  # the last for type checkers only
        set(sys.stdlib_module_names) - {"asyncio", "socket", "time", "random", "threading", "ssl", "select", "subprocess"}
    )
    assert {module.split(".")[0] for module in imports(MODULES[name])} <= allowed


def test_the_readme_shows_every_state() -> None:
    table = README.read_text(encoding="utf-8").split("## The states")[1].split("##")[0]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == [state.value for state in State]


PUBLIC = [
    value
    for module in (realtime_fsm, sync, testing, replay)
    for value in (getattr(module, name) for name in sorted(module.__all__))
    if isinstance(value, type) and not issubclass(value, Warning)
]


@pytest.mark.parametrize("kind", dict.fromkeys(PUBLIC))
def test_tools_can_read_the_annotations_of_a_public_class(kind: type) -> None:
    get_type_hints(kind)
    if kind.__init__ is not Exception.__init__:  # type: ignore[misc]
        assert str(inspect.signature(kind)).startswith("(")


@pytest.mark.parametrize("kind", [realtime_fsm.Realtime, sync.Realtime, testing.RealtimeServer])
def test_tools_can_read_the_parameters_of_what_users_build(kind: type) -> None:
    hints = get_type_hints(kind.__init__)  # type: ignore[misc]
    assert hints.keys() == {*inspect.signature(kind).parameters, "return"}


def test_the_annotations_of_the_client_resolve() -> None:
    assert get_type_hints(realtime_fsm.RetryPolicy)["attempts"] == int | None
